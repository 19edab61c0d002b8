// Package linear checks that concurrent calls of a bucket are linearizable, for tests.
package linear

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"gomono.dev/transport"
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
