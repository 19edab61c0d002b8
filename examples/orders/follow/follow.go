// Package follow keeps a view of a stream up to date in this process.
package follow

import (
	"context"
	"log/slog"
	"time"

	"gomono.dev/mono"
)

// Follower reads a stream until it is stopped.
type Follower struct {
	cancel  context.CancelFunc
	stopped chan struct{}
}

// Start calls apply, on one goroutine, for every message of the stream from the sequence next
// on. If the reading breaks off, it continues after the last message.
func Start[T any](read mono.Reader[T], next uint64, log *slog.Logger, apply func(T)) *Follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &Follower{cancel: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(f.stopped)
		for ctx.Err() == nil {
			for m, err := range read(ctx, mono.From(mono.AtSequence(next)), mono.Follow()) {
				next = max(next, m.Sequence+1)
				if err != nil {
					log.Warn("following a stream", "sequence", m.Sequence, "error", err)
					continue
				}
				apply(m.Value)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return f
}

// Stop ends the reading, and waits for the last call of apply.
func (f *Follower) Stop() {
	f.cancel()
	<-f.stopped
}
