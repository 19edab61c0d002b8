package intake_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/intake"
)

// One goroutine at a time takes a step, while the work of earlier steps continues. The end
// is called once, after the last step or one that ends its goroutine.
func TestLoop(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]func(){"no more": func() {}, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 100
				open := make(chan struct{})
				steps, working, ended := 0, make(chan struct{}, n), 0
				intake.Loop(func() (transport.Work, bool) {
					if steps++; steps > n {
						last()
						return nil, false
					}
					if steps%2 == 0 {
						return nil, true
					}
					return work(func() {
						working <- struct{}{}
						<-open
					}), true
				}, func() { ended++ })
				synctest.Wait()
				if steps != n+1 || len(working) != n/2 || ended != 1 {
					t.Errorf("%d steps, %d work, ended %d times, want %d, %d and 1", steps, len(working), ended, n+1, n/2)
				}
				close(open)
			}) // fails if a goroutine is left
		})
	}
}

// Quick work is done by the goroutine that leads. If such work waits, or ends its goroutine,
// the next steps are taken nevertheless.
func TestQuickWork(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]func(open chan struct{}){
		"waits": func(open chan struct{}) { <-open }, "goexit": func(chan struct{}) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				open := make(chan struct{})
				var done atomic.Int32
				steps := 0
				intake.Loop(func() (transport.Work, bool) {
					if steps++; steps == n {
						return work(func() { last(open) }), true
					}
					return work(func() { done.Add(1) }), steps < 2*n
				}, func() {})
				synctest.Wait()
				<-time.After(time.Millisecond)
				synctest.Wait()
				if done.Load() != 2*n-1 {
					t.Errorf("%d work, want %d", done.Load(), 2*n-1)
				}
				close(open)
			}) // fails if a goroutine is left
		})
	}
}

// Slow work is done beside the next steps, also if the work before was quick.
func TestSlowWorkIsConcurrent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const quick, slow = 1000, 100
		began := time.Now()
		var done atomic.Int32
		steps := 0
		intake.Loop(func() (transport.Work, bool) {
			steps++
			if steps <= quick {
				return work(func() { done.Add(1) }), true
			}
			return work(func() {
				<-time.After(time.Second)
				done.Add(1)
			}), steps < quick+slow
		}, func() {})
		<-time.After(1500 * time.Millisecond)
		synctest.Wait()
		if done.Load() != quick+slow {
			t.Errorf("%d work after %v, want %d", done.Load(), time.Since(began), quick+slow)
		}
	})
}
