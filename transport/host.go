package transport

import (
	"context"
	"log/slog"
	"sync"

	"gomono.dev/codec"
)

// Host runs components beside the handles, such as the buckets of package kv. The Scope
// of a module, an App and the harness of a test are Hosts.
type Host interface {
	// Attach adds a component to what the Host starts and stops. An error of the component
	// is an error of the start.
	Attach(c Component)
}

// Component is a part of a system that a Host starts and stops.
//
// Several components have the same kind and name if several modules use the same bucket.
type Component struct {
	Kind  string // such as "bucket"
	Name  string // such as "sessions"
	Place string // the file and line that attached it

	Declared string            // the file and line of its declaration
	Type     string            // the Go type of its values; "" if it has none
	Settings map[string]string // the options of its declaration, by name

	// StoredAs returns the name of what it stores, in a namespace. It may be nil.
	StoredAs func(namespace string) string

	// Check reports a mistake that is known without a request. It is called for all components
	// of a Host before the first one is opened. It may be nil.
	Check func(e Environment) error

	// Needs returns the configuration of what it stores, for [Need].Stored. It may be nil.
	Needs func(e Environment) any

	// Open is called before the Start of the module that attached the component. An error
	// ends the start. It may be called again at the next start, after Close.
	Open func(ctx context.Context, e Environment) error

	// Close is called after the Stop of the module, if Open returned nil.
	Close func(ctx context.Context) error

	// Health returns nil if the component works, otherwise the reason. It is called while the
	// component is open, also concurrently. It may be nil.
	Health func(ctx context.Context) error
}

// Environment is the part of a Host that a component uses.
type Environment struct {
	Transport  Transport
	Codec      codec.Codec  // of values without a codec of their own
	Logger     *slog.Logger // never nil
	Namespace  string       // begins the names of everything that is stored; "" for none
	Generation uint64       // of the program's declarations; the highest wins

	// Shared has the state that the components of one start share. Keys are of unexported
	// types. It may be nil.
	Shared *sync.Map
}
