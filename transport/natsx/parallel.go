package natsx

import (
	"context"
	"sync"

	"gomono.dev/transport"
)

// maxAsking is how many requests a Transport makes of JetStream's API at once when it
// opens groups. More make a cluster no faster, and each of them late.
const maxAsking = 32

// inParallel calls do for 0 to n-1, some at once, and returns all errors. do must not
// call inParallel.
func (t *Transport) inParallel(ctx context.Context, n int, do func(int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		select {
		case t.asking <- struct{}{}:
		case <-ctx.Done():
			errs[i] = transport.ContextError(ctx, transport.OutcomeNotDone, "natsx: %v while others asked the server", ctx.Err())
			continue
		}
		wg.Go(func() {
			defer func() { <-t.asking }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	return errs
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
