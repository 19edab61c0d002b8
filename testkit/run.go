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

// Run runs body in a bubble of virtual time, with a Harness to build a system in. Like
// synctest.Test it ends the test if body has failed. body must not call t.Run and
// t.Parallel; call them before Run.
//
// With -testkit.runs body runs several times, each with another seed, until it fails.
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
	var running atomic.Pointer[Harness] // also read while it hangs
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
		t.Fatalf("testkit: %s\n%s", problem, h.rerunText())
	case problem != "":
		t.Fatalf("testkit: %s", problem)
	case failed:
		t.FailNow()
	}
}

// contain turns a panic of body into a failure of the test.
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
		return "t.Parallel was called in the body of testkit.Run, which has virtual time: call it before testkit.Run"
	case strings.Contains(text, "t.Run called inside"):
		return "t.Run was called in the body of testkit.Run, which has virtual time: call testkit.Run in each subtest instead"
	default:
		return fmt.Sprintf("the test panicked: %s\n%s", text, stack)
	}
}

// inBubble runs body in a bubble, and returns a problem with the bubble, apart from body's
// failures. The bubble runs on another goroutine, so that it can be left behind if it hangs:
// ended is then false.
func inBubble(t *testing.T, limit time.Duration, body func(*testing.T)) (problem string, ended bool) {
	t.Helper()
	b := &bubble{ended: make(chan any, 1)}
	go b.run(t, body)
	switch panicked, ended := realtime.ReceiveWithin(limit, b.ended); {
	case !ended:
		return b.hangText(limit), false
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

// Option is a setting of one Run.
type Option func(*settings)

type settings struct {
	seed        uint64 // 0: not set
	localCalls  bool
	doubled     bool
	freeRunning bool
	watchdog    time.Duration
	app         []mono.AppOption
}

// Seed sets the seed; 0 means the usual ones. The flag -testkit.seed overrides it.
func Seed(seed uint64) Option { return func(s *settings) { s.seed = seed } }

// LocalCalls makes calls local if their provider is in the same App, as in production. Such
// calls have no faults, and no seed orders them.
func LocalCalls() Option { return func(s *settings) { s.localCalls = true } }

// Doubled hands every stored message to its handler twice: queues, streams and durable events
// promise at least once.
func Doubled() Option { return func(s *settings) { s.doubled = true } }

// FreeRunning lets everything happen as soon as it can, on all processors at once, as outside a
// test. The race detector finds more, and a seed repeats nothing.
func FreeRunning() Option { return func(s *settings) { s.freeRunning = true } }

// Watchdog bounds a run in real time, 1 minute by default. Time in which the machine does not
// run the process does not count.
func Watchdog(d time.Duration) Option { return func(s *settings) { s.watchdog = d } }

// AppOptions are options of every App that the Harness makes.
func AppOptions(opts ...mono.AppOption) Option {
	return func(s *settings) { s.app = append(s.app, opts...) }
}

func newSettings(opts []Option) *settings {
	s := &settings{}
	for _, opt := range opts {
		if opt == nil {
			panic("testkit: an option is nil: leave it out")
		}
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
