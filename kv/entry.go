package kv

import (
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Entry is one revision of a key.
type Entry[T any] struct {
	Key      string
	Value    T
	Revision uint64    // counts up over the whole bucket
	Created  time.Time // by the backend's clock; zero after a write, whose answer has no time
	Expires  time.Time // zero: never; after a write also zero
	Op       Op
}

// Op is the operation of an Entry.
type Op = driver.Op

// The operations. Only a Put has a value.
const (
	OpPut    = driver.Put    // the key was set
	OpDelete = driver.Delete // the key was deleted; its history remains
	OpPurge  = driver.Purge  // the key was deleted with its history
	OpExpire = driver.Expire // the value has expired
)

// noValue returns the error for a record that is not a value.
func noValue(r *driver.Record) error {
	switch r.Op {
	case driver.Expire:
		return notDone(transport.NotFound, "it has expired (revision %d)", r.Revision)
	case driver.Put:
		return nil
	}
	return notDone(transport.NotFound, "it was deleted (revision %d)", r.Revision)
}
