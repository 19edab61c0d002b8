// Package orders is the contract of the module that takes orders.
package orders

import (
	"time"

	"gomono.dev/mono"
)

var (
	// Place takes an order: it reserves the goods, charges the card and enters the
	// order in the ledger. The ledger holds one entry for each order, so of several
	// callers with one order, in any process, one places it.
	//
	// Placing an order again returns its confirmation, and AlreadyExists if it was placed with
	// another content; the card does not count. Any other error means that the order was not
	// placed, or, if the outcome is unknown, that a second call finds out. Goods and money of
	// an order that was not placed are returned.
	Place = mono.NewService[Order, Confirmation]("orders.place",
		mono.Version("1.1.0"), mono.Doc("take an order"), mono.Timeout(10*time.Second))

	// Get returns a placed order, or NotFound. It finds every order that any process has placed
	// before the call.
	Get = mono.NewService[GetRequest, Confirmation]("orders.get",
		mono.Version("1.0.0"), mono.Doc("look up a placed order"), mono.Timeout(10*time.Second))

	// Placed is published once for each entry of the ledger, soon after it. It is published
	// again if its publisher dies before the ledger's group knows.
	Placed = mono.NewEvent[Confirmation]("orders.placed", mono.Version("1.0.0"))

	// Released is published, at most once, when goods are put back because their order was
	// refused after the reservation.
	Released = mono.NewEvent[Order]("orders.released", mono.Version("1.0.0"))

	// Checkouts has a job for every checkout, stored before the goods are reserved
	// and due some time later. Its worker returns goods and money unless the
	// checkout is in the ledger, even if the process that began it has crashed.
	Checkouts = mono.NewQueue[Checkout]("orders.checkouts",
		mono.Version("1.0.0"), mono.Doc("checkouts to be settled"),
		mono.MaxAttempts(1000), mono.Backoff(mono.Exponential(time.Second, time.Minute)),
		mono.MaxPending(100_000), mono.MaxDelayed(100_000))

	// Refusals has an entry, for a day, of every checkout that ended before anything was
	// charged. Such a checkout stores nothing in the ledger and the bank's book.
	Refusals = mono.NewStream[Refusal]("orders.refusals",
		mono.Version("1.0.0"), mono.Doc("checkouts that charged nothing"), mono.MaxAge(24*time.Hour)).KeyedBy(Refusal.Key)
)

// Order is an order of a customer.
type Order struct {
	ID       string `json:"id"`              // unique within its batch
	Batch    string `json:"batch,omitempty"` // orders that came together
	Customer string `json:"customer"`
	Card     string `json:"card,omitempty" redact:"last4"`
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// Key identifies an order.
func (o Order) Key() string { return GetRequest{ID: o.ID, Batch: o.Batch}.Key() }

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

// Key is the Key of the order.
func (r GetRequest) Key() string {
	if r.Batch == "" {
		return r.ID
	}
	return r.Batch + "/" + r.ID
}

// Checkout is one attempt to place an order. Goods are reserved and cards are charged for a
// checkout, so the loser of two can return its part without the winner's.
type Checkout struct {
	ID    string `json:"id"`
	Order Order  `json:"order"` // without its card
}

// Refusal names a checkout that ended before anything was charged.
type Refusal struct {
	Checkout string `json:"checkout"`
}

// Key is the id of the checkout.
func (r Refusal) Key() string { return r.Checkout }
