//go:build conformance

package conformance_test

import (
	"strings"
	"testing"

	"gomono.dev/kv/kvtest"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

// Buckets of a nats-server in a separate process.
func TestBucketsOnAServer(t *testing.T) {
	s := newProcess(t)
	t.Run("suite", func(t *testing.T) {
		again(t, repeats(1, 3), func(t *testing.T, _ uint64) {
			kvtest.Run(t, kvtest.Target{Start: dialer(natsx.Options{URLs: []string{s.url()}})})
		})
	})
	t.Run("connection", func(t *testing.T) {
		again(t, repeats(1, 5), func(t *testing.T, _ uint64) { kvtest.RunReconnect(t, bucketLines(s.address)) })
	})
}

// Buckets of a cluster, with three replicas. Cases connect to one server after another.
func TestBucketsOnACluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	t.Run("suite", func(t *testing.T) {
		again(t, repeats(1, 2), func(t *testing.T, round uint64) {
			kvtest.Run(t, kvtest.Target{Start: dialer(natsx.Options{URLs: []string{servers[round%3].ClientURL()}, Replicas: 3}), Lags: true})
		})
	})
	t.Run("connection", func(t *testing.T) {
		kvtest.RunReconnect(t, bucketLines(strings.TrimPrefix(servers[0].ClientURL(), "nats://")))
	})
}

// dialer returns a function that prepares connections for each case.
func dialer(o natsx.Options) func(*testing.T) func() transport.Transport {
	return func(t *testing.T) func() transport.Transport {
		return func() transport.Transport { return connect(t, o) }
	}
}

// bucketLines returns a function that makes connections that can be cut.
func bucketLines(address string) func(*testing.T) *kvtest.Line {
	newLine := lines(address)
	return func(t *testing.T) *kvtest.Line {
		l := newLine(t)
		direct := dialer(natsx.Options{URLs: []string{"nats://" + address}})
		return &kvtest.Line{Transport: l.Transport, Connect: direct(t), Cut: l.Cut, Mend: l.Mend}
	}
}
