//go:build conformance

package conformance_test

import (
	"testing"
	"time"

	"gomono.dev/objstore/objtest"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/natsx"
)

// Stores of objects of a nats-server in a separate process.
func TestObjectsOnAServer(t *testing.T) {
	s := newProcess(t)
	again(t, repeats(1, 3), func(t *testing.T, _ uint64) {
		objtest.Run(t, objtest.Target{Start: objectDialer(natsx.Options{URLs: []string{s.url()}})})
	})
}

// Stores of a cluster, with three replicas. Cases connect to one server after another.
func TestObjectsOnACluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	again(t, repeats(1, 2), func(t *testing.T, round uint64) {
		objtest.Run(t, objtest.Target{Start: objectDialer(natsx.Options{URLs: []string{servers[round%3].ClientURL()}, Replicas: 3}), Lags: true})
	})
}

// Stores of a cluster with one member that is always behind. Cases connect to that one.
func TestObjectsOnALaggingCluster(t *testing.T) {
	if *short {
		return
	}
	servers := clustertest.NewLagging(t, 50*time.Millisecond)
	objtest.Run(t, objtest.Target{Start: objectDialer(natsx.Options{URLs: []string{servers[2].ClientURL()}, Replicas: 3}), Lags: true})
}

// objectDialer returns a function that prepares connections for each case.
func objectDialer(o natsx.Options) func(*testing.T) func() transport.Transport {
	return func(t *testing.T) func() transport.Transport {
		return func() transport.Transport { return connect(t, o) }
	}
}
