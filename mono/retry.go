package mono

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
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
	if asked, ok := RetryDelay(err); ok {
		return asked
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

// BackoffPolicy determines the wait before a failed attempt is repeated. Constant,
// Exponential and Waits return policies. Other implementations must have comparable
// types.
type BackoffPolicy interface {
	// Wait returns the wait after the given attempt, which counts from 1. It may be
	// called concurrently.
	Wait(attempt int) time.Duration
}

// Backoff sets the waits between attempts, Exponential(1s, 1m) by default.
func Backoff(policy BackoffPolicy) StoredOption {
	return set(policy != nil, func(c *config) { c.Backoff = policy }, "Backoff: want a policy, got nil")
}

// Constant returns a policy with the same wait after each attempt.
func Constant(d time.Duration) BackoffPolicy {
	if d < 0 {
		panic(fmt.Sprintf("mono.Constant(%v): want 0 or more", d))
	}
	return constant(d)
}

type constant time.Duration

func (c constant) Wait(int) time.Duration { return time.Duration(c) }

func (c constant) String() string { return time.Duration(c).String() }

// Exponential returns a policy that waits about first after the first attempt and
// doubles the wait with each further one, up to limit. Each wait is drawn from its
// upper half, so that messages that failed together are not retried together. Wait
// draws it at random. For a message it depends on the handle, group, sequence and
// attempt.
func Exponential(first, limit time.Duration) BackoffPolicy {
	if first <= 0 || limit < first {
		panic(fmt.Sprintf("mono.Exponential(%v, %v): want 0 < first <= limit", first, limit))
	}
	return exponential{first, limit}
}

type exponential struct{ first, limit time.Duration }

func (e exponential) Wait(attempt int) time.Duration { return e.draw(attempt, rand.Uint64()) }

func (e exponential) String() string { return fmt.Sprintf("exponential, %v to %v", e.first, e.limit) }

// draw derives a wait from a random number.
func (e exponential) draw(attempt int, number uint64) time.Duration {
	wait := e.first
	for i := 1; i < attempt && wait < e.limit; i++ {
		wait += min(wait, e.limit-wait) // which cannot overflow
	}
	return wait - time.Duration(number%uint64(wait/2+1))
}

// drawFor returns the wait after an attempt at a message. It depends on nothing else,
// so a test in virtual time gets the same wait each time.
func (e exponential) drawFor(r *receiver, d *transport.Delivery) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, r.decl, " ", r.group(), " ", d.Sequence, " ", d.Attempt)
	return e.draw(d.Attempt, h.Sum64())
}

// Waits returns a policy with a list of waits: the first one after the first attempt,
// and so on. The last one applies to all further attempts.
func Waits(list ...time.Duration) BackoffPolicy {
	if len(list) == 0 || slices.Min(list) < 0 {
		panic(fmt.Sprintf("mono.Waits(%v): want at least one wait, none negative", list))
	}
	return backoffList(slices.Clone(list))
}

type backoffList []time.Duration

func (l backoffList) Wait(attempt int) time.Duration {
	return l[min(max(attempt, 1), len(l))-1]
}
