package kv

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// feed hands the changes of a bucket to its watchers. It follows the bucket once for all of
// them, as long as there are any, by the union of their patterns.
//
// When a watcher joins whose keys are not followed yet, the feed follows anew, from its
// position. Until then it hands out nothing more, or it would pass changes for the new
// watcher: turn counts these moments.
type feed struct {
	o     *opened
	life  context.Context
	end   context.CancelFunc
	begun time.Time

	current atomic.Int64 // when all changes had been handed out: the time since begun, plus 1; 0 before, or lasting

	mu       sync.Mutex
	watchers map[listener]struct{}
	following
	turn     int
	position uint64 // all changes up to it were handed out
	running  bool
	renew    context.CancelFunc // ends the current Follow
	idle     chan struct{}      // closed when the feed no longer runs
}

// lasting is the current of a feed whose backend has promised to report the next change.
const lasting = math.MaxInt64

// listener gets the changes of some keys. Its methods are called under the lock of the feed.
type listener interface {
	wants() following
	push(r *driver.Record)
	lose()          // changes are missing
	fail(err error) // no more changes come
}

// following describes the records that a feed follows.
type following struct {
	patterns []string // none: all keys
	values   bool
}

func newFeed(o *opened) *feed {
	life, end := context.WithCancel(context.Background())
	return &feed{o: o, life: life, end: end, begun: time.Now(), watchers: make(map[listener]struct{})}
}

// stop ends the feed and its watchers. It returns an error if ctx ends before the feed.
func (f *feed) stop(ctx context.Context) error {
	f.end()
	f.mu.Lock()
	f.fail(notDone(transport.Unavailable, "it was closed"))
	idle := f.idle
	f.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "%w before it had stopped to follow the bucket", ctx.Err())
	}
}

// join adds a watcher. It gets all changes after the returned revision, and perhaps some
// before.
func (f *feed) join(ctx context.Context, w listener) (last uint64, err error) {
	is, err := f.o.Info(ctx)
	if err != nil {
		return 0, err
	}
	if f.add(w, is.Last) {
		return is.Last, nil
	}
	if is, err = f.o.Info(ctx); err != nil {
		f.leave(w)
	}
	return is.Last, err
}

// add adds a watcher, and reports whether the feed begins with it, after a position.
func (f *feed) add(w listener, position uint64) (begins bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.life.Err() != nil {
		w.fail(notDone(transport.Unavailable, "it was closed"))
		return true
	}
	f.watchers[w] = struct{}{}
	switch {
	case !f.running:
		f.following, f.position, f.running, f.idle = f.union(), position, true, make(chan struct{})
		go f.run(f.idle)
		return true
	case !w.wants().within(f.following):
		f.follow(f.union())
	}
	return false
}

// follow restarts the feed.
func (f *feed) follow(what following) {
	f.following = what
	f.turn++
	f.lapse()
	if f.renew != nil {
		f.renew()
	}
}

// leave removes a watcher. With the last one the feed ends.
func (f *feed) leave(w listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, w)
	if len(f.watchers) == 0 && f.running {
		f.follow(f.following)
	}
}

// maxPatterns is the maximum number of patterns of a feed. With more it follows all keys, so
// that further watchers do not change what it follows.
const maxPatterns = 256

// union returns what all watchers need together.
func (f *feed) union() (u following) {
	all := false
	for w := range f.watchers {
		needs := w.wants()
		u.values = u.values || needs.values
		all = all || len(needs.patterns) == 0
		u.patterns = append(u.patterns, needs.patterns...)
	}
	if !all {
		u.patterns = disjoint(u.patterns)
	}
	if all || len(u.patterns) > maxPatterns {
		u.patterns = nil
	}
	return u
}

// within reports whether a feed that follows outer gets all that u describes.
func (u following) within(outer following) bool {
	if u.values && !outer.values {
		return false
	}
	if len(outer.patterns) == 0 {
		return true
	}
	return len(u.patterns) > 0 && !slices.ContainsFunc(u.patterns, func(p string) bool {
		return !slices.ContainsFunc(outer.patterns, func(o string) bool { return covers(o, p) })
	})
}

// run follows until there is no watcher, or an error.
func (f *feed) run(idle chan struct{}) {
	defer close(idle)
	for {
		ctx, what, turn, ok := f.next()
		if !ok {
			return
		}
		err := f.o.Follow(ctx, what, func(r *driver.Record) bool { return f.hand(turn, r) })
		f.lapse()
		switch {
		case ctx.Err() != nil, err == nil: // a watcher has joined, or the last one left
		case errors.Is(err, driver.ErrGap):
			if f.skip(ctx, turn) != nil {
				_ = pause(ctx, lastPause) // the next Follow finds the gap again, or returns why not
			}
		default:
			f.mu.Lock()
			f.fail(err)
			f.running = false
			f.mu.Unlock()
			return
		}
	}
}

// next returns what to follow next. It reports false if there is no watcher left.
func (f *feed) next() (ctx context.Context, what driver.Follow, turn int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.renew != nil {
		f.renew()
	}
	if len(f.watchers) == 0 || f.life.Err() != nil {
		f.running, f.renew = false, nil
		return nil, what, 0, false
	}
	ctx, f.renew = context.WithCancel(f.life)
	turn = f.turn
	what = driver.Follow{Patterns: f.patterns, After: f.position, HeadersOnly: !f.values, Current: func(revision uint64, lasting bool) { f.markCurrent(turn, revision, lasting) }}
	return ctx, what, turn, true
}

// markCurrent notes that all changes up to a revision were handed out, and that there are no
// others, or none until the next one is handed out.
func (f *feed) markCurrent(turn int, revision uint64, lasts bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn != turn {
		return
	}
	f.position = max(f.position, revision)
	f.current.Store(int64(time.Since(f.begun)) + 1)
	if lasts {
		f.current.Store(lasting)
	}
}

// lapse ends the time for which all changes had been handed out, if it has lasted until now.
func (f *feed) lapse() { f.current.CompareAndSwap(lasting, int64(time.Since(f.begun))+1) }

// staleness returns the time since all changes were last known to have been handed out. It is
// without bound before the first time.
func (f *feed) staleness() time.Duration {
	at := f.current.Load()
	switch at {
	case 0:
		return math.MaxInt64
	case lasting:
		return 0
	}
	return time.Since(f.begun) - time.Duration(at-1)
}

// hand hands a change to the watchers. It reports false if the feed must follow anew.
func (f *feed) hand(turn int, r *driver.Record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn != turn {
		return false
	}
	f.position = r.Revision
	f.lapse()
	for w := range f.watchers {
		if patterns := w.wants().patterns; len(patterns) == 0 || transport.Contains(patterns, r.Key) {
			w.push(r)
		}
	}
	return true
}

// skip continues after the bucket's last revision, and tells the watchers that changes are
// missing.
func (f *feed) skip(ctx context.Context, turn int) error {
	is, err := f.o.Info(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn != turn {
		return nil // the next Follow finds the gap again
	}
	f.position = is.Last
	for w := range f.watchers {
		w.lose()
	}
	return nil
}

// fail ends all watchers.
func (f *feed) fail(err error) {
	for w := range f.watchers {
		w.fail(err)
		delete(f.watchers, w)
	}
}
