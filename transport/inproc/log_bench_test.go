package inproc_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// BenchmarkLog measures Append, handle and Ack with bodies of 256 bytes. A message counts
// when it is acknowledged; at the end none is left.
func BenchmarkLog(b *testing.B) {
	for _, backlog := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) { benchmarkLog(b, backlog) })
	}
}

// benchmarkLog has another group with a backlog, and two thousand messages in backoff.
func benchmarkLog(b *testing.B, backlog int) {
	l := open(b, connect(b, inproc.NewBackend(inproc.Options{})), jobs)
	m := &transport.Message{Subject: "jobs.a", Body: make([]byte, bodySize)}
	add := func() {
		if _, err := l.Append(b.Context(), m, transport.AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	var settled atomic.Int64
	ahead := make(chan struct{}, 1024)
	c := transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, MaxInFlight: 4096}
	backoff := int64(min(backlog, 2000))
	if _, err := l.Consume(b.Context(), c, transport.Serial(func(d *transport.Delivery) {
		if d.Sequence <= uint64(backoff) {
			_ = d.Nak(b.Context(), time.Hour)
			settled.Add(1)
			return
		}
		if len(d.Body) != bodySize || d.Ack(b.Context()) != nil {
			b.Error("a bad delivery")
		}
		settled.Add(1)
		<-ahead
	})); err != nil {
		b.Fatal(err)
	}
	for range backoff {
		add()
	}
	behind := c
	behind.Group.Name = "behind"
	if backlog > 0 {
		r, err := l.Consume(b.Context(), behind, transport.Serial(func(*transport.Delivery) {}))
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
	for range backlog {
		ahead <- struct{}{}
		add()
	}
	b.ReportAllocs()
	b.ResetTimer()
	n := int64(0)
	for b.Loop() {
		ahead <- struct{}{}
		add()
		n++
	}
	for settled.Load() < n+int64(backlog)+backoff {
		runtime.Gosched()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
	b.StopTimer()
	info, err := l.Info(b.Context())
	if want := uint64(backoff) + uint64(backlog) + uint64(n); err != nil || backlog > 0 && info.Messages != want || backlog == 0 && info.Messages != 0 {
		b.Fatalf("%+v, want %d messages: %v", info, want, err)
	}
}
