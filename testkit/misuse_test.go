package testkit_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// failing runs a body that fails, and returns its output.
func failing(t *testing.T, body func(testing.TB, *testkit.Harness), opts ...testkit.Option) string {
	t.Helper()
	e := testkit.Explore(t, 1, body, opts...)
	if len(e.FailedRuns) != 1 {
		t.Fatal("the body did not fail")
	}
	return e.FailedRuns[0].Text
}

// Each misuse is a failure that names the mistake and the remedy.
func TestMisuse(t *testing.T) {
	t.Parallel()
	idle := mono.NewModule("idle", func(sc *mono.Scope) error { sc.Use(updated); return nil })
	for name, c := range map[string]struct {
		body func(testing.TB, *testkit.Harness)
		want []string
	}{
		"no modules": {
			func(t testing.TB, h *testkit.Harness) { h.MustStart() },
			[]string{"the system has no modules", "h.Add or h.AddFunc"}},
		"asked before the start": {
			func(t testing.TB, h *testkit.Harness) { testkit.Published(h, updated) },
			[]string{"event shop.updated before the App was started", "h.MustStart first"}},
		"sent before the start": {
			func(t testing.TB, h *testkit.Harness) {
				if err := updated.Publish(t.Context(), h, order{}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"event shop.updated: the App has not been started"}},
		"a handle that no module binds": {
			func(t testing.TB, h *testkit.Harness) {
				h.Add(idle)
				h.MustStart()
				testkit.RequirePublished(t, h, placed)
			},
			[]string{"event shop.placed, which no module uses", "add the module that binds it", "event shop.updated"}},
		"added too late": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, fine)
				h.Add(idle)
			},
			[]string{"Add after MustStart", "build the system first"}},
		"started twice": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, fine)
				h.MustStart()
			},
			[]string{"has been started already", "Instance"}},
		"does not start": {
			func(t testing.TB, h *testkit.Harness) {
				h.Add(&shop{})
				h.MustStart()
			},
			[]string{"the App does not start", "service bank.charge", "no module provides it"}},
		"backwards": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, fine)
				h.Advance(0)
			},
			[]string{"Advance(0s)", "Settle waits without time"}},
		"a crash of a module that was added as a value": {
			func(t testing.TB, h *testkit.Harness) {
				h.Fault(updated, testkit.Crash(testkit.BeforeSend))
				h.Add(idle)
				h.MustStart()
			},
			[]string{"added at misuse_test.go:", "h.AddFunc(func() mono.Module { return … })"}},
		"an instance of a module that was added as a value": {
			func(t testing.TB, h *testkit.Harness) {
				h.Add(idle)
				h.MustStart()
				h.Instance()
			},
			[]string{"another process needs its own modules", "h.AddFunc"}},
		"a program without a name": {
			func(t testing.TB, h *testkit.Harness) { h.Program("", idle) },
			[]string{"Program without a name", "\"v2\""}},
		"two programs with one name": {
			func(t testing.TB, h *testkit.Harness) {
				h.Program("v2", idle)
				h.Program("v2", idle)
			},
			[]string{"a program \"v2\" already", "Instance"}},
		"a program without modules": {
			func(t testing.TB, h *testkit.Harness) { h.Program("v2").MustStart() },
			[]string{"program v2 has no modules", "its AddFunc"}},
		"a program that was not started": {
			func(t testing.TB, h *testkit.Harness) { h.Program("v2", idle).App() },
			[]string{"program v2 has not been started", "its MustStart first"}},
		"a program that was stopped": {
			func(t testing.TB, h *testkit.Harness) {
				p := h.Program("v2", idle)
				p.MustStart()
				p.Stop()
				p.App()
			},
			[]string{"program v2 does not run", "its MustStart first"}},
		"a program that runs": {
			func(t testing.TB, h *testkit.Harness) {
				p := h.Program("v2", idle)
				p.MustStart()
				p.MustStart()
			},
			[]string{"program v2 has been started already", "Instance"}},
		"options of a program that runs": {
			func(t testing.TB, h *testkit.Harness) {
				p := h.Program("v2", idle)
				p.MustStart()
				p.Options(mono.Generation(2))
			},
			[]string{"Options after MustStart: build program v2 first"}},
		"a program that does not start": {
			func(t testing.TB, h *testkit.Harness) { h.Program("v2", &shop{}).MustStart() },
			[]string{"program v2 does not start", "service bank.charge"}},
		"a crash of a program whose modules are values": {
			func(t testing.TB, h *testkit.Harness) {
				p := h.Program("v2", idle)
				p.MustStart()
				p.Crash()
			},
			[]string{"Crash ends its process", "added at misuse_test.go:", "its AddFunc(func() mono.Module"}},
		"a fault that is never triggered": {
			func(t testing.TB, h *testkit.Harness) {
				h.Fault(receipts, testkit.LoseAck).Times(3)
				open(h, fine)
			},
			[]string{"the fault LoseAck of queue shop.receipts (misuse_test.go:", "was never triggered"}},
		"an acknowledgement of a message that is not stored": {
			func(t testing.TB, h *testkit.Harness) {
				h.Fault(updated, testkit.LoseAck)
				open(h, fine)
			},
			[]string{"messages that are not stored have no acknowledgement", "mono.Durable"}},
		"a fault that is more likely than certain": {
			func(t testing.TB, h *testkit.Harness) { h.Fault(updated, testkit.Drop).Sometimes(2) },
			[]string{"Drop of event shop.updated (misuse_test.go:", "Sometimes(2): want a probability"}},
		"two fakes of one service": {
			func(t testing.TB, h *testkit.Harness) {
				testkit.Stub(h, charge)
				testkit.Stub(h, charge)
			},
			[]string{"service bank.charge has a fake already, declared at misuse_test.go:"}},
		"a fault of a module that is not there": {
			func(t testing.TB, h *testkit.Harness) {
				h.Disconnect("shop", "banc")
				open(h, fine)
			},
			[]string{`no module "banc"`, "bank, post, shop"}},
		"a fault of a local call": {
			func(t testing.TB, h *testkit.Harness) {
				h.Fault(charge, testkit.Drop)
				open(h, fine)
			},
			[]string{"faults need calls over the transport: remove LocalCalls"}},
		"a retry left behind": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, func(order, int) error { return errBusy })
				if err := receipts.Enqueue(t.Context(), h, order{}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"1 message of queue shop.receipts in the group workers was begun and not finished", "post works on shop.receipts {\"id\":\"\",\"cents\":0}: retried in 1s", "h.Advance", "h.AllowUnfinished"}},
		"a handler that still runs": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, func(order, int) error { <-time.After(time.Hour); return nil })
				if err := updated.Publish(t.Context(), h, order{ID: "x"}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"in post: the handler of event shop.updated still runs", `"id":"x"`}},
		"a panic": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, func(order, int) error { panic("ouch") })
				if err := updated.Publish(t.Context(), h, order{}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"module post: the handler of event shop.updated panicked: ouch", "misuse_test.go", "h.AllowPanics()"}},
		"a panic of the test": {
			func(t testing.TB, h *testkit.Harness) { panic("ouch") },
			[]string{"the test panicked: ouch", "misuse_test.go"}},
		"FailNow in a handler": {
			func(t testing.TB, h *testkit.Harness) {
				open(h, func(order, int) error { t.Fatal("in the handler"); return nil })
				if err := updated.Publish(t.Context(), h, order{}); err != nil {
					t.Error(err)
				}
			},
			[]string{"in the handler", "return an error"}},
		"a stop that fails": {
			func(t testing.TB, h *testkit.Harness) {
				h.Add(&stopper{func() error { return errBusy }})
				h.MustStart()
			},
			[]string{"the stop of the App", "module stopper", "the mail server is busy"}},
		"a goroutine that still runs": {
			func(t testing.TB, h *testkit.Harness) {
				h.Add(mono.NewModule("leaky", func(sc *mono.Scope) error {
					sc.Use(updated)
					go func() {
						for range time.NewTicker(time.Second).C {
						}
					}()
					return nil
				}))
				h.MustStart()
			},
			[]string{"goroutines still run after all modules have stopped", "end them in the Stop of the module", "misuse_test.go"}},
		"everything waits": {
			func(t testing.TB, h *testkit.Harness) { <-make(chan int) },
			[]string{"everything waits for something that will never happen", "misuse_test.go"}},
		"t.Run in the body": {
			func(tb testing.TB, h *testkit.Harness) { panic("testing: t.Run called inside synctest bubble") },
			[]string{"call testkit.Run in each subtest instead"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []testkit.Option
			if strings.Contains(name, "local") {
				opts = append(opts, testkit.LocalCalls())
			}
			expect(t, failing(t, c.body, opts...), c.want)
		})
	}
}

