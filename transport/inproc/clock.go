package inproc

import (
	"math"
	"time"
)

// clock counts nanoseconds since the creation of a Backend, by the monotonic clock. A
// change of the wall clock does not move anything that waits.
type clock struct{ began time.Time }

// never is later than any actual time.
const never = math.MaxInt64

func newClock() clock { return clock{time.Now()} }

func (c clock) now() int64 { return int64(c.since()) }

func (c clock) since() time.Duration { return time.Since(c.began) }

// at converts t. A time that is centuries away becomes never.
func (c clock) at(t time.Time) int64 { return int64(t.Sub(c.began)) }

func (c clock) time(at int64) time.Time { return c.began.Add(time.Duration(at)).Round(0).UTC() }

// after returns the time d after now.
func after(now int64, d time.Duration) int64 {
	if int64(d) > never-now {
		return never
	}
	return now + int64(max(d, 0))
}

// alarm calls wake at a set time. It is the only timer of a log, and the lock of the log
// guards it.
type alarm struct {
	wake  func()
	timer *time.Timer
	at    int64
}

// set makes the alarm ring at the given time, unless it rings earlier anyway.
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

// stop cancels the alarm until it is set again.
func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.at = never
}

// due reports whether the alarm is due, and clears it if so.
func (a *alarm) due(now int64) bool {
	if a.at > now {
		return false
	}
	a.at = never
	return true
}
