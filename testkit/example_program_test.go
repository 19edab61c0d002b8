package testkit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// The second release sends mail with a subject. Each release declares the queue for itself.
type (
	mail          struct{ To string }
	titled        struct{ To, Subject string }
	mailer[T any] struct {
		queue mono.Queue[T]
		send  mono.Sink[T]
	}
)

func (m *mailer[T]) Name() string { return "mailer" }

func (m *mailer[T]) Bind(s *mono.Scope) error {
	m.queue.Handle(s, m.send)
	return nil
}

// Two releases run on one server. The new one cannot do its work, and is rolled back: the old one
// finishes its jobs.
func ExampleHarness_Program() {
	mails := mono.NewQueue[mail]("example.mails")
	titledMails := mono.NewQueue[titled]("example.mails", mono.MaxAttempts(10))
	send := func(context.Context, mail) error { return nil }
	fail := func(context.Context, titled) error { return errors.New("no such template") }

	runTest(func(t *testing.T) { // func TestRollBack(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			v1 := h.Program("v1", &mailer[mail]{mails, send})
			v2 := h.Program("v2", &mailer[titled]{titledMails, fail})
			v1.Options(mono.Generation(1))
			v2.Options(mono.Generation(2))

			v1.MustStart()
			v2.MustStart() // both run, as during a deploy
			v1.Stop()
			if err := titledMails.Enqueue(t.Context(), v2, titled{"ada@example.com", "Hello"}); err != nil {
				t.Fatal(err)
			}
			h.Settle()     // v2 tries
			v1.MustStart() // the roll-back
			v2.Stop()
			h.Advance(time.Minute)
			if d := testkit.RequireConsumed(t, h, mails); d.Program != "v1" || d.Value.To != "ada@example.com" || d.Attempt != 2 {
				t.Error(d)
			}
		})
	})
	// Output: passed: true
}
