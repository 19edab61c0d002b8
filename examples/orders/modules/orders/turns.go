package orders

import (
	"context"
	"sync"
)

// turns lets one caller at a time work on a key. Its zero value is ready.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the turn ends
}

// take waits for the turn of a key. The caller ends it.
func (t *turns) take(ctx context.Context, key string) (end func(), err error) {
	for {
		ended, free := t.try(key)
		if free {
			return func() { t.end(key) }, nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try takes the turn if it is free, or returns a channel that is closed when it ends.
func (t *turns) try(key string) (ended <-chan struct{}, free bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ended, taken := t.taken[key]; taken {
		return ended, false
	}
	if t.taken == nil {
		t.taken = make(map[string]chan struct{})
	}
	t.taken[key] = make(chan struct{})
	return nil, true
}

func (t *turns) end(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.taken[key])
	delete(t.taken, key)
}
