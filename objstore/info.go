package objstore

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gomono.dev/kv"
	"gomono.dev/objstore/driver"
)

// Info describes an object.
type Info struct {
	Name        string
	Size        int64             // bytes
	Digest      string            // "SHA-256=" and the URL-safe base64 of the content's SHA-256
	Revision    uint64            // of the description: each change has a higher one
	Modified    time.Time         // by the backend's clock; zero after a write, whose answer has no time
	Expires     time.Time         // zero: never; after a write also zero
	Description string            //
	ContentType string            // "" if it was not given
	Header      map[string]string // of the user, by canonical names (see net/textproto); not the content type
	Metadata    map[string]string // of the user
	Link        *Link             // not nil: this is another client's name for another object

	// IsPrefix reports that the Info stands for all objects whose names begin with Name. Only
	// List with a Delimiter returns it.
	IsPrefix bool

	upload    string
	chunks    int
	chunkSize int // the maximum; 0: unknown
}

// Link names an object, or a whole store if Name is empty.
type Link = driver.Link

// contentTypeHeader is the header of an entry that has the content type.
const contentTypeHeader = "Content-Type"

// newInfo returns the Info of an entry.
func newInfo(e *kv.Entry[entry]) Info {
	v := &e.Value
	i := Info{
		Name: nameOf(e.Key), Size: int64(v.Size), Digest: v.Digest, Revision: e.Revision, Modified: e.Created, Expires: e.Expires,
		Description: v.Description, Metadata: v.Metadata, upload: v.Upload, chunks: int(v.Chunks),
	}
	if o := v.Options; o != nil {
		i.Link, i.chunkSize = o.Link, int(o.ChunkSize)
	}
	for name, values := range v.Headers {
		if len(values) == 0 {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name == contentTypeHeader {
			i.ContentType = values[0]
			continue
		}
		if i.Header == nil {
			i.Header = make(map[string]string)
		}
		i.Header[name] = strings.Join(values, ", ")
	}
	return i
}

// entry returns the entry of an Info.
func (i *Info) entry(store string) entry {
	e := entry{
		Name: i.Name, Description: i.Description, Metadata: i.Metadata, Bucket: store, Upload: i.upload,
		Size: uint64(i.Size), Chunks: uint32(i.chunks), Digest: i.Digest,
	}
	if i.Link != nil || i.chunkSize > 0 {
		e.Options = &driver.EntryOptions{Link: i.Link, ChunkSize: uint32(i.chunkSize)}
	}
	if n := len(i.Header); n > 0 || i.ContentType != "" {
		e.Headers = make(map[string][]string, n+1)
	}
	for name, value := range i.Header {
		e.Headers[name] = []string{value}
	}
	if i.ContentType != "" {
		e.Headers[contentTypeHeader] = []string{i.ContentType}
	}
	return e
}

// clone returns an Info that shares no memory with i.
func (i Info) clone() Info {
	i.Header, i.Metadata = maps.Clone(i.Header), maps.Clone(i.Metadata)
	return i
}

// checkName reports an invalid name of an object.
func checkName(name string) error {
	switch {
	case name == "":
		return invalid("the name is empty")
	case len(name) > MaxName:
		return invalid("the name has %d bytes: at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name):
		return invalid("the name is not valid UTF-8")
	}
	return nil
}

// MaxName is the maximum length of the name of an object, in bytes.
const MaxName = driver.MaxName

// checkHeader reports an invalid header.
func checkHeader(h map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return invalid("the header %q: want a name of printable ASCII without spaces and colons", name)
		}
		if value := h[name]; strings.ContainsAny(value, "\r\n\x00") || !utf8.ValidString(value) {
			return invalid("the header %s has an invalid value", name)
		}
	}
	return nil
}
