package bench

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gomono.dev/mono"
)

var due = mono.NewQueue[flat]("bench.due")

// BenchmarkDelayed measures the lateness of delayed jobs on NATS. It fails if a job is early,
// or not the next one due.
func BenchmarkDelayed(b *testing.B) {
	const jobs = 20
	s := server(b)
	stored := make(chan time.Time, jobs)
	a := app(b, s, module("worker", func(s *mono.Scope) {
		due.Handle(s, func(ctx context.Context, f flat) error {
			stored <- mono.CallFrom(ctx).Time()
			return nil
		})
	}))
	defer stop(b, a)
	var late []float64
	for b.Loop() {
		var times []time.Time
		for i := range jobs {
			times = append(times, time.Now().Add(time.Duration(300+50*i)*time.Millisecond))
			if err := due.With(mono.At(times[i])).Enqueue(b.Context(), a, flat{Quantity: i}); err != nil {
				b.Fatal(err)
			}
		}
		for i := range jobs {
			by := (<-stored).Sub(times[i])
			if by < 0 {
				b.Errorf("job %d is %v early", i, -by)
			}
			late = append(late, float64(by.Microseconds())/1000)
		}
	}
	b.ReportMetric(median(late), "late-ms")
	b.ReportMetric(slices.Max(late), "latest-ms")
	b.ReportMetric(0, "ns/op")
}

var waiting = mono.NewQueue[flat]("bench.waiting", mono.Backoff(mono.Constant(time.Hour)))

// BenchmarkFresh measures the time of a fresh job to its worker on NATS while 2,000 jobs wait
// for their next attempt.
func BenchmarkFresh(b *testing.B) {
	const failing = 2000
	s := server(b)
	got := make(chan int, failing)
	a := app(b, s, module("worker", func(s *mono.Scope) {
		waiting.Handle(s, func(_ context.Context, f flat) error {
			got <- f.Quantity
			if f.Quantity < failing {
				return errors.New("later")
			}
			return nil
		})
	}))
	defer stop(b, a)
	send := func(n int) {
		if err := waiting.Enqueue(b.Context(), a, flat{Quantity: n}); err != nil {
			b.Fatal(err)
		}
	}
	for n := range failing {
		send(n)
	}
	for range failing {
		<-got
	}
	end := meter(b)
	for b.Loop() {
		send(failing)
		if n := <-got; n != failing {
			b.Fatalf("got job %d", n)
		}
	}
	end()
}
