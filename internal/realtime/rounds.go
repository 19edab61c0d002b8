package realtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/recorder"
)

// Rounds runs the rounds of a test whose result a stall can spoil. For example, a process that
// stands still keeps no member alive. A failed round is discarded and repeated if a heartbeat
// measured a stall in it, and for no other reason. The test fails if it discards more than one
// round in ten. The methods may be called by several goroutines at once.
type Rounds struct {
	// Planned is the minimum number of rounds of the test. Fewer than ten may discard one.
	Planned int

	// Stall is the shortest stall that spoils a round.
	Stall time.Duration

	mu        sync.Mutex
	discarded int
}

// Run runs a round, and repeats it if it is discarded. The failures and the log of the
// last round become those of t.
func (r *Rounds) Run(t *testing.T, round func(t testing.TB)) {
	t.Helper()
	var last *attempt
	_ = r.Try(t, func() error {
		last = newAttempt(t)
		last.run(round)
		if last.Failed() && !t.Failed() {
			return errors.New(last.Text())
		}
		return nil
	})
	last.report(t)
}

// Try is Run for a round that returns an error if it fails. It returns the error of the
// last round.
func (r *Rounds) Try(t testing.TB, round func() error) error {
	t.Helper()
	for {
		heart := StartHeartbeat()
		err := round()
		if stall := heart.Stop(); err == nil || !r.discard(t, stall, err) {
			return err
		}
	}
}

// discard reports whether to discard a round that failed, given its longest stall.
func (r *Rounds) discard(t testing.TB, stall time.Duration, failed error) bool {
	t.Helper()
	if stall < r.Stall {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if most := max(1, r.Planned/10); r.discarded == most {
		t.Errorf("%d of %d rounds were discarded, and another is spoilt: the machine stood still for %v", r.discarded, max(1, r.Planned), stall)
		return false
	}
	r.discarded++
	note := fmt.Sprintf("%s: round discarded, %d of %d: the machine stood still for %v", t.Name(), r.discarded, max(1, r.Planned), stall)
	t.Logf("%s; this had failed: %v", note, failed)
	if err := writeDiscarded(note); err != nil {
		t.Errorf("%s: %v", discardedVariable, err)
	}
	return true
}

// discardedVariable names a file to which discarded rounds are written: go test does not
// show the log of a test that passes.
const discardedVariable = "MONO_DISCARDED_ROUNDS"

func writeDiscarded(note string) error {
	path := os.Getenv(discardedVariable)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, note); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// attempt is the testing.TB of one round, with its own context and cleanups.
type attempt struct {
	*recorder.Recorder
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex
	last []func() // in the order of their registration
}

func newAttempt(t *testing.T) *attempt {
	a := &attempt{Recorder: recorder.New(t)}
	a.Positions = true
	a.ctx, a.cancel = context.WithCancel(t.Context())
	return a
}

func (a *attempt) Context() context.Context { return a.ctx }

func (a *attempt) Cleanup(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = append(a.last, f)
}

// run runs the round and its cleanups, the last first.
func (a *attempt) run(round func(testing.TB)) {
	recorder.Apart(func() { round(a) })
	a.cancel()
	for f := a.cleanup(); f != nil; f = a.cleanup() {
		recorder.Apart(f)
	}
}

func (a *attempt) cleanup() (f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.last); n > 0 {
		f, a.last = a.last[n-1], a.last[:n-1]
	}
	return f
}

// report gives t the result of the round.
func (a *attempt) report(t *testing.T) {
	t.Helper()
	switch text := a.Text(); {
	case a.Failed():
		t.Fatal(text)
	case text != "":
		t.Log(text)
	}
	if t.Failed() {
		t.FailNow()
	}
}
