package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

// Widths of tiles.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// TilesOptions are the options of NewTiles. Only the Key is required.
type TilesOptions struct {
	// Key is the public key of the log.
	Key string

	// Name is the name of the log. The default is DefaultName.
	Name string
}

// Tiles is a log as others verify it: an [http.Handler] of C2SP's tlog-tiles, and proofs. It
// needs no private key. Create one with NewTiles, and open it on the App, or in the Bind of
// a module.
//
// Hashes are kept in the bucket "audit-" and the name of the log. They follow from the log: a
// bucket that is deleted while no program uses it is made again. Entries are read from the log.
//
// Several processes may open the Tiles of a log at once.
type Tiles struct {
	name   string
	key    note.Verifier
	err    error // of the options
	bucket *kv.KeyValue[[]byte]
	env    atomic.Pointer[transport.Environment] // nil: not open

	busy    chan struct{} // holds a token while nobody uses the fields below
	history *history      // nil: not read yet
	at      position
	levels  []growing
	changed map[string][]byte // of the bucket, since the last save
}

// growing is the last tile of a level.
type growing struct {
	n      int64
	hashes []tlog.Hash
}

// NewTiles returns the Tiles of a log. The start of the App reports mistakes in the options.
func NewTiles(o TilesOptions) *Tiles {
	if o.Name == "" {
		o.Name = DefaultName
	}
	t := &Tiles{name: o.Name, busy: make(chan struct{}, 1)}
	t.key, t.err = publicKey(o.Name, o.Key)
	t.busy <- struct{}{}
	return t
}

// Open opens the log and its bucket with h.
func (t *Tiles) Open(h transport.Host) {
	if t.err == nil {
		t.bucket = kv.NewBucket[[]byte]("audit-"+t.name, kv.Codec(codec.Raw), kv.Description("hashes of the audit log "+t.name)).Open(h)
	}
	h.Attach(transport.Component{
		Kind: "audit tiles", Name: t.name, Place: "gomono.dev/mono/audit", Declared: "gomono.dev/mono/audit",
		StoredAs: func(namespace string) string { return storedName(namespace, t.name) },
		Check:    func(transport.Environment) error { return t.err },
		Open:     func(_ context.Context, e transport.Environment) error { t.env.Store(&e); return nil },
		Close:    func(context.Context) error { t.env.Store(nil); return nil },
	})
}

// Checkpoint reads what was recorded meanwhile, checks it as Verify does, and returns the newest
// checkpoint. A log without entries is not_found.
func (t *Tiles) Checkpoint(ctx context.Context) (Checkpoint, error) {
	e := t.env.Load()
	if e == nil {
		return Checkpoint{}, t.notOpen()
	}
	select {
	case <-t.busy:
		defer func() { t.busy <- struct{}{} }()
	case <-ctx.Done():
		return Checkpoint{}, about(t.name, transport.ContextError(ctx, transport.OutcomeNotDone, "another request is reading it"))
	}
	if err := t.catchUp(ctx, e); err != nil {
		t.history = nil // begin with what is saved
		return Checkpoint{}, err
	}
	if t.at.sequence == 0 {
		return Checkpoint{}, errorf(t.name, transport.NotFound, "it has no entries yet")
	}
	return t.at.checkpoint, nil
}

func (t *Tiles) notOpen() error {
	return errorf(t.name, transport.Unavailable, "its tiles are not open: use them after the start of the App, and before the end of its stop")
}

// saveAfter is the number of entries after which the hashes are saved.
const saveAfter = 16 * tileWidth

// catchUp extends the tiles by what was recorded.
func (t *Tiles) catchUp(ctx context.Context, e *transport.Environment) error {
	if t.history == nil {
		if err := t.load(ctx, e); err != nil {
			return err
		}
	}
	saved := t.at.tree.size
	for m, err := range t.history.after(ctx, t.at) {
		if err != nil {
			return err
		}
		for i, data := range m.entries {
			if index := t.at.tree.size + int64(i); index%tileWidth == 0 {
				t.changed[entriesKey(index/tileWidth)] = fmt.Appendf(nil, "%d %d", m.sequence, t.at.tree.size)
			}
			t.add(tlog.RecordHash(data))
		}
		t.at = m.position
		if t.at.tree.size-saved >= saveAfter {
			saved = t.at.tree.size
			if err := t.save(ctx); err != nil {
				return err
			}
		}
	}
	return t.save(ctx)
}

// add adds the hash of an entry, and to each level above that of the tile that it completes.
func (t *Tiles) add(h tlog.Hash) {
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, growing{})
		}
		g := &t.levels[level]
		g.hashes = append(g.hashes, h)
		t.changed[tileKey(level, g.n)] = nil // save completes it
		if len(g.hashes) < tileWidth {
			return
		}
		t.changed[tileKey(level, g.n)] = tileBytes(g.hashes)
		var full tree
		for _, h := range g.hashes {
			full.add(h)
		}
		h = full.edge[0]
		*g = growing{n: g.n + 1}
	}
}

// checkpointKey is the key of the checkpoint that the hashes belong to, after the sequence of
// its message.
const checkpointKey = "checkpoint"

func tileKey(level int, n int64) string { return fmt.Sprintf("%d/%d", level, n) }

// entriesKey is the key of the sequence of the message with the first entry of a bundle, and of
// the index of the first entry of that message.
func entriesKey(n int64) string { return "entries/" + strconv.FormatInt(n, 10) }

