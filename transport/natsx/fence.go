package natsx

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// A fence is the sum of three numbers, and never goes back:
//
//   - the server's count of the consumer's deliveries;
//   - the time of the consumer's creation, in microseconds: a consumer that is created
//     again counts from 1, and delivers less than one message in a microsecond;
//   - 2^32 for each boot of the server: a killed server forgets its last deliveries,
//     which are fewer.
//
// It stays below 2^53, which JSON and most stores carry as a number, for 1.5 million
// boots.

const bootFences = 1 << 32

// fenceBase returns the part of fences that depends on the boot of the server. If the
// account cannot have the state stream, it logs once that fences may go back.
func (l *log) fenceBase(ctx context.Context) (uint64, error) {
	b, err := l.t.currentBoot(ctx)
	switch transport.CodeOf(err) {
	case transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition: // for good
		l.t.stateDenied.Do(func() {
			l.t.log.Warn("natsx: fences may go back when the server ends, and hand-backs count as attempts: allow the account the stream "+stateStream, "address", l.t.address, "error", err)
		})
		return 0, nil
	}
	return b.Number * bootFences, err
}

// fence returns the fence of a delivery.
func fence(base uint64, made time.Time, delivery uint64) uint64 {
	return base + uint64(max(made.UnixMicro(), 0)) + delivery
}
