package kv_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/anishathalye/porcupine"

	"gomono.dev/kv"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/inproctest"
	"gomono.dev/transport/natsx/embedded"
)

// call is one call of a conditional write, or of Get.
type call struct {
	method   string
	key      string
	expect   uint64
	value    string
	code     transport.Code // "" for success
	unknown  bool           // it may have taken effect, or do so later
	revision uint64
	result   string
}

// register is the state of a key. vague means that its revision is unknown.
type register struct {
	value    string
	revision uint64
	exists   bool
	vague    bool
}

// expects reports whether a condition holds, and whether it may not hold.
func (r register) expects(revision uint64) (holds, fails bool) {
	holds = r.exists && (r.vague || r.revision == revision)
	return holds, !holds || r.vague
}

// after returns the states that a call can lead to.
func (r register) after(c call) []any {
	holds, fails := true, false
	next := register{value: c.value, revision: c.revision, exists: true, vague: c.unknown}
	switch c.method {
	case "get":
		return r.afterGet(c)
	case "create":
		holds, fails = !r.exists, r.exists
	case "update":
		holds, fails = r.expects(c.expect)
	case "delete":
		holds, fails = r.expects(c.expect)
		next = register{}
	case "modify":
		next.value = r.value + c.value
		holds = c.unknown || next.value == c.result
	}
	var states []any
	conflict := c.code == transport.Aborted || c.code == transport.AlreadyExists
	if c.code == "" && holds || c.unknown && holds {
		states = append(states, next)
	}
	if conflict && fails || c.unknown || c.code != "" && !conflict {
		states = append(states, r)
	}
	return states
}

func (r register) afterGet(c call) []any {
	switch {
	case c.code == transport.NotFound && !r.exists, c.code != "" && c.code != transport.NotFound:
		return []any{r}
	case c.code == "" && r.exists && r.value == c.result && (r.vague || r.revision == c.revision):
		return []any{register{value: r.value, revision: c.revision, exists: true}}
	}
	return nil
}

// registers is the specification: each key is an atomic register.
var registers = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		keys := make(map[string][]porcupine.Operation)
		for _, o := range history {
			key := o.Input.(call).key
			keys[key] = append(keys[key], o)
		}
		for _, part := range keys {
			parts = append(parts, part)
		}
		return parts
	},
	Init:              func() []any { return []any{register{}} },
	Step:              func(state, input, _ any) []any { return state.(register).after(input.(call)) },
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// recording collects the calls of concurrent clients.
type recording struct {
	clock atomic.Int64

	mu   sync.Mutex
	all  []porcupine.Operation
	done int // calls with a known result
}

// record makes a call, which fills in its results.
func (r *recording) record(client int, c call, do func(*call) error) call {
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

// check fails unless the history is linearizable.
func (r *recording) check(t testing.TB) {
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

// client makes random calls.
type client struct {
	*recording
	id     int
	ctx    context.Context
	bucket *kv.KeyValue[string]
	random *rand.Rand
	known  map[string]uint64 // the last revision of each key that it has seen
	reads  bool
}

func (c *client) run(calls int) {
	for i := range calls {
		methods := []string{"create", "update", "update", "modify", "delete", "get"}
		if !c.reads {
			methods = methods[:5]
		}
		in := call{method: methods[c.random.IntN(len(methods))], key: []string{"a", "b"}[c.random.IntN(2)], value: fmt.Sprintf("%d.%d ", c.id, i)}
		in.expect = max(1, c.known[in.key])
		if out := c.record(c.id, in, c.do); out.revision > 0 {
			c.known[in.key] = out.revision
		}
	}
}

func (c *client) do(in *call) (err error) {
	var e kv.Entry[string]
	switch in.method {
	case "get":
		e, err = c.bucket.Get(c.ctx, in.key)
	case "create":
		e, err = c.bucket.Create(c.ctx, in.key, in.value)
	case "update":
		e, err = c.bucket.Update(c.ctx, in.key, in.expect, in.value)
	case "modify":
		e, err = c.bucket.Modify(c.ctx, in.key, func(was string) (string, error) { return was + in.value, nil })
	case "delete":
		err = c.bucket.Delete(c.ctx, in.key, kv.IfRevision(in.expect))
	}
	in.revision, in.result = e.Revision, e.Value
	return err
}

// runClients makes concurrent calls on several Transports.
func runClients(t testing.TB, r *recording, clients, calls int, seed uint64, reads bool, connect func() transport.Transport) {
	t.Helper()
	var all sync.WaitGroup
	for id := range clients {
		tr := connect()
		defer func() { _ = tr.Close(context.Background()) }()
		bucket, err := kv.Connect(t.Context(), tr, kv.NewBucket[string](fmt.Sprint("linear-", seed), kv.History(2)))
		if err != nil {
			t.Fatal(err)
		}
		c := &client{r, id, t.Context(), bucket, rand.New(rand.NewPCG(seed, uint64(id))), make(map[string]uint64), reads}
		all.Go(func() { c.run(calls) })
	}
	all.Wait()
}

// Create, Update, Modify and conditional deletions are linearizable in every order of steps,
// also if answers are lost, requests are lost or late, and replicas answer. A Get of a replica
// is not, so there are none.
func TestLinearizableWithFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			var r recording
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 99))
				backend := inproctest.NewBackend(inproctest.Options{
					Seed: seed + 1, Quiesce: synctest.Wait,
					Fault: func(p inproctest.Point) inproctest.FaultAction { return someFault(random, p) },
				})
				runClients(t, &r, 4, 12, seed, false, func() transport.Transport { return backend.Connect() })
			})
			r.check(t)
		})
	}
}

// someFault returns a fault for one in five steps of a bucket.
func someFault(random *rand.Rand, p inproctest.Point) (f inproctest.FaultAction) {
	if p.Bucket == "" || p.Phase != inproctest.Before {
		return f
	}
	switch random.IntN(20) {
	case 0:
		f.Drop = true
	case 1:
		f.AmbiguousSend = true
	case 2:
		f.Delay = 1e6
	case 3:
		f.Stale = true
	}
	return f
}

// All of them and Get are linearizable on a server.
func TestLinearizableOnNATS(t *testing.T) {
	t.Parallel()
	server := startNATS(t, embedded.Options{Memory: true})
	for seed := range uint64(3) {
		var r recording
		runClients(t, &r, 5, 30, seed, true, connectNATS(t, server))
		r.check(t)
	}
}

// The check finds two Creates that both succeed, a lost update, and an old value.
func TestLinearizabilityIsChecked(t *testing.T) {
	t.Parallel()
	for name, calls := range map[string][]call{
		"two creates":   {{method: "create", value: "1", revision: 1}, {method: "create", value: "2", revision: 2}},
		"a lost update": {{method: "create", value: "1", revision: 1}, {method: "modify", value: "2", result: "12", revision: 2}, {method: "modify", value: "3", result: "13", revision: 3}},
		"an old value":  {{method: "create", value: "1", revision: 1}, {method: "modify", value: "2", result: "12", revision: 2}, {method: "get", result: "1", revision: 1}},
	} {
		var history []porcupine.Operation
		for i, c := range calls {
			history = append(history, porcupine.Operation{ClientId: i, Input: c, Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if porcupine.CheckOperations(registers.ToModel(), history) {
			t.Errorf("%s is not found", name)
		}
	}
}