func tileBytes(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// save stores what has changed, and then the checkpoint.
func (t *Tiles) save(ctx context.Context) error {
	if len(t.changed) == 0 {
		return nil
	}
	for level, g := range t.levels {
		if _, ok := t.changed[tileKey(level, g.n)]; ok {
			t.changed[tileKey(level, g.n)] = tileBytes(g.hashes)
		}
	}
	for key, value := range t.changed {
		if err := t.extend(ctx, key, value); err != nil {
			return err
		}
	}
	clear(t.changed)
	_, err := t.bucket.Modify(ctx, checkpointKey, func(old []byte) ([]byte, error) {
		if at, _, err := parseSaved(old); err == nil && at >= t.at.sequence {
			return nil, errKept
		}
		return append(strconv.AppendUint(nil, t.at.sequence, 10), "\n"+string(t.at.checkpoint.Note)...), nil
	})
	return kept(err)
}

var errKept = errors.New("the value is kept")

func kept(err error) error {
	if errors.Is(err, errKept) {
		return nil
	}
	return err
}

// extend stores a value that only grows. Another process may have stored a longer one.
func (t *Tiles) extend(ctx context.Context, key string, value []byte) error {
	_, err := t.bucket.Modify(ctx, key, func(old []byte) ([]byte, error) {
		switch {
		case bytes.HasPrefix(old, value):
			return nil, errKept
		case !bytes.HasPrefix(value, old):
			return nil, t.history.loss("the key %q of its bucket has the hashes of another log: delete the bucket %q while no program uses it, to have it made again", key, t.bucket.Name())
		}
		return value, nil
	})
	return kept(err)
}

// load continues where the bucket ends.
func (t *Tiles) load(ctx context.Context, e *transport.Environment) error {
	h, err := openHistory(ctx, e.Transport, e.Namespace, t.name, t.key, transport.LogConfig{Existing: true})
	if err != nil {
		return err
	}
	t.at, t.levels, t.changed = position{}, nil, make(map[string][]byte)
	entry, err := t.bucket.Get(ctx, checkpointKey)
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		t.history = h
		return nil
	case err != nil:
		return err
	}
	sequence, signed, err := parseSaved(entry.Value)
	if err != nil {
		return h.loss("the checkpoint of its bucket: %w", err)
	}
	d, err := h.first(ctx, transport.Start{Sequence: sequence})
	if err != nil {
		return err
	}
	if d == nil || d.Sequence != sequence {
		return h.loss("message %d is missing: it was cut, or replaced by an older state", sequence)
	}
	if t.at, err = positionOf(d, t.key); err != nil {
		return h.loss("%w", err)
	}
	if !bytes.Equal(t.at.checkpoint.Note, signed) {
		return h.loss("message %d is not the one that the bucket %q was made of: if the log was made anew, delete the bucket", sequence, t.bucket.Name())
	}
	if err := t.loadLevels(ctx); err != nil {
		return err
	}
	t.history = h
	return nil
}

// loadLevels reads the last tile of each level.
func (t *Tiles) loadLevels(ctx context.Context) error {
	for level, n := 0, t.at.tree.size; n > 0; level, n = level+1, n/tileWidth {
		g := growing{n: n / tileWidth}
		if width := int(n % tileWidth); width > 0 {
			b, err := t.tile(ctx, tlog.Tile{H: tileHeight, L: level, N: g.n, W: width})
			if err != nil {
				return err
			}
			for part := range slices.Chunk(b, tlog.HashSize) {
				g.hashes = append(g.hashes, tlog.Hash(part))
			}
		}
		t.levels = append(t.levels, g)
	}
	return nil
}

// parseSaved parses the value of checkpointKey.
func parseSaved(value []byte) (sequence uint64, signed []byte, err error) {
	first, signed, _ := bytes.Cut(value, []byte("\n"))
	sequence, err = strconv.ParseUint(string(first), 10, 64)
	return sequence, signed, err
}

// tile returns the hashes of a tile.
func (t *Tiles) tile(ctx context.Context, tile tlog.Tile) ([]byte, error) {
	e, err := t.bucket.Get(ctx, tileKey(tile.L, tile.N))
	if err != nil {
		return nil, err
	}
	if size := tile.W * tlog.HashSize; len(e.Value) >= size {
		return e.Value[:size], nil
	}
	return nil, errorf(t.name, transport.NotFound, "tile %d of level %d has no %d hashes yet", tile.N, tile.L, tile.W)
}

// bundle returns the entries of a tile, each after its length in two bytes.
func (t *Tiles) bundle(ctx context.Context, tile tlog.Tile) (b []byte, err error) {
	saved, err := t.bucket.Get(ctx, entriesKey(tile.N))
	if err != nil {
		return nil, err
	}
	var sequence uint64
	var index int64 // of the first entry of the message
	if _, err := fmt.Sscan(string(saved.Value), &sequence, &index); err != nil {
		return nil, errorf(t.name, transport.DataLoss, "the key %q of its bucket: %w", saved.Key, err)
	}
	e := t.env.Load()
	h, err := openHistory(ctx, e.Transport, e.Namespace, t.name, t.key, transport.LogConfig{Existing: true})
	if err != nil {
		return nil, err
	}
	begin := tile.N * tileWidth
	end := begin + int64(tile.W)
	for d, err := range h.log.Read(ctx, transport.ReadConfig{Start: transport.Start{Sequence: sequence}}) {
		if err != nil {
			return nil, about(t.name, err)
		}
		entries, _, err := decodeBatch(d.Body)
		if err != nil {
			return nil, h.loss("message %d: %w", d.Sequence, err)
		}
		for _, data := range entries {
			if index >= begin && index < end {
				b = append(append(b, byte(len(data)>>8), byte(len(data))), data...)
			}
			index++
		}
		if index >= end {
			return b, nil
		}
	}
	return nil, errorf(t.name, transport.NotFound, "entry %d is not there", end-1)
}
