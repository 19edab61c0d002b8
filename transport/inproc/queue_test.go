package inproc_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// queueModel models the transport contract of Pending and OnDrop.
type queueModel struct {
	pending  int
	busy     bool // the handler holds a message
	waiting  []byte
	seen     []byte
	dropped  int
	dropping bool
	episodes int
}

func (q *queueModel) publish(id byte) {
	switch {
	case !q.busy:
		q.busy, q.seen = true, append(q.seen, id)
	case len(q.waiting) < q.pending:
		q.waiting = append(q.waiting, id)
	default:
		q.dropped++
		if !q.dropping {
			q.dropping = true
			q.episodes++
		}
	}
}

func (q *queueModel) finish() {
	if q.busy = len(q.waiting) > 0; q.busy {
		q.seen, q.waiting = append(q.seen, q.waiting[0]), q.waiting[1:]
	}
	if len(q.waiting) == 0 {
		q.dropping = false
	}
}

// In a bubble, everything that can happen has happened between two steps. The
// subscription and the model agree after each.
func TestQueueMatchesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, checkQueue) })
}

func checkQueue(t *rapid.T) {
	want := queueModel{pending: rapid.IntRange(1, 4).Draw(t, "pending")}
	tr := inproc.New(inproc.Options{})
	defer tr.Close(t.Context())
	var seen []byte
	var episodes int
	var total uint64
	finish := make(chan struct{})
	r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a", PendingLimit: want.pending, OnDrop: func(n uint64) { episodes, total = episodes+1, n }},
		transport.Serial(func(m *transport.Message) {
			seen = append(seen, m.Body[0])
			<-finish
		}))
	if err != nil {
		t.Fatal(err)
	}
	var next byte
	t.Repeat(map[string]func(*rapid.T){
		"publish": func(t *rapid.T) {
			next++
			want.publish(next)
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: []byte{next}}); err != nil {
				t.Fatal(err)
			}
		},
		"finish": func(t *rapid.T) {
			if want.busy {
				finish <- struct{}{}
			}
			want.finish()
		},
		"": func(t *rapid.T) {
			synctest.Wait()
			if !slices.Equal(seen, want.seen) || episodes != want.episodes || total > uint64(want.dropped) {
				t.Fatalf("seen %v, %d episodes, total %d; want %+v", seen, episodes, total, want)
			}
		},
	})
	lost := len(want.waiting)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := r.Drain(ctx); want.busy && !lostExactly(err, lost) || !want.busy && err != nil {
		t.Fatalf("drain: %v, with %d queued", err, lost)
	}
	close(finish)
}

func lostExactly(err error, n int) bool {
	return transport.CodeOf(err) == transport.DeadlineExceeded && strings.Contains(err.Error(), " "+string('0'+rune(n))+" messages were lost")
}

// A Drain that returns nil has lost nothing. A Drain that was overtaken by a Close
// returns an error.
func TestDrainOvertakenByClose(t *testing.T) {
	t.Parallel()
	for name, closing := range map[string]func(*inproc.Transport, transport.Receiver){
		"receiver":  func(_ *inproc.Transport, r transport.Receiver) { r.Close() },
		"transport": func(tr *inproc.Transport, _ transport.Receiver) { _ = tr.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tr := inproc.New(inproc.Options{})
				defer tr.Close(t.Context())
				hold := make(chan struct{})
				r := subscribe(t, tr, "a", func(*transport.Message) { <-hold })
				for range 5 {
					if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				drained := make(chan error)
				go func() { drained <- r.Drain(context.Background()) }()
				synctest.Wait()
				closing(tr, r)
				close(hold)
				err := <-drained
				if e, ok := errors.AsType[*transport.Error](err); !ok || e.Code != transport.Unavailable || e.Outcome != transport.OutcomeNotDone || !strings.Contains(e.Message, "4 messages") {
					t.Errorf("got %v, want unavailable with 4 messages lost", err)
				}
			})
		})
	}
}

// A handler that ends its goroutine ends the subscription: callers learn at once that
// there is no subscriber, and Drain returns.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
		defer tr.Close(t.Context())
		r := subscribe(t, tr, "a", func(*transport.Message) { runtime.Goexit() })
		if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := tr.Request(t.Context(), &transport.Message{Subject: "a"}); transport.CodeOf(err) != transport.Unavailable {
			t.Errorf("got %v", err)
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An OnDrop that never returns blocks neither publishers nor the handler.
func TestSlowOnDrop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr := inproc.New(inproc.Options{})
		stuck, hold := make(chan struct{}), make(chan struct{})
		seen := 0
		r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a", PendingLimit: 1, OnDrop: func(uint64) { <-stuck }}, transport.Serial(func(*transport.Message) {
			<-hold
			seen++
		}))
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		close(hold)
		if err := r.Drain(t.Context()); err != nil || seen != 2 {
			t.Errorf("%v, the handler received %d", err, seen)
		}
		close(stuck)
	})
}
