package intake

import (
	"sync"

	"gomono.dev/transport"
)

// Relay is an [Intake] without the queue: its goroutines lead in turn. The leader takes a
// step. If the step leaves concurrent work, its goroutine does the work and another one
// leads.
type Relay struct {
	step func() (w transport.Work, more bool)
	end  func()

	mu     sync.Mutex
	come   sync.Cond // no goroutine leads, or over
	led    bool      // a goroutine leads
	called bool      // a goroutine is about to lead
	idle   int       // goroutines that wait for come
	over   bool      // no more steps
}

// NewRelay starts to take steps, one after another, until there are no more or a step
// ends its goroutine. Then it calls end.
func NewRelay(step func() (w transport.Work, more bool), end func()) *Relay {
	r := &Relay{step: step, end: end, called: true}
	r.come.L = &r.mu
	go r.work()
	return r
}

func (r *Relay) work() {
	leads := false
	defer func() {
		if leads {
			r.finish()
		}
	}()
	for {
		if leads = leads || r.lead(); !leads {
			return
		}
		w, more := r.step()
		if !more {
			return
		}
		if w != nil {
			leads = false
			r.pass()
			w.Run()
		}
	}
}

// lead waits until no other goroutine leads. It returns false if there are no more steps,
// or if enough others wait.
func (r *Relay) lead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.led && !r.over {
		if r.idle >= maxIdle {
			return false
		}
		r.idle++
		r.come.Wait()
		r.idle--
	}
	if r.over {
		return false
	}
	r.led, r.called = true, false
	return true
}

// pass lets another goroutine lead.
func (r *Relay) pass() {
	r.mu.Lock()
	r.led = false
	callNew := !r.called && r.idle == 0
	if !r.called && !callNew {
		r.come.Signal()
	}
	r.called = true
	r.mu.Unlock()
	if callNew {
		go r.work()
	}
}

func (r *Relay) finish() {
	r.mu.Lock()
	r.led, r.over = false, true
	r.come.Broadcast()
	r.mu.Unlock()
	r.end()
}
