package bench

import (
	"testing"
	"time"

	"gomono.dev/mono"
)

var delayed = mono.NewQueue[flat]("bench.delayed")

// BenchmarkWith derives a handle for one send.
func BenchmarkWith(b *testing.B) {
	b.ReportAllocs()
	delay, id := time.Minute, "id-1"
	for b.Loop() {
		if q := delayed.With(mono.Delay(delay), mono.DedupID(id)); q.Name() != "bench.delayed" {
			b.Fatal(q.Name())
		}
	}
}
