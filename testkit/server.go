package testkit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gomono.dev/testkit/internal/leak"
	"gomono.dev/transport"
)

// Server is a real server that a test can run on: see package natstest.
type Server struct {
	// Name is that of the subtest of Each.
	Name string

	// Start starts it for one test, which ends it with t.Cleanup, and returns how to
	// connect to it.
	Start func(t testing.TB) func(context.Context) (transport.Transport, error)
}

// RunOn is Run on a real server, in real time. Settle waits until nothing has
// happened for a while, Advance really waits, and there are no faults, crashes,
// restarts, seeds and watchdog: Harness.Virtual tells.
func RunOn(t *testing.T, s Server, body func(t *testing.T, h *Harness), opts ...Option) {
	t.Helper()
	connect := s.Start(t)
	watch := leak.New(t.Name())
	watch.Do(func() {
		h := newHarness(t, newSettings(opts), 0, &remote{open: connect})
		defer h.end()
		body(t, h)
	})
	if left := watch.Left(leakTimeout); left != "" {
		t.Errorf("testkit: goroutines are left over when all modules have stopped: end them in the Stop of the module that began them\n\n%s", left)
	}
}

// leakTimeout bounds the wait for the last goroutines.
const leakTimeout = 10 * time.Second

// remote is a real server as a network.
type remote struct {
	h    *Harness
	open func(context.Context) (transport.Transport, error)
}

func (r *remote) attach(h *Harness) { r.h = h }

func (r *remote) connect(ctx context.Context) (transport.Transport, error) { return r.open(ctx) }

func (r *remote) kill(transport.Transport) {}

func (r *remote) restart() {}

func (r *remote) virtual() bool { return false }

func (r *remote) steps() int { return 0 }

// How long nothing has to happen on a real server until it counts as settled, and
// how long that is waited for. Both are counted in looks, which a machine that stands
// still takes none of.
const (
	lookPeriod = 10 * time.Millisecond
	quiet      = 15   // looks
	noQuiet    = 3000 // looks
)

// settle waits until no message has begun or ended its way for a while, and none
// waits for a handler.
func (r *remote) settle(context.Context) error {
	look := time.NewTicker(lookPeriod)
	defer look.Stop()
	last, same := r.h.journal.version(), 0
	for range noQuiet {
		<-look.C
		same++
		if now := r.h.journal.version(); now != last {
			last, same = now, 0
		}
		switch {
		case same > 10*quiet:
			return nil // a handler that waits for time, or a group without a free one
		case same > quiet && !r.busy():
			return nil
		}
	}
	return fmt.Errorf("something has happened all the time for %v", noQuiet*lookPeriod)
}

// busy reports whether a message waits for a handler that could take it.
func (r *remote) busy() bool {
	p := r.h.live()
	if p == nil {
		return false
	}
	waiting := false
	r.h.eachGroup(p.tr, func(_ handleKey, g transport.GroupInfo, err error) {
		waiting = waiting || err == nil && g.Undelivered > 0 && g.Members > 0
	})
	return waiting || r.h.journal.running()
}
