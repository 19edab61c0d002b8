package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// posted has one subscriber. Its bytes are sent unchanged.
var posted = mono.NewEvent[[]byte]("bench.posted", mono.Codec(codec.Raw))

// eventPath is one path of a message to its only subscriber.
type eventPath struct {
	name string
	open func(b *testing.B, handle func([]byte)) (publish mono.Publisher[[]byte])
}

func eventPaths() []eventPath {
	paths := []eventPath{{"function", functionEvent}, {"channel", channelEvent}, {"inproc", localEvent}}
	for _, l := range links {
		paths = append(paths,
			eventPath{"raw-" + l.name, func(b *testing.B, handle func([]byte)) mono.Publisher[[]byte] { return rawEvent(b, l, handle) }},
			eventPath{"nats-" + l.name, func(b *testing.B, handle func([]byte)) mono.Publisher[[]byte] { return natsEvent(b, l, handle) }},
		)
	}
	return paths
}

func functionEvent(_ *testing.B, handle func([]byte)) mono.Publisher[[]byte] {
	return func(_ context.Context, body []byte, _ ...mono.EventSendOption) error {
		handle(body)
		return nil
	}
}

// channelEvent sends copies to a goroutine.
func channelEvent(b *testing.B, handle func([]byte)) mono.Publisher[[]byte] {
	bodies := make(chan []byte, 1024)
	b.Cleanup(func() { close(bodies) })
	go func() {
		for body := range bodies {
			handle(body)
		}
	}()
	return func(_ context.Context, body []byte, _ ...mono.EventSendOption) error {
		bodies <- slices.Clone(body)
		return nil
	}
}

func subscribe(s *mono.Scope, handle func([]byte)) {
	posted.Handle(s, func(_ context.Context, body []byte) error {
		handle(body)
		return nil
	})
}

func localEvent(b *testing.B, handle func([]byte)) (publish mono.Publisher[[]byte]) {
	local(b, func(s *mono.Scope) {
		subscribe(s, handle)
		publish = posted.Publisher(s)
	})
	return publish
}

func natsEvent(b testing.TB, l link, handle func([]byte)) (publish mono.Publisher[[]byte]) {
	sender, receiver := l.open(b)
	serve(b, receiver, func(a *mono.App) { a.Add(module("subscriber", func(s *mono.Scope) { subscribe(s, handle) })) })
	serve(b, sender, func(a *mono.App) {
		a.Add(module("publisher", func(s *mono.Scope) { publish = posted.Publisher(s) }))
	})
	return publish
}

// rawEvent uses nats.go alone, without headers, as mono does.
func rawEvent(b testing.TB, l link, handle func([]byte)) mono.Publisher[[]byte] {
	sender, receiver := l.open(b)
	client, server := conn(b, sender), conn(b, receiver)
	if _, err := server.QueueSubscribe("raw.posted", "subscriber", func(m *nats.Msg) { handle(m.Data) }); err != nil {
		b.Fatal(err)
	}
	if err := server.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(_ context.Context, body []byte, _ ...mono.EventSendOption) error {
		return client.Publish("raw.posted", body)
	}
}

// BenchmarkEvent is a stream of messages, each counted when it was handled.
func BenchmarkEvent(b *testing.B) {
	for _, p := range payloads {
		b.Run(p.name, func(b *testing.B) {
			for _, path := range eventPaths() {
				b.Run(path.name, func(b *testing.B) { publishAll(b, path, p.size) })
			}
		})
	}
}

// publishAll publishes b.N messages. So that none is dropped, on either side, the publisher
// stays at most window ahead of the subscriber; it waits once in a stride.
func publishAll(b *testing.B, path eventPath, size int) {
	window := min(max(8<<20/size, 16), 8192)
	stride := window / 8
	ahead := make(chan struct{}, 7)
	next, done := 0, make(chan struct{}, 1)
	publish := path.open(b, func(body []byte) {
		if !marked(body, size, next) {
			b.Errorf("message %d: %d bytes, or another one", next, len(body))
		}
		if next++; next%stride == 0 {
			<-ahead
		}
		if next == b.N {
			done <- struct{}{}
		}
	})
	body := make([]byte, size)
	end := meter(b)
	for i := range b.N {
		if i%stride == 0 {
			ahead <- struct{}{}
		}
		mark(body, i)
		if err := publish(b.Context(), body); err != nil {
			b.Fatal(fmt.Errorf("message %d: %w", i, err))
		}
	}
	<-done
	b.StopTimer()
	end()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func number(n int) string { return strconv.Itoa(n) }
