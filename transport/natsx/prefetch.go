package natsx

import (
	"time"

	"gomono.dev/transport"
)

// prefetch decides how many deliveries a member requests. In a group that is not ordered it
// requests as many as its handler has room for, plus as many as the handler settles in
// prefetchTime. A fast handler then never waits for the network, and a slow one keeps nothing
// from an idle member. In an ordered group the server delivers one message of each partition at a
// time, so a member requests many at once and saves requests.
type prefetch struct {
	ordered bool

	settled int // since from
	from    time.Time
	rates   [2]int // of the last two periods
}

const (
	prefetchTime    = 50 * time.Millisecond
	minPace         = 32 // ends the period of a fast handler early
	maxPrefetch     = 512
	partitionAhead  = 512
	partitionRefill = 16 // so that one pull waits most of the time: the server inspects each
)

// low reports whether a member requests more deliveries. room is the number for which the
// handler has room, waiting the number that wait for it, and asked the number that have been
// requested.
func (a *prefetch) low(room, waiting, asked int) bool {
	if a.ordered {
		return asked <= partitionRefill
	}
	return (waiting+asked)*2 <= room+a.pace()
}

// wanted returns how many deliveries to request then.
func (a *prefetch) wanted(room, waiting, asked int) int {
	if a.ordered {
		return partitionAhead - asked
	}
	a.measure()
	return max(room+a.pace()-waiting-asked, 0)
}

// pace returns how many deliveries the handler settles in prefetchTime, by the slower of the
// last two periods, so that a single burst does not count. A period lasts prefetchTime, or
// until the handler has settled twice its pace, so that a fast handler is detected soon after
// its start.
func (a *prefetch) pace() int { return min(a.rates[0], a.rates[1]) }

func (a *prefetch) measure() {
	now := time.Now()
	passed := now.Sub(a.from)
	if passed < prefetchTime && a.settled < 2*max(a.pace(), minPace) {
		return
	}
	rate := int(int64(a.settled) * int64(prefetchTime) / int64(max(passed, prefetchTime)))
	a.rates = [2]int{min(rate, maxPrefetch), a.rates[0]}
	a.settled, a.from = 0, now
}

// queue holds deliveries in order.
type queue struct {
	all  []*delivery
	head int // all[:head] were taken
}

func (q *queue) len() int { return len(q.all) - q.head }

// first returns the delivery that pop takes. The queue must not be empty.
func (q *queue) first() *delivery { return q.all[q.head] }

func (q *queue) push(d *delivery) { q.all = append(q.all, d) }

// pop removes the first delivery. It returns nil if there is none.
func (q *queue) pop() *delivery {
	if q.len() == 0 {
		return nil
	}
	d := q.all[q.head]
	q.all[q.head] = nil
	q.head++
	if q.head >= len(q.all)/2 { // a queue that never becomes empty must not grow forever
		left := copy(q.all, q.all[q.head:])
		clear(q.all[left:])
		q.all, q.head = q.all[:left], 0
	}
	return d
}

// rate limits the deliveries of a member. After each delivery it pauses for the time that its
// bits take. The zero value does not limit.
type rate struct {
	bits  uint64 // a second
	until time.Time
}

// rest returns the remaining time of the pause.
func (r *rate) rest() time.Duration {
	if r.bits == 0 {
		return 0
	}
	return max(time.Until(r.until), 0)
}

func (r *rate) took(m *transport.Message) {
	if r.bits > 0 {
		r.until = time.Now().Add(time.Duration(float64(m.Size()*8) / float64(r.bits) * float64(time.Second)))
	}
}
