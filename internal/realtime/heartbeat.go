// Package realtime is for tests in real time. They wait for conditions with patience, assert no
// time, and repeat a round in which the machine stood still.
package realtime

import "time"

// period is the time between two beats.
const period = 5 * time.Millisecond

// Heartbeat measures how long this process stands still. A goroutine beats every few
// milliseconds; a longer time between two beats is a stall.
type Heartbeat struct {
	stop    chan struct{}
	longest chan time.Duration
}

// StartHeartbeat starts a Heartbeat, which the caller stops.
func StartHeartbeat() *Heartbeat {
	h := &Heartbeat{stop: make(chan struct{}), longest: make(chan time.Duration, 1)}
	go h.run(time.NewTicker(period), time.Now())
	return h
}

// Stop ends the measurement and returns the longest stall.
func (h *Heartbeat) Stop() time.Duration {
	close(h.stop)
	return <-h.longest
}

func (h *Heartbeat) run(beats *time.Ticker, last time.Time) {
	defer beats.Stop()
	longest := time.Duration(0)
	beat := func() {
		now := time.Now()
		longest, last = max(longest, now.Sub(last)-period), now
	}
	for {
		select {
		case <-beats.C:
			beat()
		case <-h.stop:
			beat()
			h.longest <- longest
			return
		}
	}
}
