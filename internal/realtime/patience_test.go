package realtime_test

import (
	"math"
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

// A positive limit is at least one beat, and a value that arrives by its end is received.
func TestShortLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for limit, latest := range map[time.Duration]time.Duration{
			-1: 0, 0: 0, 1: 5 * time.Millisecond, time.Millisecond: 5 * time.Millisecond, 5 * time.Millisecond: 5 * time.Millisecond,
			6 * time.Millisecond: 10 * time.Millisecond, math.MaxInt64: time.Minute,
		} {
			for _, after := range []time.Duration{0, latest} {
				if _, ok := realtime.ReceiveWithin(limit, time.After(after)); !ok {
					t.Errorf("ReceiveWithin(%v) does not receive a value that arrives after %v", limit, after)
				}
				due := time.Now().Add(after)
				if !realtime.Within(limit, func() bool { return !time.Now().Before(due) }) {
					t.Errorf("Within(%v) does not see a condition that holds after %v", limit, after)
				}
			}
		}
		for _, limit := range []time.Duration{0, time.Millisecond} {
			if _, ok := realtime.ReceiveWithin(limit, make(chan int)); ok {
				t.Errorf("ReceiveWithin(%v) reports a value, want none", limit)
			}
		}
	})
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
