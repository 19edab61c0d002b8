package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Clients dial for each order while processes are asked to stop. A connection is refused, or
// its order is answered.
func TestNewConnectionsAtSIGTERM(t *testing.T) {
	t.Parallel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for round := range 5 {
		p := serving(t, "-transport", "inproc")
		var answered atomic.Int64
		var wait sync.WaitGroup
		for customer := range 8 {
			wait.Go(func() {
				for n := 0; ; n++ {
					status, err := p.try(client, fmt.Sprintf("r%d-c%d-%d", round, customer, n))
					if err == nil && status == http.StatusCreated {
						answered.Add(1)
						continue
					}
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("%d, %v", status, err)
					}
					return
				}
			})
		}
		eventually(t, "orders were placed", func() bool { return answered.Load() > 100 })
		p.signal(t, syscall.SIGTERM)
		wait.Wait()
		p.mustEnd(t)
	}
}