func containsAll(got string, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(got, w) })
}

func expect(t *testing.T, got string, want []string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in\n%s", w, got)
		}
	}
}

type stopper struct{ stop func() error }

func (s *stopper) Name() string               { return "stopper" }
func (s *stopper) Bind(sc *mono.Scope) error  { sc.Use(updated); return nil }
func (s *stopper) Stop(context.Context) error { return s.stop() }

// hang is a handler that never ends in a bubble.
type hang struct {
	handle func(context.Context)
	free   func() // ends it anyway
}

// A body that waits for something outside the bubble does not hang for ever: the watchdog names
// it. The limit grows until the handler runs.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hang func() hang
		want []string
	}{
		"a channel from outside": {
			func() hang {
				outside := make(chan int)
				return hang{func(context.Context) { <-outside }, func() { close(outside) }}
			},
			[]string{"a goroutine waits on a channel that was made outside the bubble", "misuse_test.go"}},
		"a real network": {
			func() hang {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				return hang{func(context.Context) { _, _ = listener.Accept() }, func() { listener.Close() }}
			},
			[]string{"waits for a real network", "testkit.Fake", "misuse_test.go"}},
		"time without an end": {
			func() hang {
				var enough atomic.Bool
				return hang{func(context.Context) {
					for !enough.Load() {
						<-time.After(time.Hour)
					}
				}, func() { enough.Store(true) }}
			},
			[]string{"virtual time passes without an end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for limit := 300 * time.Millisecond; ; limit *= 4 {
				got := watched(t, c.hang(), limit)
				want := append([]string{fmt.Sprintf("has not ended after %v of real time", limit)}, c.want...)
				if containsAll(got, want) {
					return
				}
				if limit > 10*time.Second {
					expect(t, got, want)
					return
				}
			}
		})
	}
}

