// Package inventory implements the inventory.
package inventory

import (
	"context"
	"sync"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/mono"
)

// Module is the inventory. Its zero value is ready.
type Module struct {
	mu       sync.Mutex
	reserved map[string]inventory.ReserveRequest
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

// Doc says what the module is for.
func (m *Module) Doc() string { return "knows the products and what is on the shelf" }

// Bind provides the three services.
func (m *Module) Bind(s *mono.Scope) error {
	m.reserved = make(map[string]inventory.ReserveRequest)
	inventory.Check.Handle(s, m.check)
	inventory.Reserve.Handle(s, m.reserve)
	inventory.Release.Handle(s, m.release)
	return nil
}

// Health reports what is set aside.
func (m *Module) Health(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mono.ReportDetail(ctx, "reserved", len(m.reserved))
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
	m.reserved[r.Order] = r
	return inventory.Reservation{Cents: p.Cents * int64(r.Quantity)}, nil
}

func (m *Module) release(_ context.Context, r inventory.ReleaseRequest) (struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.reserved[r.Order]; ok {
		delete(m.reserved, r.Order)
		m.released++
	}
	return struct{}{}, nil
}
