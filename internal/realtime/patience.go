package realtime

import (
	"context"
	"testing"
	"time"
)

// Patience is how long a test waits for an event that must happen. It bounds a hang,
// and suits a machine that is many times slower than usual.
const Patience = 3 * time.Minute

// Patient returns a context that ends with the test, or with patience.
func Patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Until polls a condition until it holds. It fails the test at the end of patience.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if !Within(Patience, holds) {
		t.Fatalf("gave up waiting: %s", what)
	}
}

// Within polls a condition until it holds, and returns false at the limit. It counts the limit
// in beats, which come late on a busy machine and stop while the machine stands still.
func Within(limit time.Duration, holds func() bool) bool {
	beats := time.NewTicker(period)
	defer beats.Stop()
	for range countBeats(limit) {
		if holds() {
			return true
		}
		<-beats.C
	}
	return holds()
}

// Receive returns the next value of a channel. It fails the test at the end of
// patience.
func Receive[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	v, ok := ReceiveWithin(Patience, from)
	if !ok {
		t.Fatalf("gave up waiting: %s", what)
	}
	return v
}

// ReceiveWithin returns the next value of a channel, and false at its limit, which it
// counts as Within does.
func ReceiveWithin[T any](limit time.Duration, from <-chan T) (v T, ok bool) {
	beats := time.NewTicker(period)
	defer beats.Stop()
	for range countBeats(limit) {
		select {
		case v = <-from:
			return v, true
		case <-beats.C:
		}
	}
	select { // a value may arrive together with the last beat
	case v = <-from:
		return v, true
	default:
		return v, false
	}
}

// countBeats returns the number of beats in a limit, rounded up.
func countBeats(limit time.Duration) time.Duration {
	n := limit / period
	if limit%period > 0 {
		n++
	}
	return n
}
