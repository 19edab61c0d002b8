// Package stats is the contract of the module that counts visits.
package stats

import (
	"time"

	"gomono.dev/mono"
)

// Get returns the counts of links, in the order of the request. A visit is counted soon after
// it has happened.
var Get = mono.NewService[Request, Reply]("stats.get", mono.Version("1.0.0"), mono.Doc("count the visits of links"))

// Request names links by their ID.
type Request struct {
	Links []string `json:"links"`
}

// Reply has one Counts for each link.
type Reply struct {
	Counts []Counts `json:"counts"`
}

// Counts has the visits of a link.
type Counts struct {
	Visits int       `json:"visits"`
	Last   time.Time `json:"last,omitzero"` // zero: never
}
