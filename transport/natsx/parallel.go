package natsx

import (
	"context"
	"sync"

	"gomono.dev/transport"
)

// maxAsking bounds the concurrent requests of a Transport to JetStream's API for groups.
// More do not make a cluster faster, and each of them takes longer.
const maxAsking = 32

// inParallel calls do for 0 to n-1, at most maxAsking at once over all callers, and
// returns all errors. do must not call inParallel.
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
