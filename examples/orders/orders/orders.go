// Package orders is the contract of the module that takes orders.
package orders

import "gomono.dev/mono"

var (
	// Place takes an order: it reserves the goods, charges the card, enters the
	// order in the ledger, and tells Placed. It fails with what inventory.Reserve
	// and payments.Charge fail with; then nothing is reserved or charged. Placing
	// an order again that is in the ledger changes nothing.
	Place = mono.NewService[Order, Confirmation]("orders.place",
		mono.Version("1.0.0"), mono.Doc("take an order"))

	// Get returns an order that was placed, or NotFound.
	Get = mono.NewService[GetRequest, Confirmation]("orders.get",
		mono.Version("1.0.0"), mono.Doc("look up a placed order"))

	// Placed is told once an order is paid for.
	Placed = mono.NewEvent[Confirmation]("orders.placed", mono.Version("1.0.0"))

	// Released is told when reserved goods were put back because the card was
	// declined.
	Released = mono.NewEvent[Order]("orders.released", mono.Version("1.0.0"))
)

// Order is what a customer wants.
type Order struct {
	ID       string `json:"id"`              // unique within its batch
	Batch    string `json:"batch,omitempty"` // orders that came together
	Customer string `json:"customer"`
	Card     string `json:"card,omitempty"`
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// Key identifies an order among all.
func (o Order) Key() string {
	if o.Batch == "" {
		return o.ID
	}
	return o.Batch + "/" + o.ID
}

// Confirmation is an order that was placed.
type Confirmation struct {
	Order   Order  `json:"order"` // without its card
	Cents   int64  `json:"cents"`
	Receipt string `json:"receipt"`
}

// GetRequest names an order.
type GetRequest struct {
	ID    string `json:"id"`
	Batch string `json:"batch,omitempty"`
}
