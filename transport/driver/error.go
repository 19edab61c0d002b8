package driver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gomono.dev/transport"
)

// ErrClosed is the error of a call after Close.
var ErrClosed = transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "the transport is closed")

var errNoHandler = invalid("the handler is nil")

// Ready returns an error if c is not ready, or if ctx has ended.
func Ready(ctx context.Context, c Conn) error {
	err := c.Ready()
	if ctxErr := ctx.Err(); ctxErr != nil && err != ErrClosed {
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w before it began", ctxErr)
	}
	return err
}

// CannotChange returns the error for a setting of a log or a group that cannot be changed.
func CannotChange(setting string, is, want any) *transport.Error {
	e := transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
		"it exists with %s %v, and %v is requested, which cannot be changed in place: keep %v, or choose another name, or delete it with its contents",
		setting, is, want, is)
	e.Err = &transport.SettingError{Setting: setting, Is: is, Want: want}
	return e
}

// ChangesLog reports whether the opening of want changes the existing log is. It returns an error
// for a setting that cannot be changed, and for an unchanged log without some of the Subjects.
func ChangesLog(is, want *transport.LogConfig) (bool, error) {
	switch {
	case !want.Update:
		return false, nil
	case want.Generation < is.Generation, want.Sender && !is.Sender && want.Generation == is.Generation:
		return false, checkSubjects(is, want)
	}
	return true, checkFixed(is, want)
}

func checkFixed(is, want *transport.LogConfig) error {
	switch {
	case is.Retention != want.Retention:
		return CannotChange("Retention", is.Retention, want.Retention)
	case is.Storage != want.Storage:
		return CannotChange("Storage", is.Storage, want.Storage)
	case is.Partitions != want.Partitions:
		return CannotChange("Partitions", is.Partitions, want.Partitions)
	}
	return nil
}

// checkSubjects returns an error for a subject that the log does not store. A mirror has none.
func checkSubjects(is, want *transport.LogConfig) error {
	for _, subject := range want.Subjects {
		stores := func(pattern string) bool {
			return transport.Match(pattern, subject) && (strings.HasSuffix(pattern, ">") || !strings.HasSuffix(subject, ">"))
		}
		if len(is.Subjects) > 0 && !slices.ContainsFunc(is.Subjects, stores) {
			return CannotChange("Subjects", is.Subjects, want.Subjects)
		}
	}
	return nil
}

// About returns an error with a prefix that names its object, such as a group of a log.
// It returns any err but a [transport.Error] as it is.
func About(what string, err error) error {
	if e, ok := err.(*transport.Error); ok {
		return &transport.Error{Code: e.Code, Outcome: e.Outcome, Message: what + ": " + e.Message, Err: e}
	}
	return err
}

// Verbatim returns an error for which the Transport returns err as it is, such as one
// that a test injects.
func Verbatim(err error) error { return verbatim{err} }

type verbatim struct{ error }

func (v verbatim) Unwrap() error { return v.error }

// Unfinished returns the error of a Close that continues in the background until done is
// closed. Later calls of Transport.Close wait for it.
func Unfinished(done <-chan struct{}, err error) error { return &unfinished{done, err} }

type unfinished struct {
	done <-chan struct{}
	err  error
}

func (u *unfinished) Error() string { return u.err.Error() }
func (u *unfinished) Unwrap() error { return u.err }

// failure returns an error that names an operation.
func failure(ctx context.Context, err error, format string, args ...any) error {
	if v, ok := err.(verbatim); ok {
		return v.error
	}
	what := fmt.Sprintf(format, args...)
	if _, ok := err.(*transport.Error); ok {
		return About(what, err)
	}
	code := transport.CodeOf(err)
	if ctx.Err() != nil && code == transport.CodeOf(ctx.Err()) {
		return transport.ContextError(ctx, transport.OutcomeUnknown, "%s: %w before it was done", what, err)
	}
	return transport.Errorf(code, transport.OutcomeUnknown, "%s: %w", what, err)
}

// missing returns the error for a capability that the backend does not have.
func missing(what string, has *transport.Capabilities) error {
	err := transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "the backend does not support %s", what)
	if has.Advice != "" {
		err.Message += ": " + has.Advice
	}
	return err
}

func invalid(format string, args ...any) error {
	return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, format, args...)
}
