package audit

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/transport"
)

// Proof proves that an entry is in a log, without the log. Its text is in the format of C2SP's
// tlog-proof.
type Proof struct {
	Index      int64
	Hashes     []Hash
	Checkpoint Checkpoint
}

// Prove returns the proof that the entry with an index is in the log.
func (t *Tiles) Prove(ctx context.Context, index int64) (Proof, error) {
	c, err := t.Checkpoint(ctx)
	if err != nil {
		return Proof{}, err
	}
	if index < 0 || index >= c.Size {
		return Proof{}, errorf(t.name, transport.OutOfRange, "it has no entry %d: it has %d entries, from 0 on", index, c.Size)
	}
	hashes, err := tlog.ProveRecord(c.Size, index, t.hashes(ctx, &c))
	if err != nil {
		return Proof{}, t.unproved(err)
	}
	return Proof{index, fromTlog(hashes), c}, nil
}

// ProveGrowth returns the proof that the log has only grown since an older checkpoint, and the
// newest checkpoint. CheckGrowth checks it.
func (t *Tiles) ProveGrowth(ctx context.Context, older Checkpoint) ([]Hash, Checkpoint, error) {
	c, err := t.Checkpoint(ctx)
	if err != nil {
		return nil, c, err
	}
	if older.Size < 1 || older.Size > c.Size {
		return nil, c, errorf(t.name, transport.OutOfRange, "it has had no checkpoint of %d entries: it has %d", older.Size, c.Size)
	}
	hashes, err := tlog.ProveTree(c.Size, older.Size, t.hashes(ctx, &c))
	if err != nil {
		return nil, c, t.unproved(err)
	}
	return fromTlog(hashes), c, nil
}

// CheckGrowth reports whether a proof shows that the newer tree extends the older one.
func CheckGrowth(proof []Hash, older, newer Checkpoint) error {
	if err := tlog.CheckTree(toTlog(proof), newer.Size, tlog.Hash(newer.Root), older.Size, tlog.Hash(older.Root)); err != nil {
		return transport.Errorf(transport.DataLoss, transport.OutcomeNotDone, "audit: the tree of %d entries does not extend that of %d: %w", newer.Size, older.Size, err)
	}
	return nil
}

// Check reports whether the proof, and its checkpoint, are those of an entry in the log with a
// public key.
func (p *Proof) Check(entry []byte, key string) error {
	v, err := publicKey(DefaultName, key)
	if err != nil {
		return err
	}
	c, err := openCheckpoint(p.Checkpoint.Note, v)
	if err == nil {
		err = tlog.CheckRecord(toTlog(p.Hashes), c.Size, tlog.Hash(c.Root), p.Index, tlog.RecordHash(entry))
	}
	if err != nil {
		return transport.Errorf(transport.DataLoss, transport.OutcomeNotDone, "audit: entry %d is not proved: %w", p.Index, err)
	}
	return nil
}

const proofHeader = "c2sp.org/tlog-proof@v1\nindex "

// MarshalText returns the proof in the format of C2SP's tlog-proof.
func (p *Proof) MarshalText() ([]byte, error) {
	b := strconv.AppendInt([]byte(proofHeader), p.Index, 10)
	for _, h := range p.Hashes {
		b = append(b, "\n"+h.String()...)
	}
	return append(append(b, "\n\n"...), p.Checkpoint.Note...), nil
}

// UnmarshalText reads a proof. Check checks it.
func (p *Proof) UnmarshalText(text []byte) error {
	head, signed, ok := bytes.Cut(text, []byte("\n\n"))
	rest, isProof := strings.CutPrefix(string(head), proofHeader)
	if !ok || !isProof {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "audit: not a proof: want the format of c2sp.org/tlog-proof@v1, without extra data")
	}
	lines := strings.Split(rest, "\n")
	is := Proof{Checkpoint: Checkpoint{Note: bytes.Clone(signed)}}
	var err error
	if is.Index, err = strconv.ParseInt(lines[0], 10, 64); err != nil {
		return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "audit: the index of a proof: %w", err)
	}
	for _, l := range lines[1:] {
		h, err := parseHash(l)
		if err != nil {
			return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "audit: a proof: %w", err)
		}
		is.Hashes = append(is.Hashes, h)
	}
	*p = is
	return nil
}

// hashes returns the hashes of a tree. They are checked against its root.
func (t *Tiles) hashes(ctx context.Context, c *Checkpoint) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: tlog.Hash(c.Root)}, &tileReader{ctx, t})
}

// tileReader implements [tlog.TileReader].
type tileReader struct {
	ctx   context.Context
	tiles *Tiles
}

func (r *tileReader) Height() int { return tileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, tile := range tiles {
		b, err := r.tiles.tile(r.ctx, tile)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// unproved returns the error of a proof that cannot be made.
func (t *Tiles) unproved(err error) error {
	if _, ok := asError(err); ok {
		return about(t.name, err)
	}
	return about(t.name, transport.Errorf(transport.DataLoss, transport.OutcomeNotDone, "the hashes in the bucket %q are not those of the log: delete the bucket while no program uses it, to have it made again: %w", t.bucket.Name(), err))
}

func fromTlog(hashes []tlog.Hash) (all []Hash) {
	for _, h := range hashes {
		all = append(all, Hash(h))
	}
	return all
}

func toTlog(hashes []Hash) (all []tlog.Hash) {
	for _, h := range hashes {
		all = append(all, tlog.Hash(h))
	}
	return all
}
