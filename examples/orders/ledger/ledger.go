// Package ledger is the books: what was earned, in the order in which it was
// earned, for good.
package ledger

import (
	"time"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Entries has an entry for every order that was placed. Entries of one account
// keep their order, so those that follow one whose process was killed wait for its
// AckWait.
var Entries = mono.NewStream[Entry]("ledger.entries",
	mono.Version("1.0.0"), mono.Doc("what was earned"), mono.AckWait(2*time.Second)).KeyedBy(Entry.Key)

// Entry is money that an account got for an order.
type Entry struct {
	Account string              `json:"account"`
	Placed  orders.Confirmation `json:"placed"`
}

// Key is the account.
func (e Entry) Key() string { return e.Account }
