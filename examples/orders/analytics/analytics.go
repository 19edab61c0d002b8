// Package analytics is the contract of the module that adds things up.
package analytics

import "gomono.dev/mono"

// Totals returns what was sold so far.
var Totals = mono.NewService[struct{}, Report]("analytics.totals",
	mono.Version("1.0.0"), mono.Doc("what was sold so far"))

// Report adds up what the events told.
type Report struct {
	Placed   int              `json:"placed"`
	Released int              `json:"released"`
	Cents    map[string]int64 `json:"cents"` // by product
}
