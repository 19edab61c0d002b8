package testkit

import (
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
)

// Run runs body in a bubble of virtual time, with a Harness to build a system in.
// Like synctest.Test it ends the test when body has failed. In body, t.Run and
// t.Parallel must not be called; before Run they may.
//
// With -testkit.runs body runs several times, each with another seed, until it
// fails.
func Run(t *testing.T, body func(t *testing.T, h *Harness), opts ...Option) {
	if t == nil {
		panic("testkit.Run: the test is nil: call it in a function TestX(t *testing.T), with its t")
	}
	t.Helper()
	set := newSettings(opts)
	seeds := set.seeds(t)
	if len(seeds) == 1 {
		runOnce(t, set, seeds[0], body)
		return
	}
	for _, seed := range seeds {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runOnce(t, set, seed, body) }) {
			keepSeed(t, t.Name(), seed)
			t.FailNow()
		}
	}
}

func runOnce(t *testing.T, set *settings, seed uint64, body func(*testing.T, *Harness)) {
	t.Helper()
	var running atomic.Pointer[Harness] // read while it hangs, too
	failed := true
	problem, _ := inBubble(t, set.limit(), func(t *testing.T) {
		h := newHarness(t, set, seed, newMemory(set))
		running.Store(h)
		t.Cleanup(func() {
			h.end()
			failed = t.Failed()
		})
		contain(t, func() { body(t, h) })
	})
	switch h := running.Load(); {
	case problem != "" && h != nil:
		t.Fatalf("testkit: %s\n%s", problem, h.again())
	case problem != "":
		t.Fatalf("testkit: %s", problem)
	case failed:
		t.FailNow()
	}
}

// contain lets a panic of body fail the test in words.
func contain(t testing.TB, body func()) {
	defer func() {
		if v := recover(); v != nil {
			t.Errorf("testkit: %s", panicText(v, debug.Stack()))
		}
	}()
	body()
}

func panicText(v any, stack []byte) string {
	switch text := fmt.Sprint(v); {
	case strings.Contains(text, "t.Parallel called inside"):
		return "t.Parallel was called in the body of testkit.Run, whose time is its own: call it before testkit.Run"
	case strings.Contains(text, "t.Run called inside"):
		return "t.Run was called in the body of testkit.Run, whose time is its own: call testkit.Run in each subtest instead"
	default:
		return fmt.Sprintf("the test panicked: %s\n%s", text, stack)
	}
}

// inBubble runs body in a bubble, and says what was wrong with that, body's own
// failures apart. It does so on another goroutine, so that one that hangs can be left
// behind: ended is false then.
func inBubble(t *testing.T, limit time.Duration, body func(*testing.T)) (problem string, ended bool) {
	t.Helper()
	b := &bubble{ended: make(chan any, 1)}
	go b.run(t, body)
	switch panicked, ended := realtime.ReceiveWithin(limit, b.ended); {
	case !ended:
		return b.hang(limit), false
	case panicked != nil:
		return b.explain(panicked), true
	}
	return "", true
}

func (b *bubble) run(t *testing.T, body func(*testing.T)) {
	defer func() { b.ended <- recover() }()
	synctest.Test(t, func(t *testing.T) {
		b.name.Store(bubbleName())
		body(t)
	})
}

// Option says what differs for one Run.
type Option func(*settings)

type settings struct {
	seed     uint64 // 0: not said
	home     bool
	doubled  bool
	free     bool
	watchdog time.Duration
	app      []mono.AppOption
}

// Seed sets the seed, 0 for the usual ones. The flag -testkit.seed wins over it.
func Seed(seed uint64) Option { return func(s *settings) { s.seed = seed } }

// LocalCalls keeps calls whose provider is in the same App within it, as in
// production. No fault meets them then, and no seed orders them.
func LocalCalls() Option { return func(s *settings) { s.home = true } }

// Doubled hands every stored message twice to its handler: at least once is what
// queues, streams and durable events promise.
func Doubled() Option { return func(s *settings) { s.doubled = true } }

// Unordered lets everything happen as soon as it can, on all processors at once, as
// outside a test: the race detector finds more, and a seed repeats nothing.
func FreeRunning() Option { return func(s *settings) { s.free = true } }

// Watchdog bounds a run in real time, 1 minute by default. Time in which the machine
// stands still does not count.
func Watchdog(d time.Duration) Option { return func(s *settings) { s.watchdog = d } }

// AppOptions are for every App that the Harness makes.
func AppOptions(opts ...mono.AppOption) Option {
	return func(s *settings) { s.app = append(s.app, opts...) }
}

func newSettings(opts []Option) *settings {
	s := &settings{}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

func (s *settings) limit() time.Duration {
	if s.watchdog > 0 {
		return s.watchdog
	}
	return *watchdogFlag
}
