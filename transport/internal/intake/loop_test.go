package intake_test

import (
	"runtime"
	"testing"
	"testing/synctest"

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
