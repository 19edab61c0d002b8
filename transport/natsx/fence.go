package natsx

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// A fence is the sum of three numbers, and does not go back:
//
//   - the server's count of the consumer's deliveries;
//   - the time of the consumer's creation, in microseconds: a consumer that is created
//     again counts from 1, and delivers less than one message in a microsecond;
//   - the base, which grows with each boot of the server: a killed server forgets its
//     last deliveries, which are fewer.
//
// It stays below 2^53, which JSON and most stores carry as a number, until 2140.

const bootFences = 1 << 32

// firstDay is when bases are 0.
var firstDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// nextBase returns the base of a boot: the time in microseconds, so that it grows also if
// the last base is lost. If the clock was set back, it is bootFences more than the last.
func nextBase(last uint64, now time.Time) uint64 {
	if now.IsZero() {
		now = time.Now() // the server is older than 2.10
	}
	if base := now.Sub(firstDay).Microseconds(); base > 0 && uint64(base) > last {
		return uint64(base)
	}
	return last + bootFences
}

// fenceBase returns the part of fences that depends on the boot of the server. If the
// account cannot have the state stream, it logs once that fences may go back.
func (l *log) fenceBase(ctx context.Context) (uint64, error) {
	err := l.t.awaitBoot(ctx)
	switch transport.CodeOf(err) {
	case transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition: // for good
		l.t.stateDenied.Do(func() {
			l.t.log.Warn("natsx: fences may go back when the server ends, and hand-backs count as attempts: allow the account the stream "+stateStream, "address", l.t.address, "error", err)
		})
		err = nil
	}
	return l.t.base.Load(), err
}

// fence returns the fence of a delivery.
func fence(base uint64, made time.Time, delivery uint64) uint64 {
	return base + uint64(max(made.UnixMicro(), 0)) + delivery
}
