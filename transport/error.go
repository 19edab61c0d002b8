package transport

import (
	"context"
	"errors"
	"fmt"
)

// Error is an error with a code. Every error returned by a Transport is an Error.
type Error struct {
	// Code classifies the error.
	Code Code

	// Outcome specifies whether the message may have been processed.
	Outcome Outcome

	// Message describes what happened, to whom, and what to do. It is sent to the peer.
	Message string

	// Err is the cause. It stays in the process.
	Err error
}

// SettingError is the cause of an error about a setting of a log, a group or a bucket that
// exists with another value, and cannot be changed.
type SettingError struct {
	Setting  string // such as "Partitions", a field of LogConfig
	Is, Want any
}

// Error returns the setting and both values.
func (e *SettingError) Error() string {
	return fmt.Sprintf("%s is %v, want %v", e.Setting, e.Is, e.Want)
}

// ErrTooLarge is the cause of an InvalidArgument about the size of a message or of its header.
// This process has not sent the message, or the server has not stored it. The error of a reply
// never has this cause.
var ErrTooLarge = errors.New("message too large")

// Outcome specifies what is known about a message whose sending failed.
type Outcome uint8

const (
	// OutcomeUnknown means that the message may have been processed, or may still be.
	OutcomeUnknown Outcome = iota

	// OutcomeNotDone means that no handler has received the message, and none will.
	OutcomeNotDone

	// OutcomeAnswered means that the handler of the message replied with this error.
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

// Errorf returns an Error. A %w in the format sets its cause.
func Errorf(code Code, outcome Outcome, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Outcome: outcome, Message: err.Error(), Err: errors.Unwrap(err)}
}

func invalid(format string, args ...any) *Error {
	return Errorf(InvalidArgument, OutcomeNotDone, format, args...)
}

func tooLarge(format string, args ...any) *Error {
	e := invalid(format, args...)
	e.Err = ErrTooLarge
	return e
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

// Is matches context.Canceled and context.DeadlineExceeded by code, so that a local and a
// remote error mean the same.
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

// coded is an error that has a code but is not an Error: a sentinel error, or a type of
// another package.
type coded interface {
	error
	ErrorCode() Code
}

// CodeOf returns the code of err. It is "" for nil. Otherwise it is the code of the first
// error in its tree that is an Error or has a method ErrorCode() Code. For other errors
// it is Canceled or DeadlineExceeded for the errors of a context, and Unknown for the
// rest.
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

// ContextError returns an Error for a context that has ended. Its cause is the cause of
// the context.
func ContextError(ctx context.Context, outcome Outcome, format string, args ...any) *Error {
	e := Errorf(CodeOf(ctx.Err()), outcome, format, args...)
	e.Err = context.Cause(ctx)
	return e
}
