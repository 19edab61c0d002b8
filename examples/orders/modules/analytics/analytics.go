// Package analytics implements the analytics.
package analytics

import (
	"context"
	"maps"
	"sync"
	"time"

	"gomono.dev/examples/orders/analytics"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Module adds up what it hears, and what it reads in the ledger. Its zero value is
// ready.
type Module struct {
	scope   *mono.Scope
	entries mono.Reader[ledger.Entry]
	stop    context.CancelFunc
	stopped chan struct{}

	mu      sync.Mutex
	byBatch map[string]*analytics.Report
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc says what the module is for.
func (m *Module) Doc() string { return "adds up what is sold" }

// Bind hears placed and released orders, reads the ledger and provides Totals.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.byBatch = make(map[string]*analytics.Report)
	m.entries = ledger.Entries.Reader(s)
	orders.Placed.Handle(s, m.placed)
	orders.Released.Handle(s, m.released)
	analytics.Totals.Handle(s, m.totals)
	return nil
}

// Start begins to read the ledger, from its first entry.
func (m *Module) Start(context.Context) error {
	ctx, stop := context.WithCancel(context.Background())
	m.stop, m.stopped = stop, make(chan struct{})
	go m.follow(ctx)
	return nil
}

// Stop stops reading.
func (m *Module) Stop(context.Context) error {
	m.stop()
	<-m.stopped
	return nil
}

// follow reads the ledger until the module stops, and goes on where it was when
// the reading breaks off.
func (m *Module) follow(ctx context.Context) {
	defer close(m.stopped)
	next := uint64(1)
	for ctx.Err() == nil {
		for e, err := range m.entries(ctx, mono.From(mono.AtSequence(next)), mono.Follow()) {
			if e.Sequence >= next {
				next = e.Sequence + 1
			}
			if err != nil {
				m.scope.Logger().Warn("reading the ledger", "error", err)
				continue
			}
			m.enter(e.Value)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (m *Module) enter(e ledger.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.of(e.Placed.Order.Batch)
	r.Entries++
	r.Booked[e.Account] += e.Placed.Cents
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
