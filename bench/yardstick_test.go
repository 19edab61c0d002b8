package bench

import (
	"context"
	"testing"
	"time"
)

// BenchmarkYardstick measures the speed of the machine. It does not use mono.
func BenchmarkYardstick(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	end := meter(b)
	for b.Loop() {
		_, cancel := context.WithTimeout(ctx, time.Minute)
		cancel()
	}
	end()
}
