package transport

import (
	"context"
	"errors"
	"fmt"
)

// Error is an error with a code. Every error that a Transport returns is one.
type Error struct {
	// Code says what kind of error it is.
	Code Code

	// Outcome says whether the message may have been acted upon.
	Outcome Outcome

	// Message says what happened, to whom, and what to do. It crosses the wire.
	Message string

	// Err is the cause. It stays in the process.
	Err error
}

// Outcome says what is known about a message whose sending failed.
type Outcome uint8

const (
	// OutcomeUnknown: it may have been acted upon, or may yet be.
	OutcomeUnknown Outcome = iota

	// OutcomeNotDone: no handler has seen it, and none will.
	OutcomeNotDone

	// OutcomeAnswered: its handler answered with this error.
	OutcomeAnswered
)

// String returns "unknown", "not done" or "answered".
func (o Outcome) String() string {
	switch o {
	case OutcomeNotDone:
		return "not done"
	case OutcomeAnswered:
		return "answered"
	}
	return "unknown"
}

// Errorf makes an Error. A %w in the format sets its cause.
func Errorf(code Code, outcome Outcome, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Outcome: outcome, Message: err.Error(), Err: errors.Unwrap(err)}
}

// Error returns the code and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches context.Canceled and context.DeadlineExceeded by code, so that an
// error means the same whichever side of the wire it comes from.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == Canceled
	case context.DeadlineExceeded:
		return e.Code == DeadlineExceeded
	}
	if c, ok := target.(coded); ok {
		return e.Code == c.ErrorCode()
	}
	return false
}

// coded is an error that has a code without being an Error: a sentinel, or a type
// of somebody else's.
type coded interface {
	error
	ErrorCode() Code
}

// CodeOf returns the code of err: "" for nil; that of the first error in its tree
// that is an Error or has a method ErrorCode() Code; Canceled and
// DeadlineExceeded for the errors of a context; Unknown for any other.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if c, ok := errors.AsType[coded](err); ok {
		return c.ErrorCode()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	}
	return Unknown
}

// ContextError turns the error of a context that has ended into an Error.
func ContextError(ctx context.Context, outcome Outcome, format string, args ...any) *Error {
	e := Errorf(CodeOf(ctx.Err()), outcome, format, args...)
	e.Err = context.Cause(ctx)
	return e
}
