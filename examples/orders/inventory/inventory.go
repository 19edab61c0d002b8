// Package inventory is the contract of the module that knows the products.
package inventory

import "gomono.dev/mono"

var (
	// Check says what a product costs and how much of it one order can have.
	Check = mono.NewService[CheckRequest, Product]("inventory.check",
		mono.Version("1.0.0"), mono.Doc("price and availability of a product"))

	// Reserve sets goods aside for an order. It fails with UnknownProduct or
	// OutOfStock. Reserving again for the same order changes nothing.
	Reserve = mono.NewService[ReserveRequest, Reservation]("inventory.reserve",
		mono.Version("1.0.0"), mono.Doc("set goods aside for an order"))

	// Release puts back what was reserved for an order. Releasing what is not
	// reserved changes nothing.
	Release = mono.NewService[ReleaseRequest, struct{}]("inventory.release",
		mono.Version("1.0.0"), mono.Doc("put back what was set aside"))

	OutOfStock     = mono.NewFailure[Shortage]("inventory.out-of-stock", mono.FailedPrecondition)
	UnknownProduct = mono.NewFailure[Missing]("inventory.unknown-product", mono.NotFound)
)

// CheckRequest asks about a product.
type CheckRequest struct {
	Product string `json:"product"`
}

// Product is what the inventory knows of one. The shelf is refilled after every
// order, so what an order can have does not depend on the orders before it.
type Product struct {
	Product string `json:"product"`
	Cents   int64  `json:"cents"`
	Shelf   int    `json:"shelf"`
}

// ReserveRequest asks for goods.
type ReserveRequest struct {
	Order    string `json:"order"`
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// Reservation is what was set aside.
type Reservation struct {
	Cents int64 `json:"cents"` // for all of it
}

// ReleaseRequest names the order whose goods are not needed after all.
type ReleaseRequest struct {
	Order string `json:"order"`
}

// Shortage says how much there is.
type Shortage struct {
	Product string `json:"product"`
	Wanted  int    `json:"wanted"`
	Shelf   int    `json:"shelf"`
}

// Missing names a product that does not exist.
type Missing struct {
	Product string `json:"product"`
}
