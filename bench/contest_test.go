package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/mono"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// contest lets the baseline and mono do the same n things, in turns, and reports both speeds
// and the median of their ratios. A side returns its time, without preparations.
func contest(b *testing.B, n int, baseline, ours func() time.Duration) {
	b.Helper()
	var ratios, base, own []float64
	for b.Loop() {
		x, y := baseline(), ours()
		base, own = append(base, float64(n)/x.Seconds()), append(own, float64(n)/y.Seconds())
		ratios = append(ratios, x.Seconds()/y.Seconds())
	}
	b.ReportMetric(median(base), "baseline/s")
	b.ReportMetric(median(own), "mono/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// server starts a NATS server with its store on disk, synced at intervals, for both sides
// alike.
func server(b testing.TB) *embedded.Server {
	s, err := embedded.Start(b.Context(), embedded.Options{Dir: b.TempDir(), SyncInterval: time.Minute, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}

func connect(b testing.TB, s *embedded.Server) *natsx.Transport {
	tr, err := s.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return tr
}

// raw is JetStream without mono, over a separate connection.
func raw(b *testing.B, s *embedded.Server) jetstream.JetStream {
	tr := connect(b, s)
	b.Cleanup(func() { _ = tr.Close(context.Background()) })
	js, err := jetstream.New(tr.Conn(), jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		b.Fatal(err)
	}
	return js
}

// app starts an App of modules over a separate connection.
func app(b *testing.B, s *embedded.Server, modules ...mono.Module) *mono.App {
	a := mono.New(connect(b, s), mono.Logger(quiet))
	a.Add(modules...)
	if err := a.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	return a
}

func stop(b *testing.B, a *mono.App) {
	if err := a.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}
