package testkit

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"gomono.dev/internal/recorder"
)

// Exploration holds the results of a body under many schedules.
type Exploration struct {
	// Runs is the number of schedules that were tried.
	Runs int

	// FailedRuns are the runs in which the body failed, the shortest history first.
	FailedRuns []FailedRun

	t *testing.T
}

// FailedRun is one schedule under which a body failed.
type FailedRun struct {
	Seed  uint64 // repeats it
	Steps int    // of its history
	Text  string // the body's errors, and the history
}

// Explore runs body under n schedules, those of the seeds 1 to n, several at a time,
// and returns the results. Each run has its own testing.TB, so a failure does not fail
// t; MustPass does.
//
// Explore suits faults that the seed decides about: see Injection.Sometimes. body must
// not share state with other runs. With -testkit.seed there is one schedule. Seeds that
// are kept for the test are tried first.
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
	slices.SortFunc(x.failures, func(a, b FailedRun) int {
		return cmp.Or(cmp.Compare(a.Steps, b.Steps), cmp.Compare(a.Seed, b.Seed))
	})
	return &Exploration{Runs: x.runs, FailedRuns: x.failures, t: t}
}

// explorer tries one seed after another, on several goroutines.
type explorer struct {
	t    *testing.T
	set  *settings
	body func(testing.TB, *Harness)

	mu       sync.Mutex
	seeds    []uint64 // still to be tried
	runs     int
	failures []FailedRun
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

// note records the end of a run. After a run that hangs, no other begins.
func (x *explorer) note(f *FailedRun, ended bool) {
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

// MustPass fails the test if a schedule has failed, and reports the one with the shortest
// history. Its seed is kept, and tried first from then on.
func (e *Exploration) MustPass() {
	e.t.Helper()
	if len(e.FailedRuns) == 0 {
		return
	}
	shortest := e.FailedRuns[0]
	keepSeed(e.t, e.t.Name(), shortest.Seed)
	e.t.Fatalf("testkit: %d of %s failed; the shortest history, of %s, is that of seed %d: run it again with -testkit.seed=%d\n%s",
		len(e.FailedRuns), plural(e.Runs, "schedule"), plural(shortest.Steps, "step"), shortest.Seed, shortest.Seed, shortest.Text)
}

// explored runs body under one schedule. It returns false if the run did not end.
func explored(t *testing.T, set *settings, seed uint64, body func(testing.TB, *Harness)) (*FailedRun, bool) {
	var running atomic.Pointer[Harness] // also read while it hangs
	problem, ended := inBubble(t, set.limit(), func(t *testing.T) {
		r := recorder.New(t)
		h := newHarness(r, set, seed, newMemory(set))
		running.Store(h)
		r.Cleanup(h.end)
		recorder.Apart(func() { contain(r, func() { body(r, h) }) })
	})
	h := running.Load()
	if h == nil {
		return &FailedRun{Seed: seed, Text: problem}, ended
	}
	r := h.t.(*recorder.Recorder)
	if problem != "" {
		r.Errorf("testkit: %s", problem)
		h.report()
	}
	if !r.Failed() {
		return nil, ended
	}
	return &FailedRun{Seed: seed, Steps: h.net.steps(), Text: r.Text()}, ended
}
