package natsx

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	logdriver "gomono.dev/transport/driver"
)

// A store of objects is a stream in the format of ADR-20, which the clients of NATS share: the
// stream OBJ_<store> stores the chunks of an upload under the subject $O.<store>.C.<upload>, and
// the entry of an object under $O.<store>.M.<name>, in URL-safe base64 with padding.
const (
	objectStream  = "OBJ_"
	objectSubject = "$O."
)

// Objects returns the stores of objects. See package objstore.
func (t *Transport) Objects() driver.Stores { return objectStores{t} }

// objectStores implements [driver.Stores].
type objectStores struct{ t *Transport }

// objects is an open store. Its bucket has the entries.
type objects struct {
	*bucket
	chunks string // before the id of an upload, in the subjects of chunks
}

// Open implements [driver.Stores]. Other processes may create the store concurrently, so it
// looks again if another one was first.
func (s objectStores) Open(ctx context.Context, c *driver.Config) (driver.Store, error) {
	if err := (buckets(s)).check(); err != nil {
		return nil, err
	}
	o := &objectsOpening{stream: stream{t: s.t, name: objectStream + c.Name}, config: *c}
	is, err := o.open(ctx)
	for inUse := 0; codeOfAPI(err) == jetstream.JSErrCodeStreamNameInUse && inUse < maxRaces; inUse++ {
		is, err = o.open(ctx)
	}
	if err != nil {
		return nil, s.t.explainBucket(err)
	}
	b := &bucket{stream: o.stream}
	b.replicated = is.Config.Replicas > 1
	b.shape.Store(newShape(&is.Config))
	return &objects{bucket: b, chunks: objectSubject + c.Name + ".C."}, nil
}

// Delete implements [driver.Stores].
func (s objectStores) Delete(ctx context.Context, name string) error {
	if err := (buckets(s)).check(); err != nil {
		return err
	}
	return s.t.explainBucket(stream{t: s.t, name: objectStream + name}.delete(ctx))
}

// List implements [driver.Stores].
func (s objectStores) List(ctx context.Context) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		if err := (buckets(s)).check(); err != nil {
			yield(driver.Info{}, err)
			return
		}
		all, err := callAPI(ctx, s.t, func(ctx context.Context) ([]*jetstream.StreamInfo, error) {
			return s.t.listStreams(ctx, objectStream, isObjects)
		})
		if err != nil {
			yield(driver.Info{}, s.t.explainBucket(err))
			return
		}
		for _, is := range all {
			if !yield(objectsInfo(is), nil) {
				return
			}
		}
	}
}

// isObjects reports whether a stream stores objects.
func isObjects(c *jetstream.StreamConfig) bool {
	name, ok := strings.CutPrefix(c.Name, objectStream)
	return ok && slices.Contains(c.Subjects, objectSubject+name+".C.>") && slices.Contains(c.Subjects, objectSubject+name+".M.>")
}

// objectsOpening opens a store.
type objectsOpening struct {
	stream
	config driver.Config // as requested
}

func (o *objectsOpening) open(ctx context.Context) (*jetstream.StreamInfo, error) {
	is, err := o.info(ctx)
	switch {
	case missing(err) && !o.config.Existing:
		return o.create(ctx)
	case err != nil:
		return nil, err
	case !isObjects(&is.Config):
		return nil, transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"the stream %s does not store objects: choose another name, or delete the stream", o.name)
	case o.config.Existing || objectsConfig(&is.Config).Generation > o.config.Generation:
		return is, nil
	}
	return o.update(ctx, is)
}

func (o *objectsOpening) create(ctx context.Context) (*jetstream.StreamInfo, error) {
	c, err := o.hooked(o.newConfig())
	if err != nil {
		return nil, err
	}
	return o.createFitting(ctx, c, o.config.Replicas == 0 && o.t.options.replicas == 0)
}

// update changes the settings that are requested and differ.
func (o *objectsOpening) update(ctx context.Context, is *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
	c, err := o.changedConfig(is.Config)
	if err != nil {
		return nil, err
	}
	if c, err = o.hooked(c); err != nil || same(c, is.Config) {
		return is, err
	}
	return o.stream.update(ctx, c)
}

// hooked applies the user's hook to a configuration.
func (o *objectsOpening) hooked(c jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if o.t.options.store == nil {
		return c, nil
	}
	return callHook(c, o.config.Name, o.t.options.store, guardedObjects)
}

