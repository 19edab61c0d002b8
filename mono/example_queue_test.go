package mono_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// Enqueue stores a job. One worker of the queue gets it.
func ExampleQueue() {
	receipts := mono.NewQueue[string]("example.receipts")
	sent := make(chan string)
	app, stop := startExample(mono.NewModule("mail", func(s *mono.Scope) error {
		receipts.Handle(s, func(_ context.Context, to string) error {
			sent <- to
			return nil
		})
		return nil
	}))
	defer stop()

	if err := receipts.Enqueue(context.Background(), app, "ada@example.com"); err != nil {
		panic(err)
	}
	fmt.Println(<-sent)
	// Output: ada@example.com
}

// Each group of a queue gets every job.
func ExampleGroups() {
	orders := mono.NewQueue[string]("example.orders", mono.Groups("packing", "billing"))
	packed, billed := make(chan string, 1), make(chan string, 1)
	worker := func(group string, out chan<- string) mono.Module {
		return mono.NewModule(group, func(s *mono.Scope) error {
			orders.Handle(s, func(_ context.Context, order string) error {
				out <- order
				return nil
			}, mono.Group(group))
			return nil
		})
	}
	app, stop := startExample(worker("packing", packed), worker("billing", billed))
	defer stop()

	if err := orders.Enqueue(context.Background(), app, "order 1"); err != nil {
		panic(err)
	}
	fmt.Println("packed:", <-packed)
	fmt.Println("billed:", <-billed)
	// Output:
	// packed: order 1
	// billed: order 1
}

// Each group of workers handles the jobs of its types.
func ExampleQueue_KeyedBy() {
	type task struct{ Type, For string }
	tasks := mono.NewQueue[task]("example.tasks", mono.Groups("email", "image", "report")).
		KeyedBy(func(t task) string { return t.Type })
	done := make(map[string]chan string)
	worker := func(group string, types ...string) mono.Module {
		done[group] = make(chan string)
		return mono.NewModule(group, func(s *mono.Scope) error {
			tasks.Handle(s, func(_ context.Context, t task) error {
				done[group] <- t.Type + " for " + t.For
				return nil
			}, mono.Group(group), mono.Keys(types...))
			return nil
		})
	}
	app, stop := startExample(worker("email", "welcome", "digest"), worker("image", "resize"), worker("report", "monthly"))
	defer stop()

	for _, t := range []task{{"monthly", "ada"}, {"welcome", "grace"}, {"resize", "grace"}} {
		if err := tasks.Enqueue(context.Background(), app, t); err != nil {
			panic(err)
		}
	}
	for _, group := range []string{"email", "image", "report"} {
		fmt.Println(group+":", <-done[group])
	}
	// Output:
	// email: welcome for grace
	// image: resize for grace
	// report: monthly for ada
}

// A job whose handler returns an error is tried again after the wait that Backoff
// specifies.
func ExampleBackoff() {
	mails := mono.NewQueue[string]("example.mails",
		mono.MaxAttempts(3), mono.Backoff(mono.Constant(time.Millisecond)))
	done := make(chan bool)
	app, stop := startExample(mono.NewModule("mail", func(s *mono.Scope) error {
		mails.Handle(s, func(ctx context.Context, to string) error {
			attempt := mono.CallFrom(ctx).Attempt()
			fmt.Println(to, "attempt", attempt)
			if attempt < 3 {
				return errors.New("the mail server is busy")
			}
			close(done)
			return nil
		})
		return nil
	}))
	defer stop()

	if err := mails.Enqueue(context.Background(), app, "ada"); err != nil {
		panic(err)
	}
	<-done
	// Output:
	// ada attempt 1
	// ada attempt 2
	// ada attempt 3
}

// The last wait of the list applies to all further attempts.
func ExampleWaits() {
	policy := mono.Waits(time.Second, time.Minute)
	for attempt := 1; attempt <= 3; attempt++ {
		fmt.Println(policy.Wait(attempt))
	}
	// Output:
	// 1s
	// 1m0s
	// 1m0s
}

// The handler knows when the next attempt makes sense, and overrides the Backoff of the
// handle.
func ExampleRetryAfter() {
	const pause = 20 * time.Millisecond
	calls := mono.NewQueue[string]("example.calls", mono.Backoff(mono.Constant(time.Hour)))
	times := make(chan time.Time, 2)
	app, stop := startExample(mono.NewModule("client", func(s *mono.Scope) error {
		calls.Handle(s, func(ctx context.Context, _ string) error {
			times <- time.Now()
			if mono.CallFrom(ctx).Attempt() == 1 {
				return mono.RetryAfter(pause, errors.New("too many requests"))
			}
			return nil
		})
		return nil
	}))
	defer stop()

	if err := calls.Enqueue(context.Background(), app, "weather"); err != nil {
		panic(err)
	}
	first, second := <-times, <-times
	fmt.Println(second.Sub(first) >= pause)
	// Output: true
}

