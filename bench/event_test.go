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

// told is heard by one subscriber. Its bytes go as they are.
var told = mono.NewEvent[[]byte]("bench.told", mono.Codec(codec.Raw))

// eventPath is one way of a message to its only hearer.
type eventPath struct {
	name string
	open func(b *testing.B, heard func([]byte)) (publish mono.Sink[[]byte])
}

func eventPaths() []eventPath {
	paths := []eventPath{{"function", functionEvent}, {"channel", channelEvent}, {"inproc", localEvent}}
	for _, l := range links {
		paths = append(paths,
			eventPath{"raw-" + l.name, func(b *testing.B, heard func([]byte)) mono.Sink[[]byte] { return rawEvent(b, l, heard) }},
			eventPath{"nats-" + l.name, func(b *testing.B, heard func([]byte)) mono.Sink[[]byte] { return natsEvent(b, l, heard) }},
		)
	}
	return paths
}

func functionEvent(_ *testing.B, heard func([]byte)) mono.Sink[[]byte] {
	return func(_ context.Context, body []byte) error {
		heard(body)
		return nil
	}
}

// channelEvent sends copies to a goroutine.
func channelEvent(b *testing.B, heard func([]byte)) mono.Sink[[]byte] {
	bodies := make(chan []byte, 1024)
	b.Cleanup(func() { close(bodies) })
	go func() {
		for body := range bodies {
			heard(body)
		}
	}()
	return func(_ context.Context, body []byte) error {
		bodies <- slices.Clone(body)
		return nil
	}
}

func hear(s *mono.Scope, heard func([]byte)) {
	told.Handle(s, func(_ context.Context, body []byte) error {
		heard(body)
		return nil
	})
}

func localEvent(b *testing.B, heard func([]byte)) (publish mono.Sink[[]byte]) {
	local(b, func(s *mono.Scope) {
		hear(s, heard)
		publish = told.Publisher(s)
	})
	return publish
}

func natsEvent(b *testing.B, l link, heard func([]byte)) (publish mono.Sink[[]byte]) {
	sender, receiver := l.open(b)
	serve(b, receiver, func(a *mono.App) { a.Add(module("hearer", func(s *mono.Scope) { hear(s, heard) })) })
	serve(b, sender, func(a *mono.App) {
		a.Add(module("teller", func(s *mono.Scope) { publish = told.Publisher(s) }))
	})
	return publish
}

// rawEvent is what nats.go does alone, with the headers that mono sends.
func rawEvent(b *testing.B, l link, heard func([]byte)) mono.Sink[[]byte] {
	sender, receiver := l.open(b)
	client, server := conn(b, sender), conn(b, receiver)
	if _, err := server.QueueSubscribe("raw.told", "hearer", func(m *nats.Msg) {
		if m.Header.Get("Mono-Id") == "" {
			b.Error("a header was lost")
		}
		heard(m.Data)
	}); err != nil {
		b.Fatal(err)
	}
	if err := server.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(_ context.Context, body []byte) error {
		return client.PublishMsg(&nats.Msg{Subject: "raw.told", Data: body,
			Header: nats.Header{"Mono-Id": {id()}, "Mono-Sender": {"teller"}, "Content-Type": {"application/octet-stream"}}})
	}
}

// BenchmarkEvent is a stream of messages, each counted when it was heard.
func BenchmarkEvent(b *testing.B) {
	for _, p := range payloads {
		b.Run(p.name, func(b *testing.B) {
			for _, path := range eventPaths() {
				b.Run(path.name, func(b *testing.B) { tell(b, path, p.size) })
			}
		})
	}
}

// tell publishes b.N messages. So that none is dropped, on either side, the
// publisher stays at most window ahead of the hearer; it asks once in a stride.
func tell(b *testing.B, path eventPath, size int) {
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
