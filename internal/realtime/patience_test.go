package realtime_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/internal/recorder"
)

// inVirtualTime returns what f reports and how long it takes.
func inVirtualTime(t *testing.T, f func(testing.TB)) (text string, took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder.New(t)
		began := time.Now()
		recorder.Apart(func() { f(r) })
		text, took = r.Text(), time.Since(began)
	})
	return text, took
}

func TestWaitsEndWithTheirEvent(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(testing.TB){
		"Until": func(t testing.TB) {
			began := time.Now()
			realtime.Until(t, "a minute", func() bool { return time.Since(began) >= time.Minute })
		},
		"Receive": func(t testing.TB) {
			if at := realtime.Receive(t, time.After(time.Minute), "a minute"); at.IsZero() {
				t.Error("nothing was received")
			}
		},
	} {
		if text, took := inVirtualTime(t, f); text != "" || took != time.Minute {
			t.Errorf("%s: %q after %v", name, text, took)
		}
	}
}

func TestWaitsEndWithPatience(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(testing.TB){
		"Until":   func(t testing.TB) { realtime.Until(t, "the impossible", func() bool { return false }) },
		"Receive": func(t testing.TB) { realtime.Receive(t, make(chan int), "the impossible") },
		"Patient": func(t testing.TB) {
			<-realtime.Patient(t).Done()
			t.Error("gave up waiting: the impossible")
		},
	} {
		if text, took := inVirtualTime(t, f); !strings.Contains(text, "gave up waiting: the impossible") || took != realtime.Patience {
			t.Errorf("%s: %q after %v", name, text, took)
		}
	}
}