// guardedObjects are the fields of a store's stream that the hook must not change. The chunks of
// an object are read with direct gets.
var guardedObjects = append([]string{"AllowDirect", "Sources"}, guardedBucket...)

// newConfig returns the configuration for a new stream.
func (o *objectsOpening) newConfig() jetstream.StreamConfig {
	s := jetstream.StreamConfig{
		Name: o.name, MaxMsgs: -1, MaxConsumers: -1, MaxBytes: -1, MaxMsgSize: -1, MaxMsgsPerSubject: -1,
		Subjects: []string{objectSubject + o.config.Name + ".C.>", objectSubject + o.config.Name + ".M.>"},
		Discard:  jetstream.DiscardNew, Duplicates: maxDuplicates, AllowRollup: true, AllowDirect: true,
		Replicas: cmp.Or(o.t.options.replicas, o.t.defaultReplicas()),
		Metadata: map[string]string{},
	}
	if o.config.Memory || o.t.options.memory {
		s.Storage = jetstream.MemoryStorage
	}
	if o.t.options.memory && !o.config.Memory {
		s.Metadata[metaStorage] = jetstream.FileStorage.String()
	}
	o.apply(&s)
	o.applyOwn(&s)
	return s
}

// changedConfig returns the configuration for an existing stream.
func (o *objectsOpening) changedConfig(s jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if is := objectsConfig(&s); o.config.Memory && !is.Memory {
		return s, logdriver.CannotChange("Memory", is.Memory, true)
	}
	_, own := s.Metadata[metaGeneration]
	s.Metadata = metadata(s.Metadata, s.Metadata, nil)
	o.apply(&s)
	if own {
		s.Replicas = cmp.Or(o.config.Replicas, o.t.options.replicas, s.Replicas)
		o.applyOwn(&s)
	}
	return s, nil
}

// apply sets the settings that are requested.
func (o *objectsOpening) apply(s *jetstream.StreamConfig) {
	c := &o.config
	s.Description = cmp.Or(c.Description, s.Description)
	s.MaxBytes = cmp.Or(c.MaxBytes, s.MaxBytes)
	s.Replicas = cmp.Or(c.Replicas, s.Replicas)
	if c.TTL > 0 {
		s.MaxAge, s.Duplicates = c.TTL, min(maxDuplicates, c.TTL)
	}
	if c.Compressed {
		s.Compression = jetstream.S2Compression
	}
	if p := c.Placement; p != nil {
		s.Placement = &jetstream.Placement{Cluster: p.Cluster, Tags: p.Tags}
	}
	maps.Copy(s.Metadata, c.Metadata)
}

// applyOwn sets what a store of this package has and the user does not name.
func (o *objectsOpening) applyOwn(s *jetstream.StreamConfig) {
	level := o.t.account.Load().level
	s.Metadata[metaGeneration] = strconv.FormatUint(o.config.Generation, 10)
	s.AllowMsgTTL = s.AllowMsgTTL || level >= levelTTL
	s.AllowAtomicPublish = s.AllowAtomicPublish || level >= levelBatches
}

// objectsConfig returns the configuration of the store in a stream.
func objectsConfig(s *jetstream.StreamConfig) driver.Config {
	c := driver.Config{
		Name: strings.TrimPrefix(s.Name, objectStream), Description: s.Description, TTL: s.MaxAge, MaxBytes: max(s.MaxBytes, 0),
		Memory:   s.Storage == jetstream.MemoryStorage && s.Metadata[metaStorage] != jetstream.FileStorage.String(),
		Replicas: s.Replicas, Compressed: s.Compression != jetstream.NoCompression,
		Metadata: usersMetadata(s.Metadata), Generation: parseNumber(s.Metadata[metaGeneration]),
	}
	if p := s.Placement; p != nil {
		c.Placement = &kv.Placement{Cluster: p.Cluster, Tags: slices.Clone(p.Tags)}
	}
	return c
}

func objectsInfo(is *jetstream.StreamInfo) driver.Info {
	c := &is.Config
	return driver.Info{Config: objectsConfig(c), Bytes: is.State.Bytes, Sealed: c.Sealed, Expires: c.AllowMsgTTL, Batches: c.AllowAtomicPublish}
}

