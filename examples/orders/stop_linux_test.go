package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
)

// Clients dial for each order while processes are asked to stop. A connection is refused, or
// its order is answered.
func TestNewConnectionsAtSIGTERM(t *testing.T) {
	t.Parallel()
	rounds := realtime.Rounds{Stall: 25 * time.Millisecond} // the program waits for 50ms
	for range 5 {
		rounds.Run(t, stopWithNewConnections)
	}
}

func stopWithNewConnections(t testing.TB) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	customers := group(t)
	p := serving(t, "-transport", "inproc")
	var answered atomic.Int64
	for customer := range 8 {
		customers.Go(func() {
			for n := 0; ; n++ {
				status, err := p.try(client, fmt.Sprintf("c%d-%d", customer, n))
				if err == nil && status == http.StatusCreated {
					answered.Add(1)
					continue
				}
				if !errors.Is(err, syscall.ECONNREFUSED) && !p.killed.Load() {
					t.Errorf("%d, %v", status, err)
				}
				return
			}
		})
	}
	realtime.Until(t, "a hundred orders are placed", func() bool { return answered.Load() > 100 || t.Failed() })
	p.signal(t, syscall.SIGTERM)
	customers.Wait()
	p.mustEnd(t)
}
