package transporttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"

	"gomono.dev/transport"
)

// Bench runs benchmarks of a Transport as sub-benchmarks of b, with bodies of 256 bytes.
// newTransport returns a connected Transport, which is closed after its benchmark. A
// message counts when it was handled, not when it was handed over.
//
//	publish       one publisher, one subscription
//	fan-out       one publisher, ten subscriptions; an operation is ten deliveries
//	group         one publisher, a group of four members
//	request       one request after another
//	requests      as many at once as RunParallel makes
//	log/append    one Append after another
//	log/pipeline  AppendAsync, as many at once as the log allows
//	log/consume   stored messages, handled and acknowledged
//
// Those about logs run if the Transport supports logs, with MemoryStorage. Each creates a
// log with a unique name, which remains.
func Bench(b *testing.B, newTransport func(b *testing.B) transport.Transport) {
	for _, c := range []struct {
		name string
		log  bool
		body func(*bench)
	}{
		{"publish", false, func(b *bench) { b.publish(1, "") }},
		{"fan-out", false, func(b *bench) { b.publish(10, "") }},
		{"group", false, func(b *bench) { b.publish(4, "g") }},
		{"request", false, (*bench).request},
		{"requests", false, (*bench).requests},
		{"log/append", true, (*bench).append},
		{"log/pipeline", true, (*bench).pipeline},
		{"log/consume", true, (*bench).consume},
	} {
		b.Run(c.name, func(b *testing.B) {
			tr := newTransport(b)
			b.Cleanup(func() {
				if err := tr.Close(context.Background()); err != nil {
					b.Errorf("Close: %v", err)
				}
			})
			if c.log && !tr.Capabilities().Logs {
				b.Skip("needs Logs")
			}
			c.body(&bench{B: b, tr: tr, root: "bench-" + strconv.FormatUint(rand.Uint64(), 36)})
		})
	}
}

// bench is a running benchmark.
type bench struct {
	*testing.B
	tr   transport.Transport
	root string
}

// benchBody is the size of a message's body in bytes.
const benchBody = 256

func (b *bench) message() *transport.Message {
	return &transport.Message{Subject: b.root + ".a", Body: make([]byte, benchBody)}
}

func (b *bench) subscribe(s transport.Subscription, h func(*transport.Message)) transport.Receiver {
	b.Helper()
	s.Subject = b.root + ".a"
	s.OnDrop = func(total uint64) { b.Errorf("%d messages were dropped", total) }
	r, err := b.tr.Subscribe(b.Context(), s, transport.Serial(h))
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// benchWindow is the maximum number of messages that the publisher is ahead of the
// slowest subscription: half of its queue, so that none is dropped.
const benchWindow = transport.DefaultPendingLimit / 2

// publish publishes to subscriptions. Each of them gets every message or, in a group,
// some.
func (b *bench) publish(receivers int, group string) {
	var handled atomic.Int64
	each := int64(receivers)
	if group != "" {
		each = 1
	}
	moved := make(chan struct{}, 1)
	for range receivers {
		b.subscribe(transport.Subscription{Group: group}, func(*transport.Message) {
			if handled.Add(1)%1024 == 0 {
				nudge(moved)
			}
		})
	}
	m := b.message()
	sent := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := b.tr.Publish(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		for sent++; sent*each-handled.Load() > benchWindow; {
			<-moved
		}
	}
	b.settle()
	for handled.Load() < sent*each {
		if b.settle(); b.Failed() {
			b.FailNow()
		}
	}
}

// settle waits until all published messages have arrived.
func (b *bench) settle() {
	b.Helper()
	if err := b.tr.Ping(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// serve replies from a goroutine for each request, as a service does.
func (b *bench) serve() {
	b.Helper()
	b.subscribe(transport.Subscription{Group: "g"}, func(m *transport.Message) {
		go func() {
			if err := b.tr.Publish(context.Background(), &transport.Message{Subject: m.Reply, Body: m.Body}); err != nil {
				b.Error(err)
			}
		}()
	})
}

func (b *bench) ask(m *transport.Message) error {
	reply, err := b.tr.Request(b.Context(), m)
	if err == nil && len(reply.Body) != benchBody {
		err = fmt.Errorf("a reply has %d bytes, want %d", len(reply.Body), benchBody)
	}
	return err
}

func (b *bench) request() {
	b.serve()
	m := b.message()
	b.ReportAllocs()
	for b.Loop() {
		if err := b.ask(m); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bench) requests() {
	b.serve()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		m := b.message()
		for pb.Next() {
			if err := b.ask(m); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func (b *bench) log() transport.Log {
	b.Helper()
	l, err := b.tr.Log(b.Context(), transport.LogConfig{
		Name: b.root, Subjects: []string{b.root + ".>"}, Storage: transport.MemoryStorage,
		Groups: []transport.GroupConfig{{Name: "g"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func (b *bench) append() {
	l, m := b.log(), b.message()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(b.Context(), m, transport.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bench) pipeline() {
	l := b.log()
	b.ReportAllocs()
	b.fill(l, b.Loop)
}

// fill appends while more returns true, waits for all results, and returns the number of
// messages.
func (b *bench) fill(l transport.Log, more func() bool) (n int64) {
	b.Helper()
	m := b.message()
	var stored atomic.Int64
	done := make(chan struct{}, 1)
	for more() {
		if err := l.AppendAsync(b.Context(), m, transport.AppendOptions{}, func(_ transport.Appended, err error) {
			if err != nil {
				b.Error(err)
			}
			stored.Add(1)
			nudge(done)
		}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	for stored.Load() < n {
		<-done
	}
	return n
}

func (b *bench) consume() {
	l := b.log()
	left := b.N
	n := b.fill(l, func() bool { left--; return left >= 0 })
	var handled atomic.Int64
	done := make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	r, err := l.Consume(b.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 256}, transport.Serial(func(d *transport.Delivery) {
		if err := d.Ack(context.Background()); err != nil {
			b.Error(err)
		}
		if handled.Add(1) == n {
			close(done)
		}
	}))
	if err != nil {
		b.Fatal(err)
	}
	<-done
	b.StopTimer()
	if err := r.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
}
