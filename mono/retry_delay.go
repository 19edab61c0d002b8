package mono

import (
	"errors"
	"strconv"
	"time"

	"gomono.dev/transport"
)

// RetryAfter returns an error that carries the time to wait before the next attempt, which
// [RetryDelay] returns. A negative d is 0, and one of more than a year is a year. errors.Is
// finds err in the result, which has its code and text.
//
// A stored message gets its next attempt after d, instead of the time that Backoff
// specifies. The attempt counts: after the last one the message becomes a dead letter
// nevertheless. Later messages of its key wait, if the group keeps the order of keys. The
// caller of a service gets the time with the error, in whole milliseconds, rounded up, and at
// most a day.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("its handler asks for another attempt")
	}
	return &retryAfter{error: err, wait: min(max(d, 0), maxRetryAfter)}
}

// RetryDelay returns the time to wait before the next attempt that err carries. It reports
// false if err carries none. The time counts from the moment at which the error was returned.
//
// The error of [RetryAfter] carries one, and so do an error that wraps or joins it, and the
// error that the caller of its handler gets, local or over the transport. So a handler of a
// stored message that returns the error of a call, wrapped or not, waits as long as the
// called service has asked. Of several times the first one in the tree of err counts, in the
// order of errors.As.
func RetryDelay(err error) (time.Duration, bool) {
	if asked, ok := errors.AsType[*retryAfter](err); ok {
		return asked.wait, true
	}
	return 0, false
}

// A time to wait is bounded, so that a mistake keeps no message from being handled for good. The
// receiver of an error trusts its sender less.
const (
	maxRetryAfter    = 365 * 24 * time.Hour
	maxReceivedDelay = 24 * time.Hour
)

type retryAfter struct {
	error
	wait     time.Duration
	received bool // in a reply, and not decided by this handler
}

func (r *retryAfter) Unwrap() error { return r.error }

// setRetryDelay writes the time that err carries to the header of a reply.
func setRetryDelay(header *transport.Header, err error) {
	if d, ok := RetryDelay(err); ok {
		ms := (min(d, maxReceivedDelay) + time.Millisecond - 1) / time.Millisecond
		header.Set(transport.HeaderRetryAfter, strconv.FormatInt(int64(ms), 10))
	}
}

// withRetryDelay returns err with the time in the header of its reply. A text that is not a
// number of milliseconds is ignored.
func withRetryDelay(err error, header transport.Header) error {
	text := header.Get(transport.HeaderRetryAfter)
	if text == "" {
		return err
	}
	ms, bad := strconv.ParseUint(text, 10, 64)
	if bad != nil && !errors.Is(bad, strconv.ErrRange) {
		return err
	}
	wait := time.Duration(min(ms, uint64(maxReceivedDelay.Milliseconds()))) * time.Millisecond
	return &retryAfter{error: err, wait: wait, received: true}
}
