// Package ledger is the books: earnings, in the order of their entries, kept for ever.
package ledger

import (
	"encoding/base64"
	"time"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Entries has one entry for every order that was placed. Its key is the order, so AppendAfter
// decides which checkout places an order. If a process is killed while it handles an entry,
// another one handles it after the AckWait.
var Entries = mono.NewStream[Entry]("ledger.entries",
	mono.Version("1.1.0"), mono.Doc("earnings"), mono.AckWait(2*time.Second)).KeyedBy(Entry.Key)

// Entry is money that an account got for an order, or a void.
type Entry struct {
	Account  string              `json:"account"`
	Placed   orders.Confirmation `json:"placed"`
	Checkout string              `json:"checkout,omitempty"` // that placed the order

	// Void names the order of a checkout that was given up. It contains no money. A checkout
	// that began before it can no longer enter the order.
	Void orders.GetRequest `json:"void,omitzero"`
}

// IsVoid reports whether the entry is a void.
func (e Entry) IsVoid() bool { return e.Void.ID != "" }

// Key is the key of the order.
func (e Entry) Key() string {
	if e.IsVoid() {
		return KeyOf(e.Void)
	}
	return KeyOf(orders.GetRequest{ID: e.Placed.Order.ID, Batch: e.Placed.Order.Batch})
}

// KeyOf returns the key of an order's entries. Keys allow fewer characters than ids.
func KeyOf(r orders.GetRequest) string { return base64.RawURLEncoding.EncodeToString([]byte(r.Key())) }
