package mono_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// opening is a transport that calls a function before it opens a log.
type opening struct {
	transport.Transport
	log func(ctx context.Context, c transport.LogConfig) error
}

func (o opening) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if err := o.log(ctx, c); err != nil {
		return nil, err
	}
	return o.Transport.Log(ctx, c)
}

// queues is a module that handles n queues.
func queues(name string, n int) mono.Module {
	return module(name, func(s *mono.Scope) {
		for i := range n {
			mono.NewQueue[job](fmt.Sprintf("logs.%s-%d", name, i)).Handle(s, nothing)
		}
	})
}

// Start opens several logs concurrently, up to a limit.
func TestStartOpensLogsConcurrently(t *testing.T) {
	t.Parallel()
	const some, all = 10, 200
	var now, peak atomic.Int32
	enough := make(chan struct{})
	release := sync.OnceFunc(func() { close(enough) })
	app := mono.New(opening{inproc.New(inproc.Options{}), func(ctx context.Context, _ transport.LogConfig) error {
		defer now.Add(-1)
		n := now.Add(1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		if n >= some {
			release()
		}
		select {
		case <-enough:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, quiet(t))
	app.Add(queues("many", all))
	begin(t, app)
	if p := peak.Load(); p >= all/2 {
		t.Errorf("%d of %d logs were opened at once", p, all)
	}
}

// Start reports failed logs in the order of the modules, regardless of which fails first.
// Each log is reported for every module that uses it.
func TestStartReportsLogsInOrder(t *testing.T) {
	t.Parallel()
	var reports []string
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			app := mono.New(opening{inproc.New(inproc.Options{}), func(_ context.Context, c transport.LogConfig) error {
				<-time.After(time.Duration(rand.IntN(1000)) * time.Millisecond)
				return errors.New("no room for " + c.Name)
			}}, mono.Logger(slog.New(slog.DiscardHandler)))
			shared := mono.NewQueue[job]("logs.shared")
			app.Add(queues("one", 20), queues("two", 20),
				module("sender", func(s *mono.Scope) { s.Use(shared) }), worker("worker", shared, nil, succeed))
			err := app.Start(t.Context())
			start, ok := errors.AsType[*mono.StartError](err)
			if !ok || len(start.Problems) != 42 {
				t.Fatalf("got %v", err)
			}
			if last := start.Problems[41]; last.Module != "worker" || last.Handle != "queue logs.shared" {
				t.Errorf("got %+v", last)
			}
			reports = append(reports, err.Error())
			if err := app.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	if len(slices.Compact(reports)) != 1 {
		t.Errorf("the reports differ:\n%q", reports)
	}
}

// A panic of the transport while it opens a log fails the start and does not end the
// process.
func TestStartContainsAPanicOfTheTransport(t *testing.T) {
	t.Parallel()
	app := mono.New(opening{inproc.New(inproc.Options{}), func(context.Context, transport.LogConfig) error { panic("no") }}, quiet(t))
	app.Add(queues("many", 3))
	err := app.Start(t.Context())
	if start, ok := errors.AsType[*mono.StartError](err); !ok || len(start.Problems) != 3 {
		t.Errorf("got %v", err)
	}
}
