package bench

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/codec"
	"gomono.dev/internal/cputime"
	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

const (
	messages = 30_000
	size     = 256
)

// names numbers the streams, so that each benchmark has an empty one.
var names atomic.Int64

func fresh(what string) string { return fmt.Sprintf("bench.%s-%d", what, names.Add(1)) }

func stream(name string, opts ...mono.StreamOption) mono.Stream[[]byte] {
	return mono.NewStream[[]byte](name, append(opts, mono.Codec(codec.Raw))...)
}

func body(i int) []byte {
	b := make([]byte, size)
	b[0], b[1], b[2], b[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
	return b
}

func key(v []byte) string { return fmt.Sprintf("key-%d", int(v[0])%64) }

// id returns an id like mono's.
func id() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], rand.Uint64())
	binary.LittleEndian.PutUint64(b[8:], rand.Uint64())
	return hex.EncodeToString(b[:])
}

// BenchmarkPipelinedAppend has many appends under way at once.
func BenchmarkPipelinedAppend(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	contest(b, messages, func() time.Duration {
		name := fresh("raw")
		return rawFill(b, js, rawStream(b, js, name), messages)
	}, func() time.Duration {
		st := stream(fresh("mono"))
		a := app(b, s, mono.NewModule("appender", func(sc *mono.Scope) error { sc.Use(st); return nil }))
		defer stop(b, a)
		return fill(b, a, st, messages)
	})
}

func rawStream(b *testing.B, js jetstream.JetStream, name string) string {
	_, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "raw-" + name[6:], Subjects: []string{name, name + ".>"}})
	if err != nil {
		b.Fatal(err)
	}
	return name
}

// rawFill appends with an id and a content type, as mono does.
func rawFill(b *testing.B, js jetstream.JetStream, subject string, n int) time.Duration {
	return rawFillBy(b, js, func([]byte) string { return subject }, n)
}

