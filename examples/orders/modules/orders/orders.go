// Package orders implements the taking of orders.
package orders

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/ledger"
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
	entries  mono.Reader[ledger.Entry]
	scope    *mono.Scope

	mu    sync.Mutex
	byKey map[string]orders.Confirmation
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc says what the module is for.
func (m *Module) Doc() string { return "takes orders" }

// Bind needs inventory and payments, keeps the ledger, emits the events, and
// provides the services.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.byKey = make(map[string]orders.Confirmation)
	m.reserve = inventory.Reserve.Client(s)
	m.release = inventory.Release.Client(s)
	m.charge = payments.Charge.Client(s)
	m.placed = orders.Placed.Publisher(s)
	m.released = orders.Released.Publisher(s)
	m.entries = ledger.Entries.Reader(s)
	s.Use(ledger.Entries)
	orders.Place.Handle(s, m.place)
	orders.Get.Handle(s, m.get)
	return nil
}

// Start learns from the ledger which orders were placed before.
func (m *Module) Start(ctx context.Context) error {
	for e, err := range m.entries(ctx) {
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		m.remember(e.Value.Placed)
	}
	return nil
}

func (m *Module) place(ctx context.Context, o orders.Order) (orders.Confirmation, error) {
	if err := check(o); err != nil {
		return orders.Confirmation{}, err
	}
	if c, ok := m.known(o.Key()); ok {
		return c, nil
	}
	goods, err := m.reserve(ctx, inventory.ReserveRequest{Order: o.Key(), Product: o.Product, Quantity: o.Quantity})
	if err != nil {
		return orders.Confirmation{}, err
	}
	receipt, err := m.charge(ctx, payments.ChargeRequest{Order: o.Key(), Card: o.Card, Cents: goods.Cents})
	if err != nil {
		return orders.Confirmation{}, errors.Join(err, m.putBack(ctx, o))
	}
	o.Card = ""
	c := orders.Confirmation{Order: o, Cents: goods.Cents, Receipt: receipt.Number}
	if err := m.enter(ctx, c); err != nil {
		return orders.Confirmation{}, err
	}
	m.remember(c)
	return c, m.placed(ctx, c)
}

// enter puts an order into the ledger, once however often it is placed. After it
// the order is placed, whatever happens to this process.
func (m *Module) enter(ctx context.Context, c orders.Confirmation) error {
	entry := ledger.Entry{Account: "sales-" + c.Order.Product, Placed: c}
	return ledger.Entries.With(mono.DedupID(c.Order.Key())).Append(ctx, m.scope, entry)
}

// maxID bounds the id of an order, and the name of a batch, in bytes.
const maxID = 100

// check reports an order that cannot be told from others.
func check(o orders.Order) error {
	bad := func(s string) bool {
		return len(s) > maxID || strings.TrimSpace(s) != s || strings.Contains(s, "/") || strings.ContainsFunc(s, unicode.IsControl)
	}
	if o.ID == "" || bad(o.ID) || bad(o.Batch) {
		return mono.Errorf(mono.InvalidArgument, "the order's id is %.200q in the batch %.200q: give it an id of at most %d bytes of plain text without slashes", o.ID, o.Batch, maxID)
	}
	return nil
}

func (m *Module) remember(c orders.Confirmation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byKey[c.Order.Key()] = c
}

func (m *Module) known(key string) (orders.Confirmation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, ok := m.byKey[key]
	return c, ok
}

// putBack releases the goods although the caller may have gone.
func (m *Module) putBack(ctx context.Context, o orders.Order) error {
	ctx = context.WithoutCancel(ctx)
	if _, err := m.release(ctx, inventory.ReleaseRequest{Order: o.Key()}); err != nil {
		return err
	}
	o.Card = ""
	return m.released(ctx, o)
}

func (m *Module) get(_ context.Context, r orders.GetRequest) (orders.Confirmation, error) {
	c, ok := m.known(orders.Order{ID: r.ID, Batch: r.Batch}.Key())
	if !ok {
		return c, mono.Errorf(mono.NotFound, "no order %q was placed", r.ID)
	}
	return c, nil
}
