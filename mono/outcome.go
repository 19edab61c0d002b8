package mono

import (
	"errors"
	"time"

	"gomono.dev/transport"
)

// Drop makes an error with which a handler of a stored message gives it up now,
// however many attempts are left: it becomes a dead letter. errors.Is finds err in
// it; other kinds of handlers return it as they would err.
func Drop(err error) error {
	if err == nil {
		err = errors.New("dropped by its handler")
	}
	return &drop{err}
}

type drop struct{ error }

func (d *drop) Unwrap() error { return d.error }

// RetryIn makes an error with which a handler of a stored message asks for the
// next attempt after d, instead of what Backoff says. After the last attempt the
// message becomes a dead letter all the same.
func RetryIn(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("its handler asks for another attempt")
	}
	return &retryIn{err, max(d, 0)}
}

type retryIn struct {
	error
	wait time.Duration
}

func (r *retryIn) Unwrap() error { return r.error }

// HandBack makes an error with which a handler of a stored message ends early because the
// App stops (see [Call.Stopping]): the message is handed back at once, the attempt does not
// count, and this process does not get the message again. errors.Is finds err in it.
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

// DefaultMaxAttempts is how often a stored message is tried unless MaxAttempts
// says otherwise.
const DefaultMaxAttempts = 5

func (c *config) maxAttempts() int {
	if c.MaxAttempts == 0 {
		return DefaultMaxAttempts
	}
	return c.MaxAttempts
}

// wait is how long to wait after an attempt that ended with err.
func (r *receiver) wait(d *transport.Delivery, err error) (wait time.Duration) {
	if asked, ok := errors.AsType[*retryIn](err); ok {
		return asked.wait
	}
	policy := r.config.Backoff
	if policy == nil {
		policy = defaultBackoff
	}
	if e, ok := policy.(exponential); ok {
		return e.drawFor(r, d)
	}
	failed := guard("the Backoff of "+r.decl.String(), r.in.panicked, func() error {
		wait = policy.Wait(d.Attempt)
		return nil
	})
	if failed != nil {
		return defaultBackoff.drawFor(r, d)
	}
	return max(wait, 0)
}

var defaultBackoff = exponential{time.Second, time.Minute}
