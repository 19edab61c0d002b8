package inproctest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

// steps runs body in a bubble, on a Backend that takes steps, and returns them.
func steps(t *testing.T, seed uint64, body func(*testing.T, *inproctest.Backend)) []inproctest.Step {
	t.Helper()
	var taken []inproctest.Step
	bubble(t, inproctest.Options{Seed: seed, Quiesce: synctest.Wait}, func(t *testing.T, b *inproctest.Backend) {
		body(t, b)
		settle(t, b)
		taken = b.Steps()
	})
	return taken
}

func settle(t testing.TB, b *inproctest.Backend) {
	t.Helper()
	if err := b.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// journal records events in order.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, fmt.Sprintf(format, args...))
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.events, " ")
}

// busy is a system with much concurrency: two transports, groups, partitions, delays,
// requests, readers and several goroutines that send similar messages.
func busy(t *testing.T, b *inproctest.Backend) {
	one, two := connect(t, b), connect(t, b)
	config := jobs
	config.Delays = true
	l, other := open(t, one, config), open(t, two, config)
	for _, log := range []transport.Log{l, other} {
		var seen sync.Map
		c := transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 2}
		if _, err := log.Consume(t.Context(), c, transport.Serial(func(d *transport.Delivery) {
			go func() {
				if _, again := seen.LoadOrStore(d.Sequence, true); !again && d.Sequence%2 == 0 {
					_ = d.Nak(context.Background(), time.Second)
					return
				}
				_ = one.Publish(context.Background(), &transport.Message{Subject: "done", Body: d.Body})
				_ = d.Ack(context.Background())
			}()
		})); err != nil {
			t.Fatal(err)
		}
	}
	for _, tr := range []*inproc.Transport{one, two, one} {
		if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "done", Group: "q"}, transport.Serial(func(m *transport.Message) {
			_, _ = tr.Request(context.Background(), &transport.Message{Subject: "echo", Body: m.Body})
		})); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "echo", Group: "q"}, transport.Serial(func(m *transport.Message) {
			go func() { _ = tr.Publish(context.Background(), &transport.Message{Subject: m.Reply, Body: m.Body}) }()
		})); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for i := range 3 {
		wait.Go(func() {
			for range rand.IntN(20) { // their order does not matter
				runtime.Gosched()
			}
			store(t, l, fmt.Sprintf("jobs.now-%d", i), "", transport.AppendOptions{})
			store(t, other, fmt.Sprintf("jobs.later-%d", i), "", transport.AppendOptions{NotBefore: time.Now().Add(time.Minute)})
		})
	}
	wait.Wait()
	settle(t, b)
	<-time.After(time.Hour)
}

func TestSameSeedSameSteps(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			first := steps(t, seed, busy)
			for range 20 {
				again := steps(t, seed, busy)
				if i := differ(first, again); i >= 0 {
					t.Fatalf("step %d differs:\n%s\n\n%s", i, words(first), words(again))
				}
			}
			if len(first) < 50 {
				t.Errorf("only %d steps:\n%s", len(first), words(first))
			}
		})
	}
}

// The members of a deleted group join again in an order that the seed determines.
func TestSameSeedSameStepsAfterADeletion(t *testing.T) {
	t.Parallel()
	rejoining := func(t *testing.T, b *inproctest.Backend) {
		var logs []transport.Log
		for range 4 {
			l := open(t, connect(t, b), jobs)
			logs = append(logs, l)
			var join func(error)
			join = func(error) {
				c := transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 1}
				c.OnEnd = func(err error) { go join(err) }
				if _, err := l.Consume(t.Context(), c, transport.Serial(func(d *transport.Delivery) { _ = d.Ack(t.Context()) })); err != nil {
					t.Error(err)
				}
			}
			join(nil)
		}
		for round := range 3 {
			undeclared := jobs
			undeclared.Groups = nil
			if err := open(t, connect(t, b), undeclared).DeleteGroup(t.Context(), "g"); err != nil {
				t.Fatal(err)
			}
			settle(t, b)
			for n := range 8 {
				store(t, logs[n%len(logs)], fmt.Sprintf("jobs.%d", n), fmt.Sprint(round), transport.AppendOptions{})
			}
			settle(t, b)
		}
	}
	for seed := uint64(1); seed <= 3; seed++ {
		first := steps(t, seed, rejoining)
		for range 20 {
			again := steps(t, seed, rejoining)
			if i := differ(first, again); i >= 0 {
				t.Fatalf("step %d differs:\n%s\n\n%s", i, words(first), words(again))
			}
		}
	}
}

func differ(a, b []inproctest.Step) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

func words(all []inproctest.Step) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%v %s (of %d)\n", s.At, s, s.Of)
	}
	return b.String()
}

