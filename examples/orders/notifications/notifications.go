// Package notifications is the contract of the module that writes to customers.
package notifications

import (
	"time"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

var (
	// Receipts are the receipts to be sent. One that cannot be sent at the third
	// attempt is a dead letter.
	Receipts = mono.NewQueue[orders.Confirmation]("notifications.receipts",
		mono.Version("1.0.0"), mono.MaxAttempts(3), mono.Backoff(mono.Constant(50*time.Millisecond)))

	// Sent says how many customers were written to.
	Sent = mono.NewService[SentRequest, Count]("notifications.sent",
		mono.Version("1.0.0"), mono.Doc("how many customers were written to"))
)

// SentRequest names the orders that came together.
type SentRequest struct {
	Batch string `json:"batch"`
}

// Count says what was sent about a batch.
type Count struct {
	Notified int `json:"notified"` // told that their order was placed
	Receipts int `json:"receipts"` // got their receipt
	Retried  int `json:"retried"`  // got it at a later attempt
}
