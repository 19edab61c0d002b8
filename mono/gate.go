package mono

import (
	"context"
	"sync"

	"gomono.dev/transport"
)

// gate is the door to one receiver's handlers. It lets in as many as may run at
// once, knows who is inside, and closes in two steps: first for messages from
// the wire, then for calls from within the process.
//
// Its mutex is never held while something blocks.
type gate struct {
	slots chan struct{}

	mu      sync.Mutex
	phase   phase
	gaveUp  bool          // nobody may enter
	running ticket        // messages from the wire: the ring's own link
	inside  int           // of running
	home    [closed]int   // calls from within the process, by the phase in which they entered
	waiting bool          // somebody waits for left
	left    chan struct{} // closed when the next one leaves
}

// phase says who may enter a gate.
type phase int

const (
	serving  phase = iota + 1 // everybody
	draining                  // calls from within the process only
	closed                    // nobody; so it is before the start, as 0
)

func newGate(concurrency int) *gate {
	g := &gate{slots: make(chan struct{}, concurrency), left: make(chan struct{})}
	g.running.prev, g.running.next = &g.running, &g.running
	return g
}

// ticket is one message from the wire whose handler runs. Its answer is given
// once: by the handler, or by whoever gives it up.
type ticket struct {
	message    *transport.Message
	answered   bool    // guarded by the gate's mutex
	prev, next *ticket // guarded by the gate's mutex

	// What its handler needs, so that it is all one piece of memory.
	call    Call
	limited limitedContext
}

// enter waits for a free slot and takes a message in. It is nil when the App
// gave up meanwhile, so that no handler began.
func (g *gate) enter(ctx context.Context, m *transport.Message) *ticket {
	if !g.takeSlot(ctx, nil) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gaveUp {
		<-g.slots
		return nil
	}
	t := &ticket{message: m, prev: g.running.prev, next: &g.running}
	t.prev.next, t.next.prev = t, t
	g.inside++
	return t
}

// claim reports whether the caller is the one to answer.
func (g *gate) claim(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := !t.answered
	t.answered = true
	return first
}

func (g *gate) leave(t *ticket) {
	g.mu.Lock()
	t.prev.next, t.next.prev = t.next, t.prev
	g.inside--
	g.wake()
	g.mu.Unlock()
	<-g.slots
}

// enterHome takes in a call from within the process. What it returns is for
// leaveHome.
func (g *gate) enterHome(ctx, app context.Context) (phase, error) {
	if !g.takeSlot(ctx, app.Done()) {
		if app.Err() != nil {
			return 0, notDone(Unavailable, "its module is stopping")
		}
		// Over the wire the request would lie with the provider, and be handled yet.
		return 0, transport.ContextError(ctx, OutcomeUnknown, "waited for one of %d handlers to be free: raise mono.Concurrency, or call less", cap(g.slots))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != serving && g.phase != draining || g.gaveUp {
		<-g.slots
		return 0, notDone(Unavailable, "its module has stopped or has not started")
	}
	g.home[g.phase]++
	return g.phase, nil
}

func (g *gate) leaveHome(entered phase) {
	g.mu.Lock()
	g.home[entered]--
	g.wake()
	g.mu.Unlock()
	<-g.slots
}

// wake wakes those who wait; the mutex is held.
func (g *gate) wake() {
	if g.waiting {
		close(g.left)
		g.left = make(chan struct{})
		g.waiting = false
	}
}

// takeSlot waits until a handler is free, ctx ends, or done is closed.
func (g *gate) takeSlot(ctx context.Context, done <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case g.slots <- struct{}{}:
		return true
	default:
	}
	select {
	case g.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	case <-done:
		return false
	}
}

// enterPhase changes who may enter.
func (g *gate) enterPhase(p phase) {
	g.mu.Lock()
	g.phase = p
	g.mu.Unlock()
}

// giveUp lets nobody in any more and returns the messages that are still without
// an answer; the caller answers them.
func (g *gate) giveUp() []*transport.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gaveUp = true
	var unanswered []*transport.Message
	for t := g.running.next; t != &g.running; t = t.next {
		if !t.answered {
			t.answered = true
			unanswered = append(unanswered, t.message)
		}
	}
	return unanswered
}

// wait waits until everybody has left who entered before the gate's phase, and
// returns how many are still inside when ctx ends.
func (g *gate) wait(ctx context.Context) int {
	for {
		g.mu.Lock()
		n, left := g.inside, g.left
		for p := range g.phase {
			n += g.home[p]
		}
		g.waiting = true
		g.mu.Unlock()
		if n == 0 {
			return 0
		}
		select {
		case <-left:
		case <-ctx.Done():
			return n
		}
	}
}
