package transporttest

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
)

// ProgramOptions specify the number and size of the programs of Model and Compare.
type ProgramOptions struct {
	// Programs is the number of programs to run, in addition to those in testdata. 0
	// means 100.
	Programs int

	// Steps is the maximum number of steps of a program. 0 means 30.
	Steps int

	// Parallel is the number of programs that run in parallel. 0 means 4.
	Parallel int
}

func (o *ProgramOptions) defaults() {
	o.Programs = max(o.Programs, 0)
	if o.Programs == 0 {
		o.Programs = 100
	}
	if o.Steps == 0 {
		o.Steps = 30
	}
	if o.Parallel == 0 {
		o.Parallel = 4
	}
}

// Model runs random programs on a backend, and compares it with a model of a log that is
// a few hundred lines long. It also checks the guarantees of every delivery:
//
//  1. No acknowledged message is lost, and no rejected message is stored.
//  2. No message is delivered before it is sent, before its time, before a delay has
//     passed, or after it was settled.
//  3. Of each key of an ordered group there is one message at a time, in order; the fencing
//     token increases.
//  4. A message has as many attempts as there are reasons for: its hand-backs, and
//     members that ended.
//  5. Every group gets every message that is for it, and accounts for it.
//  6. A drained member leaves nothing behind.
//  7. Sequences are never reused, and never go back.
//
// A failing program is made as small as possible, printed as Go code for [Replay], and
// saved in testdata/programs. The next run runs it before all others.
func Model(t *testing.T, b Backend, o ProgramOptions) {
	t.Helper()
	explore(t, o, b)
}

// Compare is like Model for two backends at once. Each is compared with the model, and
// their observable states after each step are compared with each other: which message was
// delivered how often per group, in which order per key, what is held, and everything
// that the log reports.
func Compare(t *testing.T, a, b Backend, o ProgramOptions) {
	t.Helper()
	explore(t, o, a, b)
}

// Replay runs one program on backends, and compares them if there are several.
func Replay(t *testing.T, p Program, backends ...Backend) {
	t.Helper()
	r := &realtime.Rounds{Stall: spoils}
	if err := run1(t, &p, backends, firstPatience, r); err != nil {
		t.Errorf("%v\n\n%s", err, p)
	}
}

// explore runs the programs in testdata, and random ones.
func explore(t *testing.T, o ProgramOptions, backends ...Backend) {
	t.Helper()
	o.defaults()
	for name, p := range kept(t) {
		t.Run(name, func(t *testing.T) {
			if why := unfit(&p, backends); why != "" {
				t.Log(why)
				return
			}
			Replay(t, p, backends...)
		})
	}
	kinds := kindsFor(t, &o, backends)
	rounds := &realtime.Rounds{Stall: spoils}
	var begun atomic.Int64
	var workers sync.WaitGroup
	defer workers.Wait()
	for i := range o.Parallel { // without t.Parallel: they wait more than they compute
		workers.Go(func() {
			t.Run(fmt.Sprint("worker-", i), func(t *testing.T) {
				e := &explorer{generator: programs(kinds), bits: rapid.Bool(), backends: backends, rounds: rounds, patience: firstPatience}
				defer e.keep(t)
				for e.shift = i; begun.Load() < int64(o.Programs); e.shift += o.Parallel {
					rapid.Check(t, func(rt *rapid.T) {
						if e.failed == nil && begun.Add(1) > int64(o.Programs) {
							return
						}
						e.try(t, rt)
					})
				}
			})
		})
	}
}

// explorer tries one program after another.
type explorer struct {
	generator *rapid.Generator[made]
	backends  []Backend
	rounds    *realtime.Rounds
	patience  patienceWith
	shift     int // how many bits it draws first
	bits      *rapid.Generator[bool]
	failed    *Program // the smallest so far
}

// seeded reports whether rapid has a fixed seed. Every Check would then generate the same
// programs, except that each first draws a different number of bits.
func seeded() bool {
	f := flag.Lookup("rapid.seed")
	return f != nil && f.Value.String() != "0"
}