// Some seed reaches every possible order.
func TestSeedsReachEveryOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		orders int
		body   func(*testing.T, *inproctest.Backend, *journal)
	}{
		{"senders", 6, func(t *testing.T, b *inproctest.Backend, j *journal) { // of two that send twice each
			tr := connect(t, b)
			subscribe(t, tr, "a", func(m *transport.Message) { j.note("%s", m.Body) })
			for _, who := range []string{"x", "y"} {
				go func() {
					for range 2 {
						_ = tr.Publish(context.Background(), &transport.Message{Subject: "a", Body: []byte(who)})
					}
				}()
			}
		}},
		{"subscriptions", 6, func(t *testing.T, b *inproctest.Backend, j *journal) {
			tr := connect(t, b)
			for who := range 3 {
				subscribe(t, tr, "a", func(*transport.Message) { j.note("%d", who) })
			}
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
				t.Fatal(err)
			}
		}},
		{"members of a group", 8, func(t *testing.T, b *inproctest.Backend, j *journal) { // of three messages, two members
			l := open(t, connect(t, b), jobs)
			for who := range 2 {
				if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 3}, transport.Serial(func(d *transport.Delivery) {
					j.note("%d:%d", d.Sequence, who)
				})); err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				store(t, l, "jobs.a", "", transport.AppendOptions{})
				settle(t, b)
			}
		}},
		{"messages that are due together", 6, func(t *testing.T, b *inproctest.Backend, j *journal) {
			config := jobs
			config.Delays = true
			l := open(t, connect(t, b), config)
			if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 3}, transport.Serial(func(d *transport.Delivery) { j.note("%s", d.Body) })); err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(time.Second)
			for _, body := range []string{"x", "y", "z"} {
				store(t, l, "jobs.a", body, transport.AppendOptions{NotBefore: at})
			}
			store(t, l, "jobs.a", "later", transport.AppendOptions{NotBefore: at.Add(1)})
			<-time.After(time.Minute)
		}},
		{"redeliveries that are due together", 6, func(t *testing.T, b *inproctest.Backend, j *journal) {
			l := open(t, connect(t, b), jobs)
			if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 3}, transport.Serial(func(d *transport.Delivery) {
				go func() {
					if d.Attempt == 1 {
						_ = d.Nak(context.Background(), time.Second)
						return
					}
					j.note("%d", d.Sequence)
				}()
			})); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				store(t, l, "jobs.a", "", transport.AppendOptions{})
			}
			settle(t, b)
			<-time.After(time.Minute)
		}},
		{"partitions", 3, func(t *testing.T, b *inproctest.Backend, j *journal) { // two of one partition, one of another
			l := open(t, connect(t, b), transport.LogConfig{Name: "partitions", Subjects: []string{"partitions.*"}, Partitions: 16})
			for _, key := range []string{"a", "a", "b"} {
				store(t, l, "partitions."+key, "", transport.AppendOptions{})
			}
			if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", Ordered: true}, MaxInFlight: 3}, transport.Serial(func(d *transport.Delivery) {
				j.note("%d", d.Sequence)
				_ = d.Ack(context.Background())
			})); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reached := make(map[string]int)
			for seed := uint64(1); seed <= 200; seed++ {
				var j journal
				steps(t, seed, func(t *testing.T, b *inproctest.Backend) { c.body(t, b, &j); settle(t, b) })
				reached[j.String()]++
			}
			if len(reached) != c.orders {
				t.Errorf("%d orders were reached, want %d: %v", len(reached), c.orders, slices.Sorted(maps.Keys(reached)))
			}
			for order, n := range reached {
				if n < 200/c.orders/4 {
					t.Errorf("the order %q was reached %d times of 200, of %d orders", order, n, c.orders)
				}
			}
		})
	}
}

// Nothing is handed over by itself, and steps take no time.
func TestStepsTakeNoTime(t *testing.T) {
	t.Parallel()
	steps(t, 1, func(t *testing.T, b *inproctest.Backend) {
		tr := connect(t, b)
		began, n := time.Now(), 0
		subscribe(t, tr, "a", func(m *transport.Message) {
			if n++; n < 1000 {
				_ = tr.Publish(context.Background(), &transport.Message{Subject: "a"})
			}
		})
		if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
			t.Fatal(err)
		}
		settle(t, b)
		if took := time.Since(began); n != 1000 || took != 0 {
			t.Errorf("%d messages took %v", n, took)
		}
	})
}

// A step that waits to be picked gives up when its context ends, and is then not done.
func TestTurnEndsWithItsContext(t *testing.T) {
	t.Parallel()
	resting := make(chan struct{})
	b := inproctest.NewBackend(inproctest.Options{Quiesce: func() { <-resting }})
	tr := connect(t, b)
	subscribe(t, tr, "a", func(*transport.Message) { t.Error("it was done") })
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan error)
	go func() { published <- tr.Publish(ctx, &transport.Message{Subject: "a"}) }()
	cancel()
	err := <-published
	if e, ok := err.(*transport.Error); !ok || e.Code != transport.Canceled || e.Outcome != transport.OutcomeNotDone {
		t.Errorf("got %v", err)
	}
	close(resting)
	if err := b.AwaitStep(t.Context(), inproctest.Step{Action: "think", Transport: 1}, nil); err != nil {
		t.Error(err)
	}
	if got := words(b.Steps()); !strings.Contains(got, "t1 think (of 1)") {
		t.Errorf("got %s", got)
	}
}

// Outside a bubble, too, steps are taken one at a time.
func TestStepsOutsideABubble(t *testing.T) {
	t.Parallel()
	b := inproctest.NewBackend(inproctest.Options{Seed: 1, Quiesce: runtime.Gosched})
	tr := connect(t, b)
	got := make(chan string, 100)
	subscribe(t, tr, "a", func(m *transport.Message) { got <- string(m.Body) })
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() {
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: []byte(fmt.Sprint(i))}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	all := make(map[string]bool)
	for range 100 {
		all[<-got] = true
	}
	if len(all) != 100 {
		t.Errorf("%d messages came", len(all))
	}
}

func TestSettleWithoutSteps(t *testing.T) {
	t.Parallel()
	b := inproctest.NewBackend(inproctest.Options{})
	if err := b.Settle(t.Context()); transport.CodeOf(err) != transport.FailedPrecondition {
		t.Errorf("got %v", err)
	}
	if err := b.AwaitStep(t.Context(), inproctest.Step{}, nil); err != nil {
		t.Error(err)
	}
}