// Permanent ends a job that no further attempt can help. It becomes a dead letter.
func ExamplePermanent() {
	mails := mono.NewQueue[string]("example.mails", mono.MaxAttempts(10))
	dead := make(chan mono.MessageDeadLettered, 1)
	app := newExample()
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if d, ok := o.(mono.MessageDeadLettered); ok {
			dead <- d
		}
	}))
	app.Add(mono.NewModule("mail", func(s *mono.Scope) error {
		mails.Handle(s, func(_ context.Context, to string) error {
			return mono.Permanent(fmt.Errorf("%q is not an address", to))
		})
		return nil
	}))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer app.Stop(ctx)

	if err := mails.Enqueue(ctx, app, "nobody"); err != nil {
		panic(err)
	}
	d := <-dead
	fmt.Println(d.Reason, d.Attempts, d.Err)
	// Output: permanent 1 "nobody" is not an address
}

// Dead letters are typed values, which can be listed, edited and replayed.
func ExampleDeadLetters() {
	mails := mono.NewQueue[string]("example.mails", mono.MaxAttempts(1))
	sent, dead := make(chan string, 1), make(chan bool, 1)
	app := newExample()
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if _, ok := o.(mono.MessageDeadLettered); ok {
			dead <- true
		}
	}))
	app.Add(mono.NewModule("mail", func(s *mono.Scope) error {
		mails.Handle(s, func(_ context.Context, to string) error {
			if to == "ada@exmaple.com" {
				return errors.New("no such host")
			}
			sent <- to
			return nil
		})
		return nil
	}))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	defer app.Stop(ctx)

	if err := mails.Enqueue(ctx, app, "ada@exmaple.com"); err != nil {
		panic(err)
	}
	<-dead
	letters := mails.DeadLetters(app)
	for letter, err := range letters.List(ctx, mono.DeadLetterFilter{Reason: mono.ReasonAttempts}) {
		if err != nil {
			panic(err)
		}
		to, _ := letter.Value()
		fmt.Println(to, letter.Attempts, letter.Error)

		edited, err := letters.Edit(ctx, letter, "ada@example.com")
		if err != nil {
			panic(err)
		}
		if err := letters.Replay(ctx, edited); err != nil {
			panic(err)
		}
	}
	fmt.Println("sent to", <-sent)
	// Output:
	// ada@exmaple.com 1 no such host
	// sent to ada@example.com
}

// A delayed job is stored at once, and begins at its time or later.
func ExampleDelay() {
	const delay = 20 * time.Millisecond
	reminders := mono.NewQueue[string]("example.reminders")
	received := make(chan string)
	app, stop := startExample(mono.NewModule("calendar", func(s *mono.Scope) error {
		reminders.Handle(s, func(_ context.Context, text string) error {
			received <- text
			return nil
		})
		return nil
	}))
	defer stop()

	began := time.Now()
	if err := reminders.With(mono.Delay(delay)).Enqueue(context.Background(), app, "lunch"); err != nil {
		panic(err)
	}
	fmt.Println(<-received, time.Since(began) >= delay)
	// Output: lunch true
}

// A job that is sent twice with one id is stored once. So a sender that does not know
// the outcome of a send can repeat it.
func ExampleDedupID() {
	receipts := mono.NewQueue[string]("example.receipts")
	app, stop := startExample()
	defer stop()

	order17 := receipts.With(mono.DedupID("order-17"))
	for range 2 {
		stored, err := order17.EnqueueStored(context.Background(), app, "ada@example.com")
		fmt.Println(stored.ID, stored.Sequence, stored.Duplicate, err)
	}
	// Output:
	// order-17 1 false <nil>
	// order-17 1 true <nil>
}

// A full queue refuses a job, and its sender learns that immediately.
func ExampleMaxPending() {
	jobs := mono.NewQueue[string]("example.jobs", mono.MaxPending(1))
	app, stop := startExample()
	defer stop()

	for _, job := range []string{"first", "second"} {
		err := jobs.Enqueue(context.Background(), app, job)
		fmt.Println(job, errors.Is(err, mono.ErrResourceExhausted))
	}
	// Output:
	// first false
	// second true
}

// A long job ends early when its App stops. Another process gets it at once, and the
// attempt does not count.
func ExampleHandBack() {
	reports := mono.NewQueue[string]("example.reports")
	backend := inproc.NewBackend(inproc.Options{}) // two processes on one backend
	ctx := context.Background()

	begun := make(chan bool)
	app, stop := startExampleOn(backend.Connect(), mono.NewModule("reporter", func(s *mono.Scope) error {
		reports.Handle(s, func(ctx context.Context, _ string) error {
			close(begun)
			<-mono.CallFrom(ctx).Stopping()
			return mono.HandBack(errors.New("the report is not finished"))
		})
		return nil
	}))
	if err := reports.Enqueue(ctx, app, "year"); err != nil {
		panic(err)
	}
	<-begun
	stop()

	done := make(chan int)
	_, stop = startExampleOn(backend.Connect(), mono.NewModule("reporter", func(s *mono.Scope) error {
		reports.Handle(s, func(ctx context.Context, _ string) error {
			done <- mono.CallFrom(ctx).Attempt()
			return nil
		})
		return nil
	}))
	defer stop()
	fmt.Println("attempt", <-done)
	// Output: attempt 1
}
