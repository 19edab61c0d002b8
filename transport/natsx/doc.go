// Package natsx is the transport over NATS, with nats.go. It links no server;
// package embedded runs one within the process.
//
// # Guarantees
//
// Those of package transport, and these:
//
//  1. Nothing is kept back. While the connection is lost, Publish and Request are
//     Unavailable at once, or ResourceExhausted if the server is full. Reconnecting
//     never gives up, whatever the server says.
//     A peer that takes nothing for 5 seconds is lost; a Publish waits for that
//     long at most, whatever its context. What was handed to the
//     network before the loss was noticed (at most two PingIntervals, when the
//     peer vanished without a word) may be lost, as at most once allows.
//  2. A request that waits when the connection is lost fails then, with an
//     unknown outcome, and does not wait for its deadline. One that the server
//     denies fails as soon as the server reports that, JetStream's own included. A
//     Publish has returned by then: Watch reports it, and later ones on the subject
//     wait for the server's answer.
//  3. Services answer PING, INFO and STATS (ADR-32) themselves, so that
//     `nats micro ls|info|stats` shows them, with counts that are true although
//     handlers run concurrently.
//  4. Credentials appear in no error, log line or text of Options, wherever they
//     are given. A part of a URL that NATS ignores is an error.
//  5. Logs are streams of JetStream, and groups its durable consumers, so that the
//     tools for those work on them. What somebody else has set on them stays, as
//     far as mono does not name it. Nothing is deleted unless it is asked for.
//  6. A member of a group asks for what its handler has room for, and ahead of that
//     for what the handler settles in 50 ms, so that a slow one keeps nothing from
//     others. All that it holds is kept alive, several times in each AckWait. What
//     was in doubt when the connection broke is delivered again.
//  7. A delayed message is never early by the server's clock, and late by the
//     server's resolution: 250 ms at most, or longer while its log is full. A full
//     log takes those that are due about every two seconds. A NotBefore in the past
//     goes the same way, so that an id stays with those of delayed messages.
//  8. Attempts are deliveries that were not handed back, whichever member gets the
//     next one, and fences do not go back, also when the server ends. The stream
//     "mono_state" of the account keeps what that needs.
//  9. A server outside a cluster that ends forgets the ids of messages that are gone,
//     and may forget what was settled in its last moments. docs/durability.md lists
//     what survives what.
//  10. A deleted group that has to exist (see [transport.LogConfig].Groups) is recreated
//     by every Transport that declared it, also if only one consumer of an ordered
//     group is missing. The announcements of the server have the subjects
//     $JS.EVENT.ADVISORY.CONSUMER.DELETED.<log>.<consumer>. Without permission to
//     subscribe to them, a Transport checks the groups of a log every 5 seconds during
//     appends, and logs this once. It also checks them after each reconnect.
//
// # On the wire
//
// Subjects, headers and bodies are those of the messages. Replies that are errors
// carry the pair Nats-Service-Error and Nats-Service-Error-Code besides mono's
// headers; a reply with that pair alone, from a service written elsewhere, is
// given mono's. Other header names that begin with "Nats-" stay out of messages
// in both directions.
//
// A message of a log is published on its subject and kept under it; its id is the
// header Nats-Msg-Id. In a log with lanes it is kept under "_lane.<n>.<subject>". The
// log's stream does that to what is published under the first of its subjects, by
// whomever; what natsx appends under the others is published there by itself, and a
// plain client's message under them is not kept. Delayed messages wait in the stream
// "<log>__later". An ordered group of a log with lanes is the consumers
// "<group>_lane_<n>". Metadata that begins with "mono-" holds what JetStream has no
// field for. Delays need nats-server 2.14, a TTL per message 2.11.
package natsx
