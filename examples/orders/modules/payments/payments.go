// Package payments implements the payments. The card's number decides what
// happens to it, as with the test cards of payment providers.
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
	mu      sync.Mutex
	charged map[string]payments.Receipt
	cents   int64
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc says what the module is for.
func (m *Module) Doc() string { return "charges cards" }

// Bind provides Charge.
func (m *Module) Bind(s *mono.Scope) error {
	m.charged = make(map[string]payments.Receipt)
	payments.Charge.Handle(s, m.charge)
	return nil
}

// Health reports what was charged.
func (m *Module) Health(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	mono.ReportDetail(ctx, "charges", len(m.charged))
	mono.ReportDetail(ctx, "cents", m.cents)
	return nil
}

func (m *Module) charge(_ context.Context, r payments.ChargeRequest) (payments.Receipt, error) {
	if reason := refusal(r.Card); reason != "" {
		return payments.Receipt{}, payments.Declined.With(payments.Decline{Reason: reason})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	receipt, done := m.charged[r.Order]
	if !done {
		receipt = payments.Receipt{Number: "R-" + r.Order}
		m.charged[r.Order] = receipt
		m.cents += r.Cents
	}
	return receipt, nil
}

// refusal returns why a card is refused, or "".
func refusal(card string) string {
	switch digits := strings.NewReplacer(" ", "", "-", "").Replace(card); {
	case len(digits) < 12 || strings.Trim(digits, "0123456789") != "":
		return "not a card number"
	case strings.HasSuffix(digits, "0002"):
		return "insufficient funds"
	case strings.HasSuffix(digits, "0069"):
		return "card expired"
	}
	return ""
}
