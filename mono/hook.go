package mono

import (
	"context"
	"fmt"
	"time"

	"gomono.dev/transport"
)

// guard calls f and turns a panic into an error. report receives the panic's value.
// guard also calls the methods of f's error: if they panic, such as those of a nil
// pointer of an error type, they do it here and not in later code.
func guard(what string, report func(what string, value any), f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			report(what, v)
			err = panicError(what)
		}
	}()
	return tried(f())
}

// tried calls the methods of an error for its text and code, which may panic.
func tried(err error) error {
	if err != nil {
		_, _ = err.Error(), CodeOf(err)
	}
	return err
}

// goexitError returns the error of a function that did not return, because it ended its
// goroutine.
func goexitError(what string) *Error {
	return Errorf(Internal, "%s ended its goroutine (runtime.Goexit, or a test's FailNow): return an error instead", what)
}

func panicError(what string) error { return Errorf(Internal, "%s panicked", what) }

// hook calls f, which may ignore its context, and waits no longer than ctx allows. A
// call that does not return is named in the error and left running. If it succeeds
// later, late undoes it.
func hook(ctx context.Context, what string, report func(string, any), f func(context.Context) error, late func()) error {
	result := make(chan error)
	leave := make(chan struct{})
	go func() {
		var err error = goexitError(what)
		defer func() {
			select {
			case result <- err:
			case <-leave:
				if err == nil && late != nil {
					_ = guard(what+", late", report, func() error { late(); return nil })
				}
			}
		}()
		err = guard(what, report, func() error { return f(ctx) })
	}()
	select {
	case err := <-result:
		return wrapHook(what, err)
	case <-ctx.Done():
	}
	last := time.NewTimer(hookGrace)
	defer last.Stop()
	select {
	case err := <-result:
		return wrapHook(what, err)
	case <-last.C:
		close(leave)
		return transport.ContextError(ctx, OutcomeUnknown, "%s did not return in time", what)
	}
}

func wrapHook(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// hookGrace is how long a hook may take to return after its context has ended. It
// distinguishes a hook that respects its context from one that does not.
const hookGrace = 50 * time.Millisecond
