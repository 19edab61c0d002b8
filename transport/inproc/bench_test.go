package inproc_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

const bodySize = 256

// BenchmarkChannel is the baseline of BenchmarkPublish: a Go channel that carries
// copies of the body, and nothing else.
func BenchmarkChannel(b *testing.B) {
	body := make([]byte, bodySize)
	messages, done := make(chan []byte, 1024), make(chan int)
	go func() {
		n := 0
		for m := range messages {
			n += len(m)
		}
		done <- n
	}()
	b.ReportAllocs()
	sent := 0
	for b.Loop() {
		messages <- slices.Clone(body)
		sent += bodySize
	}
	close(messages)
	if got := <-done; got != sent {
		b.Fatalf("received %d bytes of %d", got, sent)
	}
}

// BenchmarkPublish counts a message when its handler has returned. The publisher stays at
// most half of PendingLimit ahead of the handler, so nothing is dropped.
func BenchmarkPublish(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) { benchmarkPublish(b, others) })
	}
}

func benchmarkPublish(b *testing.B, others int) {
	tr := inproc.New(inproc.Options{})
	defer tr.Close(b.Context())
	for i := range others {
		subscribe(b, tr, fmt.Sprintf("events.other-%d", i), func(*transport.Message) {})
	}
	window := make(chan struct{}, transport.DefaultPendingLimit/2/256)
	received := 0
	r := subscribe(b, tr, "events.placed", func(m *transport.Message) {
		received += len(m.Body)
		if received%(256*bodySize) == 0 {
			<-window
		}
	})
	m := &transport.Message{Subject: "events.placed", Body: make([]byte, bodySize)}
	b.ReportAllocs()
	sent := 0
	for b.Loop() {
		if err := tr.Publish(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		if sent += bodySize; sent%(256*bodySize) == 0 {
			window <- struct{}{}
		}
	}
	if err := r.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	if received != sent {
		b.Fatalf("received %d bytes of %d", received, sent)
	}
}

// BenchmarkChannelRequest is the baseline of BenchmarkRequest. The request goes over a
// channel to a server. A separate goroutine replies over a channel that came with the
// request. Bodies are copied both ways.
func BenchmarkChannelRequest(b *testing.B) {
	type request struct {
		body  []byte
		reply chan []byte
	}
	requests := make(chan request, 1024)
	defer close(requests)
	go func() {
		for r := range requests {
			go func() { r.reply <- slices.Clone(r.body) }()
		}
	}()
	body := make([]byte, bodySize)
	b.ReportAllocs()
	for b.Loop() {
		r := request{slices.Clone(body), make(chan []byte, 1)}
		requests <- r
		if got := <-r.reply; len(got) != bodySize {
			b.Fatalf("reply of %d bytes", len(got))
		}
	}
}

// BenchmarkRequest measures a round trip. The handler replies from another goroutine with
// the received body.
func BenchmarkRequest(b *testing.B) {
	tr := inproc.New(inproc.Options{})
	defer tr.Close(b.Context())
	serveEcho(b, tr)
	m := &transport.Message{Subject: "services.echo", Body: make([]byte, bodySize)}
	b.ReportAllocs()
	for b.Loop() {
		reply, err := tr.Request(b.Context(), m)
		if err != nil || len(reply.Body) != bodySize {
			b.Fatal(reply, err)
		}
	}
}

// BenchmarkRequestParallel is BenchmarkRequest from one goroutine per processor.
func BenchmarkRequestParallel(b *testing.B) {
	tr := inproc.New(inproc.Options{})
	defer tr.Close(b.Context())
	serveEcho(b, tr)
	var failed atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := &transport.Message{Subject: "services.echo", Body: make([]byte, bodySize)}
		for pb.Next() {
			reply, err := tr.Request(b.Context(), m)
			if err != nil || len(reply.Body) != bodySize {
				failed.Add(1)
			}
		}
	})
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d requests failed", n)
	}
}

func serveEcho(b *testing.B, tr transport.Transport) {
	ctx := b.Context()
	subscribe(b, tr, "services.echo", func(m *transport.Message) {
		go tr.Publish(ctx, &transport.Message{Subject: m.Reply, Body: m.Body})
	})
}

// BenchmarkRoute measures a publish on a subject without subscribers, among 10 000
// subscriptions: only validation and routing.
func BenchmarkRoute(b *testing.B) {
	tr := inproc.New(inproc.Options{})
	defer tr.Close(b.Context())
	for i := range 10_000 {
		subscribe(b, tr, fmt.Sprintf("events.other-%d", i), func(*transport.Message) { b.Error("misrouted") })
	}
	for _, n := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("subjects=%d", n), func(b *testing.B) {
			messages := make([]*transport.Message, n)
			for i := range messages {
				messages[i] = &transport.Message{Subject: fmt.Sprintf("events.placed.key-%d", i)}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := tr.Publish(b.Context(), messages[i%n]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkSubscribe measures a subscription that begins and ends beside 10 000 others.
func BenchmarkSubscribe(b *testing.B) {
	tr := inproc.New(inproc.Options{})
	defer tr.Close(b.Context())
	for i := range 10_000 {
		subscribe(b, tr, fmt.Sprintf("events.other-%d", i), func(*transport.Message) {})
	}
	b.ReportAllocs()
	for b.Loop() {
		subscribe(b, tr, "events.placed", func(*transport.Message) {}).Close()
	}
}

func subscribe(tb testing.TB, tr transport.Transport, pattern string, h func(*transport.Message)) transport.Receiver {
	tb.Helper()
	r, err := tr.Subscribe(tb.Context(), transport.Subscription{Subject: pattern}, transport.Serial(h))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}
