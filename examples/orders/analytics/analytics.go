// Package analytics is the contract of the module that adds things up.
package analytics

import "gomono.dev/mono"

// Totals returns what was sold so far.
var Totals = mono.NewService[TotalsRequest, Report]("analytics.totals",
	mono.Version("1.0.0"), mono.Doc("what was sold so far"))

// TotalsRequest names the orders that came together.
type TotalsRequest struct {
	Batch string `json:"batch"`
}

// Report adds up what the events told, and what the ledger holds.
type Report struct {
	Placed   int              `json:"placed"`
	Released int              `json:"released"`
	Cents    map[string]int64 `json:"cents"`   // by product
	Entries  int              `json:"entries"` // of the ledger
	Booked   map[string]int64 `json:"booked"`  // cents by account of the ledger
}
