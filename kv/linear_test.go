package kv_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"gomono.dev/internal/linear"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
	"gomono.dev/transport/natsx/embedded"
)

// Create, Update, Modify and conditional deletions are linearizable in every order of steps,
// also if answers are lost, requests are lost or late, and replicas answer. A Get of a replica
// is not, so there are none.
func TestLinearizableWithFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			var r linear.Recording
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 99))
				backend := inproctest.NewBackend(inproctest.Options{
					Seed: seed + 1, Quiesce: synctest.Wait,
					Fault: func(p inproctest.Point) inproctest.FaultAction { return someFault(random, p) },
				})
				r.Run(t, linear.Clients{
					Bucket: "linear", Keys: []string{"a", "b"}, Number: 4, Seed: seed, More: upTo(12),
					Connect: func() transport.Transport { return backend.Connect() },
				})
			})
			r.Check(t)
		})
	}
}

func upTo(n int) func(int) bool { return func(calls int) bool { return calls < n } }

// someFault returns a fault for one in five steps of a bucket.
func someFault(random *rand.Rand, p inproctest.Point) (f inproctest.FaultAction) {
	if p.Bucket == "" || p.Phase != inproctest.Before {
		return f
	}
	switch random.IntN(20) {
	case 0:
		f.Drop = true
	case 1:
		f.AmbiguousSend = true
	case 2:
		f.Delay = 1e6
	case 3:
		f.Stale = true
	}
	return f
}

// All of them and Get are linearizable on a server.
func TestLinearizableOnNATS(t *testing.T) {
	t.Parallel()
	server := startNATS(t, embedded.Options{Memory: true})
	for seed := range uint64(3) {
		var r linear.Recording
		r.Run(t, linear.Clients{
			Bucket: fmt.Sprint("linear-", seed), Keys: []string{"a", "b"}, Number: 5, Seed: seed, Reads: true, More: upTo(30),
			Connect: connectNATS(t, server),
		})
		r.Check(t)
	}
}
