package mono_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
)

// fetch returns a delivery to a worker that does not use mono.
func (s natsTools) fetch(stream, group string) jetstream.Msg {
	s.t.Helper()
	c, err := s.js.Consumer(s.t.Context(), stream, group)
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchMaxWait(realtime.Patience))
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// A delivery to a worker that does not use mono is an attempt. After the last one, mono stores
// the job as a dead letter, and does not handle it.
func TestAttemptsOfForeignWorker(t *testing.T) {
	t.Parallel()
	b := backend{"nats", natsBackend(t)}
	q := mono.NewQueue[job]("foreign.jobs", mono.MaxAttempts(2))
	sender := b.start(t, module("sender", func(s *mono.Scope) { q.Enqueuer(s) }))
	tools := newNATSTools(t, b)
	fetch := func() jetstream.Msg { return tools.fetch("queues_foreign_jobs", "workers") }
	enqueue := func(n int) {
		if err := q.Enqueue(t.Context(), sender, job{N: n}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	enqueue(1)
	check(fetch().DoubleAck(t.Context()))
	enqueue(2)
	once := fetch()
	enqueue(3)
	check(fetch().Nak())
	check(fetch().Nak())
	check(once.Nak())

	got := make(chan handled, 10)
	app := b.start(t, worker("worker", q, got, succeed))
	dead := awaitDeadLetters(t, q.DeadLetters(app), 1)[0]
	if v, err := dead.Value(); err != nil || v.N != 3 || dead.Reason != mono.ReasonOutcomeUnknown || dead.Attempts != 3 || !strings.Contains(dead.Error, "does not use mono") {
		t.Errorf("the dead letter is %+v", dead)
	}
	if h := next(t, got); h.N != 2 || h.attempt != 2 {
		t.Errorf("got %+v", h)
	}
	none(t, got)
}
