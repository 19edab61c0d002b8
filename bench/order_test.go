package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx/embedded"
)

// The order of keys, beside no order.

// manyKeys returns one of a thousand keys.
func manyKeys(v []byte) string { return strconv.Itoa((int(v[0]) | int(v[1])<<8) % 1000) }

// worked is the time of a handler that works.
const worked = 5 * time.Millisecond

// BenchmarkOrderOfKeys handles messages of a thousand keys for 5 ms each, 256 at once, with and
// without their order.
func BenchmarkOrderOfKeys(b *testing.B) {
	s := server(b)
	contest(b, messages, func() time.Duration {
		return share(b, s, 1, mono.Unordered(), mono.Concurrency(256))
	}, func() time.Duration {
		return share(b, s, 1, mono.Concurrency(256))
	})
}

// BenchmarkOrderOfMembers does that with several members, beside one.
func BenchmarkOrderOfMembers(b *testing.B) {
	for _, members := range []int{2, 3, 4, 8} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			s := server(b)
			contest(b, messages, func() time.Duration {
				return share(b, s, 1, mono.Concurrency(64))
			}, func() time.Duration {
				return share(b, s, members, mono.Concurrency(64))
			})
		})
	}
}

// BenchmarkOrderOfEmptyHandlers keeps the order of a thousand keys, beside raw handling without order.
func BenchmarkOrderOfEmptyHandlers(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	contest(b, messages, func() time.Duration {
		return rawConsume(b, js, messages, jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	}, func() time.Duration {
		return consume(b, s, stream(fresh("mono")).KeyedBy(manyKeys), messages, mono.Concurrency(64))
	})
}

// BenchmarkConfirmedPartitions is raw JetStream that does what the order of keys needs of the
// server, beside raw handling without order: sixteen pinned consumers, and a confirmation of each
// acknowledgement. It keeps no order, and is the floor of BenchmarkOrderOfEmptyHandlers.
func BenchmarkConfirmedPartitions(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	contest(b, messages, func() time.Duration {
		return rawConsume(b, js, messages, jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	}, func() time.Duration {
		return rawConfirmed(b, js, messages)
	})
}

func rawConfirmed(b *testing.B, js jetstream.JetStream, n int) time.Duration {
	const partitions = 16
	name := rawStream(b, js, fresh("raw"))
	rawFillBy(b, js, func(v []byte) string {
		k := manyKeys(v)
		return fmt.Sprintf("%s.%d.%s", name, transport.PartitionOf(k, partitions), k)
	}, n)
	nc, inbox := js.Conn(), nats.NewInbox()
	confirmed := newSpan(n)
	sub, err := nc.Subscribe(inbox, func(*nats.Msg) { confirmed.one() })
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for partition := range partitions {
		c, err := js.CreateConsumer(b.Context(), "raw-"+name[6:], jetstream.ConsumerConfig{
			Durable: fmt.Sprint("c", partition), FilterSubject: fmt.Sprintf("%s.%d.>", name, partition), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2000,
			PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"g"}, PinnedTTL: 30 * time.Second,
		})
		if err != nil {
			b.Fatal(err)
		}
		cc, err := c.Consume(func(m jetstream.Msg) {
			if err := nc.PublishRequest(m.Reply(), inbox, []byte("+ACK")); err != nil {
				b.Error(err)
			}
		}, jetstream.PullPriorityGroup("g"))
		if err != nil {
			b.Fatal(err)
		}
		defer cc.Stop()
	}
	return confirmed.wait()
}

// share handles stored messages of a thousand keys with several members.
func share(b *testing.B, s *embedded.Server, members int, opts ...mono.StreamHandlerOption) time.Duration {
	st := stream(fresh("mono")).KeyedBy(manyKeys)
	filler := app(b, s, mono.NewModule("filler", func(sc *mono.Scope) error { sc.Use(st); return nil }))
	fill(b, filler, st, messages)
	handled := newSpan(messages)
	apps := []*mono.App{filler}
	for range members {
		a := mono.New(connect(b, s), mono.Logger(quiet))
		a.Add(mono.NewModule("worker", func(sc *mono.Scope) error {
			st.Handle(sc, func(context.Context, []byte) error {
				<-time.After(worked)
				handled.one()
				return nil
			}, opts...)
			return nil
		}))
		apps = append(apps, a)
	}
	together(apps[1:], func(a *mono.App) {
		if err := a.Start(b.Context()); err != nil {
			b.Error(err)
		}
	})
	took := handled.wait()
	together(apps, func(a *mono.App) { stop(b, a) })
	if seen := handled.seen.Load(); seen != messages {
		b.Errorf("%d messages were handled, want %d", seen, messages)
	}
	return took
}

func together(apps []*mono.App, f func(*mono.App)) {
	var wait sync.WaitGroup
	for _, a := range apps {
		wait.Go(func() { f(a) })
	}
	wait.Wait()
}
