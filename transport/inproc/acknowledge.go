package inproc

import (
	"context"
	"sync"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// acknowledgements calls the functions of AppendAsync in order, on a goroutine that
// exists only while there are some.
type acknowledgements struct {
	slots chan struct{} // one for each function that has not been called

	mu      sync.Mutex
	waiting []acknowledgement
	running bool
}

// acknowledgement is the result of an append, and the function to call with it.
type acknowledgement struct {
	handle  *handle
	subject string
	at      transport.Appended
	err     error
	done    func(transport.Appended, error)
}

func (a *acknowledgement) call() {
	_, _ = a.handle.transport.begin(context.Background(), engine.Confirm, nil, a)
	a.done(a.at, a.err)
}

// maxAcknowledgements is the number of appends that may wait before AppendAsync blocks.
const maxAcknowledgements = 4096

func newAcknowledgements() *acknowledgements {
	return &acknowledgements{slots: make(chan struct{}, maxAcknowledgements)}
}

// reserve waits for a slot.
func (a *acknowledgements) reserve(ctx context.Context, log string) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeNotDone,
			"append to log %q: %w while %d appends wait for their acknowledgement", log, ctx.Err(), maxAcknowledgements)
	}
}

// add queues an acknowledgement, in the slot that was reserved for it.
func (a *acknowledgements) add(one acknowledgement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, one)
	if !a.running {
		a.running = true
		go a.run()
	}
}

func (a *acknowledgements) run() {
	for {
		batch := a.take()
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			batch[i].call()
			<-a.slots
		}
	}
}

func (a *acknowledgements) take() []acknowledgement {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.waiting
	a.waiting, a.running = nil, len(batch) > 0
	return batch
}
