package linear

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"

	"gomono.dev/transport"
)

// Recording collects the calls of concurrent clients. Its methods may be called concurrently.
type Recording struct {
	clock atomic.Int64

	mu   sync.Mutex
	all  []porcupine.Operation
	done int // calls with a known result
}

// record makes a call, which fills in its results.
func (r *Recording) record(client int, c call, do func(*call) error) call {
	begin := r.clock.Add(1)
	err := do(&c)
	end := r.clock.Add(1)
	if e, ok := errors.AsType[*transport.Error](err); ok {
		c.code, c.unknown = e.Code, e.Outcome == transport.OutcomeUnknown
	}
	if c.unknown {
		end = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, porcupine.Operation{ClientId: client, Input: c, Call: begin, Return: end})
	if c.code == "" {
		r.done++
	}
	return c
}

// Done returns the number of calls that have succeeded.
func (r *Recording) Done() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// Check fails unless the calls are linearizable. It is called when no client runs.
func (r *Recording) Check(t testing.TB) {
	t.Helper()
	if r.done == 0 {
		t.Error("no call succeeded")
	}
	if model := registers.ToModel(); !porcupine.CheckOperations(model, r.all) {
		for _, o := range r.all {
			t.Logf("%d: %d to %d: %+v", o.ClientId, o.Call, o.Return, o.Input)
		}
		t.Error("the history is not linearizable")
	}
}
