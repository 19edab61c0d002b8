// Package recorder records the failures and the log of a test, for callers that decide whether
// a failure counts.
package recorder

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Recorder is a testing.TB that records failures and the log, and passes everything else on to
// another TB. Its methods may be called by several goroutines at once. FailNow and Fatal end
// the calling goroutine.
type Recorder struct {
	testing.TB

	// Positions puts the file and line of the caller before each text, as
	// testing.T does.
	Positions bool

	mu      sync.Mutex
	failed  bool
	text    []byte
	helpers map[string]bool // functions that called Helper
}

// New returns a Recorder that passes everything else on to t.
func New(t testing.TB) *Recorder { return &Recorder{TB: t, helpers: make(map[string]bool)} }

// Text returns everything that was logged.
func (r *Recorder) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// Write implements io.Writer for Output.
func (r *Recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, p...)
	return len(p), nil
}

func (r *Recorder) Output() io.Writer { return r }

func (r *Recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *Recorder) Helper() {
	pc := make([]uintptr, 1)
	runtime.Callers(2, pc)
	frame, _ := runtime.CallersFrames(pc).Next()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.helpers[frame.Function] = true
}

func (r *Recorder) Fail()                             { r.record(true, "") }
func (r *Recorder) Log(args ...any)                   { r.record(false, fmt.Sprintln(args...)) }
func (r *Recorder) Logf(format string, args ...any)   { r.record(false, fmt.Sprintf(format, args...)) }
func (r *Recorder) Error(args ...any)                 { r.record(true, fmt.Sprintln(args...)) }
func (r *Recorder) Errorf(format string, args ...any) { r.record(true, fmt.Sprintf(format, args...)) }

func (r *Recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *Recorder) Fatal(args ...any) {
	r.record(true, fmt.Sprintln(args...))
	runtime.Goexit()
}

func (r *Recorder) Fatalf(format string, args ...any) {
	r.record(true, fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// Cleanup registers f with the other TB. A failure of f fails the Recorder alone.
func (r *Recorder) Cleanup(f func()) { r.TB.Cleanup(func() { Apart(f) }) }

// Apart calls f on a new goroutine, which f may end, and waits for its end.
func Apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// record adds text to the log.
func (r *Recorder) record(failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	if text == "" {
		return
	}
	if r.Positions {
		text = r.position() + text
	}
	r.text = append(r.text, text...)
	if text[len(text)-1] != '\n' {
		r.text = append(r.text, '\n')
	}
}

// position returns the place of the nearest caller that is not a helper. The caller holds the
// lock.
func (r *Recorder) position() string {
	pcs := make([]uintptr, 50)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if own := strings.Contains(frame.Function, "/internal/recorder.(*Recorder)."); !own && !r.helpers[frame.Function] {
			return fmt.Sprintf("%s:%d: ", filepath.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}
