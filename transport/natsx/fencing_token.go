package natsx

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// A fencing token does not decrease. It is the sum of three numbers:
//
//   - the number of deliveries of the consumer, as counted by the server;
//   - the time at which the consumer was created, in microseconds: a recreated consumer
//     counts from 1, and delivers less than one message in a microsecond;
//   - the base, which grows with each boot of the server: a killed server forgets its last
//     deliveries, which are fewer.
//
// Until 2140 it stays below 2^53, which JSON and most stores represent exactly.

const bootTokens = 1 << 32

// firstDay is the time at which the base is 0.
var firstDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// nextBase returns the base of a boot: the time in microseconds, so that it grows even if the
// last base is lost. If the clock was set back, it is bootTokens more than the last base.
func nextBase(last uint64, now time.Time) uint64 {
	if now.IsZero() {
		now = time.Now() // the server is older than 2.10
	}
	if base := now.Sub(firstDay).Microseconds(); base > 0 && uint64(base) > last {
		return uint64(base)
	}
	return last + bootTokens
}

// tokenBase returns the part of fencing tokens that depends on the boot of the server. If the
// account cannot have the state stream, it logs once that tokens may decrease.
func (l *log) tokenBase(ctx context.Context) (uint64, error) {
	err := l.t.awaitBoot(ctx)
	if storeFailed(err) { // the account may have it when there is room
		return 0, err
	}
	switch transport.CodeOf(err) {
	case transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition: // will not change
		l.t.stateDenied.Do(func() {
			l.t.log.Warn("natsx: fencing tokens may decrease when the server ends, and hand-backs count as attempts: allow the account the stream "+stateStream, "address", l.t.address, "error", err)
		})
		err = nil
	}
	return l.t.highestBase.Load(), err
}

// fencingToken returns the fencing token of a delivery.
func fencingToken(base uint64, made time.Time, delivery uint64) uint64 {
	return base + uint64(max(made.UnixMicro(), 0)) + delivery
}
