package mono

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// gate limits the number of handlers of a receiver that run at once, and keeps track of
// them. It closes in two steps: first for messages from the transport, then for local
// calls.
//
// A local call takes no lock while there is room and no goroutine waits: one word holds
// the counts. A goroutine that must wait sets contended in that word, with the mutex
// held. Then all use the mutex, until no goroutine waits any more. The mutex is never
// held during a blocking operation.
type gate struct {
	limit int
	state atomic.Uint64

	mu      sync.Mutex
	gaveUp  bool          // no entry is possible; contended stays set
	running place         // messages from the transport: the ring's own link
	inside  int           // number of messages in running
	queue   []*waiter     // waiting for a place, in order of arrival
	waiting bool          // a goroutine waits for left
	left    chan struct{} // closed when the next one leaves
}

// The state of a gate consists of three counts of places, the phase, and contended.
const (
	onePlace  = 1       // of all places taken
	oneEarly  = 1 << 20 // of those taken by local calls that entered while serving
	oneLate   = 1 << 40 // of those taken by local calls that entered while draining
	onePhase  = 1 << 60
	contended = 1 << 63

	maxPlaces = oneEarly - 1
)

func taken(state uint64) int     { return int(state % oneEarly) }
func early(state uint64) int     { return int(state / oneEarly % (1 << 20)) }
func late(state uint64) int      { return int(state / oneLate % (1 << 20)) }
func phaseIn(state uint64) phase { return phase(state / onePhase % 4) }

// phase determines what may enter a gate.
type phase int

const (
	serving  phase = iota + 1 // messages and local calls
	draining                  // local calls only
	closed                    // nothing; before the start the phase is 0, with the same effect
)

// place returns the counts that a local call adds, depending on the phase in which it
// enters.
func (p phase) place() uint64 {
	if p == serving {
		return onePlace + oneEarly
	}
	return onePlace + oneLate
}

// open reports whether local calls may enter.
func (p phase) open() bool { return p == serving || p == draining }

func newGate(concurrency int) *gate {
	g := &gate{limit: min(concurrency, maxPlaces), left: make(chan struct{})}
	g.running.prev, g.running.next = &g.running, &g.running
	return g
}

// place is the place of a message from the transport in the ring. The gate's mutex guards it.
type place struct {
	prev, next *place
	in         *inbound // nil for an arrival
}

// waiter waits for a place. A leaving goroutine hands its place over by closing ready.
type waiter struct{ ready chan struct{} }

// enter waits for a free place and lets a message in. It reports false if the App gave
// up in the meantime, so that no handler began.
func (g *gate) enter(ctx context.Context, m *place) bool {
	if ctx.Err() == nil && g.letIn(m, true) {
		return true
	}
	if !g.takePlace(ctx, nil) {
		return false
	}
	if !g.letIn(m, false) {
		g.mu.Lock()
		g.free(onePlace)
		g.mu.Unlock()
		return false
	}
	return true
}

// letIn lets a message in, unless the App gave up. Its place is already taken. With
// take it takes a free place itself, if no goroutine waits for one.
func (g *gate) letIn(m *place, take bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gaveUp || take && (len(g.queue) > 0 || !g.takeFree()) {
		return false
	}
	m.prev, m.next = g.running.prev, &g.running
	m.prev.next, m.next.prev = m, m
	g.inside++
	return true
}

// each calls f for each message from the transport that is inside, with the mutex held.
func (g *gate) each(f func(*inbound)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for m := g.running.next; m != &g.running; m = m.next {
		if m.in != nil {
			f(m.in)
		}
	}
}

func (g *gate) leave(m *place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.prev.next, m.next.prev = m.next, m.prev
	g.inside--
	g.free(onePlace)
}

// enterLocal lets a local call in. The returned place is the argument of leaveLocal.
func (g *gate) enterLocal(ctx, app context.Context) (place uint64, err error) {
	for {
		state := g.state.Load()
		p := phaseIn(state)
		if state >= contended || taken(state) >= g.limit || !p.open() {
			return g.enterContended(ctx, app)
		}
		if place := p.place(); g.state.CompareAndSwap(state, state+place) {
			return place, nil
		}
	}
}