// watched runs a handler that hangs, and returns the watchdog's report.
func watched(t *testing.T, h hang, limit time.Duration) string {
	t.Helper()
	bubble := make(chan string, 1)
	got := failing(t, func(t testing.TB, hs *testkit.Harness) {
		bubble <- nameOfBubble()
		done := make(chan struct{})
		hs.Add(mono.NewModule("blocked", func(sc *mono.Scope) error {
			updated.Handle(sc, func(ctx context.Context, o order) error {
				h.handle(ctx)
				close(done)
				return nil
			})
			return nil
		}))
		hs.MustStart()
		if err := updated.Publish(t.Context(), hs, order{}); err != nil {
			t.Fatal(err)
		}
		<-done
	}, testkit.Watchdog(limit))
	h.free()
	left := <-bubble
	realtime.Until(t, "goroutines that were left behind end", func() bool { return !strings.Contains(stacks(true), left) })
	return got
}

// nameOfBubble returns the mark of this goroutine's bubble in stacks.
func nameOfBubble() string {
	header, _, _ := strings.Cut(stacks(false), ":\n")
	return header[strings.Index(header, "synctest bubble "):]
}

func stacks(all bool) string {
	b := make([]byte, 8<<20)
	return string(b[:runtime.Stack(b, all)])
}

func TestRunInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := failing(t, func(testing.TB, *testkit.Harness) {})
		expect(t, got, []string{"testkit.Run was called in a bubble", "outside synctest.Test"})
	})
}
