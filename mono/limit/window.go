package limit

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
)

// Window returns a middleware that lets at most n messages be handled in any time per, in all
// processes with the same namespace that have a Window of this name. It counts in the bucket
// "limit-" with the name, which the start of the App opens or creates. Each message costs a read
// and a write of its key, so it is for limits of some hundred a second. Put a [Rate] before it,
// for floods.
//
// Time is that of the bucket's server. The clocks of the processes do not matter. If the servers of
// a cluster have different clocks, a change of the leader can shorten a window by the difference. A
// place becomes free up to per/20 later than in an exact count. A write with an unknown outcome
// counts.
//
// If the bucket does not answer within a second, calls are refused with unavailable, "not done" and a
// time to wait of a second, and other messages wait, unless [FailOpen] is given. The next message
// after that second asks again. The log of the App has a line when it begins and when it ends, and
// the App is not healthy meanwhile.
//
// It panics on a bad name, if n is not positive, or if per is less than a second. A Window belongs
// to one App.
func Window(name string, n int, per time.Duration, opts ...WindowOption) mono.Middleware {
	check(n > 0 && per >= time.Second, "Window(%q, %d, %v): want at least 1 in at least a second", name, n, per)
	w := &window{name: name, n: n, per: per, width: int64(per / slots)}
	applyTo(&w.options, "Window", opts)
	w.bucket = kv.NewBucket[count]("limit-"+name, append([]kv.BucketOption{kv.TTL(per + time.Minute)}, w.options.bucket...)...)
	for i := range w.stripes {
		w.stripes[i].lock = make(chan struct{}, 1)
	}
	return w
}

// FailOpen lets messages pass that a Window cannot count because its bucket does not answer.
func FailOpen() WindowOption { return option(func(o *options) { o.open = true }) }

// Stored sets options of the bucket of a Window, such as kv.Memory() or kv.Replicas(3).
func Stored(opts ...kv.BucketOption) WindowOption {
	return option(func(o *options) { o.bucket = append(o.bucket, opts...) })
}

type window struct {
	options
	name  string
	n     int
	per   time.Duration
	width int64 // of a slot

	bucket  kv.Bucket[count]
	counts  *kv.KeyValue[count] // set by Bind, before any message
	log     *slog.Logger
	clock   storeClock
	stripes [64]stripe // of keys

	mu     sync.Mutex
	failed time.Time // the bucket did not answer then; zero: it did
}

// stripe belongs to the keys with the same hash.
type stripe struct {
	lock chan struct{}            // of the one writer in this process
	full atomic.Pointer[fullness] // of the key that was full last
}

// fullness means that a key is full until a time, by the clock of this process. Until then nobody
// asks the bucket, so a flood does not reach it.
type fullness struct {
	key   string
	until time.Time
}

// patience bounds the wait for the bucket, and is the time until it is asked again.
const patience = time.Second

// Name returns the name of the plugin, "limit-" and the name of the Window.
func (w *window) Name() string { return "limit-" + w.name }

// Bind implements [mono.Module].
func (w *window) Bind(s *mono.Scope) error {
	w.counts, w.log = w.bucket.Open(s), s.Logger()
	return nil
}

// Selects implements [mono.Selective].
func (w *window) Selects(h mono.Handle, side mono.Side, _ bool) bool {
	return side == mono.SideReceiver && w.concerns(h)
}

// Wrap implements [mono.Middleware].
func (w *window) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		if err := w.admit(ctx, c); err != nil {
			return err
		}
		return next(ctx, c)
	}
}

// admit returns nil when it is the turn of a message. A batch that is greater than the limit takes
// as much at a time.
func (w *window) admit(ctx context.Context, c *mono.Call) error {
	key := "k/" + w.key(c)
	for left := c.Count(); left > 0; {
		n := min(left, w.n)
		wait, err := w.take(ctx, key, n)
		if wait == 0 && err == nil {
			left -= n
			continue
		}
		if err == nil {
			err = exhausted(c, "%d in %v", w.n, w.per)
		}
		if !waits(c) {
			return mono.RetryAfter(wait, err)
		}
		if err := sleep(ctx, c, wait, err); err != nil {
			return err
		}
	}
	return nil
}

