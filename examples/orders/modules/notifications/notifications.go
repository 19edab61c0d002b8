// Package notifications implements the notifications; it only counts them.
package notifications

import (
	"context"
	"sync/atomic"

	"gomono.dev/examples/orders/notifications"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Module writes to customers. Its zero value is ready.
type Module struct{ sent atomic.Int64 }

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc says what the module is for.
func (m *Module) Doc() string { return "writes to customers" }

// Bind hears placed orders and provides Sent.
func (m *Module) Bind(s *mono.Scope) error {
	orders.Placed.Handle(s, func(context.Context, orders.Confirmation) error {
		m.sent.Add(1)
		return nil
	})
	notifications.Sent.Handle(s, func(context.Context, struct{}) (notifications.Count, error) {
		return notifications.Count{Sent: int(m.sent.Load())}, nil
	})
	return nil
}
