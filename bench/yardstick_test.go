package bench

import (
	"context"
	"testing"
	"time"
)

// BenchmarkYardstick is something that mono has no part in: it tells how fast the
// machine was at the time.
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
