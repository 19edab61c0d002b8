package contract

import (
	"cmp"
	"fmt"
	"strings"
)

// Severity is how much a difference matters.
type Severity uint8

// The severities. A pair of declarations without a Difference works.
const (
	Works Severity = iota
	Warning
	Broken
)

// String returns "works", "warning" or "broken".
func (s Severity) String() string {
	return [...]string{Works: "works", Warning: "warning", Broken: "broken"}[min(s, Broken)]
}

// Direction is the way of the messages that a difference affects.
type Direction string

// The directions. A Difference of options affects Both.
const (
	Both     Direction = "both"
	Outgoing Direction = "outgoing" // this process sends, and the other one reads
	Incoming Direction = "incoming" // the other process sends, and this one reads
)

// Place is a declaration of a handle in one process.
type Place struct {
	Declared string // file:line
	Program  string
	Instance string   // the id of the process
	Modules  []Module // that use the handle
	Version  string   // of the option Version
}

// String returns the place and its owners, as in
// "orders.go:12 (program shop, instance 1f3a90c2, module mail 1.2.0)".
func (p Place) String() string {
	owners := []string{"program " + cmp.Or(p.Program, "unknown")}
	if p.Instance != "" {
		owners = append(owners, fmt.Sprintf("instance %.8s", p.Instance))
	}
	for _, m := range p.Modules {
		owners = append(owners, strings.TrimSpace("module "+m.Name+" "+m.Version))
	}
	if p.Version != "" {
		owners = append(owners, "version "+p.Version)
	}
	return fmt.Sprintf("%.300s (%.300s)", cmp.Or(p.Declared, "an unknown place"), strings.Join(owners, ", "))
}

// maxDifferences bounds the number of differences from one other process, and their parts have
// limits too: another process may declare anything.
const (
	maxDifferences = 256
	maxModules     = 16 // of a place
)

// Difference is one difference between the Contracts of two processes.
type Difference struct {
	Handle    string // kind and name, "" for the whole process
	Part      string // "request", "reply", "message" or "value"; "" for an option
	Path      string // the field within the part, as in "lines[].quantity"; or the option
	Severity  Severity
	Direction Direction
	Mine      Place
	Theirs    Place
	Text      string // all of it, with what to do
}