func (e *explorer) try(t *testing.T, rt *rapid.T) {
	for range e.shift {
		if seeded() {
			e.bits.Draw(rt, "")
		}
	}
	p := e.generator.Draw(rt, "program").Program
	if err := run1(t, &p, e.backends, e.patience, e.rounds); err != nil {
		e.failed, e.patience = &p, laterPatience
		rt.Fatalf("%v\n\n%s", err, p)
	}
}

// kindsFor returns the kinds of programs that the backends can run.
func kindsFor(t *testing.T, o *ProgramOptions, backends []Backend) kinds {
	k := kinds{steps: o.Steps, crashes: true, timed: true, delays: true, partitions: true}
	for _, b := range backends {
		k.crashes = k.crashes && b.Kill != nil
		k.timed = k.timed && b.Bubble
		has := capabilities(t, &b)
		k.delays = k.delays && has.Delays
		k.partitions = k.partitions && has.Partitions
		if !has.Logs {
			t.Fatalf("%s does not support logs, which programs require", b.Name)
		}
	}
	return k
}

func capabilities(t *testing.T, b *Backend) (has transport.Capabilities) {
	t.Helper()
	b.around(t, func(ctx context.Context) {
		connect, _ := b.Open()
		tr, err := connect(ctx)
		if err != nil {
			t.Fatalf("%s: %v", b.Name, err)
		}
		has = tr.Capabilities()
		_ = tr.Close(ctx)
	})
	return has
}

// unfit returns why the backends cannot run a program.
func unfit(p *Program, backends []Backend) string {
	for _, b := range backends {
		for _, s := range p.Steps {
			switch {
			case (s.Do == Crash || s.Do == RushCrash) && b.Kill == nil:
				return b.Name + " cannot be killed"
			case s.Do == Wait && !b.Bubble:
				return b.Name + " runs in real time"
			}
		}
	}
	return ""
}

// run1 runs a program on every backend, and returns what is wrong.
func run1(t *testing.T, p *Program, backends []Backend, patience patienceWith, rounds *realtime.Rounds) error {
	t.Helper()
	var all []outcome
	for _, b := range backends {
		o := b.round(t, p, patience, rounds)
		if o.err != nil {
			return o.err
		}
		all = append(all, o)
	}
	for i, o := range all[1:] {
		if err := agree(p, backends[0].Name, &all[0], backends[i+1].Name, &o); err != nil {
			return err
		}
	}
	return nil
}

// round runs a program. In real time it repeats the run if the machine stalled.
func (b *Backend) round(t *testing.T, p *Program, patience patienceWith, rounds *realtime.Rounds) (o outcome) {
	t.Helper()
	if b.Bubble {
		return b.play(t, p, patience)
	}
	_ = rounds.Try(t, func() error {
		o = b.play(t, p, patience)
		return o.err
	})
	return o
}

func (b *Backend) play(t *testing.T, p *Program, patience patienceWith) (o outcome) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil { // of synctest, when nothing can happen any more
			o.err = fmt.Errorf("%s: %v", b.Name, v)
		}
	}()
	b.around(t, func(ctx context.Context) { o = play(ctx, b, p, patience) })
	return o
}

// agree returns an error for the first step at which two backends differ.
func agree(p *Program, name string, a *outcome, other string, b *outcome) error {
	for i := range a.steps {
		x, y := a.steps[i], b.steps[i]
		what := "at the end"
		if i < len(p.Steps) {
			what = fmt.Sprintf("step %d, %s", i, p.Steps[i].Do)
		}
		if !slices.Equal(x.results, y.results) {
			return fmt.Errorf("%s: it returns %q on %s and %q on %s", what, x.results, name, y.results, other)
		}
		if text := differences(name, x.view.lines(), other, y.view.lines()); text != "" {
			return fmt.Errorf("%s: the observable states differ:\n%s", what, text)
		}
	}
	return nil
}

// around runs f in the environment of programs on this backend. It forwards panics of f.
func (b *Backend) around(t *testing.T, f func(context.Context)) {
	t.Helper()
	if !b.Bubble {
		f(t.Context())
		return
	}
	ended := make(chan any, 1)
	go func() { // separate, because a failing bubble ends its goroutine
		defer func() { ended <- recover() }()
		synctest.Test(t, func(t *testing.T) { f(t.Context()) })
	}()
	if v := <-ended; v != nil {
		panic(v)
	}
}
