package mono_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"gomono.dev/mono"
)

var jobs = mono.NewQueue[question]("test.jobs")

// With allocates nothing: a handle holds its options by value.
func TestWithAllocatesNothing(t *testing.T) {
	id, tenant := "id-1", "tenant-1"
	delay := 1500 * time.Millisecond
	if n := testing.AllocsPerRun(100, func() {
		q := jobs.With(mono.Delay(delay), mono.DedupID(id), mono.Header("Tenant", tenant))
		if q.Name() != "test.jobs" {
			t.Fail()
		}
	}); n != 0 {
		t.Errorf("deriving a queue allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		e := announced.With(mono.Header("Tenant", tenant), mono.Header("Trace", id))
		if e.Name() != "test.announced" {
			t.Fail()
		}
	}); n != 0 {
		t.Errorf("deriving an event allocates %v times", n)
	}
}

// A local call allocates only what its handler may keep: one block that holds the
// context and both payloads.
func TestLocalCallAllocations(t *testing.T) {
	app, c := startLocal(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	valued := context.WithValue(ctx, ctxKey{}, "a value")
	for _, budget := range []struct {
		name   string
		allocs float64
		call   func() (flatReply, error)
	}{
		{"flat request and reply", 1, func() (flatReply, error) { return c.flat(ctx, aFlatRequest) }},
		{"the same through Call", 1, func() (flatReply, error) { return flat.Call(ctx, app, aFlatRequest) }},
		{"with a Timeout", 1, func() (flatReply, error) { return c.timeout(ctx, aFlatRequest) }},
		{"with a context that carries values", 1, func() (flatReply, error) { return c.flat(valued, aFlatRequest) }},
		{"by reference", 1, func() (flatReply, error) { return c.byReference(ctx, aFlatRequest) }},
		{"a nested order with a copy of its lines", 2, func() (flatReply, error) { return c.nested(ctx, anOrder) }},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if got, err := budget.call(); err != nil || !got.OK {
				t.Error(got, err)
			}
		}); n > budget.allocs {
			t.Errorf("%s: %v allocations, want at most %v", budget.name, n, budget.allocs)
		}
	}
}

// With does not change its receiver, regardless of the number of headers.
func TestWithDerivesAValue(t *testing.T) {
	t.Parallel()
	p := paths[1]
	received := make(chan []string, 1)
	app := p.start(t, module("listener", func(s *mono.Scope) {
		announced.Handle(s, headersTo(received))
	}))
	base := announced.With(mono.Header("H", "1"), mono.Header("H", "2"), mono.Header("H", "3"))
	a, b := base.With(mono.Header("H", "a")), base.With(mono.Header("H", "b"))
	for e, want := range map[string]mono.Event[fact]{"[]": announced, "[1 2 3]": base, "[1 2 3 a]": a, "[1 2 3 b]": b} {
		if err := want.Publish(t.Context(), app, fact{}); err != nil {
			t.Fatal(err)
		}
		if got := <-received; toText(got) != e {
			t.Errorf("got %v, want %s", got, e)
		}
	}
}

// discard is a logger without output.
var discard = slog.New(slog.DiscardHandler)
