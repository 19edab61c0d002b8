// Package intake holds the messages that wait for a handler, and the goroutines
// that take them there.
package intake

import (
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// Intake is a queue with the goroutines that empty it. Any number may put messages
// in; one goroutine at a time leads: it takes what waits, in order. When a message
// leaves work to be done beside others, its goroutine does that work and somebody
// else leads, so that no message changes goroutines once it was taken.
//
// Who leads takes all that waits at once, so that in a stream of messages the lock
// is taken once for many on that side. Goroutines begin with the first message that
// finds none, and end with the Intake.
type Intake[M any] struct {
	limit  int
	onDrop func(total uint64)
	take   func(M) transport.Work

	// Turn, if not nil, is asked before each message whether it may be taken now, the
	// lock being held. Where it may not, Wake says when to ask again. It is set before
	// the first Put.
	Turn func(waiting []M) bool

	// left counts what of the current batch was not taken. Whoever takes it below
	// zero, or swaps it for zero, decides about the rest: who leads takes one at a
	// time, Discard takes all.
	left atomic.Int64

	mu       sync.Mutex
	come     sync.Cond // somebody idle may have something to do
	waiting  []M
	bound    int  // at least left
	led      bool // somebody leads
	called   bool // somebody is about to
	idle     int  // goroutines that wait for come
	ended    bool // nothing more comes in
	over     bool // done is closed
	lost     int  // thrown away by Discard
	dropped  uint64
	dropping bool // in an episode of drops

	batch []M // of who leads
	next  int // in batch

	done chan struct{}
}

const (
	// maxIdleBatch is the capacity above which an emptied batch is left to the
	// garbage collector, so that a burst does not keep its memory for good.
	maxIdleBatch = 1024

	// maxIdle is how many goroutines wait at most for what comes next.
	maxIdle = 32
)

// New makes an Intake. Take is called for one message after another; what it
// returns is done beside others. When limit messages wait, the newest are dropped,
// and onDrop is told about the first of an episode, on a goroutine of its own.
func New[M any](limit int, onDrop func(total uint64), take func(M) transport.Work) *Intake[M] {
	q := &Intake[M]{limit: limit, onDrop: onDrop, take: take, done: make(chan struct{})}
	q.come.L = &q.mu
	return q
}

// Put adds a message, or drops it when too many wait. It reports false when the
// Intake has ended.
func (q *Intake[M]) Put(m M) bool {
	q.mu.Lock()
	if q.ended {
		q.mu.Unlock()
		return false
	}
	if q.full() {
		q.drop()
		q.mu.Unlock()
		return true
	}
	q.waiting = append(q.waiting, m)
	how := q.call()
	q.mu.Unlock()
	q.answer(how)
	return true
}

// full reports whether no more may wait. It looks at left, which who leads writes
// for each message, only when the bound of it does not decide.
func (q *Intake[M]) full() bool {
	if q.dropping && q.unseen() == 0 {
		q.dropping = false
	}
	return len(q.waiting)+q.bound >= q.limit && q.unseen() >= q.limit
}

// unseen is how many messages wait.
func (q *Intake[M]) unseen() int { return len(q.waiting) + int(max(q.left.Load(), 0)) }

// drop counts a message that is not kept. onDrop gets a goroutine: this one is the
// sender's, and those of the Intake are what is slow.
func (q *Intake[M]) drop() {
	q.dropped++
	if q.dropping {
		return
	}
	q.dropping = true
	if q.onDrop != nil {
		go q.onDrop(q.dropped)
	}
}

// answering is how somebody is called to lead.
type answering int

const (
	nobody answering = iota
	idler
	newcomer
)

// call finds out who has to be called because a message waits; the lock is held.
func (q *Intake[M]) call() answering {
	switch {
	case q.led || q.called:
		return nobody
	case q.idle > 0:
		q.called = true
		return idler
	default:
		q.called = true
		return newcomer
	}
}

// answer calls somebody; the lock is not held.
func (q *Intake[M]) answer(how answering) {
	switch how {
	case idler:
		q.come.Signal()
	case newcomer:
		go q.work()
	}
}

// work takes messages until the Intake has ended. A Take that ends its goroutine
// (runtime.Goexit, as a test's FailNow does) ends the Intake.
func (q *Intake[M]) work() {
	leads := false
	defer func() {
		if leads {
			q.fall()
		}
	}()
	for {
		if leads = q.lead(leads); !leads {
			return
		}
		if w := q.takeBatch(); w != nil {
			leads = false
			q.pass()
			w.Run()
		}
	}
}

// lead waits until there is something to take for somebody to lead. It reports
// false when there will be nothing for this goroutine.
func (q *Intake[M]) lead(leads bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if leads {
		q.led = false
	}
	for {
		if q.left.Load() <= 0 {
			q.bound = 0
		}
		if !q.led && q.ready() {
			q.led, q.called = true, false
			q.fill()
			return true
		}
		if q.settle(); q.over || q.idle >= maxIdle {
			return false
		}
		q.idle++
		q.come.Wait()
		q.idle--
	}
}

// ready reports whether a message can be taken.
func (q *Intake[M]) ready() bool {
	if q.left.Load() > 0 {
		return true
	}
	return len(q.waiting) > 0 && (q.Turn == nil || q.Turn(q.waiting))
}

// fill makes a batch of what waits, unless there is one, and leaves the memory of
// the last one for what comes. Where messages take turns, a batch is one of them.
func (q *Intake[M]) fill() {
	if q.left.Load() > 0 {
		return
	}
	clear(q.batch) // what Discard left
	spare := q.batch[:0]
	if cap(spare) > maxIdleBatch {
		spare = nil
	}
	if q.Turn != nil {
		q.batch = append(spare, q.waiting[0])
		clear(q.waiting[:1])
		q.waiting = q.waiting[1:]
	} else {
		q.batch, q.waiting = q.waiting, spare
	}
	q.next, q.bound = 0, len(q.batch)
	q.left.Store(int64(len(q.batch)))
}

// takeBatch takes the messages of a batch until one of them leaves work to do.
func (q *Intake[M]) takeBatch() (w transport.Work) {
	var none M
	for w == nil && q.next < len(q.batch) && q.left.Add(-1) >= 0 {
		m := q.batch[q.next]
		q.batch[q.next] = none
		q.next++
		w = q.take(m)
	}
	return w
}

// pass lets somebody else lead.
func (q *Intake[M]) pass() {
	q.mu.Lock()
	q.led = false
	how := nobody
	if q.unseen() > 0 {
		how = q.call()
	} else {
		q.settle()
	}
	q.mu.Unlock()
	q.answer(how)
}

// fall ends the Intake because who leads is gone.
func (q *Intake[M]) fall() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.led = false
	q.discard()
}

// settle notices that all is over; the lock is held.
func (q *Intake[M]) settle() {
	if q.over || !q.ended || q.led || q.unseen() > 0 {
		return
	}
	q.over = true
	close(q.done)
	q.come.Broadcast()
}

// End lets nothing more come in. What waits is taken yet.
func (q *Intake[M]) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.settle()
}

// Discard ends the Intake, throws away what waits, and returns how many messages
// were lost so, by this call and earlier ones.
func (q *Intake[M]) Discard() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.discard()
	return q.lost
}

func (q *Intake[M]) discard() {
	q.ended = true
	q.lost += len(q.waiting) + int(max(q.left.Swap(0), 0))
	q.waiting = nil
	q.settle()
}

// Done is closed when the Intake has ended and every message in it was taken, or
// thrown away, and Take has returned. Work may go on.
func (q *Intake[M]) Done() <-chan struct{} { return q.done }

// Wake lets Turn be asked again.
func (q *Intake[M]) Wake() { q.come.Signal() }

// Look calls f with what waits and was not taken, the lock being held.
func (q *Intake[M]) Look(f func(waiting []M)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	f(q.waiting)
}
