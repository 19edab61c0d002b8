// Package transport defines the contract between mono and the backends that carry its
// messages.
//
// Package driver makes a [Transport] of a backend. The comments of this package are the
// specification: each sentence about a method is a promise that every backend keeps and
// that the layer above relies on. Two backends come with mono: package inproc (goroutines
// and channels) and package natsx (NATS with JetStream).
//
// # Guarantees
//
//  1. Bytes. A transport carries subjects, headers and bodies unchanged. It does not
//     interpret bodies.
//  2. Ownership. The owner of a message may change it as soon as the call that sent it
//     has returned. What was sent stays unchanged. A message passed to a [Handler]
//     belongs to that handler alone: no two receivers share a header or a body.
//  3. Order. Messages published by one goroutine on one Transport arrive at each
//     subscription in the order in which they were published. The order between
//     publishers is unspecified.
//  4. At most once. Publish and Request deliver a message to a subscription once or not
//     at all. Only a [Log] stores messages, and only a [Log] redelivers them.
//  5. No retry. A backend classifies an error (see [Error]) and returns it. It never
//     sends a message a second time by itself, and it never holds a message back to send
//     it later: a message that cannot be handed over now is [Unavailable].
//  6. Outcome. An error specifies whether the message may have been processed. See
//     [Outcome].
//  7. Concurrency. Every method of every type in this package may be called concurrently,
//     unless its comment states otherwise.
//  8. After Close. Every method returns [Unavailable] with [OutcomeNotDone]; Close itself
//     returns nil.
//
// The layer above implements once what every kind of message needs: retries, codecs,
// deadlines, tracing, validation of payloads, dead letters, and limits on concurrent
// handlers.
//
// # Subjects
//
// A subject is one or more tokens joined by dots, as in NATS (ADR-6). A token is not
// empty and contains no white space, no control characters, and neither "*" nor ">". A
// pattern may use "*" for exactly one token, and ">" as the last token for one or more. A
// subject is valid UTF-8 and at most [MaxSubject] bytes long.
//
// # Headers
//
// Names are case-sensitive. Several values of one name keep their order; the order among
// different names is not kept. Names that begin with "Nats-", and the names "Status" and
// "Description", belong to the backend: sending one is [InvalidArgument], and none is
// ever delivered. Names that begin with "Mono-" belong to mono; wire.go lists them.
package transport
