//go:build conformance

package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/realtime"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
	"gomono.dev/transport/transporttest"
)

var (
	short = flag.Bool("conformance.short", false, "run in a few minutes what otherwise takes the better part of an hour")
	seed  = flag.Uint64("conformance.seed", 0, "seed of the order in which inproc takes its steps; 0 is a random one")
)

// memberMain runs the program of a member of TestOrderOverProcesses, if the process is one.
var memberMain = func() bool { return false }

func TestMain(m *testing.M) {
	if memberMain() {
		return
	}
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	fmt.Printf("seed %d\n", *seed)
	os.Exit(realtime.Main(m))
}

// repeats returns one of two numbers, by the profile.
func repeats(shortly, fully int) int {
	if *short {
		return shortly
	}
	return fully
}

// again runs a target several times.
func again(t *testing.T, times int, run func(t *testing.T, round uint64)) {
	t.Helper()
	for round := range times {
		t.Run(fmt.Sprint(round), func(t *testing.T) { run(t, uint64(round)) })
	}
}

func TestInproc(t *testing.T) {
	again(t, repeats(1, 3), func(t *testing.T, _ uint64) {
		transporttest.Run(t, func(*testing.T) transport.Transport { return inproc.New(inproc.Options{}) })
	})
}

func TestInprocInBubbles(t *testing.T) {
	again(t, repeats(2, 20), func(t *testing.T, round uint64) {
		transporttest.RunInBubble(t, func(*testing.T) transport.Transport {
			return inproctest.NewBackend(inproctest.Options{Seed: *seed + round}).Connect()
		})
	})
}

func TestInprocInSteps(t *testing.T) {
	again(t, repeats(5, 100), func(t *testing.T, round uint64) {
		transporttest.RunInBubble(t, func(*testing.T) transport.Transport {
			return inproctest.NewBackend(inproctest.Options{Seed: *seed + round, Quiesce: synctest.Wait}).Connect()
		})
	})
}

func TestEmbeddedInMemory(t *testing.T) {
	again(t, repeats(1, 3), func(t *testing.T, _ uint64) {
		s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
		transporttest.Run(t, func(t *testing.T) transport.Transport {
			tr, err := s.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return tr
		})
	})
}

func TestEmbeddedOnDisk(t *testing.T) {
	again(t, repeats(1, 2), func(t *testing.T, _ uint64) {
		s := natstest.NATS(t)
		transporttest.Run(t, over(natsx.Options{URLs: []string{s.ClientURL()}}))
	})
}

// A nats-server in a separate process, as in a deployment.
func TestServer(t *testing.T) {
	s := newProcess(t)
	t.Run("suite", func(t *testing.T) {
		again(t, repeats(1, 3), func(t *testing.T, _ uint64) {
			transporttest.Run(t, over(natsx.Options{URLs: []string{s.url()}}))
		})
	})
	t.Run("connection", func(t *testing.T) {
		again(t, repeats(1, 5), func(t *testing.T, _ uint64) {
			transporttest.RunReconnect(t, lines(s.address))
		})
	})
	t.Run("killed", func(t *testing.T) {
		again(t, repeats(1, 5), func(t *testing.T, _ uint64) { transporttest.RunCrash(t, killed) })
	})
	if *short {
		return
	}
	// Everything again after the connection was lost and re-established.
	t.Run("reconnected", func(t *testing.T) {
		newLine := lines(s.address)
		transporttest.Run(t, func(t *testing.T) transport.Transport { return transporttest.Reconnected(t, newLine(t)) })
	})
}

// A cluster of three servers, all of which keep all logs. Cases connect to one server
// after another. Messages between servers are slower than those within one, and any
// server may be the leader of a log.
func TestCluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	t.Run("suite", func(t *testing.T) {
		again(t, repeats(1, 2), func(t *testing.T, round uint64) {
			transporttest.Run(t, over(natsx.Options{URLs: []string{servers[round%3].ClientURL()}, Replicas: 3}))
		})
	})
	if *short {
		return
	}
	t.Run("connection", func(t *testing.T) {
		transporttest.RunReconnect(t, lines(strings.TrimPrefix(servers[0].ClientURL(), "nats://")))
	})
}

// killed returns a host with its server, which a test kills and starts again.
func killed(t *testing.T) *transporttest.Host {
	p := newProcess(t)
	return &transporttest.Host{
		Connect: over(natsx.Options{URLs: []string{p.url()}}),
		Crash: func(t *testing.T) {
			p.kill()
			p.start(t)
		},
	}
}

// over returns a function that makes a connection for each case.
func over(o natsx.Options) func(*testing.T) transport.Transport {
	return func(t *testing.T) transport.Transport { return connect(t, o) }
}

func connect(t *testing.T, o natsx.Options) *natsx.Transport {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	tr, err := natsx.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// lines returns a function that makes connections that can be cut.
func lines(address string) func(*testing.T) *transporttest.Line {
	return func(t *testing.T) *transporttest.Line {
		p := proxytest.New(t, address)
		tr := connect(t, natsx.Options{
			URLs: []string{"nats://" + p.Address()}, ReconnectWait: 5 * time.Millisecond,
			NATS: []nats.Option{nats.IgnoreDiscoveredServers()}, // other servers of a cluster would be reached past the proxy
		})
		return &transporttest.Line{Transport: tr, Cut: p.Cut, Mend: p.Mend}
	}
}
