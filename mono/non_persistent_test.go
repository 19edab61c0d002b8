package mono_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// Enqueue on a NonPersistent queue returns after each group has accepted the job. Otherwise
// the error is unavailable and names the group. A delay is an invalid argument.
func TestNonPersistentQueue(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("non-persistent.groups", mono.NonPersistent(), mono.Groups("a", "b"))
	onPaths(t, func(t *testing.T, p path) {
		a, b := make(chan handled, 10), make(chan handled, 10)
		tr := p.open(t)
		app := mono.New(tr, quiet(t))
		app.Add(worker("a", q, a, func(handled) error { return errors.New("only logged") }))
		begin(t, app)
		err := q.Enqueue(t.Context(), app, job{N: 1})
		if mono.CodeOf(err) != mono.Unavailable || mono.OutcomeOf(err) != mono.OutcomeUnknown || !strings.Contains(err.Error(), "group b") {
			t.Errorf("got %v", err)
		}
		if h := next(t, a); h.N != 1 {
			t.Errorf("got %+v", h)
		}
		both := p.start(t, worker("a", q, a, succeed), worker("b", q, b, succeed))
		if err := q.Enqueue(t.Context(), both, job{N: 2}); err != nil {
			t.Fatal(err)
		}
		if x, y := next(t, a), next(t, b); x.N != 2 || y.N != 2 {
			t.Errorf("got %+v and %+v", x, y)
		}
		if err := q.With(mono.Delay(time.Hour)).Enqueue(t.Context(), both, job{}); mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("a delay: %v", err)
		}
	})
}

// After a job was accepted, AssumeAccepted sends jobs within the window without a request.
func TestAssumeAccepted(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("non-persistent.assumed", mono.NonPersistent(), mono.AssumeAccepted(time.Hour))
	onPaths(t, func(t *testing.T, p path) {
		sender := p.start(t)
		if err := q.Enqueue(t.Context(), sender, job{}); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("a job without workers was accepted: %v", err)
		}
		got := make(chan handled, 10)
		var asked atomic.Int64
		app := p.start(t, worker("w", q, got, succeed))
		_, err := mono.Raw(app).Subscribe(t.Context(), transport.Subscription{Subject: "queues.non-persistent.assumed._ask.*"}, transport.Serial(func(*transport.Message) { asked.Add(1) }))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
			if h := next(t, got); h.N != n {
				t.Errorf("got %+v", h)
			}
		}
		if n := asked.Load(); n > 1 {
			t.Errorf("the workers were asked %d times, want once", n)
		}
	})
}
