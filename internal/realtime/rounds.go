package realtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/recorder"
)

// Rounds runs the rounds of a test whose result a stall can spoil. For example, a process that
// stands still keeps no member alive. A failed round is discarded and repeated if a heartbeat
// measured a stall in it, and for no other reason. Main limits the number of discarded rounds.
// The methods may be called by several goroutines at once.
type Rounds struct {
	// Stall is the shortest stall that spoils a round.
	Stall time.Duration
}

// maxRepeats is the maximum number of repetitions of a round.
const maxRepeats = 3

// count counts the rounds of this process.
var count struct {
	sync.Mutex
	begun     int
	discarded int
	hasMain   bool // Main checks the limit at the end
}

// maxDiscarded returns the number of rounds that may be discarded of those begun: one in ten,
// and at least one.
func maxDiscarded(begun int) int { return max(1, begun/10) }

// Main is the TestMain of a package with rounds. It runs the tests and returns the exit code,
// which is a failure if more than one round in ten was discarded. In a process without Main,
// a round is not discarded if it would exceed one in ten of the rounds begun so far.
func Main(m *testing.M) (code int) {
	count.Lock()
	count.hasMain = true
	count.Unlock()
	code = m.Run()
	count.Lock()
	defer count.Unlock()
	if count.begun == 0 {
		return code
	}
	total := fmt.Sprintf("%s: %d of %d rounds were discarded", filepath.Base(os.Args[0]), count.discarded, count.begun)
	if err := writeDiscarded(total); err != nil {
		fmt.Printf("%s: %v\n", discardedVariable, err)
		return max(code, 1)
	}
	if count.discarded > 0 {
		fmt.Println(total)
	}
	if count.discarded > maxDiscarded(count.begun) {
		fmt.Printf("FAIL: at most %d may be discarded\n", maxDiscarded(count.begun))
		return max(code, 1)
	}
	return code
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
	for n := 0; ; n++ {
		countRound(t)
		stall, err := measureRound(round)
		if err == nil || !r.discard(t, n, stall, err) {
			return err
		}
	}
}

// countRound counts a round that begins.
func countRound(t testing.TB) {
	t.Helper()
	count.Lock()
	defer count.Unlock()
	count.begun++
	if !count.hasMain && os.Getenv(discardedVariable) != "" {
		t.Errorf("%s is set, but the total of this package is not written: call realtime.Main in its TestMain", discardedVariable)
	}
}

// measureRound runs a round, and returns its longest stall.
func measureRound(round func() error) (stall time.Duration, err error) {
	heart := StartHeartbeat()
	defer func() { stall = heart.Stop() }() // also if the round ends its goroutine
	return 0, round()
}

// discard reports whether to discard a failed round that was repeated n times, given its
// longest stall.
func (r *Rounds) discard(t testing.TB, n int, stall time.Duration, failed error) bool {
	t.Helper()
	if stall < r.Stall {
		return false
	}
	count.Lock()
	defer count.Unlock()
	switch {
	case n == maxRepeats:
		t.Errorf("the round was repeated %d times, and the machine stood still each time, now for %v", n, stall)
		return false
	case !count.hasMain && count.discarded == maxDiscarded(count.begun):
		t.Errorf("%d of %d rounds were discarded, and another is spoilt: the machine stood still for %v", count.discarded, count.begun, stall)
		return false
	}
	count.discarded++
	note := fmt.Sprintf("%s: round discarded, %d of %d so far: the machine stood still for %v", t.Name(), count.discarded, count.begun, stall)
	t.Logf("%s; this had failed: %v", note, failed)
	if err := writeDiscarded(note); err != nil {
		t.Errorf("%s: %v", discardedVariable, err)
	}
	return true
}

// discardedVariable names a file to which discarded rounds and their totals are written: go
// test does not show the log of a test that passes. See .ci/rounds.
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
