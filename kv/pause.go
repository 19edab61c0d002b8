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

// pause waits for d. It returns the error of ctx if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
