package inproctest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
)

var errFault = transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "the fault")

// faulty runs body in a bubble with a fault at the first occurrence of one point, with
// and without steps.
func faulty(t *testing.T, action inproctest.Action, phase inproctest.Phase, v func(inproctest.Point) inproctest.FaultAction, body func(*testing.T, *inproctest.Backend)) {
	t.Helper()
	for name, rest := range map[string]func(){"at once": nil, "in steps": synctest.Wait} {
		var met atomic.Bool
		fault := func(p inproctest.Point) inproctest.FaultAction {
			if p.Action != action || p.Phase != phase || met.Swap(true) {
				return inproctest.FaultAction{}
			}
			return v(p)
		}
		t.Run(name, func(t *testing.T) {
			bubble(t, inproctest.Options{Seed: 1, Quiesce: rest, Fault: fault}, body)
			if !met.Load() {
				t.Error("the point did not occur")
			}
		})
	}
}

// still waits until everything is idle, with steps or without.
func still(b *inproctest.Backend) {
	if b.Settle(context.Background()) != nil {
		synctest.Wait()
	}
}

// fate records the deliveries of a message and the results of its sender.
type fate struct {
	journal
	began time.Time
}

func (f *fate) record(err error) {
	if err == nil {
		f.note("ok@%v", time.Since(f.began))
		return
	}
	var e *transport.Error
	_ = errors.As(err, &e)
	f.note("%s(%v)@%v", e.Code, e.Outcome, time.Since(f.began))
}

// scenarios each do one thing, and record what happened and when.
var scenarios = map[string]func(*testing.T, *inproctest.Backend, *fate){
	"publish": func(t *testing.T, b *inproctest.Backend, f *fate) {
		tr := connect(t, b)
		subscribe(t, tr, "a", func(m *transport.Message) { f.note("%s@%v", m.Body, time.Since(f.began)) })
		f.record(tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: []byte("got")}))
	},
	"request": func(t *testing.T, b *inproctest.Backend, f *fate) {
		server, client := connect(t, b), connect(t, b)
		subscribe(t, server, "a", func(m *transport.Message) {
			f.note("asked@%v", time.Since(f.began))
			f.record(server.Publish(context.Background(), &transport.Message{Subject: m.Reply}))
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := client.Request(ctx, &transport.Message{Subject: "a"})
		still(b) // the server may still be recording
		f.record(err)
	},
	"log": func(t *testing.T, b *inproctest.Backend, f *fate) {
		worker, sender := connect(t, b), connect(t, b)
		l := open(t, worker, jobs)
		other := connect(t, b)
		c := transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", AckWait: 30 * time.Second}}
		handle := func(d *transport.Delivery) {
			f.note("%d@%v", d.Attempt, time.Since(f.began))
			err := d.Ack(context.Background())
			f.record(err)
		}
		if _, err := l.Consume(t.Context(), c, transport.Serial(handle)); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, sender, jobs).Append(t.Context(), &transport.Message{Subject: "jobs.a"}, transport.AppendOptions{ID: "1"})
		still(b)
		f.note("append:")
		f.record(err)
		if _, err := open(t, other, jobs).Consume(t.Context(), c, transport.Serial(handle)); err != nil { // for a message that the first one leaves
			t.Fatal(err)
		}
	},
}

