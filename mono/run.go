package mono

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"gomono.dev/transport"
)

// Run creates an App with modules, starts it, and stops it when ctx ends or the process
// gets SIGINT or SIGTERM. A second signal ends the process at once. Run returns the
// error of Start or Stop; a requested stop is not an error. For an
// App with options use New(t, opts...).Add(modules...).Run(ctx).
func Run(ctx context.Context, t transport.Transport, modules ...Module) error {
	return New(t).Add(modules...).Run(ctx)
}

// Run starts the App and stops it when ctx ends or the process gets SIGINT or SIGTERM;
// see the function Run. An App that does not start is stopped, which closes its
// transport. An App that was already started by other code is not stopped.
func (a *App) Run(ctx context.Context) error {
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // from then on a signal has its default effect
	if err := a.Start(ctx); err != nil {
		if a.State() == StateCreated {
			_ = a.Stop(context.WithoutCancel(ctx)) // err is the error that matters
		}
		return err
	}
	<-ctx.Done()
	restore() // before the stop becomes visible
	return a.Stop(context.WithoutCancel(ctx))
}
