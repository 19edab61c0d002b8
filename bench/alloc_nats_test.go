//go:build !race

package bench

// The race detector drops every fourth object that is put into a sync.Pool, so allocations vary.

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/mono"
)

// A call over NATS makes three allocations less than nats.go alone for a call without headers, on both
// ends and the server together, although it has a sender and a time-out.
func TestAllocationsOfACallOverNATS(t *testing.T) {
	raw := allocationsOf(t, bareEcho(t, links[0]))
	if ours := allocationsOf(t, natsEcho(t, links[0])); ours > raw-3 {
		t.Errorf("a call allocates %v times, want 3 times less than nats.go alone (%v)", ours, raw)
	}
}

// An event over NATS allocates twice more than nats.go alone: its message, and the memory that its
// handler keeps.
func TestAllocationsOfAnEventOverNATS(t *testing.T) {
	count := func(open func(b testing.TB, l link, handle func([]byte)) mono.Publisher[[]byte]) float64 {
		sizes := make(chan int, 1)
		return eventAllocations(t, open(t, links[0], func(body []byte) { sizes <- len(body) }), sizes)
	}
	raw := count(rawEvent)
	if ours := count(natsEvent); ours > raw+2 {
		t.Errorf("an event allocates %v times, nats.go alone %v times", ours, raw)
	}
}

// bareEcho is rawEcho without headers.
func bareEcho(t testing.TB, l link) mono.Func[[]byte, []byte] {
	sender, receiver := l.open(t)
	client, server := conn(t, sender), conn(t, receiver)
	_, err := server.QueueSubscribe("bare.echo", "q", func(m *nats.Msg) {
		if err := m.Respond(m.Data); err != nil {
			t.Error(err)
		}
	})
	if err == nil {
		err = server.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		reply, err := client.RequestWithContext(ctx, "bare.echo", body)
		if err != nil {
			return nil, err
		}
		return reply.Data, nil
	}
}
