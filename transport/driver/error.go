package driver

import (
	"context"
	"fmt"

	"gomono.dev/transport"
)

// ErrClosed is the error of a call after Close.
var ErrClosed = transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "the transport is closed")

// Ready returns an error if c is not ready, or if ctx has ended.
func Ready(ctx context.Context, c Conn) error {
	if err := c.Ready(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w before it began", err)
	}
	return nil
}

// CannotChange returns the error for a setting of a log or a group that cannot be changed.
func CannotChange(setting string, is, want any) *transport.Error {
	return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
		"%s is %v and cannot be changed to %v: keep %v, or choose another name, or delete it with its contents", setting, is, want, is)
}

// CheckLog returns an error for a setting of an existing log that cannot be changed.
func CheckLog(is, want *transport.LogConfig) error {
	for _, s := range []struct {
		name     string
		is, want any
	}{
		{"Retention", is.Retention, want.Retention},
		{"Storage", is.Storage, want.Storage},
		{"Lanes", is.Lanes, want.Lanes},
	} {
		if s.is != s.want {
			return CannotChange(s.name, s.is, s.want)
		}
	}
	return nil
}

// Verbatim returns an error for which the Transport returns err as it is, such as one
// that a test injects.
func Verbatim(err error) error { return verbatim{err} }

type verbatim struct{ error }

func (v verbatim) Unwrap() error { return v.error }

// failure returns an error that names an operation.
func failure(ctx context.Context, err error, format string, args ...any) error {
	if v, ok := err.(verbatim); ok {
		return v.error
	}
	what := fmt.Sprintf(format, args...)
	e, ok := err.(*transport.Error)
	switch {
	case ok:
		return &transport.Error{Code: e.Code, Outcome: e.Outcome, Message: what + ": " + e.Message, Err: err}
	case ctx.Err() != nil && transport.CodeOf(err) == transport.CodeOf(ctx.Err()):
		return transport.ContextError(ctx, transport.OutcomeUnknown, "%s: %w before it was done", what, err)
	}
	return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%s: %w", what, err)
}

func invalid(format string, args ...any) error {
	return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, format, args...)
}
