package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"gomono.dev/mono"
)

// Retry returns a middleware that repeats calls that were not done: no handler has received them,
// because no instance serves, the connection is lost, an instance stops, a limit refuses, or a circuit
// is open. So it never repeats what may have happened, and every service can be called with it. Their
// code is unavailable or resource_exhausted; a call that is wrong is not repeated.
//
// Between two attempts it waits for the time that [mono.RetryDelay] returns, or else for a [Pause].
// The error of the last attempt is returned at once if the wait would not end before the deadline of
// the call, if the App stops, or if the [Budget] is used up.
//
// Put it before a [Breaker] in Use, so that the Breaker sees each attempt.
func Retry(opts ...RetryOption) mono.Middleware {
	r := &retry{options: options{attempts: 3, tokens: 10, ratio: 0.1, first: 50 * time.Millisecond, longest: time.Second}, budgets: make(map[string]*budget)}
	applyTo(&r.options, "Retry", opts)
	return r
}

// Attempts sets the number of attempts at a call, the first one included, 3 by default.
func Attempts(n int) RetryOption {
	check(n > 0, "Attempts(%d): want at least 1", n)
	return option(func(o *options) { o.attempts = n })
}

// Budget bounds retries when a service keeps failing, as in gRPC: each service has a number of
// tokens. An attempt that was not done takes one, and a successful call gives back ratio of one, up to
// the number. While half of the tokens or less are left, nothing is repeated. So in the long run there
// are at most ratio retries for each success. The default is Budget(10, 0.1).
func Budget(tokens int, ratio float64) RetryOption {
	check(tokens >= 3 && ratio > 0 && ratio <= 1, "Budget(%d, %v): want at least 3 tokens, and a ratio over 0 and at most 1", tokens, ratio)
	return option(func(o *options) { o.tokens, o.ratio = float64(tokens), ratio })
}

// Pause sets the wait before a retry if the error has none: a random time of up to first, which
// doubles with each attempt, up to longest. The default is Pause(50*time.Millisecond, time.Second).
func Pause(first, longest time.Duration) RetryOption {
	check(0 < first && first <= longest, "Pause(%v, %v): want 0 < first <= longest", first, longest)
	return option(func(o *options) { o.first, o.longest = first, longest })
}

type retry struct {
	options

	mu      sync.Mutex
	budgets map[string]*budget // by service
}

// Selects implements [mono.Selective].
func (r *retry) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideSender && h.Kind() == mono.KindService && r.concerns(h)
}

// Wrap implements [mono.Middleware].
func (r *retry) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		b := r.of(c.Handle())
		for attempt := 1; ; attempt++ {
			err := next(ctx, c)
			if err == nil {
				b.deposit(r.ratio)
				return nil
			}
			if !repeatable(err) || !b.withdraw() || attempt >= r.attempts || !r.wait(ctx, c, attempt, err) {
				return err
			}
		}
	}
}

// repeatable reports whether a call was not done, and could be later.
func repeatable(err error) bool {
	code := mono.CodeOf(err)
	return mono.OutcomeOf(err) == mono.OutcomeNotDone && (code == mono.Unavailable || code == mono.ResourceExhausted)
}

// wait waits for the next attempt. It reports false if there is none.
func (r *retry) wait(ctx context.Context, c *mono.Call, attempt int, err error) bool {
	d, ok := mono.RetryDelay(err)
	if !ok {
		d = r.first
		for range attempt - 1 {
			d = min(2*d, r.longest)
		}
		d = rand.N(d) + 1
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.Stopping():
	}
	return false
}

func (r *retry) of(service mono.Handle) *budget {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.budgets[service.Name()]
	if b == nil {
		b = &budget{tokens: r.tokens, most: r.tokens}
		r.budgets[service.Name()] = b
	}
	return b
}

// budget is the budget of a service.
type budget struct {
	mu           sync.Mutex
	tokens, most float64
}

func (b *budget) deposit(ratio float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+ratio, b.most)
}

// withdraw takes a token, and reports whether more than half are left.
func (b *budget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = max(b.tokens-1, 0)
	return b.tokens > b.most/2
}
