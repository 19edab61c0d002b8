// Package transport is the seam between mono and what carries its messages.
//
// A backend implements [Transport]. Its comments are the specification: a
// sentence about what a method does is a promise that every backend keeps, and
// that the layer above builds on. Two backends come with mono: package inproc
// (goroutines and channels) and package natsx (NATS with JetStream).
//
// # Guarantees
//
//  1. Bytes. A transport carries subjects, headers and bodies as they are. It
//     neither reads nor changes a body.
//  2. Ownership. A message given to a transport may be changed by its owner as
//     soon as the call has returned, and nothing that was sent changes by it. A
//     message handed to a [Handler] belongs to that handler alone: no two
//     receivers ever share a header or a body.
//  3. Order. What one goroutine publishes on one Transport arrives at each
//     subscription in the order in which it was published. Nothing is promised
//     about the order between publishers.
//  4. At most once. Publish and Request deliver a message to a subscription once
//     or not at all. Only a [Log] stores, and only a [Log] delivers again.
//  5. No retry. A backend classifies an error (see [Error]) and returns it. It
//     never sends a second time on its own, and it never keeps a message back to
//     send it later: what cannot be handed over now is [Unavailable].
//  6. Outcome. An error says whether the message may have been acted upon. See
//     [Outcome].
//  7. Concurrency. Every method of every type in this package may be called from
//     several goroutines at once, unless its comment says otherwise.
//  8. After Close. Every method returns [Unavailable] with [OutcomeNotDone];
//     Close itself returns nil.
//
// What every kind of message needs lives above the seam and exactly once:
// retries, codecs, deadlines, tracing, validation of payloads, dead letters,
// limits on how many handlers run at once.
//
// # Subjects
//
// A subject is one or more tokens joined by dots, as in NATS (ADR-6). A token is
// not empty and holds neither white space, control characters, nor "*" and ">".
// A pattern may use "*" for exactly one token, and ">" as the last token for one
// or more. A subject is valid UTF-8 and at most [MaxSubject] bytes long.
//
// # Headers
//
// Names are case-sensitive; several values of one name keep their order, the
// order among different names is not kept. Names that begin with "Nats-", and
// the names "Status" and "Description", belong to the backend: sending one is
// [InvalidArgument], and none is ever delivered. Names that begin with "Mono-"
// are mono's own; wire.go lists them.
package transport
