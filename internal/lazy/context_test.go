package lazy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/internal/lazy"
)

// A Context has the same state as one of the standard library after any sequence of
// waits, ends and questions, whether it had to create its channel or not.
func TestContextIsAContext(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		isolated, yields := rapid.Bool().Draw(rt, "isolated"), rapid.Bool().Draw(rt, "yields")
		parentLimit := time.Duration(rapid.IntRange(0, 3).Draw(rt, "parent's limit")) * time.Second
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"wait", "cancel", "isolation", "end", "done", "derive", "value"}), 0, 8).Draw(rt, "steps")
		synctest.Test(t, func(*testing.T) { play(rt, isolated, yields, parentLimit, steps) })
	})
}

type key struct{}

// play runs the steps on a Context and on its model.
func play(t *rapid.T, isolated, yields bool, parentLimit time.Duration, steps []string) {
	parent, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, 1))
	defer cancel()
	if parentLimit > 0 {
		limited, stop := context.WithTimeout(parent, parentLimit)
		defer stop()
		parent = limited
	}
	isolation, endIsolation := context.WithCancel(context.Background())
	defer endIsolation()
	rules := &lazy.Rules{Clock: lazy.NewClock()}
	if isolated {
		rules.Isolation, rules.Yield = isolation, yields
	}
	c := new(lazy.Context)
	c.Begin(rules, parent, 2*time.Second)
	defer c.End()

	model, endModel := context.WithCancel(parent)
	defer endModel()
	if _, ok := parent.Deadline(); !ok || !isolated || !yields {
		limited, stop := context.WithTimeout(model, 2*time.Second)
		defer stop()
		model = limited
	}
	if isolated {
		context.AfterFunc(isolation, endModel)
	}
	var derived []context.Context
	var ended error
	for _, step := range steps {
		switch step {
		case "wait":
			<-time.After(time.Second)
		case "cancel":
			cancel()
		case "isolation":
			endIsolation()
		case "end":
			c.End()
			endModel()
		case "done":
			_ = c.Done()
		case "derive":
			d, stop := context.WithCancel(c)
			defer stop()
			derived = append(derived, d)
		case "value":
			if v := c.Value(key{}); v != nil == isolated && c.Err() == nil {
				t.Fatalf("the value of the parent is %v, isolated: %v", v, isolated)
			}
		}
		synctest.Wait()
		check(t, c, model, derived)
		if ended != nil && c.Err() != ended {
			t.Fatalf("Err is %v: want %v, as before", c.Err(), ended)
		}
		ended = c.Err()
	}
}

func check(t *rapid.T, c, model context.Context, derived []context.Context) {
	if got, want := c.Err(), model.Err(); (got == nil) != (want == nil) {
		t.Fatalf("Err is %v: want %v", got, want)
	}
	if got, want := context.Cause(c), c.Err(); !errors.Is(got, want) {
		t.Fatalf("the cause is %v, and Err is %v", got, want)
	}
	got, ok := c.Deadline()
	if want, limited := model.Deadline(); ok != limited || !got.Equal(want) {
		t.Fatalf("the deadline is %v, %v: want %v, %v", got, ok, want, limited)
	}
	for _, d := range derived {
		if (d.Err() == nil) != (model.Err() == nil) {
			t.Fatalf("Err of a derived context is %v: want %v", d.Err(), model.Err())
		}
	}
	if model.Err() != nil {
		<-c.Done()
	}
}

// An ended Context keeps its error.
func TestErrorDoesNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		c := new(lazy.Context).Begin(&lazy.Rules{Clock: lazy.NewClock()}, parent, time.Second)
		<-time.After(time.Second)
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Fatalf("Err is %v: want DeadlineExceeded", err)
		}
		cancel()
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Errorf("Err is %v: want DeadlineExceeded, as before", err)
		}
	})
}

// Limit finds the parent and the deadline of a Context, and of no other context.
func TestLimit(t *testing.T) {
	c := new(lazy.Context)
	rules := &lazy.Rules{Clock: lazy.NewClock()}
	c.Begin(rules, t.Context(), time.Hour)
	defer c.End()
	parent, deadline, ok := lazy.Limit(c)
	if want := rules.Clock.At(time.Hour); parent != t.Context() || !deadline.Equal(want) || !ok {
		t.Errorf("Limit: %v, %v, %v: want the parent and %v", parent, deadline, ok, want)
	}
	if _, _, ok := lazy.Limit(t.Context()); ok {
		t.Error("Limit of another context returned true")
	}
}
