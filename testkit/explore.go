package testkit

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Exploration is what became of a body under many schedules.
type Exploration struct {
	// Runs is how many schedules were tried.
	Runs int

	// Failures are those under which the body failed, the shortest history first.
	Failures []Failure

	t *testing.T
}

// Failure is one schedule under which a body failed.
type Failure struct {
	Seed  uint64 // repeats it
	Steps int    // of its history
	Text  string // what the body said, and what happened
}

// Explore runs body under n schedules, those of the seeds 1 to n, several at a time,
// and returns what became of them. What fails in it fails on a testing.TB of its own,
// and nothing yet in t: MustPass does.
//
// Faults that the seed decides about belong in it: see Injection.Sometimes. body
// must not use what other runs use. With -testkit.seed there is one schedule; seeds
// that are kept for the test are tried first.
func Explore(t *testing.T, n int, body func(t testing.TB, h *Harness), opts ...Option) *Exploration {
	t.Helper()
	if n < 1 {
		t.Fatalf("testkit.Explore: %d schedules: want at least 1", n)
	}
	set := newSettings(opts)
	seeds := upTo(uint64(n), keptSeeds(t, t.Name()))
	switch {
	case *seedFlag != 0:
		seeds = []uint64{*seedFlag}
	case set.seed != 0:
		seeds = []uint64{set.seed}
	}
	x := &explorer{t: t, set: set, body: body, seeds: seeds}
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(seeds)) {
		workers.Go(x.work)
	}
	workers.Wait()
	slices.SortFunc(x.failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.Steps, b.Steps), cmp.Compare(a.Seed, b.Seed))
	})
	return &Exploration{Runs: x.runs, Failures: x.failures, t: t}
}

// explorer tries one seed after another, on several goroutines.
type explorer struct {
	t    *testing.T
	set  *settings
	body func(testing.TB, *Harness)

	mu       sync.Mutex
	seeds    []uint64 // that are left
	runs     int
	failures []Failure
}

func (x *explorer) work() {
	for {
		seed, ok := x.next()
		if !ok {
			return
		}
		x.note(explored(x.t, x.set, seed, x.body))
	}
}

func (x *explorer) next() (seed uint64, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.seeds) == 0 {
		return 0, false
	}
	seed, x.seeds = x.seeds[0], x.seeds[1:]
	return seed, true
}

// note notes how a run ended. Where one hangs, no other is begun.
func (x *explorer) note(f *Failure, ended bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.runs++
	if f != nil {
		x.failures = append(x.failures, *f)
	}
	if !ended {
		x.seeds = nil
	}
}

// MustPass fails the test where a schedule has failed, and says which one has the
// shortest history. Its seed is kept, to be tried first from then on.
func (e *Exploration) MustPass() {
	e.t.Helper()
	if len(e.Failures) == 0 {
		return
	}
	shortest := e.Failures[0]
	keepSeed(e.t, e.t.Name(), shortest.Seed)
	e.t.Fatalf("testkit: %d of %s failed; the shortest history, of %s, is that of seed %d: run it again with -testkit.seed=%d\n%s",
		len(e.Failures), plural(e.Runs, "schedule"), plural(shortest.Steps, "step"), shortest.Seed, shortest.Seed, shortest.Text)
}

// explored runs body under one schedule. It reports false where that did not end.
func explored(t *testing.T, set *settings, seed uint64, body func(testing.TB, *Harness)) (*Failure, bool) {
	var running atomic.Pointer[Harness] // read while it hangs, too
	problem, ended := inBubble(t, set.limit(), func(t *testing.T) {
		r := newRecorder(t)
		h := newHarness(r, set, seed, newMemory(set))
		running.Store(h)
		r.Cleanup(h.end)
		apart(func() { contain(r, func() { body(r, h) }) })
	})
	h := running.Load()
	if h == nil {
		return &Failure{Seed: seed, Text: problem}, ended
	}
	r := h.t.(*recorder)
	if problem != "" {
		r.Errorf("testkit: %s", problem)
		h.report()
	}
	if !r.Failed() {
		return nil, ended
	}
	return &Failure{Seed: seed, Steps: h.net.steps(), Text: r.text()}, ended
}

// apart calls f on a goroutine of its own, which f may end, and waits for it.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// recorder is a testing.TB that keeps what it is told.
type recorder struct {
	testing.TB // of the bubble, for what is not about failing

	mu     sync.Mutex
	failed bool
	said   []byte
}

func newRecorder(t testing.TB) *recorder { return &recorder{TB: t} }

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.said)
}

func (r *recorder) say(failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.said = append(r.said, text...)
	if text != "" && text[len(text)-1] != '\n' {
		r.said = append(r.said, '\n')
	}
}

// Write is the writer that Output returns.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, p...)
	return len(p), nil
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Helper()                           {}
func (r *recorder) Fail()                             { r.say(true, "") }
func (r *recorder) Log(args ...any)                   { r.say(false, fmt.Sprintln(args...)) }
func (r *recorder) Logf(format string, args ...any)   { r.say(false, fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.say(true, fmt.Sprintln(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.say(true, fmt.Sprintf(format, args...)) }

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Output() io.Writer { return r }

// Cleanup lets f fail the recorder and not the bubble.
func (r *recorder) Cleanup(f func()) { r.TB.Cleanup(func() { apart(f) }) }
