// Package analytics implements the analytics.
package analytics

import (
	"context"
	"maps"
	"sync"

	"gomono.dev/examples/orders/analytics"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Module adds up what it hears. Its zero value is ready.
type Module struct {
	mu     sync.Mutex
	report analytics.Report
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc says what the module is for.
func (m *Module) Doc() string { return "adds up what is sold" }

// Bind hears placed and released orders and provides Totals.
func (m *Module) Bind(s *mono.Scope) error {
	m.report = analytics.Report{Cents: make(map[string]int64)}
	orders.Placed.Handle(s, m.placed)
	orders.Released.Handle(s, m.released)
	analytics.Totals.Handle(s, m.totals)
	return nil
}

func (m *Module) placed(_ context.Context, c orders.Confirmation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Placed++
	m.report.Cents[c.Order.Product] += c.Cents
	return nil
}

func (m *Module) released(context.Context, orders.Order) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Released++
	return nil
}

func (m *Module) totals(context.Context, struct{}) (analytics.Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.report
	r.Cents = maps.Clone(r.Cents)
	return r, nil
}
