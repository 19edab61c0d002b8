package intake_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/intake"
)

type work func()

func (w work) Run() { w() }

// Messages from several goroutines are taken once, in the order of each, by one goroutine
// at a time. Work that they leave runs once.
func TestEverythingIsTakenOnceInOrder(t *testing.T) {
	t.Parallel()
	const putters, each = 4, 5_000
	type message struct{ putter, n int }
	var taking atomic.Int32
	var next [putters]int
	var done atomic.Int64
	q := intake.New(putters*each, nil, func(m message) transport.Work {
		if taking.Add(1) > 1 {
			t.Error("two take at once")
		}
		defer taking.Add(-1)
		if next[m.putter] != m.n {
			t.Errorf("putter %d: got %d, want %d", m.putter, m.n, next[m.putter])
		}
		next[m.putter] = m.n + 1
		if m.n%3 == 0 {
			done.Add(1)
			return nil
		}
		return work(func() { done.Add(1) })
	})
	var wait sync.WaitGroup
	for p := range putters {
		wait.Go(func() {
			for n := range each {
				if !q.Put(message{p, n}) {
					t.Error("it has ended")
				}
			}
		})
	}
	wait.Wait()
	q.End()
	<-q.Done()
	for done.Load() < putters*each {
		runtime.Gosched()
	}
}

// Goroutines start when there is something to do, and end when everything is over, even
// if work continues.
func TestGoroutinesEndWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		var working atomic.Int32
		q := intake.New(1000, nil, func(int) transport.Work {
			return work(func() {
				working.Add(1)
				<-open
			})
		})
		for n := range 100 {
			q.Put(n)
		}
		synctest.Wait()
		if n := working.Load(); n != 100 {
			t.Errorf("%d work at once, want 100", n)
		}
		q.End()
		<-q.Done()
		close(open)
	}) // fails if a goroutine is left
}

// A goroutine that ends itself ends the intake if it was taking, and nothing else if it
// was working.
func TestGoexit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		taken := 0
		q := intake.New(10, nil, func(n int) transport.Work {
			switch taken++; n {
			case 0:
				return work(runtime.Goexit)
			case 2:
				runtime.Goexit()
			}
			return nil
		})
		q.Put(0)
		synctest.Wait()
		q.Put(1)
		q.Put(2)
		q.Put(3)
		synctest.Wait()
		<-q.Done()
		if taken != 3 || q.Put(4) || q.Discard() != 1 {
			t.Errorf("%d were taken, want 3, and 1 lost", taken)
		}
	})
}

// Messages that are discarded while a batch is taken are counted and not taken.
func TestDiscardInTheMiddleOfABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		taken := 0
		q := intake.New(10, nil, func(int) transport.Work {
			taken++
			<-open
			return nil
		})
		for n := range 5 {
			q.Put(n)
		}
		synctest.Wait()
		lost := q.Discard()
		close(open)
		<-q.Done()
		if taken+lost != 5 || taken != 1 {
			t.Errorf("%d taken and %d lost of 5", taken, lost)
		}
	})
}

// A queue that is never empty does not keep room for all messages that were ever queued.
func TestBusyQueueStaysSmall(t *testing.T) {
	t.Parallel()
	const n = 200_000
	var before, after runtime.MemStats
	room := make(chan struct{}, 100)
	q := intake.New(1<<20, nil, func(*[64]byte) transport.Work {
		<-room
		return nil
	})
	m := new([64]byte)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		room <- struct{}{}
		q.Put(m)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("it has grown by %d bytes", grown)
	}
	q.End()
	<-q.Done()
}
