package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/mono"
	"gomono.dev/testkit/natstest"
	"gomono.dev/transport/natsx/embedded"
)

// BenchmarkManyLogs starts an App with 20 queues and 10 keyed streams, none of which exists
// yet, on a cluster of three servers that all keep everything. Beside it a program with nats.go
// alone makes the same streams and consumers, as many at once as mono.
func BenchmarkManyLogs(b *testing.B) {
	servers := natstest.Cluster(b, 3)
	js := raw(b, servers[0])
	startMany(b, servers[0]) // makes the model for raw, and warms up the cluster
	made := logsThere(b, js)
	removeLogs(b, js, made)
	var base, own, ratios []float64
	for b.Loop() {
		x := rawLogs(b, js, made)
		removeLogs(b, js, made)
		y := startMany(b, servers[0])
		removeLogs(b, js, made)
		base, own, ratios = append(base, x.Seconds()), append(own, y.Seconds()), append(ratios, y.Seconds()/x.Seconds())
	}
	b.ReportMetric(median(base), "raw-s")
	b.ReportMetric(median(own), "mono-s")
	b.ReportMetric(median(ratios), "times-raw")
	b.ReportMetric(0, "ns/op")
}

// startMany returns the time of the App's start.
func startMany(b *testing.B, s *embedded.Server) time.Duration {
	a := mono.New(connect(b, s), mono.Logger(quiet))
	a.Add(mono.NewModule("many", func(sc *mono.Scope) error {
		for i := range 20 {
			mono.NewQueue[int](fmt.Sprintf("bench.jobs-%d", i)).Handle(sc, func(context.Context, int) error { return nil })
		}
		for i := range 10 {
			mono.NewStream[[]byte](fmt.Sprintf("bench.entries-%d", i)).KeyedBy(key).Handle(sc, func(context.Context, []byte) error { return nil })
		}
		return nil
	}))
	began := time.Now()
	if err := a.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	stop(b, a)
	return took
}

// madeLog is a stream and its consumers.
type madeLog struct {
	stream    jetstream.StreamConfig
	consumers []jetstream.ConsumerConfig
}

// logsThere returns all streams, those first that are sources of others.
func logsThere(b *testing.B, js jetstream.JetStream) (all []madeLog) {
	list := js.ListStreams(b.Context())
	for is := range list.Info() {
		all = append(all, madeLog{is.Config, consumersThere(b, js, is.Config.Name)})
	}
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	slices.SortFunc(all, func(x, y madeLog) int { return len(x.stream.Sources) - len(y.stream.Sources) })
	return all
}

func consumersThere(b *testing.B, js jetstream.JetStream, stream string) (all []jetstream.ConsumerConfig) {
	s, err := js.Stream(b.Context(), stream)
	if err != nil {
		b.Fatal(err)
	}
	list := s.ListConsumers(b.Context())
	for is := range list.Info() {
		all = append(all, is.Config)
	}
	if err := list.Err(); err != nil {
		b.Fatal(err)
	}
	return all
}

// rawLogs makes streams, then their consumers.
func rawLogs(b *testing.B, js jetstream.JetStream, all []madeLog) time.Duration {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute) // on a busy machine nats.go's timeout is too short
	defer cancel()
	began := time.Now()
	var streams, consumers []func() error
	for _, made := range all {
		streams = append(streams, func() error { _, err := js.CreateStream(ctx, made.stream); return err })
		for _, c := range made.consumers {
			consumers = append(consumers, func() error { return rawConsumer(ctx, js, made.stream.Name, c) })
		}
	}
	atOnce(b, streams)
	atOnce(b, consumers)
	return time.Since(began)
}

func rawConsumer(ctx context.Context, js jetstream.JetStream, stream string, c jetstream.ConsumerConfig) (err error) {
	if c.DeliverSubject != "" {
		_, err = js.CreatePushConsumer(ctx, stream, c)
		return err
	}
	_, err = js.CreateConsumer(ctx, stream, c)
	return err
}

// atOnce calls functions, 32 at once: fewer take longer, and more save no time.
func atOnce(b *testing.B, all []func() error) {
	free := make(chan struct{}, 32)
	var wait sync.WaitGroup
	for _, f := range all {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			if err := f(); err != nil {
				b.Error(err)
			}
		})
	}
	wait.Wait()
}

func removeLogs(b *testing.B, js jetstream.JetStream, all []madeLog) {
	for _, made := range slices.Backward(all) {
		if err := js.DeleteStream(b.Context(), made.stream.Name); err != nil {
			b.Fatal(err)
		}
	}
}
