// Package audit keeps an append-only log of the actions in a system, in which every change is
// detected.
//
// One line switches it on. Modules record with the context of their handlers:
//
//	app.Use(audit.New(audit.Options{Key: privateKey}))
//
//	err := audit.Record(ctx, "order.refunded", slog.String("order", id), slog.Int("cents", 1990))
//
// The log also has what the App does: its configuration at the start, what its modules use, start
// and stop, dead letters and their changes, and groups that are deleted. It has each message that
// the App sends to a handle with [Always].
//
// # Guarantees
//
//  1. When [Record] returns nil, the entry is stored, as durably as a message of a stream, and a
//     signed checkpoint covers it. Both are one message: neither exists without the other.
//  2. Each checkpoint extends the ones before it. If a process or a server is killed at any
//     time, the log has no gap, no entry twice, and no two checkpoints of one size.
//  3. Any number of processes may record to one log. A message is stored on the condition that
//     the one before it is the last. A writer that is slower than another one is aborted, checks
//     what that one has stored, and signs the tree that follows. With Exclusive one process
//     writes, and Record of the others is Aborted.
//  4. [Verify] detects every change of the stored log: entries that were changed, removed, added,
//     repeated or reordered, a tail that was cut or forged, checkpoints that were replaced, or
//     signed by another key. A writer that detects a change stops writing: it signs nothing
//     over a damaged log.
//  5. Secrets are removed, by Redact, before an entry is hashed.
//  6. No message is lost, refused or delayed because the log cannot be written. Record returns
//     the error, and its caller decides. The life of the App is recorded without waiting: an
//     entry that cannot be stored is logged, and the App is unhealthy. With Mandatory the App
//     does not start without its log, and a message to a handle with [Always] is not sent
//     without its entry.
//
// # Limits
//
// The owner of the private key can write another history. If the store is set back to an older
// state, writers continue from there. Both contradict a checkpoint that was kept elsewhere, and
// Verify with From detects that. Keep checkpoints out of reach of the store's operators.
//
// If verifiers get different histories, they notice only when they compare their checkpoints.
// Only witnesses (https://c2sp.org/tlog-witness) prevent that: independent parties that sign
// checkpoints of one history. This package asks none, but its checkpoints have their format.
//
// A writer signs before it stores. If another one is faster, the rejected checkpoint is
// dropped, and only the server has seen it.
//
// An entry has at most [MaxEntry] bytes. A log has one key: to change the key, begin another log.
// Entries are never removed: keep personal data elsewhere, and record a reference.
//
// # Formats
//
// A log is a log of the transport, "audit_" and its name. Each message has entries, one a line as
// JSON, an empty line, and the checkpoint, so that "nats stream view" shows it. Its header
// Mono-Audit-Edge has the hashes that the next writer needs.
//
// [Tiles] serves a log as https://c2sp.org/tlog-tiles specifies, with the checkpoints of
// https://c2sp.org/tlog-checkpoint, signed by Ed25519 as in https://c2sp.org/signed-note. So
// programs of others verify it; tests do that with torchwood, Tessera's fsck, and the proofs of
// transparency-dev. A [Proof] has the format of https://c2sp.org/tlog-proof.
//
// # Concurrency
//
// All functions and methods may be called concurrently.
package audit
