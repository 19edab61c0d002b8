// Package natsx is the transport over NATS, with nats.go. It links no server;
// package embedded runs one within the process.
//
// # Guarantees
//
// Those of package transport, and these:
//
//  1. Nothing is kept back. While the connection is lost, Publish and Request are
//     Unavailable at once. Reconnecting never gives up, whatever the server says.
//     A peer that takes nothing for 5 seconds is lost; a Publish waits for that
//     long at most, whatever its context. What was handed to the
//     network before the loss was noticed (at most two PingIntervals, when the
//     peer vanished without a word) may be lost, as at most once allows.
//  2. A request that waits when the connection is lost fails then, with an
//     unknown outcome, and does not wait for its deadline.
//  3. Services answer PING, INFO and STATS (ADR-32) themselves, so that
//     `nats micro ls|info|stats` shows them, with counts that are true although
//     handlers run concurrently.
//  4. Secrets are in no error, no log, and not in what Options prints.
//
// # On the wire
//
// Subjects, headers and bodies are those of the messages. Replies that are errors
// carry the pair Nats-Service-Error and Nats-Service-Error-Code besides mono's
// headers; a reply with that pair alone, from a service written elsewhere, is
// given mono's. Other header names that begin with "Nats-" stay out of messages
// in both directions.
package natsx
