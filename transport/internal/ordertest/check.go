//go:build unix

package ordertest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/transport"
)

// run is a handler that ran.
type run struct {
	by       *process
	from, to time.Time
	sequence uint64
	key      string
	token    uint64
	done     bool
	cut      bool // its process was killed
}

func (r *run) stood() bool { return r.by.stood(r.from, r.to) }

func (r *run) String() string {
	return fmt.Sprintf("message %d at member %d, token %d, from %d to %d", r.sequence, r.by.number, r.token, r.from.UnixNano(), r.to.UnixNano())
}

// read returns what the handlers of a member did.
func (p *process) read(t *testing.T) (runs []*run) {
	text, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]*run)
	for line := range strings.Lines(string(text)) {
		var what, key string
		var at int64
		var sequence, token uint64
		if _, err := fmt.Sscan(line, &what, &at, &sequence, &key, &token); err != nil {
			continue // the process was killed while it wrote
		}
		id := fmt.Sprint(sequence, " ", token)
		if what == "begin" {
			r := &run{by: p, from: time.Unix(0, at), sequence: sequence, key: key, token: token}
			open[id] = r
			runs = append(runs, r)
			continue
		}
		r := open[id]
		delete(open, id)
		r.to, r.done = time.Unix(0, at), what == "done"
	}
	for _, r := range open {
		r.to, r.cut = p.killed, true
	}
	return runs
}

// findings are what the runs of all members show.
type findings struct {
	t                          *testing.T
	doubles, overtakes, tokens int
	beside                     int // runs that overlap or overtake because a process stood still
}

// maxReports bounds the errors of a kind.
const maxReports = 5

func (f *findings) report(n *int, kind string, before, r *run) {
	if before.stood() || r.stood() {
		f.beside++
		return
	}
	if *n++; *n <= maxReports {
		f.t.Errorf("key %s: %s: %v, after %v", r.key, kind, r, before)
	}
}

// check checks that no key had two handlers, that none was overtaken, that tokens grow, and that all
// messages were handled.
func check(t *testing.T, all []*process, total int) {
	byKey, done := make(map[string][]*run), make(map[uint64]bool)
	for _, p := range all {
		for _, r := range p.read(t) {
			byKey[r.key] = append(byKey[r.key], r)
			done[r.sequence] = done[r.sequence] || r.done
		}
	}
	handled := 0
	for _, ok := range done {
		if ok {
			handled++
		}
	}
	if handled != total {
		t.Errorf("%d of %d messages were handled", handled, total)
	}
	f := &findings{t: t}
	for _, runs := range byKey {
		slices.SortFunc(runs, func(a, b *run) int { return a.from.Compare(b.from) })
		f.key(runs)
	}
	t.Logf("%d doubles, %d overtakes, %d falling tokens; %d runs beside a process that stood still", f.doubles, f.overtakes, f.tokens, f.beside)
	measure(t, all, slices.Concat(slices.Collect(maps.Values(byKey))...))
}

// key examines the runs of a key, by their begin.
func (f *findings) key(runs []*run) {
	last := runs[0] // with the latest end
	for i, r := range runs[1:] {
		before := runs[i]
		if r.from.Before(last.to) {
			f.report(&f.doubles, "two handlers at once", last, r)
		}
		if r.sequence < before.sequence {
			f.report(&f.overtakes, "overtaken", before, r)
		}
		if r.token <= before.token && !before.stood() && !r.stood() {
			f.report(&f.tokens, "a token fell", before, r)
		}
		if r.to.After(last.to) {
			last = r
		}
	}
}

// measure logs how long it took until others went on with what a member had.
func measure(t *testing.T, all []*process, runs []*run) {
	slices.SortFunc(runs, func(a, b *run) int { return a.from.Compare(b.from) })
	disturbed := func(from, to time.Time, but *process) bool {
		return slices.ContainsFunc(all, func(p *process) bool {
			return p != but && (!p.killed.IsZero() && p.left.IsZero() && p.killed.After(from) && p.killed.Before(to) || p.stood(from, to))
		})
	}
	var hands, free, left, joined []time.Duration
	first := make(map[*process]bool)
	byPartition, bySequence := make(map[int]*run), make(map[uint64]*run)
	for _, r := range runs {
		if !first[r.by] {
			first[r.by] = true
			joined = append(joined, r.from.Sub(r.by.ready))
		}
		if before := bySequence[r.sequence]; before != nil && before.cut && !disturbed(before.to, r.from, before.by) {
			hands = append(hands, r.from.Sub(before.to))
		}
		partition := transport.PartitionOf(transport.KeyOf(r.key), partitions)
		if before := byPartition[partition]; before != nil && before.by != r.by {
			if at := before.by; !at.left.IsZero() && !disturbed(at.left, r.from, at) {
				left = append(left, max(r.from.Sub(at.left), 0))
			} else if at.left.IsZero() && !at.killed.IsZero() && at.killed.Before(r.from) && !disturbed(at.killed, r.from, at) {
				free = append(free, r.from.Sub(at.killed))
			}
		}
		byPartition[partition], bySequence[r.sequence] = r, r
	}
	for what, times := range map[string][]time.Duration{
		"a dead member's message in hand goes on": hands, "a dead member's partition goes on": free,
		"a partition goes on after an orderly leave": left, "a new member handles its first message": joined,
	} {
		t.Logf("%s: %s", what, percentiles(times))
	}
}

func percentiles(times []time.Duration) string {
	if len(times) == 0 {
		return "never measured"
	}
	slices.Sort(times)
	at := func(p int) time.Duration { return times[min(len(times)*p/100, len(times)-1)].Round(time.Millisecond) }
	return fmt.Sprintf("after %v (median), %v (95 %%), %v (99 %%), %v (longest of %d)", at(50), at(95), at(99), at(100), len(times))
}
