package natsx

import (
	"context"
	"sync"

	"gomono.dev/transport"
)

// maxParallel bounds the concurrent requests of a Transport to JetStream's API for groups.
// More requests do not speed up a cluster, and each of them takes longer.
const maxParallel = 32

// inParallel calls do for 0 to n-1 and returns all errors. At most maxParallel calls run at
// once, over all callers. do must not call inParallel.
func (t *Transport) inParallel(ctx context.Context, n int, do func(int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		select {
		case t.apiSlots <- struct{}{}:
		case <-ctx.Done():
			errs[i] = transport.ContextError(ctx, transport.OutcomeNotDone, "natsx: %v while it waited for other requests", ctx.Err())
			continue
		}
		wg.Go(func() {
			defer func() { <-t.apiSlots }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	return errs
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
