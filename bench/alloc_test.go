package bench

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/mono"
)

// A call over NATS allocates no more often than nats.go alone for a call without headers, on both
// ends and the server together, although it has an id, a sender and a time-out.
func TestAllocationsOfACallOverNATS(t *testing.T) {
	raw := allocationsOf(t, bareEcho(t, links[0]))
	if ours := allocationsOf(t, natsEcho(t, links[0])); ours > raw {
		t.Errorf("a call allocates %v times, nats.go alone %v times", ours, raw)
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

// A call over inproc allocates as often as its parts need: see the numbers.
func TestAllocationsOfACallOverInproc(t *testing.T) {
	const most = 9
	if n := allocationsOf(t, localEcho(t, mono.NoLocalCalls())); n > most {
		t.Errorf("a call allocates %v times, want at most %d", n, most)
	}
}

// An event over inproc allocates its payload, its id, a copy of it and of its body, and the
// memory that its handler keeps.
func TestAllocationsOfAnEventOverInproc(t *testing.T) {
	const most = 5
	var publish mono.Publisher[[]byte]
	sizes := make(chan int, 1)
	local(t, func(s *mono.Scope) {
		subscribe(s, func(body []byte) { sizes <- len(body) })
		publish = posted.Publisher(s)
	})
	ctx, body := t.Context(), make([]byte, size)
	if n := testing.AllocsPerRun(500, func() {
		if err := publish(ctx, body); err != nil || <-sizes != size {
			t.Error(err)
		}
	}); n > most {
		t.Errorf("an event allocates %v times, want at most %d", n, most)
	}
}

func allocationsOf(t *testing.T, ask mono.Func[[]byte, []byte]) float64 {
	ctx, question := t.Context(), make([]byte, size)
	return testing.AllocsPerRun(500, func() {
		if answer, err := ask(ctx, question); err != nil || len(answer) != size {
			t.Fatalf("%d bytes, %v", len(answer), err)
		}
	})
}
