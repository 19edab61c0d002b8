// Package journal records state that a NATS server holds in memory only: the number of
// attempts at a message, the time of the next attempt, and the ids of removed messages. The
// next process reads it if the server ended together with this process.
//
// A Journal without a directory keeps the same state for the life of the process,
// which covers the restart of a server elsewhere.
//
// # Files
//
// The directory holds segments, 00000001.journal and so on. A segment is a row of
// frames: the length of the payload and its CRC-32C, 32 bits each and little
// endian, then the payload, which is a sequence of records. One system call writes a
// frame, so the end of the process loses none. The journal does not sync: a loss of
// power may truncate it. A reader stops at the first incomplete frame.
//
// Each segment begins with a snapshot of all deliveries. Earlier segments are needed only for
// their ids, and are removed when the last id has expired.
//
// The file "slots" holds the attempts under way. See slots.
package journal
