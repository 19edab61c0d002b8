// Package payments is the contract of the module that charges cards.
package payments

import "gomono.dev/mono"

var (
	// Charge takes money from a card. It fails with Declined. Charging again for
	// the same order charges once.
	Charge = mono.NewService[ChargeRequest, Receipt]("payments.charge",
		mono.Version("1.0.0"), mono.Doc("take money from a card"))

	Declined = mono.NewFailure[Decline]("payments.declined", mono.FailedPrecondition)
)

// ChargeRequest says how much to take, and from which card.
type ChargeRequest struct {
	Order string `json:"order"`
	Card  string `json:"card"`
	Cents int64  `json:"cents"`
}

// Receipt proves a charge.
type Receipt struct {
	Number string `json:"number"`
}

// Decline says why a card was refused.
type Decline struct {
	Reason string `json:"reason"`
}
