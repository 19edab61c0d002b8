//go:build conformance && unix

package conformance_test

import (
	"testing"
	"time"

	"gomono.dev/transport/internal/ordertest"
)

// The order of keys while processes join, leave, are killed and are paused, on a nats-server in a
// separate process and on a cluster of three.
func TestOrderOverProcesses(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		ordertest.Run(t, ordertest.Options{URLs: []string{newProcess(t).url()}, Changes: repeats(40, 3100)})
	})
	t.Run("takeover", func(t *testing.T) { // each change is over before the next
		ordertest.Run(t, ordertest.Options{URLs: []string{newProcess(t).url()}, Changes: repeats(4, 60), Quiet: 5 * time.Second})
	})
	t.Run("cluster", func(t *testing.T) {
		ordertest.Run(t, ordertest.Options{URLs: newProcesses(t).urls(), Replicas: 3, Changes: repeats(20, 300)})
	})
}

func init() { memberMain = ordertest.Main }
