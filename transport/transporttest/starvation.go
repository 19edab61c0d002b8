package transporttest

import "time"

// starvation notices that this process did not run for so long that members may
// have been taken for dead: they say that they live four times per AckWait.
type starvation struct {
	done   chan struct{}
	result chan bool
}

const starvingAfter = 200 * time.Millisecond

func watchStarvation() *starvation {
	s := &starvation{done: make(chan struct{}), result: make(chan bool, 1)}
	go s.watch()
	return s
}

func (s *starvation) watch() {
	tick := time.NewTicker(starvingAfter / 4)
	defer tick.Stop()
	starved, last := false, time.Now()
	for {
		select {
		case <-s.done:
			s.result <- starved || time.Since(last) > starvingAfter
			return
		case <-tick.C:
			starved = starved || time.Since(last) > starvingAfter
			last = time.Now()
		}
	}
}

// stop ends the watch and reports what it has seen.
func (s *starvation) stop() bool {
	close(s.done)
	return <-s.result
}
