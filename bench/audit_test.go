package bench

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/mono/audit"
)

// BenchmarkAudit records entries of 256 bytes, beside a raw append of each: one after another,
// and many at once.
func BenchmarkAudit(b *testing.B) {
	for _, bench := range []struct {
		name     string
		n        int
		routines int
	}{{"one-by-one", 3000, 1}, {"at-once", messages, 256}} {
		b.Run(bench.name, func(b *testing.B) {
			s := server(b)
			js := raw(b, s)
			private, _, err := audit.GenerateKey("example.com/bench")
			if err != nil {
				b.Fatal(err)
			}
			contest(b, bench.n, func() time.Duration {
				subject := rawStream(b, js, fresh("raw"))
				return spread(bench.n, bench.routines, func(i int) {
					m := &nats.Msg{Subject: subject, Data: body(i), Header: nats.Header{"Nats-Msg-Id": {id()}}}
					if bench.routines == 1 {
						if _, err := js.PublishMsg(b.Context(), m); err != nil {
							b.Error(err)
						}
						return
					}
					f, err := js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Second))
					if err != nil {
						b.Error(err)
						return
					}
					<-f.Ok()
				})
			}, func() time.Duration {
				trail := audit.New(audit.Options{Key: private, Name: strings.ReplaceAll(fresh("audit"), ".", "-")})
				a := app(b, s, trail)
				defer stop(b, a)
				text := strings.Repeat("x", 64) // with the other fields about 256 bytes
				return spread(bench.n, bench.routines, func(i int) {
					if err := trail.Record(b.Context(), "bench.recorded", slog.Int("n", i), slog.String("text", text)); err != nil {
						b.Error(err)
					}
				})
			})
		})
	}
}

// spread calls f n times on some goroutines.
func spread(n, routines int, f func(i int)) time.Duration {
	began := time.Now()
	var wait sync.WaitGroup
	for r := range routines {
		wait.Go(func() {
			for i := r; i < n; i += routines {
				f(i)
			}
		})
	}
	wait.Wait()
	return time.Since(began)
}
