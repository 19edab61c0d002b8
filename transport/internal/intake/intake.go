// Package intake provides queues of messages for handlers, with the goroutines that call
// them.
package intake

import (
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

// Intake is a queue with the goroutines that empty it. Any number of goroutines may put
// messages in. One goroutine at a time leads: it takes the queued messages in order. If a
// message leaves concurrent work, its goroutine does the work and another one leads. So a
// message never changes goroutines after it was taken.
//
// The leader takes all queued messages at once, so that for a stream of messages it takes
// the lock once for many. Goroutines start with the first message that finds none, and
// end with the Intake.
type Intake[M any] struct {
	limit  int
	onDrop func(total uint64)
	take   func(M) transport.Work
	lease  *lease // nil: another goroutine leads before work is done

	// Gate, if not nil, is called before each message, with the lock held. It reports
	// whether the message may be taken now. If not, Wake makes the Intake call it again.
	// It must be set before the first Put.
	Gate func() bool

	// left counts the messages of the current batch that were not taken. The goroutine
	// that takes it below zero, or swaps it for zero, decides about the rest: the leader
	// takes one at a time, Discard takes all.
	left atomic.Int64

	mu       sync.Mutex
	come     sync.Cond // an idle goroutine may have work
	waiting  []M
	bound    int  // at least left
	led      bool // a goroutine leads
	called   bool // a goroutine is about to lead
	idle     int  // goroutines that wait for come
	ended    bool // no new messages are accepted
	over     bool // done is closed
	lost     int  // dropped by Discard
	dropped  uint64
	dropping bool // in an episode of drops

	batch []M // of the leader
	next  int // index in batch

	done chan struct{}
}

const (
	// maxIdleBatch is the capacity above which an emptied batch is left to the garbage
	// collector, so that a burst does not keep its memory permanently.
	maxIdleBatch = 1024

	// maxIdle is the maximum number of goroutines that wait for the next message.
	maxIdle = 32
)

// New returns an Intake. take is called for one message after another; the work that it
// returns runs concurrently. If limit messages are queued, the newest are dropped, and
// onDrop is called for the first of an episode, on a separate goroutine.
func New[M any](limit int, onDrop func(total uint64), take func(M) transport.Work) *Intake[M] {
	q := &Intake[M]{limit: limit, onDrop: onDrop, take: take, done: make(chan struct{})}
	q.come.L = &q.mu
	return q
}

// Put adds a message, or drops it if too many are queued. It returns false if the Intake
// has ended.
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
	q.wakeLeader(how)
	return true
}

// full reports whether the queue is full. The leader writes left for each message, so
// full reads it only if its bound does not decide.
func (q *Intake[M]) full() bool {
	if q.dropping && q.unseen() == 0 {
		q.dropping = false
	}
	return len(q.waiting)+q.bound >= q.limit && q.unseen() >= q.limit
}

// unseen returns the number of queued messages.
func (q *Intake[M]) unseen() int { return len(q.waiting) + int(max(q.left.Load(), 0)) }

// drop counts a dropped message. onDrop runs on a new goroutine: this one belongs to the
// sender, and the Intake's goroutines are slow.
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

// callKind specifies how a goroutine is called to lead.
type callKind int

const (
	callNone callKind = iota
	callIdle
	callNew
)

// call decides which goroutine must be called because a message is queued; the lock is
// held.
func (q *Intake[M]) call() callKind {
	switch {
	case q.led || q.called:
		return callNone
	case q.idle > 0:
		q.called = true
		return callIdle
	default:
		q.called = true
		return callNew
	}
}

// wakeLeader calls a goroutine; the lock is not held.
func (q *Intake[M]) wakeLeader(how callKind) {
	switch how {
	case callIdle:
		q.come.Signal()
	case callNew:
		go q.work()
	}
}

// work takes messages until the Intake has ended. A take that ends its goroutine
// (runtime.Goexit, as a test's FailNow does) ends the Intake.
func (q *Intake[M]) work() {
	leads := false
	defer func() {
		if leads {
			q.abort()
		}
	}()
	for {
		if leads = q.lead(leads); !leads {
			return
		}
		if w := q.takeBatch(); w != nil {
			leads = false
			leads = q.do(w)
		}
	}
}

// do does the work that a message has left. It reports whether the caller still leads.
func (q *Intake[M]) do(w transport.Work) (leads bool) {
	if q.lease != nil {
		return q.lease.do(w)
	}
	q.pass()
	w.Run()
	return false
}

// lead waits until there is something to take and no other goroutine leads. It returns
// false if there will be nothing for this goroutine.
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
	return len(q.waiting) > 0 && (q.Gate == nil || q.Gate())
}

// fill makes a batch of the queued messages, unless there is one. It reuses the memory of
// the last batch for the queue. With Gate, a batch is one message.
func (q *Intake[M]) fill() {
	if q.left.Load() > 0 {
		return
	}
	clear(q.batch) // messages dropped by Discard
	spare := q.batch[:0]
	if cap(spare) > maxIdleBatch {
		spare = nil
	}
	if q.Gate != nil {
		q.batch = append(spare, q.waiting[0])
		clear(q.waiting[:1])
		q.waiting = q.waiting[1:]
	} else {
		q.batch, q.waiting = q.waiting, spare
	}
	q.next, q.bound = 0, len(q.batch)
	q.left.Store(int64(len(q.batch)))
}

// takeBatch takes the messages of a batch until a message leaves work.
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

// pass lets another goroutine lead.
func (q *Intake[M]) pass() {
	q.mu.Lock()
	q.led = false
	how := callNone
	if q.unseen() > 0 {
		how = q.call()
	} else {
		q.settle()
	}
	q.mu.Unlock()
	q.wakeLeader(how)
}

// abort ends the Intake because the goroutine of the leader has ended.
func (q *Intake[M]) abort() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.led = false
	q.discard()
}

// settle closes done if everything has ended; the lock is held.
func (q *Intake[M]) settle() {
	if q.over || !q.ended || q.led || q.unseen() > 0 {
		return
	}
	q.over = true
	close(q.done)
	q.come.Broadcast()
}

// End rejects new messages. Queued messages are still taken.
func (q *Intake[M]) End() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.settle()
}

// Discard ends the Intake and drops the queued messages. It returns the number of
// messages dropped by this call and earlier ones.
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

// Done is closed when the Intake has ended, every message in it was taken or dropped, and
// take has returned. Work may continue.
func (q *Intake[M]) Done() <-chan struct{} { return q.done }

// Wake makes the Intake call Gate again.
func (q *Intake[M]) Wake() { q.come.Signal() }

// Lock takes the lock with which Gate is called.
func (q *Intake[M]) Lock() { q.mu.Lock() }

// Unlock releases the lock.
func (q *Intake[M]) Unlock() { q.mu.Unlock() }

// Waiting returns the queued messages that were not taken. The lock must be held.
func (q *Intake[M]) Waiting() []M { return q.waiting }
