package kv_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// host is a Host whose components a test starts and stops.
type host struct {
	environment transport.Environment
	components  []transport.Component
}

func newHost(t *testing.T) *host {
	t.Helper()
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return &host{environment: transport.Environment{
		Transport: tr, Codec: codec.JSON, Logger: slog.New(slog.DiscardHandler), Namespace: "shop.test", Shared: new(sync.Map),
	}}
}

func (h *host) Attach(c transport.Component) { h.components = append(h.components, c) }

// start opens the components, and returns the first error.
func (h *host) start(t *testing.T) error {
	t.Helper()
	for _, c := range h.components {
		if err := c.Open(t.Context(), h.environment); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) stop(t *testing.T) {
	t.Helper()
	for _, c := range h.components {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func wantCode(t *testing.T, err error, code transport.Code, texts ...string) {
	t.Helper()
	if transport.CodeOf(err) != code {
		t.Errorf("got %v, want %s", err, code)
	}
	for _, text := range texts {
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("got %q, want %q in it", err, text)
		}
	}
}

// A bucket works between the start and the stop of its Host, and again after the next start.
func TestBucketOfHost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	carts := kv.NewBucket[string]("open-carts")
	first, second := carts.Open(h), carts.Open(h)
	for _, c := range h.components {
		if c.Kind != "bucket" || c.Name != "open-carts" || !strings.Contains(c.Place, "host_test.go:") {
			t.Errorf("got %+v", c)
		}
	}
	for value := range 2 {
		_, err := first.Put(t.Context(), "a", "1")
		wantCode(t, err, transport.FailedPrecondition, `bucket "open-carts"`, "start")
		if err := h.start(t); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Put(t.Context(), "a", string(rune('0'+value))); err != nil {
			t.Error(err)
		}
		if e, err := second.Get(t.Context(), "a"); err != nil || e.Value != string(rune('0'+value)) {
			t.Errorf("got %+v, %v", e, err)
		}
		if is, err := second.Status(t.Context()); err != nil || is.Name != "shop_test_open-carts" || second.Name() != "open-carts" {
			t.Errorf("got %+v, %v", is, err)
		}
		h.stop(t)
		_, err = second.Get(t.Context(), "a")
		wantCode(t, err, transport.FailedPrecondition)
	}
}

// The stop of the last user ends the watchers.
func TestStopEndsWatchers(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	carts := kv.NewBucket[string]("open-carts")
	carts.Open(h)
	bucket := carts.Open(h)
	if err := h.start(t); err != nil {
		t.Fatal(err)
	}
	var last error
	for e, err := range bucket.Watch(t.Context()) {
		if last = err; e.Kind == kv.EventCurrent {
			h.stop(t)
		}
	}
	wantCode(t, last, transport.Unavailable, `bucket "shop_test_open-carts"`)
}

// Two declarations of one bucket must agree.
func TestBucketIsDeclaredTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		open func(*host)
		want string
	}{
		"equal":   {func(h *host) { kv.NewBucket[string]("a", kv.History(3)).Open(h) }, ""},
		"type":    {func(h *host) { kv.NewBucket[int]("a", kv.History(3)).Open(h) }, "int"},
		"options": {func(h *host) { kv.NewBucket[string]("a", kv.History(4)).Open(h) }, "options"},
		"codec":   {func(h *host) { kv.NewBucket[string]("a", kv.History(3), kv.Codec(codec.MessagePack)).Open(h) }, "options"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			kv.NewBucket[string]("a", kv.History(3)).Open(h)
			c.open(h)
			err := h.start(t)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, transport.FailedPrecondition, c.want, "declared twice", "host_test.go:")
		})
	}
}

// Buckets have the default codec of their Host.
func TestCodecOfHost(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.environment.Codec = codec.MessagePack
	bucket := kv.NewBucket[string]("a").Open(h)
	if err := h.start(t); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.Put(t.Context(), "a", "1"); err != nil {
		t.Fatal(err)
	}
	raw, err := bucket.Raw().Get(t.Context(), "a")
	text := "1"
	want, _ := codec.MessagePack.Marshal(&text)
	if err != nil || string(raw.Value) != string(want) {
		t.Errorf("got %q, %v", raw.Value, err)
	}
}

// waiting is a transport whose buckets open when release is closed.
type waiting struct {
	transport.Transport
	driver.Store
	opening chan bool
	release chan struct{}
}

func (w *waiting) Buckets() driver.Store { return w }

func (w *waiting) Open(ctx context.Context, c *driver.Config) (driver.Bucket, error) {
	w.opening <- true
	<-w.release
	return w.Store.Open(ctx, c)
}

// A user whose context ends does not wait for another one that connects.
func TestOpenWithEndedContext(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	w := &waiting{
		Transport: h.environment.Transport, Store: h.environment.Transport.(driver.Backend).Buckets(),
		opening: make(chan bool, 1), release: make(chan struct{}),
	}
	h.environment.Transport = w
	carts := kv.NewBucket[string]("open-carts")
	carts.Open(h)
	carts.Open(h)
	first := make(chan error, 1)
	go func() { first <- h.components[0].Open(t.Context(), h.environment) }()
	<-w.opening
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- h.components[1].Open(ctx, h.environment) }()
	cancel()
	select {
	case err := <-second:
		wantCode(t, err, transport.Canceled, "open-carts")
	case <-realtime.Patient(t).Done():
		t.Error("the second Open waits for the first")
	}
	close(w.release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
