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

// Rounds runs the rounds of a harness that a stall can spoil: a member that was not
// kept alive because its process stood still says nothing about the code. A round
// that fails is discarded and run again if a heartbeat measured such a stall in it,
// and for no other reason. The harness fails if it discards more than one round in
// ten. Its methods may be called by several goroutines at once.
type Rounds struct {
	// Planned is how many rounds the harness runs at least. Fewer than ten may
	// discard one.
	Planned int

	// Stall is the shortest stall that spoils a round.
	Stall time.Duration

	mu        sync.Mutex
	discarded int
}

// Run runs a round, again if it is discarded. Failures and logs on its testing.TB are
// those of t for the round that counts; everything else on it is that of t.
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

// Try is Run for a round that fails by the error it returns. It returns that of the
// round that counts.
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

// discard reports whether a round that failed is to be discarded, after the longest
// stall in it.
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
	if err := tell(note); err != nil {
		t.Errorf("%s: %v", tellVariable, err)
	}
	return true
}

// tellVariable names a file to which discarded rounds are written, since go test
// shows no log of a test that passes.
const tellVariable = "MONO_DISCARDED_ROUNDS"

func tell(note string) error {
	path := os.Getenv(tellVariable)
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

// attempt is the testing.TB of one round, which has its own context and its own end.
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

// report ends the test as the round ended.
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
