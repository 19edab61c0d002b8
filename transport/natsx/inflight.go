package natsx

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// inFlight holds the deliveries of a member until they are settled: those that wait for the
// handler, and those in it.
type inFlight struct {
	m         *member
	max       int           // deliveries in the handler at once
	wake      chan struct{} // of capacity 1: wakes the leading goroutine
	consumers []*consumer   // they do not change

	mu          sync.Mutex
	source      *pullSource
	leaderWaits bool     // the leading goroutine waits, and receives what arrives
	waiting     queue    // for the handler
	held        delivery // head of the ring of unsettled deliveries
	inHandler   int      // deliveries in the handler
	prefetch    prefetch
	rate        rate
	keyed       bool      // the group keeps the order of keys
	turn        int       // the consumer that next begins with
	extended    time.Time // held deliveries were extended
	outbox      outbox

	ending  bool          // no more deliveries for the handler
	left    bool          // the server knows that no more are wanted
	settled chan struct{} // closed once ending, when the handler has no delivery
}

// takeAtOnce bounds how long settlements wait while the leading goroutine receives messages.
const takeAtOnce = 16

// takeIn receives at most n messages that have arrived. The caller holds the lock, and no
// other goroutine waits for messages.
func (f *inFlight) takeIn(n int) {
	for range n {
		select {
		case msg := <-f.source.arrived:
			f.arrive(msg)
		default:
			return
		}
	}
}

// arrive receives a message. The caller holds the lock.
func (f *inFlight) arrive(msg *nats.Msg) {
	f.m.l.t.denials.over(f.m.pulled)
	var about nats.MsgMetadata
	p := f.source.receive(msg, &about)
	if p == nil {
		return
	}
	if isStatus(msg) {
		if p.suspect {
			nudge(f.m.check.wake)
		}
		return
	}
	from := f.consumers[p.index]
	d := &delivery{m: f.m, from: from, reply: msg.Reply, msg: msg}
	d.setIdentity(&about)
	if from.keyed != nil && !from.keyed.arrive(d, msg, &about) {
		return
	}
	d.prev, d.next = f.held.prev, &f.held
	d.prev.next, f.held.prev = d, d
	f.recall(d, &about)
}

// resume receives a message, if there is one, unless the server knows that no more are wanted.
// A message that arrives before that is held: if it were handed back earlier, it could come
// here again, as one more attempt.
func (f *inFlight) resume(msg *nats.Msg) (held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaderWaits = false
	if msg == nil || f.left {
		return msg == nil
	}
	f.arrive(msg)
	return true
}

// next returns the delivery for the handler, and the pulls to send. The delivery is nil if
// there is none, if the handler has as many as it may have, or if the rate limit requires a
// pause, whose remaining time is rest.
func (f *inFlight) next() (d *delivery, pulls []pull, rest time.Duration, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return nil, nil, 0, true
	}
	f.takeIn(takeAtOnce)
	if f.inHandler < f.max {
		if rest = f.rate.rest(); rest == 0 {
			d = f.first()
		}
		if d != nil {
			d.begun = true
			f.inHandler++
			if f.rate.bits > 0 {
				d.fill()
				f.rate.took(&d.Message)
			}
		}
	}
	pulls = f.wanted()
	f.leaderWaits = d == nil
	return d, pulls, rest, false
}

// first takes the first delivery that may be handled, or nil.
func (f *inFlight) first() *delivery {
	if f.keyed {
		for range f.consumers {
			k := f.consumers[f.turn%len(f.consumers)].keyed
			f.turn++
			if d := k.next(); d != nil {
				return d
			}
		}
		return nil
	}
	if f.waiting.len() == 0 || f.waiting.first().unknown {
		return nil
	}
	return f.waiting.pop()
}

// wanted returns the pulls to send now.
func (f *inFlight) wanted() (pulls []pull) {
	if f.keyed {
		return f.keyedPulls()
	}
	for _, p := range f.consumers {
		if p.held || !f.prefetch.low(f.max-f.inHandler, f.waiting.len(), p.requested) {
			continue
		}
		if !f.m.base.known || !f.source.connected() {
			return nil
		}
		if n := f.prefetch.wanted(f.max-f.inHandler, f.waiting.len(), p.requested); n > 0 {
			pulls = append(pulls, p.newPull(n))
		}
	}
	return pulls
}

// release removes a settled delivery from the ring of held deliveries.
func (f *inFlight) release(d *delivery) {
	d.endAttempt()
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.next == nil {
		return
	}
	d.prev.next, d.next.prev = d.next, d.prev
	d.prev, d.next = nil, nil
	if d.begun {
		f.handled(d)
	}
}

// leaveHandler notes that a delivery that stays held is not with the handler any more.
func (f *inFlight) leaveHandler(d *delivery) {
	d.endAttempt()
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.begun {
		f.handled(d)
	}
}

// handled counts a delivery that was with the handler.
func (f *inFlight) handled(d *delivery) {
	d.begun = false
	f.inHandler--
	f.prefetch.settled++
	f.checkSettled()
	lacks := !f.prefetch.ordered && f.prefetch.low(f.max-f.inHandler, f.waiting.len(), f.consumers[0].requested)
	if f.leaderWaits && (f.waiting.len() > 0 || lacks || f.keyed) {
		nudge(f.wake)
	}
}

// keyedPulls returns the pulls of the partitions to send now.
func (f *inFlight) keyedPulls() (pulls []pull) {
	if !f.m.base.known || !f.source.connected() {
		return nil
	}
	now := time.Now()
	for _, c := range f.consumers {
		pulls = append(pulls, c.keyed.pulls(now)...)
		c.keyed.refreshState(now)
	}
	return pulls
}

// checkSettled closes settled after the last settlement.
func (f *inFlight) checkSettled() {
	if !f.ending || f.inHandler > 0 || f.outbox.sending {
		return
	}
	select {
	case <-f.settled:
	default:
		close(f.settled)
		nudge(f.m.check.wake)
	}
}

func (f *inFlight) live() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.ending
}

// end stops deliveries, and reports whether this call did it.
func (f *inFlight) end() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return false
	}
	f.ending = true
	f.checkSettled()
	nudge(f.wake)
	nudge(f.m.check.wake)
	return true
}

func (f *inFlight) setLeft() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = true
}

// over reports whether keep has nothing more to do.
func (f *inFlight) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ending && f.held.next == &f.held
}

// holding returns unsettled deliveries: all, or those that have not reached the handler.
func (f *inFlight) holding(all bool) (held []*delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := f.held.next; d != &f.held; d = d.next {
		if all || !d.begun {
			held = append(held, d)
		}
	}
	return held
}

// noteExtended notes that the held deliveries were extended. After a pause, the server may have
// delivered them to other members.
func (f *inFlight) noteExtended(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	late := at.Sub(f.extended) >= 3*f.m.refresh
	f.extended = at
	for _, c := range f.consumers {
		if late && c.keyed != nil {
			c.keyed.order.Doubt()
			c.keyed.unpinned()
		}
	}
}
