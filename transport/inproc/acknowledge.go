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

// add queues an acknowledgement.
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
	var batch []acknowledgement
	for {
		batch = a.take(batch)
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			batch[i].call()
		}
	}
}

// take returns the waiting acknowledgements. The next ones wait in the memory of spare.
func (a *acknowledgements) take(spare []acknowledgement) []acknowledgement {
	clear(spare)
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.waiting
	if a.running = len(batch) > 0; !a.running {
		spare = nil
	}
	a.waiting = spare[:0]
	return batch
}
