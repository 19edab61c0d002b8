package mono

import (
	"sync"
	"sync/atomic"
	"time"
)

// result is the result of an attempt at a message.
type result struct {
	err          error
	reason       Reason        // why no other attempt can help, "" if the error decides
	unclaimed    string        // the key of a job that no group takes
	late         bool          // the time limit had expired when the handler returned
	exited       bool          // the handler, or a codec, has ended its goroutine
	began, ended time.Duration // on the clock
}

// finisher is the last stage.
type finisher interface {
	// refuse ends a message that was not admitted: the App ran out of time to stop.
	refuse(m *inbound)

	// finish ends a message after an attempt at it.
	finish(m *inbound, res result)
}

// atMostOnce finishes messages that have no reply and are not stored.
type atMostOnce struct {
	*receiver
	refused atomic.Uint64 // number of messages
}

// refuse implements finisher.
func (r *atMostOnce) refuse(*inbound) {
	if n := r.refused.Add(1); n == 1 {
		r.in.log.Warn("mono: messages dropped, the App ran out of time to stop", "module", r.unit.name, "handle", r.decl.name)
		r.in.observe(MessagesDropped{Module: r.unit.name, Handle: r.decl, Total: n})
	}
}

// finish implements finisher.
func (r *atMostOnce) finish(m *inbound, res result) {
	r.logResult(m, res)
}

// logResult logs the failure of a handler, and a message that cannot be decoded. No middleware sees
// the latter, and anybody may send them: one in a second is logged.
func (r *receiver) logResult(m *inbound, res result) {
	switch {
	case res.err == nil:
	case res.reason != ReasonUndecodable || res.exited:
		r.logFailure(m.call.ID, res.err)
	default:
		if others, ok := r.undecodable.next(res.ended); ok {
			r.in.log.Warn("mono: message not decoded", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "id", m.call.ID(), "error", res.err, "others", others)
		}
	}
}

// logFailure logs an error that no caller gets, or that is a bug of the handler.
func (r *receiver) logFailure(id func() string, err error) {
	if !r.replies() || CodeOf(err) == Internal {
		r.in.log.Error("mono: handler failed", "module", r.unit.name, "handle", r.decl.name, "kind", r.decl.kind, "id", id(), "error", err)
	}
}

// occasional chooses at most one of the events of a second.
type occasional struct {
	mu     sync.Mutex
	after  time.Duration // on the clock
	others uint64        // not chosen since the last one
}

// next reports whether an event is chosen, and the number of others since the last one.
func (o *occasional) next(now time.Duration) (others uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now < o.after {
		o.others++
		return 0, false
	}
	others, o.others, o.after = o.others, 0, now+time.Second
	return others, true
}
