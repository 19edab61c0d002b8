package peers

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/pcgroups"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// The order of keys: messages of a thousand keys, stored while one member handles them, or three,
// each connected on its own to one server. A static group of pcgroups reads messages whose stream
// divides them already, which is its faster form.

const (
	partitions = 16
	allKeys    = 1000
)

// BenchmarkOrderOfKeys has handlers that take 5 ms, BenchmarkOrderOfEmptyHandlers none.
func BenchmarkOrderOfKeys(b *testing.B) { inOrder(b, 500, 5*time.Millisecond) }

func BenchmarkOrderOfEmptyHandlers(b *testing.B) { inOrder(b, 10_000, 0) }

func inOrder(b *testing.B, messages int, takes time.Duration) {
	work := func() {
		if takes > 0 {
			<-time.After(takes)
		}
	}
	for _, members := range []int{1, 3} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			open := func(name string, handle func(b *testing.B, s *embedded.Server, name string, members, n int, work func()) time.Duration) *entrant {
				s, err := embedded.Start(b.Context(), embedded.Options{Dir: b.TempDir(), SyncInterval: 2 * time.Minute, Logger: discard})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
				turns := 0
				return &entrant{name: name, turn: func(n int) time.Duration {
					turns++
					return handle(b, s, "order"+strconv.Itoa(turns), members, n, work)
				}}
			}
			contest(b, messages, messages, []*entrant{open("mono", monoInOrder), open("pcgroups", groupsInOrder)})
		})
	}
}

// span is the time from the first of n messages to the last.
type span struct {
	n     int64
	seen  atomic.Int64
	began time.Time
	done  chan time.Duration
}

func newSpan(n int) *span { return &span{n: int64(n), done: make(chan time.Duration, 1)} }

func (s *span) one() {
	seen := s.seen.Add(1)
	if seen == 1 {
		s.began = time.Now()
	}
	if seen == s.n {
		s.done <- time.Since(s.began)
	}
}

func monoInOrder(b *testing.B, s *embedded.Server, name string, members, n int, work func()) time.Duration {
	stream := mono.NewStream[[]byte](name, mono.Partitions(partitions), mono.Codec(codec.Raw)).KeyedBy(func(v []byte) string {
		return strconv.Itoa((int(v[0]) | int(v[1])<<8) % allKeys)
	})
	var apps []*mono.App
	start := func(m mono.Module) *mono.App {
		tr, err := s.Connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		a := mono.New(tr, quiet).Add(m)
		if err := a.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		apps = append(apps, a)
		return a
	}
	defer func() {
		for _, a := range apps {
			if err := a.Stop(context.Background()); err != nil {
				b.Error(err)
			}
		}
	}()
	handled := newSpan(n)
	for range members {
		start(mono.NewModule("worker", func(sc *mono.Scope) error {
			stream.Handle(sc, func(context.Context, []byte) error {
				work()
				handled.one()
				return nil
			}, mono.Concurrency(256))
			return nil
		}))
	}
	filler := start(mono.NewModule("filler", func(sc *mono.Scope) error { sc.Use(stream); return nil }))
	var wait sync.WaitGroup
	wait.Add(n)
	for i := range n {
		if err := stream.AppendAsync(b.Context(), filler, numbered(i), func(err error) {
			if err != nil {
				b.Error(err)
			}
			wait.Done()
		}); err != nil {
			b.Fatal(err)
		}
	}
	wait.Wait()
	return <-handled.done
}

func groupsInOrder(b *testing.B, s *embedded.Server, name string, members, n int, work func()) time.Duration {
	var connections []*natsx.Transport
	defer func() {
		for _, tr := range connections {
			_ = tr.Close(context.Background())
		}
	}()
	connect := func() jetstream.JetStream {
		tr, err := s.Connect(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		connections = append(connections, tr)
		js, err := jetstream.New(tr.Conn(), jetstream.WithPublishAsyncMaxPending(4096))
		if err != nil {
			b.Fatal(err)
		}
		return js
	}
	js := connect()
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: name, Subjects: []string{name + ".*"},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: name + ".*", Destination: fmt.Sprintf("{{partition(%d,1)}}.%s.{{wildcard(1)}}", partitions, name)},
	}); err != nil {
		b.Fatal(err)
	}
	var names []string
	for i := range members {
		names = append(names, "m"+strconv.Itoa(i))
	}
	if _, err := pcgroups.CreateStatic(b.Context(), js, name, "g", partitions, []string{name + ".*"}, names, nil); err != nil {
		b.Fatal(err)
	}
	handled := newSpan(n)
	for _, member := range names {
		c, err := pcgroups.StaticConsume(b.Context(), connect(), name, "g", member, func(m jetstream.Msg) {
			work()
			handled.one()
			if err := m.Ack(); err != nil {
				b.Error(err)
			}
		}, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Stop()
	}
	for i := range n {
		if _, err := js.PublishAsync(fmt.Sprint(name, ".", i%allKeys), numbered(i), jetstream.WithStallWait(10*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	return <-handled.done
}

func numbered(i int) []byte {
	body := make([]byte, 256)
	mark(body, i)
	return body
}
