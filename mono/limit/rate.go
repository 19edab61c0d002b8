package limit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"gomono.dev/mono"
)

// Rate returns a middleware that lets n messages be handled in each time per, in this process. It
// is a token bucket: after a pause up to Burst messages, n by default, are handled at once, so in
// any time t there are at most Burst + n·t/per.
//
// It panics if n or per is not positive.
func Rate(n int, per time.Duration, opts ...RateOption) mono.Middleware {
	check(n > 0 && per > 0, "Rate(%d, %v): want both greater than 0", n, per)
	r := &rateLimit{options: options{maxKeys: DefaultMaxKeys, burst: n}, n: n, per: per}
	applyTo(&r.options, "Rate", opts)
	r.keys = buckets{max: r.maxKeys, made: r.bucket, all: make(map[string]*rate.Limiter), rest: r.bucket()}
	return r
}

// Burst sets the number of messages that are handled at once after a pause.
func Burst(n int) RateOption {
	check(n > 0, "Burst(%d): want at least 1", n)
	return option(func(o *options) { o.burst = n })
}

// DefaultMaxKeys is the number of keys of a Rate, unless MaxKeys sets another.
const DefaultMaxKeys = 1 << 16

// MaxKeys bounds the memory of a Rate: the number of keys that it counts at once, DefaultMaxKeys by
// default. A key whose tokens are all back is forgotten. Keys beyond the number share one bucket, as
// if they were one key. A key needs about 200 bytes.
func MaxKeys(n int) RateOption {
	check(n > 0, "MaxKeys(%d): want at least 1", n)
	return option(func(o *options) { o.maxKeys = n })
}

type rateLimit struct {
	options
	n    int
	per  time.Duration
	keys buckets
}

func (r *rateLimit) bucket() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(r.n)/r.per.Seconds()), r.burst)
}

// Selects implements [mono.Selective].
func (r *rateLimit) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideReceiver && r.concerns(h)
}

// Wrap implements [mono.Middleware].
func (r *rateLimit) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		if err := r.admit(ctx, c); err != nil {
			return err
		}
		return next(ctx, c)
	}
}

// admit returns nil when it is the turn of a message. One token is taken at a time from a batch
// that is greater than the bucket.
func (r *rateLimit) admit(ctx context.Context, c *mono.Call) error {
	key := r.key(c)
	for n := c.Count(); n > 0; n -= r.burst {
		wait, undo := r.keys.take(key, min(n, r.burst), waits(c))
		if wait == 0 {
			continue
		}
		err := exhausted(c, "%d in %v", r.n, r.per)
		if !waits(c) {
			return mono.RetryAfter(wait, err)
		}
		if err := sleep(ctx, c, wait, err); err != nil {
			undo()
			return err
		}
	}
	return nil
}

// buckets holds the bucket of each key.
type buckets struct {
	max  int
	made func() *rate.Limiter
	rest *rate.Limiter // of the keys beyond max

	mu    sync.Mutex
	all   map[string]*rate.Limiter
	full  int       // the number of keys at which full buckets are forgotten
	swept time.Time // the last time that was tried
}

// take takes n tokens. It returns 0, or the time after which they are there: then they are taken
// in advance if reserve is set, and otherwise left. undo gives reserved tokens back.
func (b *buckets) take(key string, n int, reserve bool) (wait time.Duration, undo func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	l := b.of(key, now)
	if l.AllowN(now, n) {
		return 0, nil
	}
	r := l.ReserveN(now, n)
	wait = r.DelayFrom(now)
	if !reserve {
		r.CancelAt(now)
	}
	return max(wait, 1), r.Cancel
}

// of returns the bucket of a key.
func (b *buckets) of(key string, now time.Time) *rate.Limiter {
	l := b.all[key]
	if l != nil {
		return l
	}
	if len(b.all) >= b.full && (len(b.all) < b.max || now.Sub(b.swept) >= time.Second) {
		b.sweep(now)
	}
	if len(b.all) >= b.max {
		return b.rest
	}
	l = b.made()
	b.all[key] = l
	return l
}

// sweep forgets full buckets, which are like new ones.
func (b *buckets) sweep(now time.Time) {
	for key, l := range b.all {
		if l.TokensAt(now) >= float64(l.Burst()) {
			delete(b.all, key)
		}
	}
	b.full, b.swept = min(max(2*len(b.all), 64), b.max), now
}
