// Package payments is the contract of the module that charges cards.
package payments

import (
	"strings"

	"gomono.dev/mono"
)

var (
	// Charge takes money from a card. It fails with Declined. Charging again with
	// the same id charges once, in any process. A charge that comes after its
	// refund is a FailedPrecondition.
	Charge = mono.NewService[ChargeRequest, Receipt]("payments.charge",
		mono.Version("1.1.0"), mono.Doc("take money from a card"))

	// Refund returns the money of a charge. Refunding it again changes nothing. A
	// charge that has not happened will not happen after it.
	Refund = mono.NewService[RefundRequest, struct{}]("payments.refund",
		mono.Version("1.0.0"), mono.Doc("return the money of a charge"))

	// Get returns the state of a charge, or NotFound.
	Get = mono.NewService[GetRequest, Payment]("payments.get",
		mono.Version("1.0.0"), mono.Doc("look up a charge"))

	// Declined is 402 Payment Required over HTTP.
	Declined = mono.NewFailure[Decline]("payments.declined", mono.FailedPrecondition, mono.HTTPStatus(402))

	// Movements is the bank's book. It stands for a payment provider, which remembers charges
	// by their id, for every process.
	Movements = mono.NewStream[Movement]("payments.movements",
		mono.Version("1.0.0"), mono.Doc("the bank's book: charges and refunds")).KeyedBy(Movement.Key)
)

// ChargeRequest specifies an amount and the card to take it from.
type ChargeRequest struct {
	ID    string `json:"id"`    // of the charge
	Order string `json:"order"` // on the receipt
	Card  string `json:"card"`
	Cents int64  `json:"cents"`
}

// Receipt proves a charge.
type Receipt struct {
	Number string `json:"number"`
}

// RefundRequest names the charge whose money goes back.
type RefundRequest struct {
	ID    string `json:"id"`
	Order string `json:"order"`
}

// GetRequest names a charge.
type GetRequest struct {
	ID string `json:"id"`
}

// Payment is the state of a charge.
type Payment struct {
	Cents    int64 `json:"cents"` // that the bank holds
	Refunded bool  `json:"refunded"`
}

// Decline is the reason why a card was refused.
type Decline struct {
	Reason string `json:"reason"`
}

// Movement is money that came from a card, or went back to it.
type Movement struct {
	Charge string `json:"charge"`
	Order  string `json:"order"`
	Cents  int64  `json:"cents"` // negative or 0 for a refund
	Refund bool   `json:"refund,omitempty"`
}

// Key is the id of the charge.
func (m Movement) Key() string { return m.Charge }

// IsCard reports whether a text has the form of a card's number: 12 digits or more.
func IsCard(card string) bool {
	digits := strings.NewReplacer(" ", "", "-", "").Replace(card)
	return len(digits) >= 12 && strings.Trim(digits, "0123456789") == ""
}
