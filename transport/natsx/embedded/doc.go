// Package embedded runs a NATS server in the process, and connects to it without a socket. A
// program that imports this package links the server.
//
// # Guarantees
//
// The guarantees of package natsx hold. In addition:
//
//  1. The server is closed by default. It listens on no address unless Listen, Cluster,
//     Monitor or a configuration file specifies one.
//  2. Each store has one server. A store directory is locked while a server uses it; a
//     second server, in this process or another, is refused.
//  3. Stored messages are synced to disk before they are acknowledged, unless
//     SyncInterval relaxes that. A message without room under MaxStore is refused with
//     resource_exhausted. If the disk is full before the limit is reached, the server
//     logs the failed write and does not answer: the sender gets deadline_exceeded, and
//     no acknowledged message is lost.
//  4. If the server cannot start, Start returns an error that explains the cause,
//     immediately. The server never ends the process and handles no signals. Errors and
//     log lines contain no credentials: errors in a configuration file give positions
//     in it.
//  5. Close ends the client, then the server, then frees the store. When it returns,
//     everything is on disk.
//  6. When the process ends, however suddenly, the store keeps the attempts that this
//     process had begun, the delays that it had requested, and the ids with which it had
//     stored messages. The server holds these in memory; the folder "mono" in the store
//     keeps them for the next process. docs/durability.md lists what survives which
//     failure.
package embedded
