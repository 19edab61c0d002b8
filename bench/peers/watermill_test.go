package peers

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// BenchmarkInMemory is a stream of events in memory, each counted when its only subscriber has
// handled it.
func BenchmarkInMemory(b *testing.B) {
	const size = 256
	open := func(name string, open func(*testing.B, handler) event) *entrant {
		r := newReceiver(b, size, 128)
		send := open(b, r.handle)
		return &entrant{name: name, turn: func(n int) time.Duration {
			return r.all(1, n, func(ctx context.Context, body []byte, i int) error {
				r.waitFor(i)
				return send(ctx, body)
			})
		}}
	}
	b.Run("event", func(b *testing.B) {
		contest(b, batch, mostBytes/size, []*entrant{open("mono", inprocEvent), open("watermill", watermillEvent)})
	})
}

func inprocEvent(b *testing.B, handle handler) event {
	var publish mono.Publisher[[]byte]
	run(b, mono.New(inproc.New(inproc.Options{}), quiet).Add(module("local", func(s *mono.Scope) {
		posted.Handle(s, sink(handle))
		publish = posted.Publisher(s)
	})))
	return func(ctx context.Context, body []byte) error { return publish(ctx, body) }
}

func watermillEvent(b *testing.B, handle handler) event {
	bus := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 1024}, watermill.NopLogger{})
	b.Cleanup(func() { _ = bus.Close() })
	messages, err := bus.Subscribe(b.Context(), "posted")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for m := range messages {
			handle(m.Payload)
			m.Ack()
		}
	}()
	return func(_ context.Context, body []byte) error {
		return bus.Publish("posted", message.NewMessage(watermill.NewULID(), slices.Clone(body)))
	}
}
