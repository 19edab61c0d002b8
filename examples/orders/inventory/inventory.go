// Package inventory is the contract of the module for products and their stock.
package inventory

import "gomono.dev/mono"

var (
	// Check returns the price of a product and the most that one order can have.
	Check = mono.NewService[CheckRequest, Product]("inventory.check",
		mono.Version("1.0.0"), mono.Doc("price and availability of a product"))

	// Reserve sets goods aside. It fails with UnknownProduct or OutOfStock.
	// Reserving again with the same id changes nothing. A reservation that comes
	// after its release is a FailedPrecondition.
	Reserve = mono.NewService[ReserveRequest, Reservation]("inventory.reserve",
		mono.Version("1.1.0"), mono.Doc("set goods aside for an order"))

	// Release puts back the goods of a reservation, and reports whether there were
	// any. Releasing it again changes nothing. A reservation that has not been made
	// will not be made after it.
	Release = mono.NewService[ReleaseRequest, ReleaseReply]("inventory.release",
		mono.Version("1.1.0"), mono.Doc("put back goods that were set aside"))

	OutOfStock     = mono.NewFailure[Shortage]("inventory.out-of-stock", mono.FailedPrecondition)
	UnknownProduct = mono.NewFailure[Missing]("inventory.unknown-product", mono.NotFound)
)

// CheckRequest asks about a product.
type CheckRequest struct {
	Product string `json:"product"`
}

// Product describes a product. The shelf is refilled after every order, so the limit of an
// order does not depend on earlier orders.
type Product struct {
	Product string `json:"product"`
	Cents   int64  `json:"cents"`
	Shelf   int    `json:"shelf"`
}

// ReserveRequest asks for goods.
type ReserveRequest struct {
	ID       string `json:"id"` // of the reservation
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// Reservation is the goods that were set aside.
type Reservation struct {
	Cents int64 `json:"cents"` // for all of it
}

// ReleaseRequest names the reservation whose goods are no longer needed.
type ReleaseRequest struct {
	ID string `json:"id"`
}

// ReleaseReply reports whether goods went back.
type ReleaseReply struct {
	Released bool `json:"released"`
}

// Shortage is the difference between an order and the shelf.
type Shortage struct {
	Product string `json:"product"`
	Wanted  int    `json:"wanted"`
	Shelf   int    `json:"shelf"`
}

// Missing names a product that does not exist.
type Missing struct {
	Product string `json:"product"`
}
