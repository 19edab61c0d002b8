package intake

import (
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// lease decides which goroutine does the work that a message leaves. A change of the leading
// goroutine costs some microseconds. If recent work was quicker than that, the leader does the
// work itself, and leads again. If such work takes long after all, another goroutine leads
// after patience to twice patience.
type lease struct {
	pass func() // lets another goroutine lead

	average atomic.Int64  // time of recent work in ns; every eighth is measured
	count   uint64        // of all work; only for the leader
	last    atomic.Uint64 // number of the last work that the leader did itself
	holder  atomic.Uint64 // that number, as long as its goroutine still leads

	watched atomic.Bool // the timer is set, or about to be
	timer   *time.Timer
	seen    uint64 // last, when the timer last rang
}

const (
	patience = 200 * time.Microsecond
	quick    = 5 * time.Microsecond
	slow     = 64 * time.Microsecond // a longer time counts as this one
)

func newLease(pass func()) *lease {
	l := &lease{pass: pass}
	l.average.Store(int64(slow))
	return l
}

// do does work. It reports whether the caller still leads.
func (l *lease) do(w transport.Work) (leads bool) {
	l.count++
	if l.count%8 == 0 {
		defer l.learn(time.Now())
	}
	if l.average.Load() > int64(quick) {
		l.pass()
		w.Run()
		return false
	}
	n := l.begin()
	returned := false
	defer func() {
		if !returned && l.end(n) { // the work has ended its goroutine
			l.pass()
		}
	}()
	w.Run()
	returned = true
	return l.end(n)
}

func (l *lease) learn(began time.Time) {
	took := int64(min(time.Since(began), slow))
	average := l.average.Load()
	l.average.Store(average + (took-average)/4)
}

// begin begins work that the leader does itself.
func (l *lease) begin() (n uint64) {
	n = l.last.Add(1)
	l.holder.Store(n)
	if !l.watched.Load() && l.watched.CompareAndSwap(false, true) {
		l.wait()
	}
	return n
}

// end reports whether the goroutine of the work leads until now.
func (l *lease) end(n uint64) bool { return l.holder.CompareAndSwap(n, 0) }

// wait sets the timer.
func (l *lease) wait() {
	if l.timer == nil {
		l.timer = time.AfterFunc(patience, l.ring)
		return
	}
	l.timer.Reset(patience)
}

// ring is called by the timer. It is set again as long as the leader does work.
func (l *lease) ring() {
	n := l.last.Load()
	if n == l.seen {
		if l.end(n) {
			l.average.Store(int64(slow))
			l.pass()
		}
		l.watched.Store(false)
		if l.last.Load() == n || !l.watched.CompareAndSwap(false, true) {
			return // the next work sets it
		}
	}
	l.seen = n
	l.wait()
}
