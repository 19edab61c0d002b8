package limit

import (
	"context"
	"sync"

	"gomono.dev/mono"
)

// Concurrency returns a middleware that lets at most n messages be handled at once, in this process.
// Unlike mono.Concurrency, a call over the limit does not wait, and By(Caller) keeps one caller
// from taking all handlers. It panics if n is not positive.
func Concurrency(n int, opts ...ConcurrencyOption) mono.Middleware {
	check(n > 0, "Concurrency(%d): want at least 1", n)
	l := &concurrencyLimit{n: n, all: make(map[string]*places)}
	applyTo(&l.options, "Concurrency", opts)
	return l
}

type concurrencyLimit struct {
	options
	n int

	mu  sync.Mutex
	all map[string]*places // of the keys with messages
}

// places are the places of a key.
type places struct {
	taken chan struct{}
	users int // messages that have a place, or wait for one
}

// Selects implements [mono.Selective].
func (l *concurrencyLimit) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideReceiver && l.concerns(h)
}

// Wrap implements [mono.Middleware].
func (l *concurrencyLimit) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		key := l.key(c)
		p := l.join(key)
		defer l.leave(key, p)
		if err := l.enter(ctx, c, p); err != nil {
			return err
		}
		defer func() { <-p.taken }()
		return next(ctx, c)
	}
}

// enter takes a place.
func (l *concurrencyLimit) enter(ctx context.Context, c *mono.Call, p *places) error {
	select {
	case p.taken <- struct{}{}:
		return nil
	default:
	}
	err := exhausted(c, "%d at once", l.n)
	if !waits(c) {
		return err
	}
	select {
	case p.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
	case <-stopping(c):
	}
	return gaveUp(ctx, 0, err)
}

func (l *concurrencyLimit) join(key string) *places {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.all[key]
	if p == nil {
		p = &places{taken: make(chan struct{}, l.n)}
		l.all[key] = p
	}
	p.users++
	return p
}

func (l *concurrencyLimit) leave(key string, p *places) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(l.all, key)
	}
}
