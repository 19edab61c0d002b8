// Package analytics implements the analytics.
package analytics

import (
	"context"
	"maps"
	"sync"

	"gomono.dev/examples/orders/analytics"
	"gomono.dev/examples/orders/follow"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Module adds up events and the entries of the ledger. Its zero value is ready.
type Module struct {
	scope   *mono.Scope
	entries mono.Reader[ledger.Entry]
	ledger  *follow.Follower

	mu      sync.Mutex
	byBatch map[string]*analytics.Report
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "computes the totals of sales" }

// Bind subscribes to placed and released orders, reads the ledger and provides
// Totals.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.byBatch = make(map[string]*analytics.Report)
	m.entries = ledger.Entries.Reader(s)
	orders.Placed.Handle(s, m.placed)
	orders.Released.Handle(s, m.released)
	analytics.Totals.Handle(s, m.totals)
	return nil
}

// Start follows the ledger from its first entry.
func (m *Module) Start(context.Context) error {
	m.ledger = follow.Start(m.entries, 1, m.scope.Logger(), m)
	return nil
}

// Stop stops following.
func (m *Module) Stop(context.Context) error {
	m.ledger.Stop()
	return nil
}

// Enter adds an entry of the ledger.
func (m *Module) Enter(e ledger.Entry) {
	if e.IsVoid() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(e.Placed.Order.Batch)
	r.Entries++
	r.Booked[e.Account] += e.Placed.Cents
}

// Reset drops the entries: the ledger was deleted.
func (m *Module) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.byBatch {
		r.Entries, r.Booked = 0, make(map[string]int64)
	}
}

func (m *Module) placed(_ context.Context, c orders.Confirmation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(c.Order.Batch)
	r.Placed++
	r.Cents[c.Order.Product] += c.Cents
	return nil
}

func (m *Module) released(_ context.Context, o orders.Order) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(o.Batch).Released++
	return nil
}

// of returns the report of a batch.
func (m *Module) of(batch string) *analytics.Report {
	if m.byBatch[batch] == nil {
		m.byBatch[batch] = &analytics.Report{Cents: make(map[string]int64), Booked: make(map[string]int64)}
	}
	return m.byBatch[batch]
}

func (m *Module) totals(_ context.Context, r analytics.TotalsRequest) (analytics.Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	report := *m.of(r.Batch)
	report.Cents, report.Booked = maps.Clone(report.Cents), maps.Clone(report.Booked)
	return report, nil
}
