// Package orders implements the taking of orders.
package orders

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
)

// Module takes orders. Its zero value is ready.
type Module struct {
	// SettleAfter is the age at which a checkout is given up, if its order is not in
	// the ledger by then. The default is a minute.
	SettleAfter time.Duration

	product     mono.Func[inventory.CheckRequest, inventory.Product]
	reserve     mono.Func[inventory.ReserveRequest, inventory.Reservation]
	release     mono.Func[inventory.ReleaseRequest, inventory.ReleaseReply]
	charge      mono.Func[payments.ChargeRequest, payments.Receipt]
	refund      mono.Func[payments.RefundRequest, struct{}]
	payment     mono.Func[payments.GetRequest, payments.Payment]
	checkouts   mono.Enqueuer[orders.Checkout]
	placed      mono.Publisher[orders.Confirmation]
	released    mono.Publisher[orders.Order]
	noteRefusal mono.Appender[orders.Refusal]
	refusals    mono.Reader[orders.Refusal]
	scope       *mono.Scope

	book  book
	turns turns
}

// Name is the name of the module, and of its groups.
func (m *Module) Name() string { return "orders" }

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.1.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "takes orders" }

// Bind needs inventory and payments, keeps the ledger, settles checkouts, publishes the events,
// and provides the services.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.product = inventory.Check.Client(s)
	m.reserve = inventory.Reserve.Client(s)
	m.release = inventory.Release.Client(s)
	m.charge = payments.Charge.Client(s)
	m.refund = payments.Refund.Client(s)
	m.payment = payments.Get.Client(s)
	m.placed = orders.Placed.Publisher(s)
	m.released = orders.Released.Publisher(s)
	m.refusals = orders.Refusals.Reader(s)
	m.book.bind(s)
	s.Use(ledger.Entries) // for AppendAfter
	m.noteRefusal = orders.Refusals.Appender(s)
	m.checkouts = orders.Checkouts.Enqueuer(s)
	ledger.Entries.Handle(s, m.announce, mono.Concurrency(8))
	orders.Checkouts.Handle(s, m.settle, mono.Concurrency(8))
	orders.Place.Handle(s, m.place)
	orders.Get.Handle(s, m.get)
	return nil
}

// Start reads the placed orders from the ledger, and follows it.
func (m *Module) Start(ctx context.Context) error { return m.book.open(ctx, m.scope.Logger()) }

// Stop stops following the ledger.
func (m *Module) Stop(context.Context) error {
	m.book.close()
	return nil
}

// place lets one caller of this process at a time try to place an order. The others then find
// it in the ledger, or try themselves.
func (m *Module) place(ctx context.Context, o orders.Order) (orders.Confirmation, error) {
	if err := check(o); err != nil {
		return orders.Confirmation{}, err
	}
	done, err := m.turns.take(ctx, o.Key())
	if err != nil {
		return orders.Confirmation{}, err
	}
	defer done()
	p, err := m.book.find(ctx, orders.GetRequest{ID: o.ID, Batch: o.Batch})
	if err != nil {
		return orders.Confirmation{}, err
	}
	if p.placed() {
		return confirm(o, p.entry.Placed)
	}
	if err := m.mayOrder(ctx, o); err != nil {
		return orders.Confirmation{}, err
	}
	return m.checkout(ctx, o, p.last)
}

// mayOrder returns the error of an order that is refused before anything is stored for it. Goods
// and card are checked again when they are reserved and charged.
func (m *Module) mayOrder(ctx context.Context, o orders.Order) error {
	p, err := m.product(ctx, inventory.CheckRequest{Product: o.Product})
	switch {
	case err != nil:
		return err
	case o.Quantity < 1:
		return mono.Errorf(mono.InvalidArgument, "the quantity is %d: order at least one", o.Quantity)
	case o.Quantity > p.Shelf:
		return inventory.OutOfStock.With(inventory.Shortage{Product: o.Product, Wanted: o.Quantity, Shelf: p.Shelf})
	case !payments.IsCard(o.Card):
		return mono.Errorf(mono.InvalidArgument, "the card's number is malformed: use at least 12 digits")
	}
	return nil
}

// confirm returns the ledger's entry of the order o, if it has the same content.
func confirm(o orders.Order, placed orders.Confirmation) (orders.Confirmation, error) {
	if o.Card = ""; o != placed.Order {
		return orders.Confirmation{}, mono.Errorf(mono.AlreadyExists, "the order %q was placed with another content: use another id", o.ID)
	}
	return placed, nil
}

// get returns an order that was placed.
func (m *Module) get(ctx context.Context, r orders.GetRequest) (orders.Confirmation, error) {
	if err := checkName(r); err != nil {
		return orders.Confirmation{}, err
	}
	p, err := m.book.find(ctx, r)
	if err == nil && !p.placed() {
		err = mono.Errorf(mono.NotFound, "no order %q was placed in the batch %q", r.ID, r.Batch)
	}
	return p.entry.Placed, err
}

// announce publishes an entry of the ledger. The ledger's group calls it again if it fails, or
// if this process dies, so that every placed order is published.
func (m *Module) announce(ctx context.Context, e ledger.Entry) error {
	if e.IsVoid() {
		return nil
	}
	return m.placed(ctx, e.Placed)
}

// Limits in bytes: of an order's id, of the names of a batch and a product and the number of a
// card, and of a customer's name.
const (
	maxName     = 100
	maxCustomer = 1000
)

// check reports an order that has an ambiguous name, or is too large.
func check(o orders.Order) error {
	if err := checkName(orders.GetRequest{ID: o.ID, Batch: o.Batch}); err != nil {
		return err
	}
	for _, text := range []struct {
		name, value string
		limit       int
	}{{"customer's name", o.Customer, maxCustomer}, {"product's name", o.Product, maxName}, {"card's number", o.Card, maxName}} {
		if len(text.value) > text.limit {
			return mono.Errorf(mono.InvalidArgument, "the %s has %d bytes: use at most %d", text.name, len(text.value), text.limit)
		}
	}
	return nil
}

func checkName(r orders.GetRequest) error {
	if r.ID == "" || !plain(r.ID) || !plain(r.Batch) {
		return mono.Errorf(mono.InvalidArgument, "the order's id is %.200q in the batch %.200q: use an id of at most %d bytes of UTF-8 text without slashes", r.ID, r.Batch, maxName)
	}
	return nil
}

// plain reports whether a name is short, has one spelling, and fits into a path.
// JSON decoders turn all bytes that are not UTF-8 into the one RuneError.
func plain(name string) bool {
	return len(name) <= maxName && name != "." && name != ".." && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == utf8.RuneError || unicode.IsControl(r) })
}
