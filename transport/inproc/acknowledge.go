package inproc

import "sync"

// acknowledgements calls the functions of AppendAsync in order, on a goroutine that
// exists only while there are some.
type acknowledgements struct {
	mu      sync.Mutex
	waiting []func()
	running bool
}

// add queues f.
func (a *acknowledgements) add(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, f)
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
		for _, f := range batch {
			f()
		}
	}
}

func (a *acknowledgements) take() []func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.waiting
	a.waiting, a.running = nil, len(batch) > 0
	return batch
}
