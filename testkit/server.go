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
	// Name is the name of the subtest of Each.
	Name string

	// Kill ends the connection of a client as the sudden end of its process would. It may be
	// nil: then no client can crash.
	Kill func(tr transport.Transport)

	// Start starts the server for one test and returns how to connect to it. It uses t.Cleanup
	// to end the server.
	Start func(t testing.TB) func(context.Context) (transport.Transport, error)
}

// RunOn is Run on a real server, in real time. Settle waits until nothing has happened for a
// while, and Advance really waits. There are no faults, restarts of the server, seeds or watchdog;
// Harness.Virtual reports false.
func RunOn(t *testing.T, s Server, body func(t *testing.T, h *Harness), opts ...Option) {
	t.Helper()
	connect := s.Start(t)
	watch := leak.New(t.Name())
	watch.Do(func() {
		h := newHarness(t, newSettings(opts), 0, &remote{open: connect, end: s.Kill})
		defer h.end()
		body(t, h)
	})
	if left := watch.Left(leakTimeout); left != "" {
		t.Errorf("testkit: goroutines still run after all modules have stopped: end them in the Stop of the module that started them\n\n%s", left)
	}
}

// leakTimeout bounds the wait for the last goroutines.
const leakTimeout = 10 * time.Second

// remote is a real server as a network.
type remote struct {
	h    *Harness
	open func(context.Context) (transport.Transport, error)
	end  func(transport.Transport) // nil: it kills no client
}

func (r *remote) attach(h *Harness) { r.h = h }

func (r *remote) connect(ctx context.Context) (transport.Transport, error) { return r.open(ctx) }

func (r *remote) kill(tr transport.Transport) { r.end(tr) }

func (r *remote) kills() bool { return r.end != nil }

func (r *remote) restart() {}

func (r *remote) virtual() bool { return false }

func (r *remote) steps() int { return 0 }

// Nothing has to happen on a real server for quietLooks until it counts as settled; the wait
// ends after maxLooks. Both count looks, and a machine that does not run the process takes
// none.
const (
	lookPeriod = 10 * time.Millisecond
	quietLooks = 15   // looks
	maxLooks   = 3000 // looks
)

// settle waits until no message has begun or ended for a while, and none waits for a handler.
func (r *remote) settle(context.Context) error {
	look := time.NewTicker(lookPeriod)
	defer look.Stop()
	last, same := r.h.journal.version(), 0
	for range maxLooks {
		<-look.C
		same++
		if now := r.h.journal.version(); now != last {
			last, same = now, 0
		}
		switch {
		case same > 10*quietLooks:
			return nil // a handler waits for time, or a group has no free one
		case same > quietLooks && !r.busy():
			return nil
		}
	}
	return fmt.Errorf("messages have begun or ended all the time for %v", maxLooks*lookPeriod)
}

// busy reports whether a message waits for a handler that could take it.
func (r *remote) busy() bool {
	all := r.h.allPrograms()
	live := all.live()
	if len(live) == 0 {
		return false
	}
	waiting := false
	all.eachGroup(live[0].tr, func(_ handleKey, g transport.GroupInfo, err error) {
		waiting = waiting || err == nil && g.Undelivered > 0 && g.Members > 0
	})
	return waiting || r.h.journal.running()
}
