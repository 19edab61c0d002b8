package orders

import (
	"context"
	"errors"
	"time"

	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
)

// settle ensures that a checkout is in the ledger or will never be. In the second case it
// returns its goods and money. It is the worker of Checkouts, so it runs for each of them,
// until it succeeds.
func (m *Module) settle(ctx context.Context, c orders.Checkout) error {
	name := orders.GetRequest{ID: c.Order.ID, Batch: c.Order.Batch}
	for {
		p, err := m.book.find(ctx, name)
		switch {
		case err != nil:
			return err
		case p.placed() && p.entry.Checkout == c.ID:
			return nil
		case p.placed(), p.entry.Checkout == c.ID: // by another checkout, or a void
			return m.undo(ctx, c)
		}
		if ended, err := m.hasEnded(ctx, c); ended || err != nil {
			return err
		}
		// Its process may be slow and not dead. With the void, an entry comes too late.
		_, err = ledger.Entries.AppendAfter(ctx, m.scope, p.last, ledger.Entry{Account: "void", Checkout: c.ID, Void: name})
		switch {
		case err == nil:
			return m.undo(ctx, c)
		case mono.CodeOf(err) != mono.Aborted:
			return err
		}
	}
}

// undo returns the goods and the money of a checkout that is not in the ledger and never will
// be. A second call changes nothing.
func (m *Module) undo(ctx context.Context, c orders.Checkout) error {
	return m.putBack(ctx, c, func() error {
		_, err := m.refund(ctx, payments.RefundRequest{ID: c.ID, Order: c.Order.Key()})
		return err
	})
}

// refuse is undo for a checkout that has charged nothing and never will. The bank stores no
// refund.
func (m *Module) refuse(ctx context.Context, c orders.Checkout) error {
	return m.putBack(ctx, c, func() error {
		return m.noteRefusal(ctx, orders.Refusal{Checkout: c.ID})
	})
}

// chargedNothing reports whether an error of pay excludes a charge.
func chargedNothing(err error) bool {
	return errors.Is(err, payments.Declined) || errors.Is(err, inventory.OutOfStock) || errors.Is(err, inventory.UnknownProduct)
}

// putBack returns the goods of a checkout. Then it calls last, which stores the end of the
// checkout for settle.
func (m *Module) putBack(ctx context.Context, c orders.Checkout, last func() error) error {
	goods, err := m.release(ctx, inventory.ReleaseRequest{ID: c.ID})
	if err != nil {
		return err
	}
	if goods.Released {
		err = m.released(ctx, c.Order)
	}
	return errors.Join(err, last())
}

// hasEnded reports whether undo or refuse has finished for a checkout.
func (m *Module) hasEnded(ctx context.Context, c orders.Checkout) (bool, error) {
	for r, err := range m.refusals(ctx, mono.Keys(c.ID)) {
		switch {
		case err == nil:
			return true, nil
		case r.Sequence == 0 && mono.CodeOf(err) != mono.NotFound:
			return false, err
		}
	}
	p, err := m.payment(ctx, payments.GetRequest{ID: c.ID})
	if mono.CodeOf(err) == mono.NotFound {
		return false, nil
	}
	return p.Refunded, err
}

// end ends a checkout at once, although its caller may have gone. If that fails, the stored job
// ends it later.
func (m *Module) end(ctx context.Context, c orders.Checkout, how func(context.Context, orders.Checkout) error) {
	ctx, cancel := outlive(ctx)
	defer cancel()
	if err := how(ctx, c); err != nil {
		m.scope.Logger().Warn("a checkout is settled later", "checkout", c.ID, "order", c.Order.Key(), "error", err)
	}
}

// outlive returns a context that ends a moment after ctx.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
}
