package kv

import (
	"context"
	"fmt"
	"strconv"

	"gomono.dev/transport"
)

// invalid returns the error for an argument that is wrong in any state of the bucket.
func invalid(format string, args ...any) error {
	return transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, format, args...)
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

// inBucket names a bucket.
func inBucket(name string, err error) error {
	if err == nil {
		return nil
	}
	return about("bucket "+strconv.Quote(name), err)
}

// atKey names a key. A long one is cut.
func atKey(key string, err error) error {
	if err == nil {
		return nil
	}
	const limit = 100
	if len(key) > limit {
		return about(fmt.Sprintf("key %.*q… (%d bytes)", limit, key, len(key)), err)
	}
	return about("key "+strconv.Quote(key), err)
}

// contextError returns an error if ctx has ended before anything was sent.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w before it began", err)
	}
	return nil
}