// TestFaults states the effect of each fault at each point, in the records of the
// scenarios.
func TestFaults(t *testing.T) {
	t.Parallel()
	kill := func(p inproctest.Point) inproctest.FaultAction { return inproctest.FaultAction{Run: p.By.Kill} }
	killLater := func(p inproctest.Point) inproctest.FaultAction { // when the sender has returned
		return inproctest.FaultAction{Run: func() {
			<-time.After(time.Nanosecond)
			p.By.Kill()
		}}
	}
	fixed := func(v inproctest.FaultAction) func(inproctest.Point) inproctest.FaultAction {
		return func(inproctest.Point) inproctest.FaultAction { return v }
	}
	drop, twice, lose := fixed(inproctest.FaultAction{Drop: true}), fixed(inproctest.FaultAction{Duplicate: true}), fixed(inproctest.FaultAction{AmbiguousSend: true})
	fail, delay, none := fixed(inproctest.FaultAction{Err: errFault}), fixed(inproctest.FaultAction{Delay: time.Second}), fixed(inproctest.FaultAction{})
	for _, c := range []struct {
		scenario string
		action   inproctest.Action
		phase    inproctest.Phase
		name     string
		fault    func(inproctest.Point) inproctest.FaultAction
		want     string
	}{
		{"publish", inproctest.Publish, inproctest.Before, "none", none, "got@0s ok@0s"},
		{"publish", inproctest.Publish, inproctest.Before, "drop", drop, "ok@0s"},
		{"publish", inproctest.Publish, inproctest.Before, "twice", twice, "got@0s got@0s ok@0s"},
		{"publish", inproctest.Publish, inproctest.Before, "lose", lose, "got@0s unavailable(unknown)@0s"},
		{"publish", inproctest.Publish, inproctest.Before, "fail", fail, "unavailable(not done)@0s"},
		{"publish", inproctest.Publish, inproctest.Before, "delay", delay, "got@1s ok@1s"},
		{"publish", inproctest.Publish, inproctest.Before, "kill", kill, "unavailable(not done)@0s"},
		{"publish", inproctest.Publish, inproctest.After, "none", none, "got@0s ok@0s"},
		{"publish", inproctest.Publish, inproctest.After, "lose", lose, "got@0s unavailable(unknown)@0s"},
		{"publish", inproctest.Publish, inproctest.After, "drop", drop, "got@0s unavailable(unknown)@0s"},
		{"publish", inproctest.Publish, inproctest.After, "fail", fail, "got@0s unavailable(not done)@0s"},
		{"publish", inproctest.Publish, inproctest.After, "delay", delay, "got@0s ok@1s"},
		{"publish", inproctest.Publish, inproctest.After, "kill", kill, "unavailable(unknown)@0s"},
		{"publish", inproctest.Deliver, inproctest.Before, "drop", drop, "ok@0s"},
		{"publish", inproctest.Deliver, inproctest.Before, "fail", fail, "ok@0s"},
		{"publish", inproctest.Deliver, inproctest.Before, "twice", twice, "got@0s got@0s ok@0s"},
		{"publish", inproctest.Deliver, inproctest.Before, "delay", delay, "got@1s ok@0s"},
		{"publish", inproctest.Deliver, inproctest.Before, "kill", killLater, "ok@0s"},
		{"publish", inproctest.Deliver, inproctest.After, "delay", delay, "got@0s ok@0s"},

		{"request", inproctest.Request, inproctest.Before, "none", none, "asked@0s ok@0s ok@0s"},
		{"request", inproctest.Request, inproctest.Before, "drop", drop, "deadline_exceeded(unknown)@1m0s"},
		{"request", inproctest.Request, inproctest.Before, "twice", twice, "asked@0s asked@0s ok@0s ok@0s ok@0s"},
		{"request", inproctest.Request, inproctest.Before, "lose", lose, "asked@0s ok@0s unavailable(unknown)@0s"},
		{"request", inproctest.Request, inproctest.Before, "fail", fail, "unavailable(not done)@0s"},
		{"request", inproctest.Request, inproctest.Before, "delay", delay, "asked@1s ok@1s ok@1s"},
		{"request", inproctest.Request, inproctest.Before, "kill", kill, "unavailable(not done)@0s"},
		{"request", inproctest.Request, inproctest.After, "lose", lose, "asked@0s ok@0s unavailable(unknown)@0s"},
		{"request", inproctest.Request, inproctest.After, "fail", fail, "asked@0s ok@0s unavailable(not done)@0s"},
		{"request", inproctest.Request, inproctest.After, "delay", delay, "asked@0s ok@0s ok@1s"},
		{"request", inproctest.Deliver, inproctest.Before, "drop", drop, "deadline_exceeded(unknown)@1m0s"},
		{"request", inproctest.Deliver, inproctest.Before, "kill", kill, "deadline_exceeded(unknown)@1m0s"},
		{"request", inproctest.Reply, inproctest.Before, "drop", drop, "asked@0s deadline_exceeded(unknown)@1m0s ok@0s"},
		{"request", inproctest.Reply, inproctest.Before, "delay", delay, "asked@0s ok@1s ok@1s"},
		{"request", inproctest.Reply, inproctest.Before, "twice", twice, "asked@0s ok@0s ok@0s"},
		{"request", inproctest.Reply, inproctest.Before, "fail", fail, "asked@0s deadline_exceeded(unknown)@1m0s unavailable(not done)@0s"},
		{"request", inproctest.Reply, inproctest.Before, "kill", kill, "asked@0s deadline_exceeded(unknown)@1m0s unavailable(not done)@0s"},
		{"request", inproctest.Reply, inproctest.After, "kill", kill, "asked@0s ok@0s unavailable(unknown)@0s"},

		{"log", inproctest.Append, inproctest.Before, "none", none, "1@0s ok@0s append: ok@0s"},
		{"log", inproctest.Append, inproctest.Before, "drop", drop, "append: unavailable(unknown)@0s"},
		{"log", inproctest.Append, inproctest.Before, "twice", twice, "1@0s ok@0s append: ok@0s"}, // it has an id
		{"log", inproctest.Append, inproctest.Before, "lose", lose, "1@0s ok@0s append: unavailable(unknown)@0s"},
		{"log", inproctest.Append, inproctest.Before, "fail", fail, "append: unavailable(not done)@0s"},
		{"log", inproctest.Append, inproctest.Before, "delay", delay, "1@1s ok@1s append: ok@1s"},
		{"log", inproctest.Append, inproctest.After, "lose", lose, "1@0s ok@0s append: unavailable(unknown)@0s"},
		{"log", inproctest.Append, inproctest.After, "kill", kill, "1@0s ok@0s append: unavailable(unknown)@0s"},
		{"log", inproctest.Deliver, inproctest.Before, "drop", drop, "append: ok@0s 2@30s ok@30s"},
		{"log", inproctest.Deliver, inproctest.Before, "fail", fail, "2@0s ok@0s append: ok@0s"},
		{"log", inproctest.Deliver, inproctest.Before, "twice", twice, "1@0s ok@0s 1@0s failed_precondition(not done)@0s append: ok@0s"},
		{"log", inproctest.Deliver, inproctest.Before, "delay", delay, "append: ok@0s 1@1s ok@1s"},
		{"log", inproctest.Deliver, inproctest.Before, "kill", killLater, "append: ok@0s 2@30.000000001s ok@30.000000001s"},
		{"log", inproctest.Deliver, inproctest.After, "delay", delay, "1@0s ok@0s append: ok@0s"},
		{"log", inproctest.Ack, inproctest.Before, "drop", drop, "1@0s ok@0s append: ok@0s 2@30s ok@30s"},
		{"log", inproctest.Ack, inproctest.Before, "twice", twice, "1@0s ok@0s append: ok@0s"},
		{"log", inproctest.Ack, inproctest.Before, "lose", lose, "1@0s unavailable(unknown)@0s append: ok@0s"},
		{"log", inproctest.Ack, inproctest.Before, "fail", fail, "1@0s unavailable(not done)@0s append: ok@0s 2@30s ok@30s"},
		{"log", inproctest.Ack, inproctest.Before, "delay", delay, "1@0s append: ok@0s ok@1s"},
		{"log", inproctest.Ack, inproctest.Before, "kill", kill, "1@0s unavailable(not done)@0s append: ok@0s 2@30s ok@30s"},
		{"log", inproctest.Ack, inproctest.After, "lose", lose, "1@0s unavailable(unknown)@0s append: ok@0s"},
		{"log", inproctest.Ack, inproctest.After, "kill", kill, "1@0s unavailable(unknown)@0s append: ok@0s"},
	} {
		t.Run(fmt.Sprintf("%s/%s %s/%s", c.scenario, c.phase, c.action, c.name), func(t *testing.T) {
			t.Parallel()
			faulty(t, c.action, c.phase, c.fault, func(t *testing.T, b *inproctest.Backend) {
				f := &fate{began: time.Now()}
				scenarios[c.scenario](t, b, f)
				<-time.After(10 * time.Minute)
				if got := f.String(); alike(got) != alike(c.want) {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		})
	}
}

// alike removes differences in the order of records at the same time.
func alike(s string) string {
	parts := strings.Fields(s)
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// Each settlement has its points.
func TestFaultsOfOtherSettlements(t *testing.T) {
	t.Parallel()
	for action, settle := range map[inproctest.Action]func(*transport.Delivery) error{
		inproctest.Nak:       func(d *transport.Delivery) error { return d.Nak(context.Background(), time.Second) },
		inproctest.Terminate: func(d *transport.Delivery) error { return d.Terminate(context.Background(), "enough") },
	} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			faulty(t, action, inproctest.Before, func(inproctest.Point) inproctest.FaultAction { return inproctest.FaultAction{Drop: true} }, func(t *testing.T, b *inproctest.Backend) {
				began, again := time.Now(), time.Duration(0)
				l := open(t, connect(t, b), jobs)
				if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", AckWait: 30 * time.Second}}, transport.Serial(func(d *transport.Delivery) {
					if d.Attempt == 1 {
						_ = settle(d)
						return
					}
					again = time.Since(began)
					_ = d.Ack(context.Background())
				})); err != nil {
					t.Fatal(err)
				}
				store(t, l, "jobs.a", "", transport.AppendOptions{})
				<-time.After(time.Hour)
				still(b)
				if again != 30*time.Second {
					t.Errorf("it was redelivered after %v, want the AckWait", again)
				}
			})
		})
	}
}

