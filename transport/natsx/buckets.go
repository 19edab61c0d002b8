package natsx

import (
	"cmp"
	"context"
	"iter"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Buckets returns the store of buckets. See package kv.
func (t *Transport) Buckets() driver.Store { return buckets{t} }

// buckets implements [driver.Store].
type buckets struct{ t *Transport }

// Open implements [driver.Store]. Other processes may create the bucket concurrently, so it
// looks again if another one was first.
func (s buckets) Open(ctx context.Context, c *driver.Config) (driver.Bucket, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	o := &opening{config: *c, t: s.t, stream: stream{t: s.t, name: bucketStream + c.Name}}
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
	return b, nil
}

// check reports that the account has no JetStream.
func (s buckets) check() error {
	if has := (conn(s)).Capabilities(); !has.Logs {
		return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "%s: %s", s.t.address, has.Advice)
	}
	return nil
}

// Delete implements [driver.Store].
func (s buckets) Delete(ctx context.Context, name string) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.t.explainBucket(stream{t: s.t, name: bucketStream + name}.delete(ctx))
}

// List implements [driver.Store].
func (s buckets) List(ctx context.Context) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		if err := s.check(); err != nil {
			yield(driver.Info{}, err)
			return
		}
		all, err := callAPI(ctx, s.t, func(ctx context.Context) ([]*jetstream.StreamInfo, error) {
			return s.t.listStreams(ctx, bucketStream, isBucket)
		})
		if err != nil {
			yield(driver.Info{}, s.t.explainBucket(err))
			return
		}
		for _, is := range all {
			if !yield(bucketInfo(is), nil) {
				return
			}
		}
	}
}

// listStreams returns the streams of one kind, whose names have a prefix. Mirrors have no subjects of their own, so all
// streams are listed. If their number changes meanwhile, a page may have skipped one, and the
// list begins again.
func (t *Transport) listStreams(ctx context.Context, prefix string, is func(*jetstream.StreamConfig) bool) (all []*jetstream.StreamInfo, err error) {
	var page streamPage
	for offset, total := 0, -1; ; {
		page = streamPage{}
		if err := t.api.request(ctx, "STREAM.LIST", map[string]any{"offset": offset}, &page); err != nil {
			return nil, err
		}
		if err := page.check(prefix); err != nil {
			return nil, err
		}
		if total >= 0 && page.Total != total {
			all, offset, total = nil, 0, -1
			continue
		}
		total = page.Total
		for _, found := range page.Streams {
			if is(&found.Config) {
				all = append(all, found)
			}
		}
		if offset += cmp.Or(page.Limit, len(page.Streams)); offset >= total || page.empty() {
			return all, nil
		}
	}
}

// streamPage is one page of a list of streams.
type streamPage struct {
	Total   int                     `json:"total"`
	Limit   int                     `json:"limit"` // of a page, which may lack streams
	Streams []*jetstream.StreamInfo `json:"streams"`
	Missing []string                `json:"missing"` // their servers do not answer
	Offline map[string]string       `json:"offline"` // the server is too old for them
}

func (p *streamPage) empty() bool { return len(p.Streams)+len(p.Missing)+len(p.Offline) == 0 }

// check returns an error if a stream whose name has the prefix is lacking.
func (p *streamPage) check(prefix string) error {
	for _, name := range p.Missing {
		if strings.HasPrefix(name, prefix) {
			return unavailable("the servers of the stream %s do not answer: try later", name)
		}
	}
	for name, why := range p.Offline {
		if strings.HasPrefix(name, prefix) {
			return unavailable("the stream %s is offline: %s", name, why)
		}
	}
	return nil
}

// isBucket reports whether a stream stores a bucket.
func isBucket(c *jetstream.StreamConfig) bool {
	name, ok := strings.CutPrefix(c.Name, bucketStream)
	if !ok || name == "" {
		return false
	}
	if c.Mirror != nil {
		return strings.HasPrefix(c.Mirror.Name, bucketStream)
	}
	for _, subject := range c.Subjects {
		if subject == bucketSubject+name+".>" {
			return true
		}
	}
	return false
}

// opening opens a bucket.
type opening struct {
	stream
	t      *Transport
	config driver.Config // as requested
}

func (o *opening) open(ctx context.Context) (*jetstream.StreamInfo, error) {
	is, err := o.info(ctx)
	switch {
	case missing(err) && !o.config.Existing:
		return o.create(ctx)
	case err != nil:
		return nil, err
	case !isBucket(&is.Config):
		return nil, transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"the stream %s does not store a bucket: choose another name, or delete the stream", o.name)
	case o.config.Existing || bucketConfig(&is.Config).Generation > o.config.Generation:
		return is, nil
	}
	return o.update(ctx, is)
}

func (o *opening) create(ctx context.Context) (*jetstream.StreamInfo, error) {
	c, err := o.hooked(o.newConfig())
	if err != nil {
		return nil, err
	}
	return o.stream.createFitting(ctx, c, o.config.Replicas == 0 && o.t.options.replicas == 0)
}

// update changes the settings that are requested and differ. A bucket of another tool gets no
// others.
func (o *opening) update(ctx context.Context, is *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
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
func (o *opening) hooked(c jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if o.t.options.bucket == nil {
		return c, nil
	}
	return callHook(c, o.config.Name, o.t.options.bucket, guardedBucket)
}

// guardedBucket are the fields of a bucket's stream that the hook must not change.
var guardedBucket = []string{
	"Name", "Subjects", "Retention", "Storage", "MaxAge", "MaxMsgs", "MaxBytes", "MaxMsgsPerSubject", "MaxMsgSize", "Discard",
	"DiscardNewPerSubject", "NoAck", "Sealed", "DenyDelete", "DenyPurge", "AllowRollup", "AllowMsgTTL", "SubjectDeleteMarkerTTL",
	"AllowMsgCounter", "AllowMsgSchedules", "PersistMode", "FirstSeq", "SubjectTransform", "Mirror",
}
