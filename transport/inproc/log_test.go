package inproc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// bubble runs a test in virtual time with a new Backend.
func bubble(t *testing.T, body func(*testing.T, *inproc.Backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { body(t, inproc.NewBackend(inproc.Options{})) })
}

// connect returns a Transport that is closed after the test.
func connect(t testing.TB, b *inproc.Backend) *inproc.Transport {
	tr := b.Connect()
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// advance lets time pass, and then waits until the bubble is idle.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func open(t testing.TB, tr transport.Transport, c transport.LogConfig) transport.Log {
	t.Helper()
	l, err := tr.Log(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func store(t testing.TB, l transport.Log, subject, body string, o transport.AppendOptions) uint64 {
	t.Helper()
	at, err := l.Append(t.Context(), &transport.Message{Subject: subject, Body: []byte(body)}, o)
	if err != nil {
		t.Fatal(err)
	}
	return at.Sequence
}

// worker is a member that records its deliveries. It has a lock because the passing of
// time orders nothing for the race detector.
type worker struct {
	transport.Receiver
	mu        sync.Mutex
	delivered []*transport.Delivery
}

func work(t testing.TB, l transport.Log, c transport.ConsumeConfig) *worker {
	t.Helper()
	w := new(worker)
	r, err := l.Consume(t.Context(), c, transport.Serial(w.take))
	if err != nil {
		t.Fatal(err)
	}
	w.Receiver = r
	return w
}

func (w *worker) take(d *transport.Delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delivered = append(w.delivered, d)
}

func (w *worker) got() []*transport.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.delivered)
}

func (w *worker) sequences() []uint64 {
	var s []uint64
	for _, d := range w.got() {
		s = append(s, d.Sequence)
	}
	return s
}

func (w *worker) last() *transport.Delivery { return w.got()[len(w.got())-1] }

func wantSequences(t testing.TB, got []uint64, want ...uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

var jobs = transport.LogConfig{
	Name: "jobs", Subjects: []string{"jobs.>"}, Retention: transport.InterestRetention, Delays: true,
	Groups: []transport.GroupConfig{{Name: "g"}},
}

func ofG(inFlight int) transport.ConsumeConfig {
	return transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: inFlight}
}

// After a crash, others get the held messages after the AckWait, counted from the crash,
// to the millisecond. Actions of the dead member have no effect.
func TestKill(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *inproc.Backend) {
		one, two := connect(t, b), connect(t, b)
		dead := work(t, open(t, one, jobs), ofG(10))
		l := open(t, two, jobs)
		for i := range 3 {
			store(t, l, "jobs.a", fmt.Sprint(i), transport.AppendOptions{})
		}
		synctest.Wait()
		wantSequences(t, dead.sequences(), 1, 2, 3)
		if err := dead.got()[0].Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
		advance(20 * time.Second)
		heir := work(t, l, ofG(10))
		one.Kill()
		for _, err := range []error{
			dead.got()[1].Ack(t.Context()),
			dead.got()[2].Nak(t.Context(), 0),
			one.Publish(t.Context(), &transport.Message{Subject: "jobs.a"}),
		} {
			if transport.CodeOf(err) != transport.Unavailable {
				t.Errorf("got %v, want unavailable", err)
			}
		}
		advance(transport.DefaultAckWait - time.Millisecond)
		wantSequences(t, heir.sequences())
		advance(time.Millisecond)
		wantSequences(t, heir.sequences(), 2, 3)
		if d := heir.got()[0]; d.Attempt != 2 || string(d.Body) != "1" || d.FencingToken != 4 {
			t.Errorf("got %+v", d)
		}
	})
}

// An orderly end hands messages back at once, and a hand-back is not an attempt.
func TestCloseHandsBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *inproc.Backend) {
		one, two := connect(t, b), connect(t, b)
		first := work(t, open(t, one, jobs), ofG(2))
		l := open(t, two, jobs)
		for range 4 {
			store(t, l, "jobs.a", "", transport.AppendOptions{})
		}
		synctest.Wait()
		wantSequences(t, first.sequences(), 1, 2)
		second := work(t, l, ofG(10))
		synctest.Wait()
		wantSequences(t, second.sequences(), 3, 4)
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantSequences(t, second.sequences(), 3, 4, 1, 2)
		if d := second.last(); d.Attempt != 1 {
			t.Errorf("attempt %d, want 1: a hand-back is not an attempt", d.Attempt)
		}
		if err := first.got()[0].Ack(t.Context()); transport.CodeOf(err) != transport.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

func TestNakInVirtualTime(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *inproc.Backend) {
		tr := connect(t, b)
		l := open(t, tr, jobs)
		w := work(t, l, ofG(1))
		store(t, l, "jobs.a", "", transport.AppendOptions{})
		store(t, l, "jobs.a", "", transport.AppendOptions{})
		synctest.Wait()
		begun := time.Now()
		_ = w.last().Nak(t.Context(), 90*time.Minute)
		synctest.Wait()
		wantSequences(t, w.sequences(), 1, 2)
		_ = w.last().Ack(t.Context())
		advance(90*time.Minute - time.Millisecond)
		wantSequences(t, w.sequences(), 1, 2)
		advance(time.Millisecond)
		wantSequences(t, w.sequences(), 1, 2, 1)
		if took := time.Since(begun); took != 90*time.Minute {
			t.Errorf("after %v", took)
		}
		_ = w.last().Ack(t.Context())
		if i, _ := l.Info(t.Context()); i.Messages != 0 || i.First != 3 || i.Last != 2 {
			t.Errorf("%+v", i)
		}
	})
}
