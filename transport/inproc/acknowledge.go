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
	for {
		batch := a.take()
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			batch[i].call()
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
