package peers

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// Plain nats.go, its package micro and its package jetstream: no headers, no ids.

const subject = "peers.plain"

func natsCall(b *testing.B, l link) call {
	near, far := l.conns(b)
	if _, err := far.QueueSubscribe(subject, "q", func(m *nats.Msg) {
		if err := m.Respond(m.Data); err != nil {
			b.Error(err)
		}
	}); err != nil {
		b.Fatal(err)
	}
	return natsRequest(b, near, far)
}

func microCall(b *testing.B, l link) call {
	near, far := l.conns(b)
	s, err := micro.AddService(far, micro.Config{Name: "peers", Version: "1.0.0", Endpoint: &micro.EndpointConfig{
		Subject: subject,
		Handler: micro.HandlerFunc(func(r micro.Request) {
			if err := r.Respond(r.Data()); err != nil {
				b.Error(err)
			}
		}),
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Stop() })
	return natsRequest(b, near, far)
}

// natsRequest makes requests that end with their caller's context and after 30 seconds, as calls
// of the others do.
func natsRequest(b *testing.B, near, far *nats.Conn) call {
	if err := far.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		m, err := near.RequestWithContext(ctx, subject, body)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	}
}

func natsEvent(b *testing.B, l link, handle handler) event {
	near, far := l.conns(b)
	if _, err := far.QueueSubscribe(subject, "q", func(m *nats.Msg) { handle(m.Data) }); err != nil {
		b.Fatal(err)
	}
	if err := far.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(_ context.Context, body []byte) error { return near.Publish(subject, body) }
}

func natsQueue(b *testing.B, l link, handle handler) work {
	return natsWork(b, l, handle, jetstream.WorkQueuePolicy)
}

func natsStream(b *testing.B, l link, handle handler) work {
	return natsWork(b, l, handle, jetstream.LimitsPolicy)
}

func natsWork(b *testing.B, l link, handle handler, retention jetstream.RetentionPolicy) work {
	nc, _ := l.conns(b)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	s, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "plain", Subjects: []string{subject}, Retention: retention})
	if err != nil {
		b.Fatal(err)
	}
	c, err := s.CreateConsumer(b.Context(), jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		b.Fatal(err)
	}
	cc, err := c.Consume(func(m jetstream.Msg) {
		handle(m.Data())
		if err := m.Ack(); err != nil {
			b.Error(err)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cc.Stop)
	return work{
		append: func(ctx context.Context, body []byte) error {
			_, err := js.Publish(ctx, subject, body)
			return err
		},
		idle: idle(b, nc),
	}
}
