package natsx

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// A fencing token never decreases. It is the sum of three numbers:
//
//   - the number of deliveries of the consumer, as counted by the server;
//   - the time at which the consumer was created, in microseconds: a recreated consumer
//     counts from 1, and delivers less than one message in a microsecond;
//   - 2^32 for each boot of the server: a killed server forgets its last deliveries, which
//     are fewer.
//
// For 1.5 million boots it stays below 2^53, which JSON and most stores represent exactly.

const bootTokens = 1 << 32

// tokenBase returns the part of fencing tokens that depends on the boot of the server. If the
// account cannot have the state stream, it logs once that tokens may decrease.
func (l *log) tokenBase(ctx context.Context) (uint64, error) {
	b, err := l.t.currentBoot(ctx)
	switch transport.CodeOf(err) {
	case transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition: // will not change
		l.t.stateDenied.Do(func() {
			l.t.log.Warn("natsx: fencing tokens may decrease when the server ends, and hand-backs count as attempts: allow the account the stream "+stateStream, "address", l.t.address, "error", err)
		})
		return 0, nil
	}
	return b.Number * bootTokens, err
}

// fencingToken returns the fencing token of a delivery.
func fencingToken(base uint64, made time.Time, delivery uint64) uint64 {
	return base + uint64(max(made.UnixMicro(), 0)) + delivery
}