// enterContended is enterLocal with the mutex. It waits if there is no free place.
func (g *gate) enterContended(ctx, app context.Context) (place uint64, err error) {
	if !g.takePlace(ctx, app.Done()) {
		if app.Err() != nil {
			return 0, notDone(Unavailable, "its module is stopping")
		}
		// Over the transport the request would wait at the provider, and could still be
		// handled.
		return 0, transport.ContextError(ctx, OutcomeUnknown, "none of the %d handlers became free: raise mono.Concurrency, or make fewer calls", g.limit)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		state := g.state.Load()
		p := phaseIn(state)
		if !p.open() || g.gaveUp {
			g.free(onePlace)
			return 0, notDone(Unavailable, "its module has stopped or has not started")
		}
		if g.state.CompareAndSwap(state, state+p.place()-onePlace) {
			return p.place(), nil
		}
	}
}

func (g *gate) leaveLocal(place uint64) {
	for {
		state := g.state.Load()
		if state >= contended {
			g.leaveContended(place)
			return
		}
		if g.state.CompareAndSwap(state, state-place) {
			return
		}
	}
}

// leaveContended is leaveLocal with the mutex.
func (g *gate) leaveContended(place uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free(place)
}

// takePlace waits until a place is free, ctx ends, or done is closed.
func (g *gate) takePlace(ctx context.Context, done <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	w := g.tryPlace()
	if w == nil {
		return true
	}
	select {
	case <-w.ready:
		return true
	case <-ctx.Done():
	case <-done:
	}
	return g.leaveQueue(w)
}

// tryPlace takes a place and returns nil, or adds a waiter to the queue.
func (g *gate) tryPlace() *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 && g.takeFree() {
		return nil
	}
	g.state.Or(contended)
	if len(g.queue) == 0 && g.takeFree() { // a place was freed before contended was set
		g.clearContended()
		return nil
	}
	w := &waiter{make(chan struct{})}
	g.queue = append(g.queue, w)
	return w
}

// takeFree takes a place if one is free. The mutex is held.
func (g *gate) takeFree() bool {
	for {
		state := g.state.Load()
		if taken(state) >= g.limit {
			return false
		}
		if g.state.CompareAndSwap(state, state+onePlace) {
			return true
		}
	}
}

// leaveQueue stops waiting and returns false. It frees a place that was handed over in
// the meantime.
func (g *gate) leaveQueue(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.queue, w); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
		g.clearContended()
	} else {
		g.free(onePlace)
	}
	return false
}

// free frees a place, or hands it to the first waiter, and wakes the goroutines that
// wait for left. The mutex is held.
func (g *gate) free(place uint64) {
	if len(g.queue) > 0 {
		next := g.queue[0]
		g.queue = slices.Delete(g.queue, 0, 1)
		place -= onePlace
		close(next.ready)
	}
	g.state.Add(-place)
	if g.waiting {
		close(g.left)
		g.left = make(chan struct{})
		g.waiting = false
	}
	g.clearContended()
}

// clearContended clears contended if no goroutine waits any more. The mutex is held.
func (g *gate) clearContended() {
	if len(g.queue) == 0 && !g.waiting && !g.gaveUp {
		g.state.And(^uint64(contended))
	}
}

// enterPhase changes the phase.
func (g *gate) enterPhase(p phase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		state := g.state.Load()
		if g.state.CompareAndSwap(state, state-uint64(phaseIn(state))*onePhase+uint64(p)*onePhase) {
			return
		}
	}
}

// giveUp prevents all further entries. It returns the requests without an answer, which
// the caller answers, and the number of running handlers.
func (g *gate) giveUp() (unanswered []*transport.Message, running int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gaveUp = true
	state := g.state.Or(contended)
	for m := g.running.next; m != &g.running; m = m.next {
		if m.in != nil && m.in.call.request != nil && m.in.claim() {
			unanswered = append(unanswered, m.in.call.message)
		}
	}
	return unanswered, g.inside + early(state) + late(state)
}

// wait waits until all that entered before the gate's phase have left. If ctx ends
// first, it returns how many of them entered in the phase before and are still inside,
// so that each is counted once.
func (g *gate) wait(ctx context.Context) int {
	for {
		all, lately, left := g.remain()
		if all == 0 {
			return 0
		}
		select {
		case <-left:
		case <-ctx.Done():
			return lately
		}
	}
}

// remain returns how many that entered before the gate's phase are inside, how many of
// them entered in the phase before it, and a channel that is closed when the next one
// leaves.
func (g *gate) remain() (all, lately int, left <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	state := g.state.Or(contended)
	all = g.inside + early(state)
	lately = all
	if phaseIn(state) == closed {
		lately = late(state)
		all += lately
	}
	g.waiting = all > 0
	g.clearContended()
	return all, lately, g.left
}
