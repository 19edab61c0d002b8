package orders

import (
	"cmp"
	"context"
	"crypto/rand"
	"time"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
)

// checkout tries once to place an order whose last entry in the ledger is last. The job that
// settles it is stored first, so a crash at any later point leaves nothing reserved or charged
// for ever.
func (m *Module) checkout(ctx context.Context, o orders.Order, last uint64) (orders.Confirmation, error) {
	card := o.Card
	o.Card = ""
	c := orders.Checkout{ID: rand.Text(), Order: o}
	if err := m.checkouts(ctx, c, mono.Delay(cmp.Or(m.SettleAfter, time.Minute))); err != nil {
		return orders.Confirmation{}, err
	}
	placed, err := m.pay(ctx, c, card)
	if err != nil { // it was not entered, and will not be
		end := m.undo
		if chargedNothing(err) {
			end = m.refuse
		}
		m.end(ctx, c, end)
		return orders.Confirmation{}, err
	}
	if err := m.enter(ctx, c, placed, last); err != nil {
		return m.notEntered(ctx, c, err)
	}
	return placed, nil
}

// pay reserves the goods and charges the card.
func (m *Module) pay(ctx context.Context, c orders.Checkout, card string) (placed orders.Confirmation, err error) {
	goods, err := m.reserve(ctx, inventory.ReserveRequest{ID: c.ID, Product: c.Order.Product, Quantity: c.Order.Quantity})
	if err != nil {
		return placed, err
	}
	receipt, err := m.charge(ctx, payments.ChargeRequest{ID: c.ID, Order: c.Order.Key(), Card: card, Cents: goods.Cents})
	return orders.Confirmation{Order: c.Order, Cents: goods.Cents, Receipt: receipt.Number}, err
}

// enter puts the order into the ledger, unless the order has an entry newer than last: of
// several checkouts one succeeds. After enter the order is placed, whatever happens to this
// process.
func (m *Module) enter(ctx context.Context, c orders.Checkout, placed orders.Confirmation, last uint64) error {
	e := ledger.Entry{Account: "sales-" + c.Order.Product, Placed: placed, Checkout: c.ID}
	_, err := ledger.Entries.AppendAfter(ctx, m.scope, last, e)
	if err == nil {
		m.book.Enter(e)
	}
	return err
}

// notEntered ends a checkout whose entry failed with cause. It returns the order if it was
// placed, by another checkout or after all.
func (m *Module) notEntered(ctx context.Context, c orders.Checkout, cause error) (orders.Confirmation, error) {
	end := m.settle
	if mono.OutcomeOf(cause) == mono.OutcomeNotDone {
		end = m.undo
	}
	m.end(ctx, c, end)
	ctx, cancel := outlive(ctx)
	defer cancel()
	p, err := m.book.find(ctx, orders.GetRequest{ID: c.Order.ID, Batch: c.Order.Batch})
	if err == nil && p.placed() {
		return confirm(c.Order, p.entry.Placed)
	}
	return orders.Confirmation{}, unavailable(cause)
}
