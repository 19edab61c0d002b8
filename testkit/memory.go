package testkit

import (
	"context"
	"strings"
	"testing/synctest"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

// memory is the network of a test in memory: inproc, one step at a time.
type memory struct {
	set     *settings
	backend *inproctest.Backend
}

func newMemory(set *settings) *memory { return &memory{set: set} }

func (m *memory) attach(h *Harness) {
	o := inproctest.Options{Seed: h.seed, Quiesce: synctest.Wait, Fault: h.faults.ask, Aside: isContract}
	if m.set.freeRunning {
		o.Quiesce = nil
	}
	m.backend = inproctest.NewBackend(o)
}

// isContract reports the messages with which Apps compare their contracts. A test has no part in
// them.
func isContract(subject string) bool {
	return strings.HasPrefix(subject, "_contracts.") || strings.Contains(subject, "._contracts.")
}

func (m *memory) connect(context.Context) (transport.Transport, error) {
	return m.backend.Connect(), nil
}

func (m *memory) kill(t transport.Transport) { t.(*inproc.Transport).Kill() }

func (m *memory) kills() bool { return true }

func (m *memory) restart() { m.backend.Restart() }

func (m *memory) settle(ctx context.Context) error {
	if m.set.freeRunning {
		synctest.Wait()
		return nil
	}
	return m.backend.Settle(ctx)
}

func (m *memory) virtual() bool { return true }

func (m *memory) steps() int { return len(m.backend.Steps()) }
