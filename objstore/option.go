package objstore

import (
	"fmt"
	"net/textproto"
	"strconv"
	"time"

	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// StoreOption is an option of NewStore: [TTL], [Description], [MaxBytes], [Memory], [Replicas],
// [Compression], [PlacedIn], [ChunkSize], [StoredAs], [Existing], [Index] or [MaxStale].
type StoreOption interface{ storeOption(o *storeOptions) }

// PutOption is an option of Put: [TTL], [Description], [ContentType], [Header], [Metadata],
// [Size], [ChunkSize], [Progress], [IfAbsent], [IfRevision] or [IfDigest].
type PutOption interface{ putOption(o *putOptions) }

// Condition is an option of a write: [IfRevision] or [IfDigest]. If it does not hold, the
// write is aborted.
type Condition interface {
	PutOption
	condition(c *conditions)
}

type storeOptions struct {
	driver.Config
	chunk    int
	storedAs string
	index    bool
	maxStale time.Duration // 0: the default
	err      error
}

type putOptions struct {
	conditions
	description string
	contentType string
	header      map[string]string
	metadata    map[string]string
	ttl         time.Duration
	size        int64 // -1: unknown
	chunk       int
	progress    func(done int64)
	err         error
}

func putOptionsOf(options []PutOption) (putOptions, error) {
	all := putOptions{size: -1}
	for _, option := range options {
		if option == nil {
			return all, invalid("an option is nil")
		}
		option.putOption(&all)
	}
	return all, firstError(all.err, all.conditions.err, checkHeader(all.header))
}

type storeOption func(*storeOptions)

func (f storeOption) storeOption(o *storeOptions) { f(o) }

type putOption func(*putOptions)

func (f putOption) putOption(o *putOptions) { f(o) }

// sharedOption is a [SharedOption].
type sharedOption struct {
	store storeOption
	put   putOption
}

func (s sharedOption) storeOption(o *storeOptions) { s.store(o) }
func (s sharedOption) putOption(o *putOptions)     { s.put(o) }

// SharedOption is an option of NewStore and of Put.
type SharedOption interface {
	StoreOption
	PutOption
}

// TTL limits the life of all objects, or of one as an option of Put. The shorter of both
// counts. The server counts whole seconds: the life is rounded up, and at least a second. It begins
// with the first byte: a Put that takes longer than its TTL is failed_precondition.
//
// From its Expires on, an object is gone for every reader, whichever server answers. A server of
// NATS may remove it a second later. A Put with [IfAbsent] succeeds already before that.
//
// The clock of the server that leads the store decides. A process asks for it if an object has
// expired by the local clock. So a local clock that is ahead hides no object, except in an
// [Index]. If it is behind, an object may be returned late, by at most the difference. Each
// server removes objects by its own clock: if that is ahead, it removes them early.
func TTL(life time.Duration) SharedOption {
	var err error
	if life < time.Second || life > maxTTL {
		err = fmt.Errorf("a TTL of %v: want 1s to %v", life, maxTTL)
	}
	whole := (life + time.Second - 1).Truncate(time.Second)
	return sharedOption{
		func(o *storeOptions) { o.TTL, o.err = whole, firstError(o.err, err) },
		func(o *putOptions) { o.ttl, o.err = whole, firstError(o.err, asInvalid(err)) },
	}
}

const maxTTL = 100 * 365 * 24 * time.Hour

// Description sets the description of a store, or of an object.
func Description(text string) SharedOption {
	return sharedOption{
		func(o *storeOptions) { o.Description = text },
		func(o *putOptions) { o.description = text },
	}
}

// DefaultChunkSize is the default of [ChunkSize].
const DefaultChunkSize = 128 << 10

// ChunkSize sets the size of the chunks of new objects, in bytes. The default is
// DefaultChunkSize. At most the payload limit of the transport, less a kilobyte, is used.
func ChunkSize(bytes int) SharedOption {
	var err error
	if bytes < 1 {
		err = fmt.Errorf("a ChunkSize of %d bytes: want 1 or more", bytes)
	}
	return sharedOption{
		func(o *storeOptions) { o.chunk, o.err = bytes, firstError(o.err, err) },
		func(o *putOptions) { o.chunk, o.err = bytes, firstError(o.err, asInvalid(err)) },
	}
}

func asInvalid(err error) error {
	if err == nil {
		return nil
	}
	return invalid("%w", err)
}

// MaxBytes limits the size of the store, in bytes. A Put to a full store is
// resource_exhausted. A Put that replaces an object needs room for both, and a Rename or an Update
// for a description. A Delete needs none.
func MaxBytes(bytes int64) StoreOption {
	return storeOption(func(o *storeOptions) {
		o.MaxBytes = bytes
		if bytes < 1 {
			o.err = firstError(o.err, fmt.Errorf("a MaxBytes of %d: want 1 or more", bytes))
		}
	})
}

// Memory keeps the objects in memory: they are lost when the servers stop.
func Memory() StoreOption { return storeOption(func(o *storeOptions) { o.Config.Memory = true }) }

// Replicas sets the number of servers that store the objects, 1 to 5. The default is the
// transport's.
func Replicas(n int) StoreOption {
	return storeOption(func(o *storeOptions) {
		o.Config.Replicas = n
		if n < 1 || n > 5 {
			o.err = firstError(o.err, fmt.Errorf("%d Replicas: want 1 to 5", n))
		}
	})
}

// Compression compresses the stored chunks.
func Compression() StoreOption { return storeOption(func(o *storeOptions) { o.Compressed = true }) }

// PlacedIn places the store on servers of a cluster, "" for any, that have all tags.
func PlacedIn(cluster string, tags ...string) StoreOption {
	return storeOption(func(o *storeOptions) { o.Placement = &kvdriver.Placement{Cluster: cluster, Tags: tags} })
}

// StoredAs sets the name of the store at the backend. Without it, that is the name of the
// declaration, after the namespace of the App and "_".
func StoredAs(name string) StoreOption {
	return storeOption(func(o *storeOptions) {
		o.storedAs = name
		if !validStored.MatchString(name) {
			o.err = firstError(o.err, fmt.Errorf("StoredAs(%q): want 1 to 200 letters, digits, underscores and hyphens", name))
		}
	})
}

// Existing opens the store as it is: it is neither created nor changed.
func Existing() StoreOption { return storeOption(func(o *storeOptions) { o.Config.Existing = true }) }

// ContentType sets the content type of an object, such as "application/pdf".
func ContentType(media string) PutOption {
	return putOption(func(o *putOptions) {
		o.contentType = media
		o.err = firstError(o.err, checkHeader(map[string]string{contentTypeHeader: media}))
	})
}

// Header sets a header of an object. Names are canonical, as in net/textproto. The content
// type is that of [ContentType].
func Header(name, value string) PutOption {
	return putOption(func(o *putOptions) {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name == contentTypeHeader {
			o.contentType = value
			return
		}
		if o.header == nil {
			o.header = make(map[string]string)
		}
		o.header[name] = value
	})
}

// Metadata sets a pair of the metadata of an object.
func Metadata(key, value string) PutOption {
	return putOption(func(o *putOptions) {
		if o.metadata == nil {
			o.metadata = make(map[string]string)
		}
		o.metadata[key] = value
	})
}

// Size declares the number of bytes of the content. A Put of more or fewer is
// invalid_argument, and stores nothing.
func Size(bytes int64) PutOption {
	return putOption(func(o *putOptions) {
		o.size = bytes
		if bytes < 0 {
			o.err = firstError(o.err, invalid("a Size of %d bytes", bytes))
		}
	})
}

// Progress calls f on the goroutine of the Put whenever more bytes were sent, and at the end. If f
// panics, the Put ends with the code internal: nothing is left, unless it was the call at the end,
// when the object is stored.
func Progress(f func(done int64)) PutOption { return putOption(func(o *putOptions) { o.progress = f }) }

// IfAbsent lets a Put create an object only. If it exists, Put returns already_exists.
func IfAbsent() PutOption { return putOption(func(o *putOptions) { o.absent = true }) }

// conditions are the conditions of a write.
type conditions struct {
	absent   bool
	revision *uint64
	digest   *string
	err      error
}

type condition func(*conditions)

func (f condition) condition(c *conditions) { f(c) }
func (f condition) putOption(o *putOptions) { f(&o.conditions) }

// IfRevision lets a write change the object only if that has the given revision.
func IfRevision(revision uint64) Condition {
	return condition(func(c *conditions) {
		c.revision = &revision
		if revision == 0 {
			c.err = firstError(c.err, invalid("IfRevision(0): revisions begin at 1"))
		}
	})
}

// IfDigest lets a write change the object only if its content has the given digest.
func IfDigest(digest string) Condition {
	return condition(func(c *conditions) {
		c.digest = &digest
		if _, err := parseDigest(digest); err != nil {
			c.err = firstError(c.err, invalid("IfDigest(%.100q): want SHA-256= and URL-safe base64", digest))
		}
	})
}

// check returns an error if a condition does not hold for an object, nil if it does not exist.
func (c *conditions) check(is *Info) error {
	switch {
	case c.absent && (c.revision != nil || c.digest != nil):
		return invalid("IfAbsent and another condition exclude each other")
	case c.absent && is != nil:
		return notDone(transport.AlreadyExists, "it exists (revision %d)", is.Revision)
	case (c.revision != nil || c.digest != nil) && is == nil:
		return notDone(transport.Aborted, "it does not exist")
	case c.revision != nil && *c.revision != is.Revision:
		return notDone(transport.Aborted, "its revision is %d, expected %d", is.Revision, *c.revision)
	case c.digest != nil && !sameDigest(*c.digest, is.Digest):
		return notDone(transport.Aborted, "its digest is %q, expected %q", is.Digest, *c.digest)
	}
	return nil
}

func sameDigest(a, b string) bool {
	x, errX := parseDigest(a)
	y, errY := parseDigest(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func conditionsOf(options []Condition) (conditions, error) {
	var all conditions
	for _, option := range options {
		if option == nil {
			return all, invalid("an option is nil")
		}
		option.condition(&all)
	}
	return all, all.err
}

// settings returns the options that are set, by name.
func (o *storeOptions) settings() map[string]string {
	all := make(map[string]string)
	set := func(name string, value any, is bool) {
		if is {
			all[name] = fmt.Sprint(value)
		}
	}
	set("Description", o.Description, o.Description != "")
	set("TTL", o.TTL, o.TTL > 0)
	set("MaxBytes", o.MaxBytes, o.MaxBytes > 0)
	set("Memory", true, o.Config.Memory)
	set("Replicas", o.Config.Replicas, o.Config.Replicas > 0)
	set("Compression", true, o.Compressed)
	if p := o.Placement; p != nil {
		all["PlacedIn"] = fmt.Sprint(*p)
	}
	set("ChunkSize", strconv.Itoa(o.chunk), o.chunk > 0)
	set("StoredAs", o.storedAs, o.storedAs != "")
	set("Existing", true, o.Config.Existing)
	set("Index", true, o.index)
	set("MaxStale", o.maxStale, o.maxStale > 0)
	return all
}
