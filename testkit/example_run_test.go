package testkit_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// runTest runs a test of an example and prints its result.
func runTest(test func(t *testing.T)) {
	verbose := flag.Lookup("test.v").Value
	defer verbose.Set(verbose.String())
	verbose.Set("false") // otherwise package testing prints lines of its own
	passed := testing.RunTests(
		func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "TestExample", F: test}},
	)
	fmt.Println("passed:", passed)
}

// Run runs a system in memory and in virtual time. The questions of the test need no
// waiting.
func ExampleRun() {
	greet := mono.NewService[string, string]("example.greet")
	greeted := mono.NewEvent[string]("example.greeted")
	greeter := mono.NewModule("greeter", func(s *mono.Scope) error {
		publish := greeted.Publisher(s)
		greet.Handle(s, func(ctx context.Context, name string) (string, error) {
			return "Hello, " + name, publish(ctx, name)
		})
		return nil
	})

	runTest(func(t *testing.T) { // func TestGreet(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.Add(greeter)
			h.MustStart()
			if reply, err := greet.Call(t.Context(), h, "Ada"); reply != "Hello, Ada" {
				t.Error(reply, err)
			}
			if name := testkit.RequirePublished(t, h, greeted); name != "Ada" {
				t.Error(name)
			}
		})
	})
	// Output: passed: true
}

// A fake takes the place of the module that provides a service.
func ExampleFake() {
	charge := mono.NewService[int, string]("bank.charge")
	place := mono.NewService[string, string]("shop.place")
	shop := mono.NewModule("shop", func(s *mono.Scope) error {
		pay := charge.Client(s)
		place.Handle(s, func(ctx context.Context, product string) (string, error) { return pay(ctx, 1990) })
		return nil
	})

	runTest(func(t *testing.T) { // func TestRefusedCard(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.Add(shop)
			testkit.Fake(h, charge, func(context.Context, int) (string, error) {
				return "", mono.Errorf(mono.FailedPrecondition, "the card has expired")
			})
			h.MustStart()
			if _, err := place.Call(t.Context(), h, "book"); mono.CodeOf(err) != mono.FailedPrecondition {
				t.Error(err)
			}
			testkit.RequireCalled(t, h, charge, func(cents int) bool { return cents == 1990 })
		})
	})
	// Output: passed: true
}

// Time passes in Advance only, and a day takes no time.
func ExampleHarness_Advance() {
	reminders := mono.NewQueue[string]("example.reminders")
	calendar := mono.NewModule("calendar", func(s *mono.Scope) error {
		reminders.Handle(s, func(context.Context, string) error { return nil })
		return nil
	})

	runTest(func(t *testing.T) { // func TestReminder(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.Add(calendar)
			h.MustStart()
			tomorrow := reminders.With(mono.Delay(24 * time.Hour))
			if err := tomorrow.Enqueue(t.Context(), h, "lunch"); err != nil {
				t.Fatal(err)
			}
			h.Advance(23 * time.Hour)
			if early := testkit.Consumed(h, reminders); len(early) != 0 {
				t.Error("too early:", early)
			}
			h.Advance(time.Hour)
			testkit.RequireConsumed(t, h, reminders)
		})
	})
	// Output: passed: true
}

// A fault is declared for the messages of a handle. Here the acknowledgement of a job is
// lost, so the job comes again.
func ExampleHarness_Fault() {
	mails := mono.NewQueue[string]("example.mails")
	runTest(func(t *testing.T) { // func TestMailComesTwice(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			sent := make(map[string]bool)
			h.Add(mono.NewModule("mail", func(s *mono.Scope) error {
				mails.Handle(s, func(ctx context.Context, to string) error {
					sent[mono.CallFrom(ctx).ID()] = true // by its id, so once
					return nil
				})
				return nil
			}))
			h.Fault(mails, testkit.LoseAck)
			h.MustStart()
			if err := mails.Enqueue(t.Context(), h, "ada@example.com"); err != nil {
				t.Fatal(err)
			}
			h.Advance(time.Minute) // longer than the AckWait
			if attempts := testkit.Consumed(h, mails); len(attempts) != 2 || len(sent) != 1 {
				t.Error(attempts, sent)
			}
		})
	})
	// Output: passed: true
}

// The process crashes after its handler has done its work, and before the result is
// stored. AddFunc makes a new module for the next process.
func ExampleCrash() {
	mails := mono.NewQueue[string]("example.mails")
	newMail := func() mono.Module {
		return mono.NewModule("mail", func(s *mono.Scope) error {
			mails.Handle(s, func(context.Context, string) error { return nil })
			return nil
		})
	}

	runTest(func(t *testing.T) { // func TestMailSurvivesCrash(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.AddFunc(newMail)
			h.Fault(mails, testkit.Crash(testkit.AfterHandle))
			h.MustStart()
			if err := mails.Enqueue(t.Context(), h, "ada@example.com"); err != nil {
				t.Fatal(err)
			}
			h.Advance(time.Minute)
			attempts := testkit.Consumed(h, mails)
			if len(attempts) != 2 || attempts[1].Attempt != 2 {
				t.Error(attempts)
			}
		})
	})
	// Output: passed: true
}

// RequireDeadLettered returns the one message that was given up, with its reason.
func ExampleRequireDeadLettered() {
	mails := mono.NewQueue[string]("example.mails", mono.MaxAttempts(3))
	mail := mono.NewModule("mail", func(s *mono.Scope) error {
		mails.Handle(s, func(context.Context, string) error { return errors.New("no such host") })
		return nil
	})

	runTest(func(t *testing.T) { // func TestUnknownHost(t *testing.T)
		testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
			h.Add(mail)
			h.MustStart()
			if err := mails.Enqueue(t.Context(), h, "ada@example.com"); err != nil {
				t.Fatal(err)
			}
			h.Advance(time.Hour) // through all retries
			if dead := testkit.RequireDeadLettered(t, h, mails); dead.Attempts != 3 || dead.Reason != mono.ReasonAttempts {
				t.Error(dead)
			}
		})
	})
	// Output: passed: true
}

// Explore runs a body under many schedules. The seed of each run decides about the order
// of events, and about faults that happen only sometimes.
func ExampleExplore() {
	mails := mono.NewQueue[string]("example.mails")
	newMail := func() mono.Module {
		return mono.NewModule("mail", func(s *mono.Scope) error {
			mails.Handle(s, func(context.Context, string) error { return nil })
			return nil
		})
	}

	runTest(func(t *testing.T) { // func TestMailIsSent(t *testing.T)
		testkit.Explore(t, 50, func(t testing.TB, h *testkit.Harness) {
			h.AddFunc(newMail)
			h.Fault(mails, testkit.LoseAck).Sometimes(0.5)
			h.Fault(mails, testkit.Crash(testkit.BeforeHandle)).Sometimes(0.5)
			h.MustStart()
			if err := mails.Enqueue(t.Context(), h, "ada@example.com"); err != nil {
				t.Fatal(err)
			}
			h.Advance(time.Hour)
			attempts := testkit.Consumed(h, mails)
			if last := attempts[len(attempts)-1]; last.Result != testkit.ResultDone {
				t.Error(attempts)
			}
		}).MustPass()
	})
	// Output: passed: true
}
