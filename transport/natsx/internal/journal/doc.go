// Package journal keeps what a NATS server holds in memory only, for the process
// that comes after the one that ends together with its server: how many attempts
// there were at a message, when its next one is due, and the ids of messages that
// are gone.
//
// A Journal without a directory does the same for as long as the process lives.
// That covers a server elsewhere that is restarted.
//
// # Files
//
// The directory holds segments, 00000001.journal and so on. A segment is a row of
// frames: the length of the payload and its CRC-32C, 32 bits each and little
// endian, then the payload, which is a row of records. A frame is written by one
// system call before its subject goes on, so the end of the process loses none. The
// journal does not sync: a loss of power may cost its end. A reader stops at the
// first frame that is not whole.
//
// Each segment begins with all that is known of deliveries, so earlier ones are
// needed for their ids alone, and are removed when the last of these has expired.
package journal
