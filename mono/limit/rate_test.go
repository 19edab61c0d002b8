package limit_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/mono"
	"gomono.dev/mono/limit"
	"gomono.dev/transport/inproc"
)

// In any time t there are at most Burst + n·t/per messages, and a call that waits as long as it was
// told passes.
func TestRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble := struct{ rapid.TB }{t} // hides the deadline, which is outside of the bubble
		rapid.Check(inBubble, rateIsNeverExceeded)
	})
}

func rateIsNeverExceeded(r *rapid.T) {
	n, burst := rapid.IntRange(1, 20).Draw(r, "n"), rapid.IntRange(1, 20).Draw(r, "burst")
	per := time.Duration(rapid.IntRange(1, 5000).Draw(r, "per")) * time.Millisecond
	pauses := rapid.SliceOfN(rapid.IntRange(0, int(2*per)), 1, 60).Draw(r, "pauses")
	obeys := rapid.Bool().Draw(r, "obeys")
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(limit.Rate(n, per, limit.Burst(burst)))
	app.Add(echoes())
	if err := app.Start(context.Background()); err != nil {
		r.Fatal(err)
	}
	defer func() { _ = app.Stop(context.Background()) }()
	var passed []time.Time
	call := func() error {
		_, err := place.Call(context.Background(), app, 1)
		if err == nil {
			passed = append(passed, time.Now())
		}
		return err
	}
	for _, pause := range pauses {
		for range burst + 1 {
			err := call()
			if err == nil {
				continue
			}
			wait, ok := mono.RetryDelay(err)
			if !ok || wait <= 0 || wait > per/time.Duration(n)+time.Millisecond {
				r.Fatalf("to wait %v, %v", wait, ok)
			}
			if obeys {
				<-time.After(wait)
				if err := call(); err != nil {
					r.Fatalf("after the wait of %v: %v", wait, err)
				}
			}
			break
		}
		<-time.After(time.Duration(pause))
	}
	for i := range passed {
		for j := i; j < len(passed); j++ {
			allowed := float64(burst) + float64(n)*float64(passed[j].Sub(passed[i]))/float64(per)
			if got := float64(j - i + 1); got > allowed+1e-6 {
				r.Fatalf("%v messages in %v, want at most %v", got, passed[j].Sub(passed[i]), allowed)
			}
		}
	}
}

// Keys beyond MaxKeys share a bucket, so that a flood of keys gets neither memory nor more messages.
// Idle keys are forgotten, and then others have a bucket again.
func TestMaxKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := run(t, func(a *mono.App) {
			a.Use(limit.Rate(1, time.Minute, limit.By(limit.Header("Tenant")), limit.MaxKeys(100)))
			a.Add(echoes())
		})
		call := func(tenant int) bool {
			_, err := place.With(mono.Header("Tenant", fmt.Sprint(tenant))).Call(t.Context(), app, 1)
			return err == nil
		}
		pass := func(from, to int) (n int) {
			for i := from; i < to; i++ {
				if call(i) {
					n++
				}
			}
			return n
		}
		if n := pass(0, 1000); n != 101 {
			t.Errorf("%d of 1000 new keys passed, want 100 and one that the rest shares", n)
		}
		if n := pass(0, 100); n != 0 {
			t.Errorf("%d keys passed twice", n)
		}
		<-time.After(time.Minute)
		if n := pass(1000, 2000); n != 101 {
			t.Errorf("%d of 1000 new keys passed a minute later, want 101", n)
		}
	})
}

// The memory of many keys is bounded.
func TestMemoryOfKeys(t *testing.T) {
	const keys = 20_000
	app := run(t, func(a *mono.App) {
		a.Use(limit.Rate(1, time.Hour, limit.By(limit.Header("Tenant"))))
		a.Add(echoes())
	})
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	for i := range keys {
		if _, err := place.With(mono.Header("Tenant", fmt.Sprint("tenant-", i))).Call(t.Context(), app, 1); err != nil {
			t.Fatal(err)
		}
	}
	if each := (used() - before) / keys; int64(each) > 400 {
		t.Errorf("%d bytes for each key, want at most 400", each)
	}
}
