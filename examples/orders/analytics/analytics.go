// Package analytics is the contract of the module that computes totals.
package analytics

import "gomono.dev/mono"

// Totals returns the sales so far.
var Totals = mono.NewService[TotalsRequest, Report]("analytics.totals",
	mono.Version("1.0.0"), mono.Doc("the sales so far"))

// TotalsRequest names a batch of orders.
type TotalsRequest struct {
	Batch string `json:"batch"`
}

// Report has the totals of the events and of the ledger.
type Report struct {
	Placed   int              `json:"placed"`
	Released int              `json:"released"`
	Cents    map[string]int64 `json:"cents"`   // by product
	Entries  int              `json:"entries"` // of the ledger
	Booked   map[string]int64 `json:"booked"`  // cents by account of the ledger
}
