// Package objstore has stores of objects: content of any size under a name, beside the messages.
//
// A store is declared like a handle of package mono, as a package variable, and opened by the
// modules that use it:
//
//	var Uploads = objstore.NewStore("uploads", objstore.MaxBytes(10<<30))
//
//	func (m *Module) Bind(s *mono.Scope) error {
//		m.uploads = Uploads.Open(s)
//		return nil
//	}
//
//	info, err := m.uploads.Put(ctx, "2026/report.pdf", r, objstore.ContentType("application/pdf"))
//	f, err := m.uploads.Open(ctx, "2026/report.pdf") // io.ReadSeekCloser, io.ReaderAt
//
// The package imports neither mono nor a backend: [Connect] opens a store on a bare transport.
// Stores have NATS's standard format (ADR-20), so that the nats command and clients in other
// languages read and write the same objects. See docs/clients.md.
//
// # Guarantees
//
//  1. An object is whole, or not there. A Put takes effect at its end, at once: readers see the
//     old object or the new one, never a mixture. After an error the old one is there, or the
//     outcome of the error is unknown.
//  2. A read from the beginning to the end checks the digest of the content before it returns the
//     last chunk. A read of a part checks the number and the sizes of the chunks.
//  3. A reader that is overtaken by another Put, or by a deletion, reads the new object if it has
//     returned nothing, and gets aborted otherwise.
//  4. Of several concurrent Puts of one object, one succeeds. The others get aborted.
//  5. A Put that fails, is cancelled or loses leaves nothing behind. If its process is killed, or
//     its connection is lost, [Objects.Sweep] removes what it left, and nothing else.
//  6. A Put needs memory for two chunks, and a read for about a megabyte, whatever the size.
//  7. A listing is complete, or ends with an error. A Watch gives each change once and in order,
//     or reports a gap with [EventReplay].
//  8. A process reads what it wrote, or something newer.
//  9. Bad arguments are invalid_argument before anything is sent. Every error names the store
//     and, if it is about one, the object. No method outlasts its context, except that it takes
//     up to 10 seconds more to remove what it has left behind.
//
// A NATS server before 2.12, and a store that another client has created, cannot store the last
// chunk and the description of an object at once. There, a Put that pauses at its very end may
// succeed although a Sweep has removed its chunks meanwhile.
//
// # Errors
//
// Errors have the codes of package transport: not_found for a missing object, already_exists for
// a Put with IfAbsent over an object, aborted for any other condition that does not hold, and for
// a Put or a reader that another Put has overtaken, data_loss for missing or changed content,
// failed_precondition for a sealed store and for a Put whose chunks were removed, out_of_range
// for a revision of the future, resource_exhausted for a full store, unimplemented for what the
// backend or the store cannot do, unavailable for a lost connection, and unknown for an error of
// the reader that a Put was given.
//
// # Names
//
// The name of an object is any valid UTF-8 that is not empty and has at most MaxName bytes.
// Slashes have no meaning, except as a [Delimiter].
//
// # Concurrency
//
// All methods may be called concurrently. Of an [Object], only ReadAt and Info may.
package objstore