func rawFillBy(b *testing.B, js jetstream.JetStream, subject func(v []byte) string, n int) time.Duration {
	began := time.Now()
	for i := range n {
		v := body(i)
		m := &nats.Msg{Subject: subject(v), Data: v, Header: nats.Header{"Nats-Msg-Id": {id()}, "Content-Type": {"application/octet-stream"}}}
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	return time.Since(began)
}

func fill(b *testing.B, a *mono.App, st mono.Stream[[]byte], n int) time.Duration {
	began := time.Now()
	var wait sync.WaitGroup
	wait.Add(n)
	for i := range n {
		if err := st.AppendAsync(b.Context(), a, body(i), func(err error) {
			if err != nil {
				b.Error(err)
			}
			wait.Done()
		}); err != nil {
			b.Fatal(err)
		}
	}
	wait.Wait()
	return time.Since(began)
}

// BenchmarkUnordered handles and acknowledges messages in any order.
func BenchmarkUnordered(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	contest(b, messages, func() time.Duration {
		return rawConsume(b, js, messages, jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	}, func() time.Duration {
		return consume(b, s, stream(fresh("mono")), messages, mono.Unordered(), mono.Concurrency(16))
	})
}

// BenchmarkOnePartition has one message in flight.
func BenchmarkOnePartition(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	contest(b, messages, func() time.Duration {
		return rawConsume(b, js, messages, jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1})
	}, func() time.Duration {
		return consume(b, s, stream(fresh("mono")), messages)
	})
}

// rawConsume handles n stored messages, and acknowledges each.
func rawConsume(b *testing.B, js jetstream.JetStream, n int, c jetstream.ConsumerConfig) time.Duration {
	subject := rawStream(b, js, fresh("raw"))
	rawFill(b, js, subject, n)
	return rawHandle(b, js, subject, n, c)
}

func rawHandle(b *testing.B, js jetstream.JetStream, subject string, n int, c jetstream.ConsumerConfig) time.Duration {
	handled := newSpan(n)
	consumer, err := js.CreateConsumer(b.Context(), "raw-"+subject[6:], c)
	if err != nil {
		b.Fatal(err)
	}
	cc, err := consumer.Consume(func(m jetstream.Msg) {
		if len(m.Data()) != size {
			b.Error("a message was damaged")
		}
		handled.one()
		if err := m.Ack(); err != nil {
			b.Error(err)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	defer cc.Stop()
	return handled.wait()
}

// consume handles n stored messages.
func consume(b *testing.B, s *embedded.Server, st mono.Stream[[]byte], n int, opts ...mono.StreamHandlerOption) time.Duration {
	filler := app(b, s, mono.NewModule("filler", func(sc *mono.Scope) error { sc.Use(st); return nil }))
	fill(b, filler, st, n)
	stop(b, filler)
	handled := newSpan(n)
	a := app(b, s, mono.NewModule("consumer", func(sc *mono.Scope) error {
		st.Handle(sc, func(_ context.Context, v []byte) error {
			if len(v) != size {
				b.Error("a message was damaged")
			}
			handled.one()
			return nil
		}, opts...)
		return nil
	}))
	took := handled.wait()
	stop(b, a)
	if seen := handled.seen.Load(); seen != int64(n) {
		b.Errorf("%d messages were handled, want %d", seen, n)
	}
	return took
}

// span is the time from the first of n messages to the last.
type span struct {
	n     int64
	seen  atomic.Int64
	began time.Time
	done  chan time.Duration
}

func newSpan(n int) *span {
	return &span{n: int64(n), done: make(chan time.Duration, 1)}
}

func (s *span) one() {
	switch s.seen.Add(1) {
	case 1:
		s.began = time.Now()
	case s.n:
		s.done <- time.Since(s.began)
	}
}

func (s *span) wait() time.Duration { return <-s.done }

// BenchmarkInprocStream appends, handles and acknowledges in memory. The budget is at least
// 300,000 a second.
func BenchmarkInprocStream(b *testing.B) {
	const n = 200_000
	st := stream("bench.inproc")
	var rates, busy []float64
	for b.Loop() {
		done := make(chan struct{})
		var seen atomic.Int64
		a := mono.New(inproc.New(inproc.Options{}), mono.Logger(quiet))
		a.Add(mono.NewModule("both", func(sc *mono.Scope) error {
			sc.Use(st)
			st.Handle(sc, func(_ context.Context, v []byte) error {
				if len(v) != size {
					b.Error("a message was damaged")
				}
				if seen.Add(1) == n {
					close(done)
				}
				return nil
			}, mono.Unordered())
			return nil
		}))
		if err := a.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		began, before := time.Now(), cputime.Spent()
		fill(b, a, st, n)
		<-done
		rates = append(rates, n/time.Since(began).Seconds())
		busy = append(busy, float64(cputime.Spent()-before)/n)
		stop(b, a)
	}
	b.ReportMetric(slices.Max(rates), "mono/s")
	b.ReportMetric(slices.Min(busy), "cpu-ns/op")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBacklog measures the memory of a million waiting messages beside a hundred thousand,
// server included, and the longest pause while they are handled. The budget is 64 MB and two
// seconds.
func BenchmarkBacklog(b *testing.B) {
	for b.Loop() {
		s := server(b)
		st := stream(fresh("backlog"), mono.DedupWindow(100*time.Millisecond))
		a := app(b, s, mono.NewModule("filler", func(sc *mono.Scope) error { sc.Use(st); return nil }))
		fill(b, a, st, 100_000)
		small := heap()
		fill(b, a, st, 900_000)
		b.ReportMetric(float64(heap()-small)/1e6, "MB/900k")
		stop(b, a)

		var last, longest, seen atomic.Int64
		done := make(chan struct{})
		last.Store(time.Now().UnixNano())
		a = app(b, s, mono.NewModule("consumer", func(sc *mono.Scope) error {
			st.Handle(sc, func(context.Context, []byte) error {
				now := time.Now().UnixNano()
				if gap := now - last.Swap(now); gap > longest.Load() {
					longest.Store(gap)
				}
				if seen.Add(1) == 1_000_000 {
					close(done)
				}
				return nil
			}, mono.Unordered())
			return nil
		}))
		<-done
		b.ReportMetric(time.Duration(longest.Load()).Seconds(), "longest-gap-s")
		stop(b, a)
	}
	b.ReportMetric(0, "ns/op")
}

// heap is the memory in use after the ids of the last window are forgotten.
func heap() int64 {
	<-time.After(2 * time.Second)
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
