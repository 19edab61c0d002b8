package objstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"gomono.dev/transport"
)

// invalid returns the error for an argument that is wrong in any state of the store.
func invalid(format string, args ...any) error {
	return notDone(transport.InvalidArgument, format, args...)
}

func notDone(code transport.Code, format string, args ...any) error {
	return transport.Errorf(code, transport.OutcomeNotDone, format, args...)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// about returns an error that names its object. Any error but a transport.Error has an
// unknown outcome.
func about(object string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*transport.Error)
	if !ok {
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%s: %w", object, err)
	}
	return &transport.Error{Code: e.Code, Outcome: e.Outcome, Message: object + ": " + e.Message, Err: e}
}

// inStore names a store.
func inStore(name string, err error) error { return about("store "+strconv.Quote(name), err) }

// atObject names an object. A long name is cut.
func atObject(name string, err error) error {
	if err == nil {
		return nil
	}
	const limit = 100
	if len(name) > limit {
		return about(fmt.Sprintf("object %.*q… (%d bytes)", limit, name, len(name)), err)
	}
	return about("object "+strconv.Quote(name), err)
}

// ofEntries returns an error of the bucket of entries without the names of bucket and key.
func ofEntries(err error) error {
	for {
		e, ok := err.(*transport.Error)
		if !ok {
			return err
		}
		inner, ok := e.Err.(*transport.Error)
		if !ok || !strings.HasPrefix(e.Message, "bucket ") && !strings.HasPrefix(e.Message, "key ") {
			return err
		}
		err = inner
	}
}

// isUnknown reports whether a request with this error may have taken effect.
func isUnknown(err error) bool {
	e, ok := errors.AsType[*transport.Error](err)
	return err != nil && (!ok || e.Outcome != transport.OutcomeNotDone)
}

// contextError returns an error if ctx has ended before anything was sent.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w before it began", err)
	}
	return nil
}
