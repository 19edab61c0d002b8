// Package payments implements the payments. The card's number decides the result, as with the
// test cards of payment providers.
package payments

import (
	"context"
	"strings"
	"sync"

	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
)

// Module charges cards. Its zero value is ready.
type Module struct {
	movements mono.Reader[payments.Movement]
	scope     *mono.Scope

	mu      sync.Mutex
	charges int   // of this process and not refunded
	refunds int   // of this process
	cents   int64 // charged and not refunded
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.1.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "charges cards" }

// Bind keeps the bank's book, and provides Charge, Refund and Get.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.movements = payments.Movements.Reader(s)
	s.Use(payments.Movements)
	payments.Charge.Handle(s, m.charge)
	payments.Refund.Handle(s, m.refund)
	payments.Get.Handle(s, m.get)
	return nil
}

// Health reports the charges of this process.
func (m *Module) Health(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mono.ReportDetail(ctx, "charges", m.charges)
	mono.ReportDetail(ctx, "refunds", m.refunds)
	mono.ReportDetail(ctx, "cents", m.cents)
	return nil
}

func (m *Module) charge(ctx context.Context, r payments.ChargeRequest) (payments.Receipt, error) {
	if reason := refusal(r.Card); reason != "" {
		return payments.Receipt{}, payments.Declined.With(payments.Decline{Reason: reason})
	}
	move := payments.Movement{Charge: r.ID, Order: r.Order, Cents: r.Cents}
	_, err := payments.Movements.AppendAfter(ctx, m.scope, 0, move)
	switch {
	case mono.CodeOf(err) == mono.Aborted:
		err = m.charged(ctx, r)
	case err == nil:
		m.count(move)
	}
	if err != nil {
		return payments.Receipt{}, err
	}
	return payments.Receipt{Number: "R-" + r.Order}, nil
}

// charged returns nil if the charge has happened already.
func (m *Module) charged(ctx context.Context, r payments.ChargeRequest) error {
	p, err := m.get(ctx, payments.GetRequest{ID: r.ID})
	switch {
	case err != nil:
		return err
	case p.Refunded:
		return mono.Errorf(mono.FailedPrecondition, "the charge %s has been refunded: begin another one", r.ID)
	case p.Cents != r.Cents:
		return mono.Errorf(mono.AlreadyExists, "the charge %s took another amount: begin another one", r.ID)
	}
	return nil
}

// refund appends the refund of a charge. A refund before its charge prevents the charge.
func (m *Module) refund(ctx context.Context, r payments.RefundRequest) (struct{}, error) {
	for {
		p, last, err := m.read(ctx, r.ID)
		if err != nil || p.Refunded {
			return struct{}{}, err
		}
		move := payments.Movement{Charge: r.ID, Order: r.Order, Cents: -p.Cents, Refund: true}
		_, err = payments.Movements.AppendAfter(ctx, m.scope, last, move)
		if mono.CodeOf(err) == mono.Aborted {
			continue // the charge has just happened, or another refund
		}
		if err == nil && last > 0 {
			m.count(move)
		}
		return struct{}{}, err
	}
}

func (m *Module) get(ctx context.Context, r payments.GetRequest) (payments.Payment, error) {
	p, last, err := m.read(ctx, r.ID)
	if err == nil && last == 0 {
		err = mono.Errorf(mono.NotFound, "no charge has the id %q", r.ID)
	}
	return p, err
}

// read returns the state of a charge and the sequence of its last movement, 0 if
// there is none.
func (m *Module) read(ctx context.Context, id string) (p payments.Payment, last uint64, err error) {
	for move, err := range m.movements(ctx, mono.Keys(id)) {
		if err != nil {
			return p, 0, err
		}
		p.Cents += move.Value.Cents
		p.Refunded = p.Refunded || move.Value.Refund
		last = move.Sequence
	}
	return p, last, nil
}

func (m *Module) count(move payments.Movement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cents += move.Cents
	if move.Refund {
		m.charges--
		m.refunds++
	} else {
		m.charges++
	}
}

// refusal returns why a card is refused, or "".
func refusal(card string) string {
	switch digits := strings.NewReplacer(" ", "", "-", "").Replace(card); {
	case !payments.IsCard(card):
		return "not a card number"
	case strings.HasSuffix(digits, "0002"):
		return "insufficient funds"
	case strings.HasSuffix(digits, "0069"):
		return "card expired"
	}
	return ""
}
