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

// ProgramOptions say how many programs Model and Compare make, and of which size.
type ProgramOptions struct {
	// Programs is how many are run, besides those that testdata keeps. 0 is 100.
	Programs int

	// Steps is how many steps a program has at most. 0 is 30.
	Steps int

	// Parallel is how many programs run side by side. 0 is 4.
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

// Model runs random programs on a backend, and holds it to a model of a log that is
// a few hundred lines long, and to what is promised of every delivery:
//
//  1. Nothing acknowledged as stored is lost, and nothing is stored that was refused.
//  2. Nothing is delivered before it is sent, before its time, before a delay is
//     over, or after it was settled.
//  3. In a lane of an ordered group there is one message at a time, in order; the
//     fence grows.
//  4. A message has as many attempts as there are reasons for: hand-backs of its
//     own, and members that ended.
//  5. Every group is given every message that is for it, and accounts for it.
//  6. A member that was drained leaves nothing behind.
//  7. Sequences are never used twice, and never go back.
//
// A program that fails is made as small as possible, printed as Go code for
// [Replay], and kept in testdata/programs, where the next run finds it and runs it
// before all others.
func Model(t *testing.T, b Backend, o ProgramOptions) {
	t.Helper()
	explore(t, o, b)
}

// Compare is Model for two backends at once. Each is held to the model, and what is
// to be seen of one after each step to what is to be seen of the other: per group
// which message was delivered how often, per lane in which order, what is held, and
// all that the log says of itself.
func Compare(t *testing.T, a, b Backend, o ProgramOptions) {
	t.Helper()
	explore(t, o, a, b)
}

// Replay runs one program on backends, and compares them where they are several.
func Replay(t *testing.T, p Program, backends ...Backend) {
	t.Helper()
	r := &realtime.Rounds{Stall: spoils}
	if err := run1(t, &p, backends, firstPatience, r); err != nil {
		t.Errorf("%v\n\n%s", err, p)
	}
}

// explore runs the programs that testdata keeps, and random ones.
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
	for i := range o.Parallel { // not by t.Parallel: they wait more than they compute
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
	shift     int // how often it draws something of bits first
	bits      *rapid.Generator[bool]
	failed    *Program // the smallest so far
}

// seeded reports whether rapid was told where to begin. Every Check would then make
// the same programs, were it not that each first draws something as often as no
// other does.
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

// kindsFor returns which programs the backends can run.
func kindsFor(t *testing.T, o *ProgramOptions, backends []Backend) kinds {
	k := kinds{steps: o.Steps, crashes: true, timed: true, delays: true, lanes: true}
	for _, b := range backends {
		k.crashes = k.crashes && b.Kill != nil
		k.timed = k.timed && b.Bubble
		has := capabilities(t, &b)
		k.delays = k.delays && has.Delays
		k.lanes = k.lanes && has.Lanes
		if !has.Logs {
			t.Fatalf("%s has no logs, and programs are about logs", b.Name)
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

// unfit says why the backends cannot run a program.
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

// round plays a program, in real time again if a stall of the machine spoils it.
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
		if v := recover(); v != nil { // of synctest, when nothing can move any more
			o.err = fmt.Errorf("%s: %v", b.Name, v)
		}
	}()
	b.around(t, func(ctx context.Context) { o = play(ctx, b, p, patience) })
	return o
}

// agree reports the first step at which two backends differ.
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
			return fmt.Errorf("%s: what is to be seen then differs:\n%s", what, text)
		}
	}
	return nil
}

// around runs f where programs run on this backend. What panics there panics here.
func (b *Backend) around(t *testing.T, f func(context.Context)) {
	t.Helper()
	if !b.Bubble {
		f(t.Context())
		return
	}
	ended := make(chan any, 1)
	go func() { // on its own, since a failing bubble ends its goroutine
		defer func() { ended <- recover() }()
		synctest.Test(t, func(t *testing.T) { f(t.Context()) })
	}()
	if v := <-ended; v != nil {
		panic(v)
	}
}