// take counts n messages. It returns 0 and no error, or the time after which they may come, with an
// error if the bucket does not answer. If many write the key at once, and it was not the turn of this
// message within the patience, it may come after that time again.
func (w *window) take(ctx context.Context, key string, n int) (wait time.Duration, err error) {
	if w.failing() {
		return w.uncounted()
	}
	s := &w.stripes[maphash.String(seed, key)%uint64(len(w.stripes))]
	if f := s.full.Load(); f != nil && f.key == key {
		if wait := time.Until(f.until); wait > 0 {
			return wait, nil
		}
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s.lock <- struct{}{}:
		wait, err = w.ask(limited, key, n)
		<-s.lock
	case <-limited.Done():
		return patience, nil
	}
	if err == nil {
		w.answered()
		if wait > 0 && n == 1 {
			s.full.Store(&fullness{key, time.Now().Add(wait)})
		}
		return wait, nil
	}
	if ctx.Err() != nil {
		return patience, refusal(mono.CodeOf(ctx.Err()), "limit %s: the context ended before the bucket answered", w.name)
	}
	w.unanswered(err)
	return w.uncounted()
}

// ask takes n places of a key by compare-and-swap.
func (w *window) ask(ctx context.Context, key string, n int) (wait time.Duration, err error) {
	for attempt := 0; ; attempt++ {
		e, err := w.read(ctx, key)
		if err != nil {
			return 0, err
		}
		if e.Revision == 0 {
			_, err = w.counts.Create(ctx, key, count{Width: w.width, Added: int64(n)})
		} else {
			is := e.Value.settled(e.Created, w.width)
			wait := is.wait(w.clock.now(), n, w.n, w.per)
			if wait > 0 && w.clock.outdated(w.per) {
				if err := w.sync(ctx); err != nil {
					return 0, err
				}
				wait = is.wait(w.clock.now(), n, w.n, w.per)
			}
			if wait > 0 {
				return wait, nil
			}
			is.Added = int64(n)
			_, err = w.counts.Update(ctx, key, e.Revision, is)
		}
		switch mono.CodeOf(err) {
		case "":
			return 0, nil
		case mono.Aborted, mono.AlreadyExists:
		default:
			return 0, err
		}
		if pause(ctx, rand.N(time.Duration(attempt+1)*time.Millisecond)) != nil {
			return patience, nil
		}
	}
}

var seed = maphash.MakeSeed()

// read returns the entry of a key, an empty one without a revision if there is none.
func (w *window) read(ctx context.Context, key string) (kv.Entry[count], error) {
	e, err := w.counts.Get(ctx, key)
	if mono.CodeOf(err) == mono.NotFound {
		return kv.Entry[count]{}, nil
	}
	if err == nil {
		w.clock.note(e.Created)
	}
	return e, err
}

// sync asks for the time of the bucket, by a write.
func (w *window) sync(ctx context.Context) error {
	if _, err := w.counts.Put(ctx, "clock", count{}); err != nil {
		return err
	}
	if _, err := w.read(ctx, "clock"); err != nil {
		return err
	}
	w.clock.asked()
	return nil
}

// failing reports whether the bucket has just not answered, and is not to be asked.
func (w *window) failing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.failed.IsZero() && time.Since(w.failed) < patience
}

func (w *window) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.failed.IsZero() {
		w.failed = time.Time{}
		w.log.Info("limit: the bucket answers again", "limit", w.name)
	}
}

func (w *window) unanswered(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed.IsZero() {
		w.log.Warn("limit: the bucket does not answer", "limit", w.name, "messages", map[bool]string{true: "pass", false: "refused"}[w.open], "error", err)
	}
	w.failed = time.Now()
}

// uncounted returns what take returns for a message that cannot be counted. The error of the bucket
// has its address, which is not for callers.
func (w *window) uncounted() (time.Duration, error) {
	if w.open {
		return 0, nil
	}
	return patience, refusal(mono.Unavailable, "limit %s: the bucket does not answer", w.name)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
