package natsx

import (
	"context"
	"time"

	"gomono.dev/transport"
)

// A fence is the number of a delivery among those of its consumer, which the server
// counts, raised so that it never goes back:
//
//   - by when the consumer was made, in microseconds: one that is made again counts
//     from 1, and no consumer delivers more than one message in a microsecond;
//   - by 2^32 for each boot of the server: one that was killed has forgotten the last
//     deliveries, which are fewer.
//
// It stays below 2^53, which JSON and most stores carry as a number, for 1.5 million
// boots.

const bootFences = 1 << 32

// fenceBase is what fences are raised by for the boot of the server. An account that
// may not use the state stream is told once that they may go back.
func (l *log) fenceBase(ctx context.Context) (uint64, error) {
	b, err := l.t.currentBoot(ctx)
	if transport.CodeOf(err) == transport.PermissionDenied {
		l.t.stateDenied.Do(func() {
			l.t.log.Warn("natsx: fences and attempts may go back when the server ends: the account may not use the stream "+stateStream, "address", l.t.address, "error", err)
		})
		return 0, nil
	}
	return b.Number * bootFences, err
}

// fence returns the fence of a delivery.
func fence(base uint64, made time.Time, delivery uint64) uint64 {
	return base + uint64(max(made.UnixMicro(), 0)) + delivery
}
