// Package inventory implements the inventory.
package inventory

import (
	"context"
	"sync"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/mono"
)

// Module is the inventory. It remembers the reservations of this process; a real one would ask
// a warehouse, as package payments asks its bank. Its zero value is ready.
type Module struct {
	mu       sync.Mutex
	reserved map[string]bool // by reservation; false once it is released
	held     int
	released int
}

var catalog = map[string]inventory.Product{
	"book":     {Product: "book", Cents: 1_990, Shelf: 40},
	"lamp":     {Product: "lamp", Cents: 4_500, Shelf: 12},
	"chair":    {Product: "chair", Cents: 12_900, Shelf: 6},
	"desk":     {Product: "desk", Cents: 34_900, Shelf: 3},
	"notebook": {Product: "notebook", Cents: 350, Shelf: 200},
	"globe":    {Product: "globe", Cents: 8_900, Shelf: 0},
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "has the products and their stock" }

// Bind provides the three services.
func (m *Module) Bind(s *mono.Scope) error {
	m.reserved = make(map[string]bool)
	inventory.Check.Handle(s, m.check)
	inventory.Reserve.Handle(s, m.reserve)
	inventory.Release.Handle(s, m.release)
	return nil
}

// Health reports the reserved goods.
func (m *Module) Health(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mono.ReportDetail(ctx, "reserved", m.held)
	mono.ReportDetail(ctx, "released", m.released)
	return nil
}

func (m *Module) check(_ context.Context, r inventory.CheckRequest) (inventory.Product, error) {
	p, ok := catalog[r.Product]
	if !ok {
		return p, inventory.UnknownProduct.With(inventory.Missing(r))
	}
	return p, nil
}

func (m *Module) reserve(ctx context.Context, r inventory.ReserveRequest) (inventory.Reservation, error) {
	p, err := m.check(ctx, inventory.CheckRequest{Product: r.Product})
	switch {
	case err != nil:
		return inventory.Reservation{}, err
	case r.Quantity < 1:
		return inventory.Reservation{}, mono.Errorf(mono.InvalidArgument, "the quantity is %d: order at least one", r.Quantity)
	case r.Quantity > p.Shelf:
		return inventory.Reservation{}, inventory.OutOfStock.With(inventory.Shortage{Product: r.Product, Wanted: r.Quantity, Shelf: p.Shelf})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	held, known := m.reserved[r.ID]
	if known && !held {
		return inventory.Reservation{}, mono.Errorf(mono.FailedPrecondition, "the reservation %s has been released: begin another one", r.ID)
	}
	if !known {
		m.reserved[r.ID] = true
		m.held++
	}
	return inventory.Reservation{Cents: p.Cents * int64(r.Quantity)}, nil
}

func (m *Module) release(_ context.Context, r inventory.ReleaseRequest) (inventory.ReleaseReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.reserved[r.ID]
	if held {
		m.held--
		m.released++
	}
	m.reserved[r.ID] = false
	return inventory.ReleaseReply{Released: held}, nil
}
