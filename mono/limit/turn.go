package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gomono.dev/mono"
)

// waits reports whether a message over the limit waits for its turn. A call is refused.
func waits(c *mono.Call) bool { return c.Handle().Kind() != mono.KindService }

// stopping returns the channel whose end makes a waiting message give up its turn. A message that is
// not stored waits on, since it would be lost.
func stopping(c *mono.Call) <-chan struct{} {
	if c.Time().IsZero() {
		return nil
	}
	return c.Stopping()
}

// sleep waits for the turn of a message, which comes after d.
func sleep(ctx context.Context, c *mono.Call, d time.Duration, refused error) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return mono.RetryAfter(d, refused)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
	case <-stopping(c):
	}
	return gaveUp(ctx, d, refused)
}

// gaveUp returns the error of a message that waits no longer for its turn, which comes after d: its
// time is over, or the App stops.
func gaveUp(ctx context.Context, d time.Duration, refused error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return mono.RetryAfter(d, refused)
	}
	return mono.HandBack(refused)
}

// exhausted returns the error of a message over the limit.
func exhausted(c *mono.Call, format string, args ...any) error {
	return refusal(mono.ResourceExhausted, "%s %s: over the limit of "+format, append([]any{c.Handle().Kind(), c.Handle().Name()}, args...)...)
}

// refusal returns the error of a message that no handler has received.
func refusal(code mono.Code, format string, args ...any) *mono.Error {
	return &mono.Error{Code: code, Outcome: mono.OutcomeNotDone, Message: fmt.Sprintf(format, args...)}
}
