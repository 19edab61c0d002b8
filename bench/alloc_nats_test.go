//go:build !race

package bench

// The race detector drops every fourth object that is put into a sync.Pool, so allocations vary.

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// A stored message allocates no more often than one of nats.go alone with an id, from the append
// to the acknowledgement, on both ends and the server together.
func TestAllocationsOfAStoredMessageOverNATS(t *testing.T) {
	ctx, handled := t.Context(), make(chan int, 1)
	per := func(appendOne func() error) float64 {
		return testing.AllocsPerRun(500, func() {
			if err := appendOne(); err != nil || <-handled != size {
				t.Error(err)
			}
		})
	}
	raw := per(bareStream(t, func(body []byte) { handled <- len(body) }))

	st := stream("bench.allocations")
	a := serve(t, connect(t, server(t)), func(a *mono.App) {
		a.Add(module("both", func(s *mono.Scope) {
			s.Use(st)
			st.Handle(s, func(_ context.Context, body []byte) error {
				handled <- len(body)
				return nil
			}, mono.Unordered())
		}))
	})
	if ours := per(func() error { return st.Append(ctx, a, make([]byte, size)) }); ours > raw {
		t.Errorf("a message allocates %v times, one of nats.go alone %v times", ours, raw)
	}
}

// bareStream is a stream whose messages have an id, and a consumer of it. It returns the append.
func bareStream(t testing.TB, handle func(body []byte)) func() error {
	js, err := jetstream.New(conn(t, connect(t, server(t))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "bare", Subjects: []string{"bare"}}); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(t.Context(), "bare", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	cc, err := c.Consume(func(m jetstream.Msg) {
		handle(m.Data())
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cc.Stop)
	return func() error {
		_, err := js.Publish(t.Context(), "bare", make([]byte, size), jetstream.WithMsgID(id()))
		return err
	}
}
