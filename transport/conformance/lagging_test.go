//go:build conformance

package conformance_test

import (
	"testing"
	"time"

	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/transporttest"
)

// A cluster with one member that is always behind, as any member of a loaded machine may
// be now and then.
func TestLaggingCluster(t *testing.T) {
	if *short {
		return
	}
	servers := clustertest.NewLagging(t, 50*time.Millisecond)
	transporttest.Run(t, over(natsx.Options{URLs: []string{servers[*seed%3].ClientURL()}, Replicas: 3}))
}
