// Package driver is the contract between package objstore and the backends that store
// objects.
//
// A store holds chunks and entries. The chunks of an upload have its id, and sequences that
// count up. An entry describes an object: its name, the id of its chunks, their number, their
// size and their digest. An object exists if its entry does. So chunks that no entry names are
// left over from an upload that was not finished, or are those of one in progress. Package
// objstore notes in the headers Mono-Upload and Mono-Upload-State of chunks how an upload
// continues.
//
// # Guarantees
//
//  1. Arguments are valid: package objstore checks them. A backend checks only what it alone
//     knows: the store's settings, its limits, and what is stored.
//  2. A backend sends each request once. It classifies errors: every error is a
//     transport.Error with the code and the outcome that the methods specify, or the error of
//     the context, with an unknown outcome. Package objstore adds the names of store and object.
//  3. While the backend is disconnected or closed, methods that send one request return
//     Unavailable with OutcomeNotDone. Read and Uploads wait for the connection; only after
//     Close they return Unavailable.
//  4. All methods may be called concurrently, except those of one Writer. The caller owns the
//     bytes of a Chunk that was read, and leaves those of a written one unchanged until the
//     method returns.
package driver

import (
	"context"
	"iter"
	"time"

	kv "gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// MaxName is the maximum length of an object's name, in bytes. Its key is a third longer.
const MaxName = kv.MaxKey / 4 * 3

// Backend is a transport.Transport that stores objects.
type Backend interface {
	transport.Transport

	// Objects returns the stores of the backend.
	Objects() Stores
}

// Stores holds stores.
type Stores interface {
	// Open opens the store that c describes, by the rules of kv's Store.Open.
	Open(ctx context.Context, c *Config) (Store, error)

	// List returns the stores, in any order. It ends with an error, or is complete.
	List(ctx context.Context) iter.Seq2[Info, error]

	// Delete deletes a store with all objects. A missing one is NotFound.
	Delete(ctx context.Context, name string) error
}

// Store is an open store.
type Store interface {
	// Config returns the latest known settings. The caller does not change them.
	Config() *Config

	// Info returns the state of the store, of its leader if it is replicated.
	Info(ctx context.Context) (Info, error)

	// Seal makes the store read-only, for ever.
	Seal(ctx context.Context) error

	// Entries returns the bucket that holds the entries, without history. The key of an entry
	// is the name of its object in URL-safe base64 without padding (RFC 4648, section 5). The
	// value is JSON; see Entry. The backend stores the end of an object as the clients of NATS
	// do, and reads it as a kv.Delete. A Put of only that, with an Expect, needs no room: in a
	// full store it takes that of the entry and of its chunks.
	Entries() kv.Bucket

	// Write returns a Writer that appends to the chunks of an upload. Its last chunk has the
	// sequence last, 0 if there is none.
	Write(upload string, last uint64) Writer

	// Chunk returns the first chunk of an upload at or after a sequence. NotFound means that
	// there is none. A replica may answer, which may not have the newest chunks.
	Chunk(ctx context.Context, upload string, from uint64) (*Chunk, error)

	// Last returns the last chunk of an upload, as the leader has it. NotFound means that there
	// is none.
	Last(ctx context.Context, upload string) (*Chunk, error)

	// Count returns the number of the chunks of an upload, as the leader has it.
	Count(ctx context.Context, upload string) (int, error)

	// Read calls yield for the chunks of an upload at or after a sequence, in order, until
	// yield returns false. It returns nil if yield got all that the answering replica has, or
	// returned false. It fetches ahead at most about a megabyte.
	Read(ctx context.Context, upload string, from uint64, yield func(*Chunk) bool) error

	// Uploads returns all uploads that have chunks, in any order. It ends with an error, or is
	// complete.
	Uploads(ctx context.Context) iter.Seq2[Upload, error]

	// Truncate deletes the last chunk of an upload, which has the given sequence. Aborted means
	// that it is not the last one.
	Truncate(ctx context.Context, upload string, last uint64) error

	// Discard deletes the chunks of an upload that ends with the given sequence. No Commit
	// that is in progress or follows stores an entry with these chunks. Aborted means that the
	// upload does not end there, perhaps because a Commit was first: nothing is deleted.
	Discard(ctx context.Context, upload string, last uint64) error

	// Remove deletes the chunks of an upload.
	Remove(ctx context.Context, upload string) error
}

// Writer appends chunks to an upload. Its methods are called one after the other.
type Writer interface {
	// Append sends a chunk. It returns before the chunk is acknowledged; it blocks while too
	// many bytes are not. Once a chunk was refused or lost, all methods return its error.
	// FailedPrecondition means that another Writer has appended to the upload, or that chunks
	// of it were removed.
	Append(ctx context.Context, c Chunk) error

	// Flush waits until all chunks are acknowledged, and returns the sequence of the last one.
	Flush(ctx context.Context) (last uint64, err error)

	// Commit appends the last chunk, if it is not nil, and stores the entry, both or none.
	// Aborted means that the entry's Expect does not hold: Commit may be called again, with
	// the same chunk and another entry. FailedPrecondition means that the upload does not end
	// with the chunk that Flush would return, or that chunks of it were removed. A backend that
	// cannot store both at once stores one after the other, and checks in between that all
	// chunks exist.
	Commit(ctx context.Context, c *Chunk, entry kv.Write) (revision uint64, err error)
}

// Chunk is a part of an object.
type Chunk struct {
	Sequence uint64        // set by the backend
	Created  time.Time     // set by the backend, by its clock
	After    int           // set by Chunk and Read: how many chunks of the upload follow, as the replica has it
	TTL      time.Duration // in whole seconds; 0 means the store's
	Header   transport.Header
	Data     []byte
}

// Upload describes the chunks of an upload.
type Upload struct {
	ID     string
	Chunks int
}

// Config has the settings of a store.
type Config struct {
	Name        string
	Existing    bool // do not create or change the store
	Description string
	TTL         time.Duration // of all objects; 0 means that they do not expire
	MaxBytes    int64         // of the store; 0 means no limit
	Memory      bool          // objects are lost when the servers stop
	Replicas    int           // 0 means the backend's default
	Compressed  bool
	Placement   *kv.Placement
	Metadata    map[string]string // of the user
	Generation  uint64            // of the declaration; the highest wins
}

// Info is the state of a store.
type Info struct {
	Config Config
	Bytes  uint64 // of all chunks and entries
	Sealed bool

	// Expires reports whether objects with a TTL of their own can be stored, and Batches
	// whether several entries, or a chunk and an entry, can be stored at once.
	Expires, Batches bool
}

// Entry is the JSON of an entry. It is ADR-20's, which the clients of NATS share.
type Entry struct {
	Name        string              `json:"name"`
	Description string              `json:"description,omitempty"`
	Headers     map[string][]string `json:"headers,omitempty"`
	Metadata    map[string]string   `json:"metadata,omitempty"`
	Options     *EntryOptions       `json:"options,omitempty"`
	Bucket      string              `json:"bucket"` // the store
	Upload      string              `json:"nuid"`
	Size        uint64              `json:"size"`
	Modified    time.Time           `json:"mtime"` // not set: the time of the record counts
	Chunks      uint32              `json:"chunks"`
	Digest      string              `json:"digest,omitempty"` // "SHA-256=" and URL-safe base64
	Deleted     bool                `json:"deleted,omitempty"`
}

// EntryOptions are the options of an Entry.
type EntryOptions struct {
	Link      *Link  `json:"link,omitempty"`
	ChunkSize uint32 `json:"max_chunk_size,omitempty"`
}

// Link names another object, or a whole store if Name is empty.
type Link struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name,omitempty"`
}
