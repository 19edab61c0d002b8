package kv

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/kv/driver"
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
	defer o.feed.stop()
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
