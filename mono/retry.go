package mono

import (
	"errors"
	"time"

	"gomono.dev/transport"
)

// Permanent returns an error for which a stored message gets no further attempt,
// however many are left: it becomes a dead letter. errors.Is finds err in it. Handlers
// of other kinds can return it like err itself.
func Permanent(err error) error {
	if err == nil {
		err = errors.New("given up by its handler")
	}
	return &permanent{err}
}

type permanent struct{ error }

func (d *permanent) Unwrap() error { return d.error }

// RetryAfter returns an error for which a stored message gets its next attempt after d,
// instead of the time that Backoff specifies. After the last attempt the message
// becomes a dead letter nevertheless.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("its handler asks for another attempt")
	}
	return &retryAfter{err, max(d, 0)}
}

type retryAfter struct {
	error
	wait time.Duration
}

func (r *retryAfter) Unwrap() error { return r.error }

// HandBack returns an error with which a handler of a stored message ends early because
// the App stops (see [Call.Stopping]): the message is handed back at once, the attempt does
// not count, and this process does not get the message again. errors.Is finds err in it.
// Before the App stops it is an error like any other, and so it is for other kinds of
// handlers.
func HandBack(err error) error {
	if err == nil {
		err = errors.New("handed back by its handler")
	}
	return &handBack{err}
}

type handBack struct{ error }

func (h *handBack) Unwrap() error { return h.error }

// DefaultMaxAttempts is the number of attempts at a stored message, unless MaxAttempts
// sets another.
const DefaultMaxAttempts = 5

func (c *config) maxAttempts() int {
	if c.MaxAttempts == 0 {
		return DefaultMaxAttempts
	}
	return c.MaxAttempts
}

// wait returns the wait after an attempt that ended with err.
func (r *settler) wait(d *transport.Delivery, err error) (wait time.Duration) {
	if asked, ok := errors.AsType[*retryAfter](err); ok {
		return asked.wait
	}
	policy := r.config.Backoff
	if policy == nil {
		policy = defaultBackoff
	}
	if e, ok := policy.(exponential); ok {
		return e.drawFor(r.receiver, d)
	}
	failed := guard("the Backoff of "+r.decl.String(), r.in.panicked, func() error {
		wait = policy.Wait(d.Attempt)
		return nil
	})
	if failed != nil {
		return defaultBackoff.drawFor(r.receiver, d)
	}
	return max(wait, 0)
}

var defaultBackoff = exponential{time.Second, time.Minute}
