package kv

import (
	"context"
	"time"
)

// Pauses between the attempts of an operation that repeats itself.
const (
	firstPause = time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// longer returns the pause after one of length d. The pause after none is the first one.
func longer(d time.Duration) time.Duration { return min(max(2*d, firstPause), lastPause) }

// pause waits for d, which may be 0. It returns the error of ctx if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
