// Package kv has typed key-value buckets.
//
// A bucket is declared like a handle of package mono, as a package variable, and opened by
// the modules that use it:
//
//	var Sessions = kv.NewBucket[Session]("sessions", kv.TTL(time.Hour))
//
//	func (m *Module) Bind(s *mono.Scope) error {
//		m.sessions = Sessions.Open(s)
//		return nil
//	}
//
// The package imports neither mono nor a backend: [Connect] opens a bucket on a bare
// transport. Buckets have NATS's standard format (ADR-8), so that the nats command and clients
// in other languages read and write the same values. See docs/clients.md.
//
// # Guarantees
//
//  1. A write is stored, or has no effect, or returns an error with an unknown outcome. No
//     error changes a stored value in part.
//  2. Of several conditional writes (Create, Update, Modify, conditional deletions) that
//     expect the same revision, one succeeds. The others get already_exists or aborted.
//  3. A listing is complete, or ends with an error. It is never cut silently.
//  4. An expired or deleted key has no value, and no older revision of it reappears. A TTL
//     that the bucket cannot keep is refused.
//  5. A process reads what it wrote, or something newer.
//  6. A Watch gives each change once and in order, or reports a gap with [EventReplay].
//  7. Bad arguments are invalid_argument before anything is sent. Every error names the bucket
//     and, if it is about one, the key. No method outlasts its context.
//
// # Errors
//
// Errors have the codes of package transport: not_found for a key without a value,
// already_exists for a Create of a key with one, aborted for an Update whose revision is not
// the newest, out_of_range for a revision of the future, resource_exhausted for a full bucket,
// data_loss for a value that cannot be decoded or has an unknown version, unimplemented for
// what the backend or the bucket cannot do, unavailable for a lost connection.
//
// # Keys
//
// Any text is a key, if it is not empty and has at most 768 bytes, where each byte outside
// -/_.A-Za-z0-9 counts three. NATS allows fewer characters, so such a byte, "=" itself, and a
// dot at an end or after another dot is written as "=HH". Another program's key that is no
// valid escape is listed as it is; it cannot be read by that text, because the text has
// another written form.
//
// # Concurrency
//
// All methods may be called concurrently, except those of a [Tx].
package kv
