package natsx

import "time"

// ahead decides how many deliveries a member asks for. In a group that is not
// ordered it asks for what its handler has room for, and ahead of that for what the
// handler settles in aheadTime: enough that a fast handler never waits for the
// network, and nothing that a slow one would keep from an idle member. In an
// ordered group the server hands out one of each lane at a time anyway, so a member
// asks for many at once and saves the asking.
type ahead struct {
	ordered bool

	settled int // since from
	from    time.Time
	rates   [2]int // of the last two periods
}

const (
	aheadTime  = 50 * time.Millisecond
	minPace    = 32 // a handler that settles twice as many in no time is looked at early
	maxAhead   = 512
	laneAhead  = 512
	laneRefill = 16 // so that there is one pull most of the time, each of which the server looks at
)

// low reports whether a member has so little that it asks for more, where the handler
// has room for some, some wait for it, and some have been asked for.
func (a *ahead) low(room, waiting, asked int) bool {
	if a.ordered {
		return asked <= laneRefill
	}
	return (waiting+asked)*2 <= room+a.pace()
}

// wanted returns how many to ask for then.
func (a *ahead) wanted(room, waiting, asked int) int {
	if a.ordered {
		return laneAhead - asked
	}
	a.measure()
	return max(room+a.pace()-waiting-asked, 0)
}

// pace is how many deliveries the handler settles in aheadTime, going by the slower
// of the last two periods: one burst is no pace. A period lasts aheadTime, or until
// the handler has settled twice its pace, so that a fast one is known for one soon
// after its start.
func (a *ahead) pace() int { return min(a.rates[0], a.rates[1]) }

func (a *ahead) measure() {
	now := time.Now()
	passed := now.Sub(a.from)
	if passed < aheadTime && a.settled < 2*max(a.pace(), minPace) {
		return
	}
	rate := int(int64(a.settled) * int64(aheadTime) / int64(max(passed, aheadTime)))
	a.rates = [2]int{min(rate, maxAhead), a.rates[0]}
	a.settled, a.from = 0, now
}

// queue holds deliveries in order.
type queue struct {
	all  []*delivery
	head int // all[:head] has been taken
}

func (q *queue) len() int { return len(q.all) - q.head }

// first returns the one that pop takes; there is one.
func (q *queue) first() *delivery { return q.all[q.head] }

func (q *queue) push(d *delivery) { q.all = append(q.all, d) }

// pop takes the first, nil if there is none.
func (q *queue) pop() *delivery {
	if q.len() == 0 {
		return nil
	}
	d := q.all[q.head]
	q.all[q.head] = nil
	q.head++
	if q.head >= len(q.all)/2 { // so that one that is never empty does not grow for ever
		left := copy(q.all, q.all[q.head:])
		clear(q.all[left:])
		q.all, q.head = q.all[:left], 0
	}
	return d
}