// AppendAsync has the points of Append, and passes the result to its function.
func TestFaultOfAppendAsync(t *testing.T) {
	t.Parallel()
	faulty(t, inproctest.Append, inproctest.Before, func(inproctest.Point) inproctest.FaultAction { return inproctest.FaultAction{AmbiguousSend: true} }, func(t *testing.T, b *inproctest.Backend) {
		l := open(t, connect(t, b), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
		results := make(chan error, 1)
		if err := l.AppendAsync(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{}, func(_ transport.Appended, err error) { results <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-results; transport.CodeOf(err) != transport.Unavailable {
			t.Errorf("got %v", err)
		}
		if info, err := l.Info(t.Context()); err != nil || info.Messages != 1 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// A point describes its step and its message.
func TestPointsDescribeTheirSteps(t *testing.T) {
	t.Parallel()
	var seen journal
	fault := func(p inproctest.Point) inproctest.FaultAction {
		seen.note("%s %s %q", p.Phase, p.Step, p.Message.Body)
		return inproctest.FaultAction{}
	}
	bubble(t, inproctest.Options{Fault: fault}, func(t *testing.T, b *inproctest.Backend) {
		var f fate
		l := open(t, connect(t, b), jobs)
		if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, transport.Serial(func(d *transport.Delivery) {
			f.record(d.Ack(context.Background()))
		})); err != nil {
			t.Fatal(err)
		}
		store(t, l, "jobs.a", "x", transport.AppendOptions{})
		synctest.Wait()
	})
	for _, want := range []string{
		`before t1 append jobs.a in jobs "x"`,
		`after t1 append jobs.a in jobs "x"`,
		`before t1 deliver jobs.a #1 attempt 1 to member 1 of g of jobs "x"`,
		`before t1 ack jobs.a #1 attempt 1 to member 1 of g of jobs "x"`,
		`after t1 ack jobs.a #1 attempt 1 to member 1 of g of jobs "x"`,
		`after t1 deliver jobs.a #1 attempt 1 to member 1 of g of jobs "x"`,
	} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("no point contains %s in %s", want, seen.String())
		}
	}
}
