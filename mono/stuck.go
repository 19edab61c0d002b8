package mono

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultStuckAfter is the time after which a handler of a stored message is stuck,
// unless StuckAfter sets another.
const DefaultStuckAfter = 5 * time.Minute

// StuckAfter sets the time after which one attempt of a handler of a stored message is
// stuck, DefaultStuckAfter by default, at least 100 ms. Observers get a HandlerStuck,
// and the module is unhealthy until the handler returns. Nothing else happens: a live
// process keeps its message, however long that takes. Each attempt is counted by
// itself, and a batch is one attempt. [Timeout] ends the context of an attempt; StuckAfter
// counts independently of it, and finds the handlers that do not return then.
func StuckAfter(d time.Duration) interface {
	StoredOption
	StoredHandlerOption
} {
	return set(d >= 100*time.Millisecond, func(c *config) { c.StuckAfter = d }, "StuckAfter(%v): want at least 100ms", d)
}

// watch finds handlers of stored messages that do not return. Health examines the
// running handlers on demand. Observers are notified by a timer. It is set while a
// handler runs, and not set again when none does: an idle App has no timers, and a
// message costs two atomic stores and a load.
type watch struct {
	r     *receiver
	after time.Duration
	armed atomic.Bool // the timer is set, or about to be

	mu    sync.Mutex
	timer *time.Timer // nil until it is set first
	ended bool
}

func newWatch(r *receiver) *watch {
	return &watch{r: r, after: cmp.Or(r.config.StuckAfter, DefaultStuckAfter)}
}

// begin records that the handler of a message begins. Until end, the id and the attempt
// in its Call do not change.
func (w *watch) begin(m *inbound, now time.Duration) {
	if w == nil {
		return
	}
	m.since.Store(int64(now) + 1) // 0 means that no handler runs
	if !w.armed.Load() && w.armed.CompareAndSwap(false, true) {
		w.set(w.after)
	}
}

func (w *watch) end(m *inbound) {
	if w != nil {
		m.since.Store(0)
	}
}

// set sets the timer, unless the receiver has ended.
func (w *watch) set(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case w.timer == nil:
		w.timer = time.AfterFunc(d, w.ring)
	default:
		w.timer.Reset(d)
	}
}

// stop ends the timer, which is not set again.
func (w *watch) stop() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// ring is called by the timer.
func (w *watch) ring() {
	next := w.report()
	if next == 0 {
		w.armed.Store(false)
		// A handler may have begun before that, and found the timer set.
		if next = w.report(); next == 0 || !w.armed.CompareAndSwap(false, true) {
			return
		}
	}
	w.set(next)
}

// report reports the stuck handlers to observers, once each. It returns the time until
// the next one would be stuck, 0 if no other runs.
func (w *watch) report() (next time.Duration) {
	var fresh []HandlerStuck
	w.r.gate.each(func(m *inbound) {
		o, ran := w.running(m)
		switch {
		case ran == 0 || m.reported:
		case ran >= w.after:
			m.reported = true
			fresh = append(fresh, o)
		case next == 0 || w.after-ran < next:
			next = w.after - ran
		}
	})
	for _, o := range fresh {
		w.r.in.log.Error("mono: handler is stuck, it has not returned", "module", o.Module, "handle", o.Handle.Name(), "kind", o.Handle.Kind(),
			"group", o.Group, "id", o.ID, "attempt", o.Attempt, "since", o.Since)
		w.r.in.observe(o)
	}
	return next
}

// running describes the handler of a message, and returns how long it has run, 0 if it
// does not run. The caller holds the gate's mutex.
func (w *watch) running(m *inbound) (HandlerStuck, time.Duration) {
	since := time.Duration(m.since.Load() - 1)
	if since < 0 {
		return HandlerStuck{}, 0
	}
	c := &m.call
	o := HandlerStuck{
		Module: w.r.unit.name, Handle: w.r.decl, Group: w.r.group(), ID: c.id, Attempt: c.Attempt(),
		Since: w.r.in.clock.At(since),
	}
	return o, max(w.r.in.clock.Now()-since, 1)
}

// check is the health check of the handlers. Its error names the handler that has been
// stuck for the longest time.
func (w *watch) check() error {
	if w == nil {
		return nil
	}
	var oldest HandlerStuck
	var longest time.Duration
	stuck := 0
	w.r.gate.each(func(m *inbound) {
		o, ran := w.running(m)
		if ran < w.after {
			return
		}
		stuck++
		if ran > longest {
			oldest, longest = o, ran
		}
	})
	if stuck == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of its handlers in the group %q have not returned within StuckAfter (%v): the longest, of message %s in attempt %d, has run for %v: look for it in a goroutine profile, or raise StuckAfter",
		w.r.decl, stuck, oldest.Group, w.after, oldest.ID, oldest.Attempt, longest.Round(time.Millisecond))
}

// check is the health check of a unit's receivers: their groups exist, their handlers
// return, and no partition waits.
func (u *unit) check() error {
	var errs []error
	for _, r := range u.receivers {
		errs = append(errs, r.check(), r.watch.check(), r.full.check())
	}
	return errors.Join(errs...)
}
