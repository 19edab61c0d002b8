package mono

import (
	"context"
	"strconv"
	"sync"

	"gomono.dev/transport"
)

// postAll sends many messages that have no reply. It returns one error for each, nil if
// all were sent.
func postAll[T any](ctx context.Context, b Binder, d *declaration, sent sending, values []T) []error {
	all := newBulk(len(values))
	s, err := b.Scope().sender(d)
	dedup := sent.opts.dedup
	for i, v := range values {
		if err != nil {
			all.finish(i, err)
			continue
		}
		if dedup != "" {
			sent.opts.dedup = dedup + "#" + strconv.Itoa(i)
		}
		one := &async{done: func(err error) { all.finish(i, err) }}
		sent.opts.async = one
		if err := postBy(ctx, s, &sent, v); err != nil || !one.begun {
			all.replace(i, err)
		}
	}
	return all.wait(ctx, d)
}

// bulk collects the results of many sends.
type bulk struct {
	mu       sync.Mutex
	errs     []error
	finished []bool
	left     int           // number of results that are missing
	done     chan struct{} // closed when none is missing
}

func newBulk(n int) *bulk {
	b := &bulk{errs: make([]error, n), finished: make([]bool, n), left: n, done: make(chan struct{})}
	if n == 0 {
		close(b.done)
	}
	return b
}

// finish sets the result of a send, unless it has one.
func (b *bulk) finish(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(i, err)
}

// replace sets the result of a send that middleware has determined, whatever the
// transport reports.
func (b *bulk) replace(i int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(i, err)
	b.errs[i] = err
}

// set is finish with the mutex held.
func (b *bulk) set(i int, err error) {
	if b.finished[i] {
		return
	}
	b.errs[i], b.finished[i] = err, true
	if b.left--; b.left == 0 {
		close(b.done)
	}
}

// wait waits for all results. When ctx ends, the outcome of the missing ones is unknown.
func (b *bulk) wait(ctx context.Context, d *declaration) []error {
	select {
	case <-b.done:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	failed := false
	for i := range b.errs {
		if !b.finished[i] {
			b.set(i, about(d.String(), transport.ContextError(ctx, OutcomeUnknown, "the context ended before its acknowledgement arrived")))
		}
		failed = failed || b.errs[i] != nil
	}
	if !failed {
		return nil
	}
	return b.errs
}
