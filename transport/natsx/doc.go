// Package natsx implements the transport contract over NATS, with nats.go. It links no
// server; package embedded runs one in the process.
//
// # Guarantees
//
// The guarantees of package transport hold. In addition:
//
//  1. No message is buffered. While the connection is lost, Publish and Request fail
//     immediately with Unavailable, or with ResourceExhausted if the server is full.
//     The Transport reconnects forever, whatever error the server reports. A peer that
//     accepts no data for 5 seconds counts as lost. A Publish waits for at most that
//     time, whatever its context. Data that was written to the network before the loss
//     was noticed may be lost, as at-most-once delivery allows. A peer that vanishes
//     without closing the connection is noticed after at most two PingIntervals.
//  2. A Request that waits when the connection is lost fails immediately, with an
//     unknown outcome, instead of waiting for its deadline. A Request that the server
//     denies fails when the server reports that, including requests to JetStream. A
//     denied Publish has already returned: Watch reports the denial, and later calls of
//     Publish on the subject wait for the server's answer.
//  3. Services answer PING, INFO and STATS (ADR-32) themselves, so `nats micro
//     ls|info|stats` shows them. The counts are correct although handlers run
//     concurrently.
//  4. Credentials appear in no error, log line or formatted Options, whichever option
//     holds them. A part of a URL that NATS ignores is an error.
//  5. Logs are streams of JetStream and groups are durable consumers, so the NATS tools
//     work on them. Settings that mono does not name keep the values that others have
//     given them. Nothing is deleted unless a caller asks for it.
//  6. A member of a group requests as many messages as its handler has room for, plus
//     those that the handler settles in 50 ms, so a slow member keeps nothing from
//     others. It extends all deliveries that it holds several times in each AckWait.
//     Deliveries in doubt when the connection broke are delivered again.
//  7. A delayed message is never early by the server's clock. It is late by at most the
//     server's resolution of 250 ms, or longer while its log is full. A full log
//     accepts due messages about every two seconds. A NotBefore in the past follows the
//     same path, so its id stays among the ids of delayed messages.
//  8. Attempts count the deliveries that were not handed back, whichever member gets the
//     next one. Fencing tokens do not decrease, also when the server ends. The account's
//     stream "mono_state" keeps the data for that.
//  9. A server outside a cluster that ends forgets the ids of removed messages. It may
//     also forget settlements of its last moments. docs/durability.md lists what
//     survives which failure.
//  10. A deleted group that has to exist (see [transport.LogConfig].Groups) is recreated
//     by every Transport that declared it, also if only one consumer of an ordered
//     group is missing. The announcements of the server have the subjects
//     $JS.EVENT.ADVISORY.CONSUMER.DELETED.<log>.<consumer>. Without permission to
//     subscribe to them, a Transport checks the groups of a log every 5 seconds during
//     appends, and logs this once. It also checks them after each reconnect.
//  11. Buckets have the format of NATS key-value (ADR-8), so `nats kv` and other clients
//     read and write them. Settings of a bucket that another tool has made change only if
//     they are given. A listing is complete, or ends with an error.
//  12. Preflight only reads. It sends nothing on the subjects of a program and subscribes to none
//     of them. docs/preflight.md lists what it compares, and what an account cannot know.
//
// # Wire format
//
// docs/clients.md describes the messages for clients in other languages, with code.
//
// NATS messages have the subject, header and body of the mono messages. Replies with errors
// carry the pair Nats-Service-Error, in ASCII, and Nats-Service-Error-Code in addition to
// mono's headers. A reply with that pair alone, from a service that does not use mono, is given
// mono's headers. Other header names that begin with "Nats-" are removed from messages in
// both directions.
//
// A request whose provider is natsx too has no headers, but the fields in its reply subject: see
// docs/clients.md. A stream of another tool that stores such requests does not store the fields.
//
// A message of a log is published on its subject and stored under it. Its id is the header
// Nats-Msg-Id. In a log with partitions it is stored under "_partition.<n>.<subject>". The stream of
// the log transforms every message that is published under the first of the log's subjects,
// by any client. For the other subjects natsx publishes on the transformed subject itself; a
// message that a plain client publishes under them is not stored. Delayed messages wait in
// the stream "<log>__later". An ordered group of a log with partitions consists of the consumers
// "<group>_partition_<n>". Metadata that begins with "mono-" holds settings for which JetStream
// has no field. Delays need nats-server 2.14, a TTL per message needs 2.11.
package natsx
