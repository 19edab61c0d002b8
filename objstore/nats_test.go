package objstore_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport/natsx/embedded"
)

func startNATS(t *testing.T) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(realtime.Patient(t), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connectNATS(t *testing.T, s *embedded.Server, options ...objstore.StoreOption) *objstore.Objects {
	t.Helper()
	tr, err := s.Connect(realtime.Patient(t))
	must(t, err)
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	o, err := objstore.Connect(realtime.Patient(t), tr, objstore.NewStore("files", options...))
	must(t, err)
	return o
}

// A NATS server removes an expired object without a mark. A Watch gives its end, and an index
// forgets it. Close ends both, and their consumers.
func TestWatchAndIndexOnNATS(t *testing.T) {
	t.Parallel()
	nats := startNATS(t)
	o, other := connectNATS(t, nats, objstore.Index()), connectNATS(t, nats)
	events, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		var last error
		for e, err := range o.Watch(context.Background()) {
			if last = err; err == nil {
				events <- kinds[e.Kind] + " " + e.Name
			}
		}
		ended <- last
	}()
	want := func(want string) {
		t.Helper()
		if got := realtime.Receive(t, events, want); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	want("current ")
	put(t, other, "ä/1", objstore.TTL(time.Second))
	want("put ä/1")
	put(t, other, "ä/2")
	want("put ä/2")
	realtime.Until(t, "the index lists both, or what is left", func() bool {
		got := list(t, o.List(t.Context(), objstore.Prefix("ä/")))
		return got == "ä/1 ä/2" || got == "ä/2"
	})
	want("expire ä/1")
	realtime.Until(t, "the index lists one", func() bool { return list(t, o.List(t.Context(), objstore.Delimiter("2"))) == "ä/2" })
	must(t, o.Delete(t.Context(), "ä/2"))
	want("delete ä/2")
	if got := list(t, o.List(t.Context())); got != "" {
		t.Errorf("got %q after the deletion", got)
	}
	consumers := func() int {
		is, err := nats.NATS().Jsz(&server.JSzOptions{})
		must(t, err)
		return is.Consumers
	}
	if n := consumers(); n != 2 {
		t.Errorf("%d consumers of a Watch and an index", n)
	}
	must(t, o.Close(realtime.Patient(t)))
	if err := realtime.Receive(t, ended, "the end of the Watch"); err == nil {
		t.Error("the Watch has no error at its end")
	}
	realtime.Until(t, "the consumers are gone", func() bool { return consumers() == 0 })
}
