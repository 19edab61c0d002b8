// Package interop tests that a client in another language takes part in a system of mono: it
// calls and provides services, publishes and receives events, enqueues jobs and works on them,
// appends to streams and reads them, and uses buckets and stores. docs/clients.md shows its code.
//
// The tests run with `make interop`, which installs nats.js and nats-py.
package interop
