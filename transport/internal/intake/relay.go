package intake

import (
	"sync"

	"gomono.dev/transport"
)

// Relay is an [Intake] without the queue: goroutines that lead in turn. Who leads
// takes a step; when that leaves work to be done beside others, its goroutine does
// the work and somebody else leads.
type Relay struct {
	step func() (w transport.Work, more bool)
	end  func()

	mu     sync.Mutex
	come   sync.Cond // nobody leads, or over
	led    bool      // somebody leads
	called bool      // somebody is about to
	idle   int       // goroutines that wait for come
	over   bool      // no more steps
}

// NewRelay begins to take steps, one after another, until there are no more or a
// step ends its goroutine. Then it calls end.
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

// lead waits until nobody else leads. It reports false when there is nothing more
// to lead, or enough others wait.
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

// pass lets somebody else lead.
func (r *Relay) pass() {
	r.mu.Lock()
	r.led = false
	newcomer := !r.called && r.idle == 0
	if !r.called && !newcomer {
		r.come.Signal()
	}
	r.called = true
	r.mu.Unlock()
	if newcomer {
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
