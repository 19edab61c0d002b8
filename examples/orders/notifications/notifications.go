// Package notifications is the contract of the module that writes to customers.
package notifications

import (
	"time"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

var (
	// Receipts are the receipts to be sent. After three failed attempts a receipt is a dead
	// letter.
	Receipts = mono.NewQueue[orders.Confirmation]("notifications.receipts",
		mono.Version("1.0.0"), mono.MaxAttempts(3), mono.Backoff(mono.Constant(50*time.Millisecond)))

	// Sent returns how many customers were notified.
	Sent = mono.NewService[SentRequest, Count]("notifications.sent",
		mono.Version("1.0.0"), mono.Doc("how many customers were notified"))
)

// SentRequest names a batch of orders.
type SentRequest struct {
	Batch string `json:"batch"`
}

// Count counts the messages for a batch.
type Count struct {
	Notified int `json:"notified"` // customers notified of their order
	Receipts int `json:"receipts"` // customers with a receipt
	Retried  int `json:"retried"`  // receipts sent at a later attempt
}