// Config implements [driver.Store].
func (o *objects) Config() *driver.Config {
	is := &o.shape.Load().config
	return &driver.Config{
		Name: is.Name, Description: is.Description, TTL: is.TTL, MaxBytes: is.MaxBytes, Memory: is.Memory,
		Replicas: is.Replicas, Compressed: is.Compressed, Placement: is.Placement, Generation: is.Generation,
	}
}

// Info implements [driver.Store].
func (o *objects) Info(ctx context.Context) (driver.Info, error) {
	is, err := o.look(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	return objectsInfo(is), nil
}

// Seal implements [driver.Store].
func (o *objects) Seal(ctx context.Context) error {
	is, err := o.look(ctx)
	if err != nil || is.Config.Sealed {
		return err
	}
	is.Config.Sealed = true
	_, err = o.stream.update(ctx, is.Config)
	return o.explain(err)
}

// Uploads implements [driver.Store].
func (o *objects) Uploads(ctx context.Context) iter.Seq2[driver.Upload, error] {
	return func(yield func(driver.Upload, error) bool) {
		var all map[string]uint64
		err := o.persist(ctx, func() (err error) { all, err = o.subjects(ctx, o.chunks+">"); return err })
		if err != nil {
			yield(driver.Upload{}, o.explain(err))
			return
		}
		for subject, n := range all {
			if !yield(driver.Upload{ID: strings.TrimPrefix(subject, o.chunks), Chunks: int(n)}, nil) {
				return
			}
		}
	}
}

// Remove implements [driver.Store].
func (o *objects) Remove(ctx context.Context, upload string) error {
	_, err := callAPI(ctx, o.t, func(ctx context.Context) (none struct{}, err error) {
		return none, o.t.api.request(ctx, "STREAM.PURGE."+o.name, map[string]any{"filter": o.chunks + upload}, &struct{}{})
	})
	return o.explain(err)
}

// Truncate implements [driver.Store].
func (o *objects) Truncate(ctx context.Context, upload string, last uint64) error {
	is, err := o.Last(ctx, upload)
	switch {
	case err != nil && transport.CodeOf(err) != transport.NotFound:
		return err
	case err != nil || is.Sequence != last:
		return errOtherEnd
	}
	if err = o.removeMessage(ctx, last); isNoMessage(err) {
		return errOtherEnd
	}
	return o.explain(err)
}

var errOtherEnd = transport.Errorf(transport.Aborted, transport.OutcomeNotDone, "the upload does not end there")

// headerDiscarded marks a message that is no chunk: it ends an upload whose chunks are removed.
const headerDiscarded = "Mono-Discarded"

// Discard implements [driver.Store]. A message after the last chunk makes each Commit that
// expects that chunk fail, before anything is removed. If the entry of the upload follows its last
// chunk alone, the message expects that the entry has not been stored.
func (o *objects) Discard(ctx context.Context, upload string, last uint64) error {
	is, err := o.Last(ctx, upload)
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		is = &driver.Chunk{}
	case err != nil:
		return err
	}
	if is.Sequence != last {
		return errOtherEnd
	}
	w := o.newWriter(upload, last)
	if key := is.Header.Get(headerEntry); key != "" {
		if err := o.expectNoEntry(ctx, w, key); err != nil {
			return err
		}
	}
	err = w.Append(ctx, driver.Chunk{Header: transport.Header{{Name: headerDiscarded, Value: "1"}}})
	if err == nil {
		_, err = w.Flush(ctx)
	}
	switch {
	case err == errOtherWriter:
		return errOtherEnd
	case err != nil:
		return err
	}
	return o.Remove(ctx, upload)
}

// expectNoEntry lets a writer append a chunk only if no entry names its upload, which ends with
// the given key of its entry. A Rename during the Scan moves the entry to its end.
func (o *objects) expectNoEntry(ctx context.Context, w *objectWriter, key string) error {
	revision, err := o.revision(ctx, key)
	if err != nil {
		return err
	}
	named := false
	err = o.bucket.Scan(ctx, kv.Scan{}, func(r *kv.Record) bool {
		var e driver.Entry
		named = r.Op == kv.Put && (json.Unmarshal(r.Value, &e) != nil || e.Upload == w.upload && !e.Deleted)
		return !named
	})
	if err == nil && named {
		err = errOtherEnd
	}
	w.expect = &expectation{w.o.shape.Load().prefix + key, revision}
	return err
}

// objectTTL returns a TTL in the whole seconds of a header.
func objectTTL(ttl time.Duration) uint64 { return uint64((ttl + time.Second - 1) / time.Second) }
