package peers

import (
	"flag"
	"runtime"
	"slices"
	"testing"
	"time"

	"gomono.dev/internal/cputime"
)

var turnTime = flag.Duration("turn", 50*time.Millisecond, "time of a turn of one peer")

// entrant is one side of a contest. Turn does n operations, checks their results, and returns the
// time that they took. Settle, if there is one, waits for the end of all work.
type entrant struct {
	name   string
	turn   func(n int) time.Duration
	settle func()

	n      int       // operations of a turn
	took   []float64 // nanoseconds of an operation, by round
	busy   []float64 // nanoseconds of processor time, of both ends and the server
	allocs []float64 // allocations, also of all
}

// contest lets the entrants work in turns, a round after another. It reports the medians of each,
// and the medians of its times as multiples of the first one's in the same round. The numbers of
// operations are multiples of step and at most most.
func contest(b *testing.B, step, most int, entrants []*entrant) {
	for _, e := range entrants {
		e.calibrate(step, most)
	}
	for round := 0; b.Loop(); round++ {
		for i := range entrants {
			entrants[(i+round)%len(entrants)].measure()
		}
	}
	own := entrants[0]
	for _, e := range entrants {
		b.ReportMetric(median(e.took), e.name+"-ns")
		b.ReportMetric(median(e.busy), e.name+"-cpu-ns")
		b.ReportMetric(median(e.allocs), e.name+"-allocs")
		if e != own {
			b.ReportMetric(median(ratios(e.took, own.took)), e.name+"-ratio")
			b.ReportMetric(median(ratios(e.busy, own.busy)), e.name+"-cpu-ratio")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// calibrate finds the number of operations that take as long as a turn when nothing else runs: by
// processor time if that is less than real time.
func (e *entrant) calibrate(step, most int) {
	most = max(most/step, 1)
	e.time(step) // nothing is warm yet
	if e.n = step; most == 1 {
		return
	}
	for steps := 1; ; steps = min(2*steps, most) {
		took, busy, _ := e.time(steps * step)
		if busy > 0 {
			took = min(took, busy)
		}
		if steps == most || took >= *turnTime/2 {
			e.n = min(max(int(float64(steps)*float64(*turnTime)/float64(took)), 1), most) * step
			return
		}
	}
}

func (e *entrant) measure() {
	took, busy, allocs := e.time(e.n)
	n := float64(e.n)
	e.took = append(e.took, float64(took)/n)
	e.busy = append(e.busy, float64(busy)/n)
	e.allocs = append(e.allocs, float64(allocs)/n)
}

// time is the real time, the processor time and the allocations of a turn.
func (e *entrant) time(n int) (took, busy time.Duration, allocs uint64) {
	runtime.GC() // the garbage of one peer is not the work of the next
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	spent := cputime.Spent()
	took = e.turn(n)
	busy = cputime.Spent() - spent
	runtime.ReadMemStats(&after)
	if e.settle != nil {
		e.settle()
	}
	return took, busy, after.Mallocs - before.Mallocs
}

func ratios(theirs, ours []float64) []float64 {
	all := make([]float64, len(theirs))
	for i := range all {
		all[i] = theirs[i] / ours[i]
	}
	return all
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
