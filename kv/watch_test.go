package kv

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// recreated is a bucket that is deleted and created again while it is followed.
type recreated struct {
	driver.Bucket
	again bool
}

func (b *recreated) Config() *driver.Config { return &driver.Config{History: 3} }

func (b *recreated) Info(context.Context) (driver.Info, error) {
	if b.again {
		return driver.Info{Last: 2}, nil
	}
	return driver.Info{Last: 9}, nil
}

func (b *recreated) Follow(ctx context.Context, f driver.Follow, yield func(*driver.Record) bool) error {
	if !b.again {
		b.again = true
		return driver.ErrGap
	}
	<-ctx.Done()
	return ctx.Err()
}

func (b *recreated) Scan(_ context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	for revision := s.After + 1; revision <= s.UpTo; revision++ {
		if !yield(&driver.Record{Key: "a", Revision: revision, Value: []byte(`"new"`)}) {
			break
		}
	}
	return nil
}

// A watcher with UpdatesOnly of a bucket that was created again gets its values after the
// EventReplay.
func TestReplayOfRecreatedBucket(t *testing.T) {
	t.Parallel()
	o := &opened{Bucket: new(recreated), name: "b", codec: codec.JSON, log: slog.New(slog.DiscardHandler)}
	o.feed = newFeed(o)
	defer o.feed.stop(t.Context())
	bucket := &KeyValue[string]{store: &store{decl: &declaration{name: "b"}}}
	bucket.store.open.Store(o)
	var got []string
	for e, err := range bucket.Watch(t.Context(), UpdatesOnly()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, []string{e.Value, "current", "replay"}[e.Kind])
		if e.Kind == EventCurrent {
			break
		}
	}
	if text := strings.Join(got, " "); text != "replay new new current" {
		t.Errorf("got %s", text)
	}
}

// lagging is a bucket whose Scan is answered by a replica that lags: it has the value of a key
// first, and then the mark of its deletion.
type lagging struct{ driver.Bucket }

func (b *lagging) Scan(_ context.Context, _ driver.Scan, yield func(*driver.Record) bool) error {
	for _, r := range []*driver.Record{{Key: "a", Revision: 1, Value: []byte("1")}, {Key: "b", Revision: 2, Op: driver.Delete}, {Key: "a", Revision: 3, Op: driver.Delete}} {
		if !yield(r) {
			break
		}
	}
	return nil
}

// A watcher that gets an old value as a present one also gets its end.
func TestPresentValuesOfLaggingReplica(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], o *opened) {
		for i := range 3 {
			put(t, bucket, "a", i)
		}
		o.Bucket = &lagging{o.Bucket}
		var got []string
		for e, err := range bucket.Watch(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == EventCurrent {
				break
			}
			got = append(got, fmt.Sprint(e.Key, e.Op))
		}
		if text := strings.Join(got, " "); text != "a0 a1" {
			t.Errorf("got %s", text)
		}
	})
}

// A Watch from a revision has no present values to leave out.
func TestContraryWatchOptions(t *testing.T) {
	onInproc(t, func(t *testing.T, bucket *KeyValue[int], _ *opened) {
		put(t, bucket, "a", 1)
		for _, err := range bucket.Watch(t.Context(), UpdatesOnly(), FromRevision(1)) {
			if transport.CodeOf(err) != transport.InvalidArgument {
				t.Fatalf("got %v", err)
			}
		}
	})
}
