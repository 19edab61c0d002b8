// Package embedded runs a NATS server within the process, and connects to it
// without a socket. A program that imports it links the server.
//
// # Guarantees
//
// Those of natsx, and these:
//
//  1. Closed by default. The server listens on nothing unless Listen, Cluster,
//     Monitor or a configuration file says so.
//  2. One store, one server. A store directory is locked while a server uses it;
//     a second one, in this process or another, is refused.
//  3. Stored messages are synced to disk before they are acknowledged, unless
//     SyncInterval relaxes that. What has no room under MaxStore is
//     resource_exhausted. On a disk that is full although the limit is not
//     reached, the server logs the failed write and does not answer: the sender
//     gets deadline_exceeded, and nothing that was acknowledged is lost.
//  4. What keeps the server from starting is an error in words, at once. The
//     server never ends the process and handles no signals. Errors and log lines
//     show no credentials: those of a configuration file give positions in it.
//  5. Close ends the client, then the server, then frees the store; when it has
//     returned, everything is on disk.
//  6. The end of the process, however sudden, forgets no attempt that this process
//     had begun, no delay that it had asked for, and no id with which it had stored a
//     message. The server itself keeps these in memory; the folder "mono" in the store
//     has them for the next process. docs/durability.md lists what survives what.
package embedded
