package peers

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

const (
	size   = 256
	window = 1024 // the most messages that a publisher is ahead of its subscriber
)

var (
	quiet  = mono.Logger(slog.New(slog.DiscardHandler))
	posted = mono.NewEvent[[]byte]("peers.posted", mono.Codec(codec.Raw))
)

// BenchmarkEvent is a stream of messages in memory, each counted when its one subscriber has
// handled it.
func BenchmarkEvent(b *testing.B) {
	b.Run("mono", monoEvent)
	b.Run("watermill", watermillEvent)
}

func monoEvent(b *testing.B) {
	h := newCounter(b)
	var publish mono.Publisher[[]byte]
	app := mono.New(inproc.New(inproc.Options{}), quiet)
	app.Add(mono.NewModule("local", func(s *mono.Scope) error {
		posted.Handle(s, func(_ context.Context, body []byte) error {
			h.add(body)
			return nil
		})
		publish = posted.Publisher(s)
		return nil
	}))
	if err := app.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer app.Stop(context.Background())
	h.publishAll(func(body []byte) error { return publish(b.Context(), body) })
}

func watermillEvent(b *testing.B) {
	h := newCounter(b)
	bus := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: window}, watermill.NopLogger{})
	defer bus.Close()
	messages, err := bus.Subscribe(b.Context(), "posted")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for m := range messages {
			h.add(m.Payload)
			m.Ack()
		}
	}()
	h.publishAll(func(body []byte) error {
		return bus.Publish("posted", message.NewMessage(watermill.NewULID(), append([]byte(nil), body...)))
	})
}

// counter counts the handled messages, and lets the publisher continue.
type counter struct {
	b     *testing.B
	ahead chan struct{}
	count atomic.Int64
	done  chan struct{}
}

func newCounter(b *testing.B) *counter {
	return &counter{b: b, ahead: make(chan struct{}, window), done: make(chan struct{})}
}

func (h *counter) add(body []byte) {
	if len(body) != size {
		h.b.Errorf("%d bytes", len(body))
	}
	<-h.ahead
	if h.count.Add(1) == int64(h.b.N) {
		close(h.done)
	}
}

func (h *counter) publishAll(publish func([]byte) error) {
	body := make([]byte, size)
	h.b.ReportAllocs()
	h.b.ResetTimer()
	for range h.b.N {
		h.ahead <- struct{}{}
		if err := publish(body); err != nil {
			h.b.Fatal(err)
		}
	}
	<-h.done
	h.b.StopTimer()
}
