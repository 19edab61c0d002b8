package recorder_test

import (
	"fmt"
	"runtime"
	"testing"

	"gomono.dev/internal/recorder"
)

func TestRecorderKeepsFailures(t *testing.T) {
	t.Parallel()
	r := recorder.New(t)
	r.Log("a", 1)
	fmt.Fprint(r.Output(), "output\n")
	if r.Failed() {
		t.Error("it has failed before anything did")
	}
	r.Errorf("b %d", 2)
	went := true
	recorder.Apart(func() {
		r.Fatal("c")
		went = false
	})
	if !went || !r.Failed() || r.Text() != "a 1\noutput\nb 2\nc\n" {
		t.Errorf("Failed %v, text %q; it went on after Fatal: %v", r.Failed(), r.Text(), !went)
	}
}

func TestRecorderCleanupFailsTheRecorder(t *testing.T) {
	var r *recorder.Recorder
	if !t.Run("test", func(t *testing.T) {
		r = recorder.New(t)
		r.Cleanup(func() { r.Fatal("late") })
	}) {
		t.Error("the test has failed")
	}
	if !r.Failed() {
		t.Error("the recorder has not failed")
	}
}

func help(t testing.TB, text string) {
	t.Helper()
	t.Error(text)
}

func TestRecorderNamesPositionsOfCallers(t *testing.T) {
	t.Parallel()
	r := recorder.New(t)
	r.Positions = true
	_, _, line, _ := runtime.Caller(0)
	help(r, "a")
	r.Logf("b")
	if want := fmt.Sprintf("recorder_test.go:%d: a\nrecorder_test.go:%d: b\n", line+1, line+2); r.Text() != want {
		t.Errorf("got %q, want %q", r.Text(), want)
	}
}
