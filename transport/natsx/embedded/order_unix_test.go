//go:build unix

package embedded_test

import (
	"testing"

	"gomono.dev/transport/internal/ordertest"
	"gomono.dev/transport/natsx/embedded"
)

// The order of keys while processes come and go. make conformance does more of it.
func TestOrderOverProcesses(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Memory: true, Listen: "127.0.0.1:0"})
	ordertest.Run(t, ordertest.Options{URLs: []string{s.ClientURL()}, Changes: 30})
}

func init() { memberMain = ordertest.Main }
