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

// View is kept up to date by a Follower.
type View[T any] interface {
	// Enter adds a message.
	Enter(T)

	// Reset drops all messages: their stream was deleted.
	Reset()
}

// Start enters every message of the stream into the view, on one goroutine, from the sequence
// next on. If the reading breaks off, it continues after the last message. If the stream is
// deleted, Start resets the view and continues with the first message of the recreated stream.
func Start[T any](read mono.Reader[T], next uint64, log *slog.Logger, view View[T]) *Follower {
	ctx, cancel := context.WithCancel(context.Background())
	f := &Follower{cancel: cancel, stopped: make(chan struct{})}
	go func() {
		defer close(f.stopped)
		for ctx.Err() == nil {
			for m, err := range read(ctx, mono.From(mono.AtSequence(next)), mono.Follow()) {
				switch {
				case err == nil:
					view.Enter(m.Value)
				case m.Sequence == 0 && mono.CodeOf(err) == mono.NotFound:
					view.Reset()
					next = 0
					fallthrough
				default:
					log.Warn("following a stream", "sequence", m.Sequence, "error", err)
				}
				next = max(next, m.Sequence+1)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return f
}

// Stop ends the reading, and waits for its last message.
func (f *Follower) Stop() {
	f.cancel()
	<-f.stopped
}
