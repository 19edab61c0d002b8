package inproc

import (
	"math"
	"time"
)

// clock counts nanoseconds since a Backend was made, by the monotonic clock: what
// waits is not moved when somebody sets the wall clock.
type clock struct{ began time.Time }

// never is later than any time that comes.
const never = math.MaxInt64

func newClock() clock { return clock{time.Now()} }

func (c clock) now() int64 { return int64(c.since()) }

func (c clock) since() time.Duration { return time.Since(c.began) }

// at is the time of t. One that is centuries away is never.
func (c clock) at(t time.Time) int64 { return int64(t.Sub(c.began)) }

func (c clock) time(at int64) time.Time { return c.began.Add(time.Duration(at)).Round(0).UTC() }

// after is d later than now.
func after(now int64, d time.Duration) int64 {
	if int64(d) > never-now {
		return never
	}
	return now + int64(max(d, 0))
}

// alarm calls wake once its time has come. It belongs to a log, and its lock, and
// is the only timer that it has.
type alarm struct {
	wake  func()
	timer *time.Timer
	at    int64
}

// set makes the alarm ring at that time, unless it rings earlier anyway.
func (a *alarm) set(at, now int64) {
	if at >= a.at {
		return
	}
	a.at = at
	a.start(now)
}

func (a *alarm) start(now int64) {
	d := time.Duration(max(a.at-now, 0))
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.wake)
		return
	}
	a.timer.Reset(d)
}

// stop makes the alarm ring no more until it is set again.
func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.at = never
}

// rings reports whether the time has come, and clears the alarm then.
func (a *alarm) rings(now int64) bool {
	if a.at > now {
		return false
	}
	a.at = never
	return true
}
