//go:build conformance

package conformance_test

import (
	"testing"
	"time"

	"gomono.dev/kv/kvtest"
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

// Buckets of such a cluster. Cases connect to the member that is behind.
func TestBucketsOnALaggingCluster(t *testing.T) {
	if *short {
		return
	}
	servers := clustertest.NewLagging(t, 10*time.Millisecond)
	kvtest.Run(t, kvtest.Target{Start: dialer(natsx.Options{URLs: []string{servers[2].ClientURL()}, Replicas: 3}), Lags: true})
}
