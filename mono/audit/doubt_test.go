package audit_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// doubtful is a transport that loses appends, or their acknowledgements.
type doubtful struct {
	transport.Transport
	mu     sync.Mutex
	random *rand.Rand
	down   atomic.Bool // no append and no read succeeds
}

func (d *doubtful) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	log, err := d.Transport.Log(ctx, c)
	return &doubtfulLog{log, d}, err
}

type doubtfulLog struct {
	transport.Log
	transport *doubtful
}

func (l *doubtfulLog) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	lost := transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "the acknowledgement is lost")
	l.transport.mu.Lock()
	fate := l.transport.random.IntN(4)
	l.transport.mu.Unlock()
	switch {
	case l.transport.down.Load():
		return transport.Appended{}, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "the server is down")
	case fate == 0:
		return transport.Appended{}, lost
	case fate == 1:
		if _, err := l.Log.Append(ctx, m, o); err != nil {
			return transport.Appended{}, err
		}
		return transport.Appended{}, lost
	}
	return l.Log.Append(ctx, m, o)
}

func (l *doubtfulLog) Info(ctx context.Context) (transport.LogInfo, error) {
	if l.transport.down.Load() {
		return transport.LogInfo{}, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "the server is down")
	}
	return l.Log.Info(ctx)
}

// If appends or their acknowledgements are lost, each entry is stored once, also if several
// writers share the log, or one has it alone.
func TestLostAcknowledgements(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		for seed := range uint64(5) {
			synctest.Test(t, func(t *testing.T) {
				k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
				defer func() { _ = tr.Transport.Close(context.Background()) }()
				writers := 2
				if exclusive {
					writers = 1
				}
				var wait sync.WaitGroup
				for i := range writers {
					trail := audit.New(audit.Options{Key: k.private, Exclusive: exclusive})
					app := mono.New(&doubtful{Transport: tr, random: rand.New(rand.NewPCG(seed, uint64(i)))}, mono.Logger(slog.New(slog.DiscardHandler)))
					app.Use(trail)
					if err := app.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					defer func() { _ = app.Stop(context.Background()) }()
					wait.Go(func() { recordMany(t, trail, string(rune('a'+i)), 3, 20) })
				}
				wait.Wait()
				requireOnce(t, tr, k, writers*3*20)
			})
		}
	}
}

// While the server is down, Record fails and stores nothing, and the App is unhealthy. After
// that both recover.
func TestServerDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, tr := newKeys(t), unclosed{inproc.New(inproc.Options{})}
		defer func() { _ = tr.Transport.Close(context.Background()) }()
		d := &doubtful{Transport: tr, random: rand.New(rand.NewPCG(1, 1))}
		d.down.Store(true)
		trail := audit.New(audit.Options{Key: k.private})
		app := mono.New(d, mono.Logger(slog.New(slog.DiscardHandler)))
		app.Use(trail)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = app.Stop(context.Background()) }()
		if err := trail.Record(t.Context(), "test.down"); mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("got %v", err)
		}
		if app.Health(t.Context()).Healthy {
			t.Error("the App is healthy")
		}
		d.down.Store(false)
		if h := app.Health(t.Context()); !h.Healthy {
			t.Errorf("the App is unhealthy: %+v", h)
		}
		if err := trail.Record(t.Context(), "test.up"); err != nil {
			t.Error(err)
		}
		if got := events(t, tr, k); len(got) != 1 || got[0].Event != "test.up" {
			t.Errorf("got %+v", got)
		}
	})
}
