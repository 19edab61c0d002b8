package mono

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"gomono.dev/codec"
	"gomono.dev/transport"
)

// Code classifies an error, also across the transport. The codes are the sixteen of
// gRPC and Connect without OK. An unknown text is a code as well and keeps its name.
type Code = transport.Code

// The sixteen codes.
const (
	Canceled           = transport.Canceled           // the caller canceled the operation
	Unknown            = transport.Unknown            // an error without a more specific code
	InvalidArgument    = transport.InvalidArgument    // the message is wrong, regardless of the state of the system
	DeadlineExceeded   = transport.DeadlineExceeded   // the deadline expired
	NotFound           = transport.NotFound           // the requested entity does not exist
	AlreadyExists      = transport.AlreadyExists      // the entity to create exists already
	PermissionDenied   = transport.PermissionDenied   // the caller may not do this
	ResourceExhausted  = transport.ResourceExhausted  // a quota or a limit is reached
	FailedPrecondition = transport.FailedPrecondition // the system is not in the required state
	Aborted            = transport.Aborted            // lost a race; try again from the start
	OutOfRange         = transport.OutOfRange         // past the end of the valid range
	Unimplemented      = transport.Unimplemented      // the operation is not implemented here
	Internal           = transport.Internal           // a bug
	Unavailable        = transport.Unavailable        // no instance serves this now; try again later
	DataLoss           = transport.DataLoss           // stored data is lost or damaged
	Unauthenticated    = transport.Unauthenticated    // the caller is not authenticated
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

// Error is an error with a code. Every error that a handle's send returns is an Error
// or wraps one. If a handler returns an Error, wrapped or not, the reply has its code;
// the cause stays in the process.
type Error = transport.Error

// Outcome specifies what is known about a message whose send failed.
type Outcome = transport.Outcome

// The outcomes.
const (
	OutcomeUnknown  = transport.OutcomeUnknown  // it may have been handled, or may still be
	OutcomeNotDone  = transport.OutcomeNotDone  // no handler has received it, and none will
	OutcomeAnswered = transport.OutcomeAnswered // its handler replied with this error
)

// Errorf returns an error with a code. A %w sets the cause, which errors.Is finds as
// long as the error stays in the process.
func Errorf(code Code, format string, args ...any) *Error {
	return transport.Errorf(code, OutcomeUnknown, format, args...)
}

// CodeOf returns the code of err: "" for nil, Canceled and DeadlineExceeded for
// the errors of a context, Unknown for an error without one.
func CodeOf(err error) Code { return transport.CodeOf(err) }

// OutcomeOf returns the outcome of the message whose send failed with err. It is
// OutcomeUnknown for nil and for an error without a code.
func OutcomeOf(err error) Outcome {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return OutcomeUnknown
}

// IsHandlerError reports whether err is the error of the message's handler, and not a
// failure to deliver the message or its reply.
func IsHandlerError(err error) bool { return OutcomeOf(err) == OutcomeAnswered }

// notDone returns the error of a message that this side has not sent.
func notDone(code Code, format string, args ...any) *Error {
	return transport.Errorf(code, OutcomeNotDone, format, args...)
}

// about adds the subject of an error in front of its message.
func about(what string, err error) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return &Error{Code: CodeOf(err), Message: what + ": " + err.Error(), Err: err}
	}
	return &Error{Code: e.Code, Outcome: e.Outcome, Message: what + ": " + e.Message, Err: e}
}

// encodeError encodes the error of a handler, with its outcome, for the transport. A
// failure has its own code, whatever else is joined with it.
func encodeError(err error, outcome Outcome) (transport.Header, []byte) {
	e := &Error{Code: CodeOf(err), Outcome: outcome, Message: err.Error()}
	if coded, ok := errors.AsType[*Error](err); ok && err.Error() == coded.Error() {
		e.Message = coded.Message
	}
	var header transport.Header
	var body []byte
	if f := failureIn(err); f != nil {
		value, contentType, encodeErr := f.encode()
		if encodeErr != nil {
			e = &Error{Code: Internal, Outcome: OutcomeAnswered, Message: fmt.Sprintf("failure %s: %v", f.name, encodeErr)}
		} else {
			e.Code, body = f.coded.Code, value
			header.Set(transport.HeaderFailure, f.name)
			if f.status != 0 {
				header.Set(transport.HeaderFailureStatus, strconv.Itoa(f.status))
			}
			if contentType != "" {
				header.Set(transport.HeaderContentType, contentType)
			}
		}
	}
	header.SetError(e)
	setRetryDelay(&header, err)
	return header, body
}

// cutError removes a part of an error that is too large to be sent, and reports whether
// there was one: first the headers that its handler has set, then the value of its
// failure, with its content type, then three quarters of its text at a time, and last the
// name and the status of its failure.
func cutError(reply *transport.Message) bool {
	text := reply.Header.Get(transport.HeaderMessage)
	switch {
	case slices.ContainsFunc(reply.Header, foreignField):
		reply.Header = slices.DeleteFunc(reply.Header, foreignField)
	case len(reply.Body) > 0 || reply.Header.Has(transport.HeaderContentType):
		reply.Body = nil
		reply.Header.Del(transport.HeaderContentType)
	case text != "":
		reply.Header.Set(transport.HeaderMessage, cutText(text, len(text)/4))
	case reply.Header.Has(transport.HeaderFailure):
		reply.Header.Del(transport.HeaderFailure)
		reply.Header.Del(transport.HeaderFailureStatus)
	default:
		return false
	}
	return true
}

// cutText shortens an encoded text to at most limit bytes.
func cutText(encoded string, limit int) string {
	return transport.EncodeText(transport.DecodeText(encoded), limit)
}

// replyError returns the error in a reply, or nil.
func replyError(m *transport.Message, known *codecs, own codec.Codec) error {
	e := transport.ErrorFromHeader(m.Header)
	if e == nil {
		return nil
	}
	name := m.Header.Get(transport.HeaderFailure)
	if name == "" {
		return withRetryDelay(e, m.Header)
	}
	k, err := known.of(m.Header, own)
	if err != nil {
		k = nil // the value cannot be decoded here; the failure keeps its name
	}
	f := &failed{coded: e, name: name, codec: k, contentType: m.Header.Get(transport.HeaderContentType), body: m.Body}
	f.bare = f.contentType == "" && len(f.body) == 0
	if f.contentType == "" && k != nil && !f.bare {
		f.contentType = k.ContentType()
	}
	if status, err := strconv.Atoi(m.Header.Get(transport.HeaderFailureStatus)); err == nil && isErrorStatus(status) {
		f.status = status
	}
	return withRetryDelay(f, m.Header)
}
