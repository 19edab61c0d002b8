package mono_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// handBacks counts the hand-backs of an App.
type handBacks struct {
	transport.Transport
	n atomic.Int64
}

type handBackLog struct {
	transport.Log
	count *handBacks
}

type handBackSettler struct {
	transport.Settler
	count *handBacks
}

func (h *handBacks) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := h.Transport.Log(ctx, c)
	return handBackLog{l, h}, err
}

func (l handBackLog) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	return l.Log.Consume(ctx, c, func(d *transport.Delivery) transport.Work {
		d.Settler = handBackSettler{d.Settler, l.count}
		return h(d)
	})
}

func (s handBackSettler) Release(ctx context.Context) error {
	s.count.n.Add(1)
	return s.Settler.Release(ctx)
}

// A receiver whose module has yet to stop when the time is over hands back the messages
// that it has, and gets no more of them.
func TestStopWithoutTimeHandsBackOnce(t *testing.T) {
	t.Parallel()
	stubborn, obeys := mono.NewQueue[job]("stop.stubborn"), mono.NewQueue[job]("stop.obeys", mono.MaxAttempts(1))
	synctest.Test(t, func(t *testing.T) {
		const jobs, atOnce = 50, 4
		count := &handBacks{Transport: inproc.New(inproc.Options{})}
		begun := make(chan bool, 2*jobs)
		app := backend{"inproc", func() transport.Transport { return count }}.app(t,
			module("obeys", func(s *mono.Scope) {
				s.Use(obeys)
				obeys.Handle(s, func(ctx context.Context, _ job) error {
					begun <- true
					<-ctx.Done()
					return ctx.Err()
				}, mono.Concurrency(atOnce))
			}),
			module("stubborn", func(s *mono.Scope) {
				s.Use(stubborn)
				stubborn.Handle(s, func(context.Context, job) error {
					begun <- true
					<-time.After(time.Hour)
					return nil
				})
			}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := stubborn.Enqueue(t.Context(), app, job{})
		for n := range jobs {
			err = errors.Join(err, obeys.Enqueue(t.Context(), app, job{N: n}))
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + atOnce {
			<-begun
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := app.Stop(over); err == nil {
			t.Error("Stop does not name the stubborn handler")
		}
		if n := count.n.Load(); n < atOnce || n > 2*jobs {
			t.Errorf("%d hand-backs", n)
		}
		<-time.After(2 * time.Hour) // the stubborn handler ends
	})
}

// A handler that ends early with HandBack uses no attempt, and another process gets the
// message while this one still stops. Before a stop, HandBack is a failure like any other.
func TestHandBackIsNoAttempt(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("stop.hand-back", mono.MaxAttempts(1), mono.AckWait(time.Hour))
	onBackends(t, func(t *testing.T, b backend) {
		sender := b.start(t, module("sender", func(s *mono.Scope) { s.Use(q) }))
		if err := q.Enqueue(t.Context(), sender, job{}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			begun := make(chan int, 1000)
			slow := stopsSlowly{make(chan bool), make(chan bool)}
			app := b.app(t, module("worker", func(s *mono.Scope) {
				q.Handle(s, func(ctx context.Context, _ job) error {
					begun <- mono.CallFrom(ctx).Attempt()
					<-mono.CallFrom(ctx).Stopping()
					return mono.HandBack(errors.New("half done"))
				})
			}), slow)
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if attempt := next(t, begun); attempt != 1 {
				t.Errorf("attempt %d, want 1", attempt)
			}
			stopped := make(chan error, 1)
			go func() { stopped <- app.Stop(context.Background()) }()
			next(t, slow.stops)
			if attempt, _ := cutOff(t, b, q, func(ctx context.Context) error { return mono.HandBack(ctx.Err()) }); attempt != 1 {
				t.Errorf("attempt %d elsewhere, want 1", attempt)
			}
			close(slow.may)
			if err := next(t, stopped); err != nil {
				t.Error(err)
			}
			if n := len(begun); n > 10 {
				t.Errorf("the process that stops got the message %d times more", n)
			}
		}
		b.start(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, func(context.Context, job) error { return mono.HandBack(nil) })
		}))
		if l := awaitDeadLetters(t, q.DeadLetters(sender), 1)[0]; l.Reason != mono.ReasonAttempts {
			t.Errorf("got %+v", l)
		}
	})
}

// stopsSlowly is a module whose Stop announces itself, and waits until it may go on.
type stopsSlowly struct{ stops, may chan bool }

func (stopsSlowly) Name() string             { return "slow" }
func (stopsSlowly) Bind(s *mono.Scope) error { return nil }

func (m stopsSlowly) Stop(context.Context) error {
	m.stops <- true
	<-m.may
	return nil
}
