// Package orders implements the taking of orders.
package orders

import (
	"context"
	"errors"
	"sync"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
)

// Module takes orders. Its zero value is ready.
type Module struct {
	reserve  mono.Func[inventory.ReserveRequest, inventory.Reservation]
	release  mono.Func[inventory.ReleaseRequest, struct{}]
	charge   mono.Func[payments.ChargeRequest, payments.Receipt]
	placed   mono.Sink[orders.Confirmation]
	released mono.Sink[orders.Order]

	mu   sync.Mutex
	byID map[string]orders.Confirmation
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc says what the module is for.
func (m *Module) Doc() string { return "takes orders" }

// Bind needs inventory and payments, emits the events, and provides the services.
func (m *Module) Bind(s *mono.Scope) error {
	m.byID = make(map[string]orders.Confirmation)
	m.reserve = inventory.Reserve.Client(s)
	m.release = inventory.Release.Client(s)
	m.charge = payments.Charge.Client(s)
	m.placed = orders.Placed.Publisher(s)
	m.released = orders.Released.Publisher(s)
	orders.Place.Handle(s, m.place)
	orders.Get.Handle(s, m.get)
	return nil
}

func (m *Module) place(ctx context.Context, o orders.Order) (orders.Confirmation, error) {
	if o.ID == "" {
		return orders.Confirmation{}, mono.Errorf(mono.InvalidArgument, "the order has no id: give it one")
	}
	goods, err := m.reserve(ctx, inventory.ReserveRequest{Order: o.ID, Product: o.Product, Quantity: o.Quantity})
	if err != nil {
		return orders.Confirmation{}, err
	}
	receipt, err := m.charge(ctx, payments.ChargeRequest{Order: o.ID, Card: o.Card, Cents: goods.Cents})
	if err != nil {
		return orders.Confirmation{}, errors.Join(err, m.putBack(ctx, o))
	}
	o.Card = ""
	c := orders.Confirmation{Order: o, Cents: goods.Cents, Receipt: receipt.Number}
	m.mu.Lock()
	m.byID[o.ID] = c
	m.mu.Unlock()
	return c, m.placed(ctx, c)
}

// putBack releases the goods although the caller may have gone.
func (m *Module) putBack(ctx context.Context, o orders.Order) error {
	ctx = context.WithoutCancel(ctx)
	if _, err := m.release(ctx, inventory.ReleaseRequest{Order: o.ID}); err != nil {
		return err
	}
	o.Card = ""
	return m.released(ctx, o)
}

func (m *Module) get(_ context.Context, r orders.GetRequest) (orders.Confirmation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.byID[r.ID]
	if !ok {
		return c, mono.Errorf(mono.NotFound, "no order %q was placed", r.ID)
	}
	return c, nil
}
