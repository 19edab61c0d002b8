package mono

import (
	"errors"

	"gomono.dev/transport"
)

// Code classifies an error, on the wire too. The codes are the sixteen of gRPC
// and Connect without OK; an unknown text is a code as well and keeps its name.
type Code = transport.Code

// The sixteen codes.
const (
	Canceled           = transport.Canceled           // the caller gave up
	Unknown            = transport.Unknown            // an error that says no more
	InvalidArgument    = transport.InvalidArgument    // the message is wrong, whatever the state of the system
	DeadlineExceeded   = transport.DeadlineExceeded   // time ran out
	NotFound           = transport.NotFound           // what was asked for is not there
	AlreadyExists      = transport.AlreadyExists      // what was to be made is there
	PermissionDenied   = transport.PermissionDenied   // the caller may not do this
	ResourceExhausted  = transport.ResourceExhausted  // a quota or a bound is reached
	FailedPrecondition = transport.FailedPrecondition // the system is not in the state that this needs
	Aborted            = transport.Aborted            // lost a race; try again from the start
	OutOfRange         = transport.OutOfRange         // past the end of what there is
	Unimplemented      = transport.Unimplemented      // nobody can do this here
	Internal           = transport.Internal           // a bug
	Unavailable        = transport.Unavailable        // nobody serves this now; try again later
	DataLoss           = transport.DataLoss           // stored data is gone or damaged
	Unauthenticated    = transport.Unauthenticated    // the caller did not prove who he is
)

// Sentinels match every error with their code: errors.Is(err, ErrNotFound).
var (
	ErrCanceled           error = sentinel(Canceled)
	ErrUnknown            error = sentinel(Unknown)
	ErrInvalidArgument    error = sentinel(InvalidArgument)
	ErrDeadlineExceeded   error = sentinel(DeadlineExceeded)
	ErrNotFound           error = sentinel(NotFound)
	ErrAlreadyExists      error = sentinel(AlreadyExists)
	ErrPermissionDenied   error = sentinel(PermissionDenied)
	ErrResourceExhausted  error = sentinel(ResourceExhausted)
	ErrFailedPrecondition error = sentinel(FailedPrecondition)
	ErrAborted            error = sentinel(Aborted)
	ErrOutOfRange         error = sentinel(OutOfRange)
	ErrUnimplemented      error = sentinel(Unimplemented)
	ErrInternal           error = sentinel(Internal)
	ErrUnavailable        error = sentinel(Unavailable)
	ErrDataLoss           error = sentinel(DataLoss)
	ErrUnauthenticated    error = sentinel(Unauthenticated)
)

type sentinel Code

func (s sentinel) Error() string   { return string(s) }
func (s sentinel) ErrorCode() Code { return Code(s) }

// Error is an error with a code. Every error that a handle's send returns is
// one, or wraps one. A handler that returns one, wrapped or not, answers with its
// code; the cause stays at home.
type Error = transport.Error

// Outcome says what is known about a message whose sending failed.
type Outcome = transport.Outcome

// What may be known.
const (
	OutcomeUnknown  = transport.OutcomeUnknown  // it may have been acted upon, or may yet be
	OutcomeNotDone  = transport.OutcomeNotDone  // no handler has seen it, and none will
	OutcomeAnswered = transport.OutcomeAnswered // its handler answered with this error
)

// Errorf makes an error with a code. A %w sets the cause, which errors.Is finds
// as long as the error stays in the process.
func Errorf(code Code, format string, args ...any) *Error {
	return transport.Errorf(code, OutcomeUnknown, format, args...)
}

// CodeOf returns the code of err: "" for nil, Canceled and DeadlineExceeded for
// the errors of a context, Unknown for an error without one.
func CodeOf(err error) Code { return transport.CodeOf(err) }

// OutcomeOf says whether the message whose sending failed with err may have been
// acted upon. It is OutcomeUnknown for nil and for an error without a code.
func OutcomeOf(err error) Outcome {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return OutcomeUnknown
}

// Remote reports whether err is the verdict of whoever handled the message, as
// against a failure on the way.
func IsHandlerError(err error) bool { return OutcomeOf(err) == OutcomeAnswered }

// notDone is the error of a message that this side has not let out.
func notDone(code Code, format string, args ...any) *Error {
	return transport.Errorf(code, OutcomeNotDone, format, args...)
}

// about puts what an error is about in front of its message.
func about(what string, err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return &Error{Code: CodeOf(err), Message: what + ": " + err.Error(), Err: err}
	}
	return &Error{Code: e.Code, Outcome: e.Outcome, Message: what + ": " + e.Message, Err: e}
}
