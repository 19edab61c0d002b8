package mono

import "context"

// homeContext is the context of a handler that is called from within the
// process. It ends when the caller's does, and when the App gives up; it carries
// none of the caller's values, as it would if the call had crossed the wire.
func homeContext(caller, app context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(valueless{caller})
	stop := context.AfterFunc(app, func() { cancel(context.Cause(app)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }
