// Package links is the contract of the module that keeps the links.
package links

import (
	"time"

	"gomono.dev/mono"
)

var (
	// Shorten makes a link. An alias that is in use is AlreadyExists; without one, the link
	// gets a random alias. A bad URL, alias or life is InvalidArgument.
	Shorten = mono.NewService[ShortenRequest, Link]("links.shorten", mono.Version("1.0.0"), mono.Doc("make a link"))

	// Get returns a link, or NotFound.
	Get = mono.NewService[Name, Link]("links.get", mono.Version("1.0.0"), mono.Doc("look up a link"))

	// Resolve is Get for a visitor: it publishes Visited.
	Resolve = mono.NewService[Name, Link]("links.resolve", mono.Version("1.0.0"), mono.Doc("follow a link"))

	// Update changes a link that still has the given revision. Otherwise it is Aborted.
	Update = mono.NewService[UpdateRequest, Link]("links.update", mono.Version("1.0.0"), mono.Doc("change a link"))

	// Delete deletes a link, if it still has the given revision. Otherwise it is Aborted.
	Delete = mono.NewService[DeleteRequest, Link]("links.delete", mono.Version("1.0.0"), mono.Doc("delete a link"))

	// List returns the newest links, at most MaxList.
	List = mono.NewService[ListRequest, ListReply]("links.list", mono.Version("1.0.0"), mono.Doc("list the newest links"))

	// Visited is published at least once for each visit.
	Visited = mono.NewEvent[Visit]("links.visited", mono.Version("1.0.0"), mono.Durable())
)

// Limits of a link.
const (
	MaxURL      = 2048 // bytes
	MinLife     = time.Minute
	MaxLife     = 366 * 24 * time.Hour
	DefaultLife = 30 * 24 * time.Hour
	MaxList     = 100
)

// Link is a short link.
type Link struct {
	Alias    string    `json:"alias"`
	URL      string    `json:"url"`
	ID       string    `json:"id"` // unlike the alias, no other link ever has it
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Revision uint64    `json:"revision"` // another one after each change
}

// ShortenRequest describes a new link.
type ShortenRequest struct {
	URL   string        `json:"url"`
	Alias string        `json:"alias,omitempty"`
	Life  time.Duration `json:"life,omitempty"` // 0 means DefaultLife
}

// UpdateRequest describes a change of a link.
type UpdateRequest struct {
	Alias    string        `json:"alias"`
	Revision uint64        `json:"revision"`
	URL      string        `json:"url,omitempty"`  // "" means the present one
	Life     time.Duration `json:"life,omitempty"` // from now on; 0 means the rest of the present one
}

// DeleteRequest names a link and its revision.
type DeleteRequest struct {
	Alias    string `json:"alias"`
	Revision uint64 `json:"revision"`
}

// Name names a link.
type Name struct {
	Alias string `json:"alias"`
}

// ListRequest is empty.
type ListRequest struct{}

// ListReply has links, the newest first.
type ListReply struct {
	Links []Link `json:"links"`
}

// Visit is one visit of a link.
type Visit struct {
	Link string    `json:"link"` // its ID
	At   time.Time `json:"at"`
}
