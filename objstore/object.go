package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"

	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Open opens an object for reading. ctx holds until Close; it needs no deadline, however slow
// the reader is. A link is followed.
func (o *Objects) Open(ctx context.Context, name string) (*Object, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, s.at(name, err)
	}
	f := &Object{s: s, ctx: ctx, name: name}
	if err := f.find(ctx); err != nil {
		return nil, s.at(name, err)
	}
	return f, nil
}

// ReadAll returns the content of an object, and its description.
func (o *Objects) ReadAll(ctx context.Context, name string) ([]byte, Info, error) {
	f, err := o.Open(ctx, name)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	var content bytes.Buffer
	if _, err := f.WriteTo(&content); err != nil {
		return nil, Info{}, err
	}
	return content.Bytes(), f.Info(), nil
}

// Object is an object that is open for reading. It implements [io.ReadSeekCloser],
// [io.ReaderAt] and [io.WriterTo]. ReadAt and Info may be called concurrently with all methods,
// the others one after the other.
//
// A read from the beginning to the end checks the digest before it returns the last chunk, and
// returns data_loss if it differs. A read of a part checks the number and the sizes of the
// chunks. If the object is replaced or deleted meanwhile, a reader that has returned
// nothing reads the new one, and any other gets aborted: it never returns a mixture.
type Object struct {
	s    *opened
	ctx  context.Context
	name string

	mu     sync.Mutex
	is     found
	closed bool

	position int64
	reading  *reading // nil: at no chunk
	given    bool     // bytes were returned
}

// found is an object as it was found. It may be in another store, after a link.
type found struct {
	Info
	s      *opened
	layout *layout
}

// Info returns the description of the object.
func (f *Object) Info() Info { return f.found().Info.clone() }

func (f *Object) found() found {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.is
}

// find finds the object, and forgets an earlier version.
func (f *Object) find(ctx context.Context) error {
	is, err := f.s.follow(ctx, f.name)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.is = is
	return nil
}

// Close ends the reading. Further reads return [fs.ErrClosed].
func (f *Object) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	return nil
}

func (f *Object) stop() {
	if f.reading != nil {
		f.reading.stop()
		f.reading = nil
	}
}

func (f *Object) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	return nil
}

// Seek implements [io.Seeker]. A position after the end is allowed; Read then returns io.EOF.
func (f *Object) Seek(offset int64, whence int) (int64, error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.position
	case io.SeekEnd:
		offset += f.found().Size
	default:
		return 0, f.s.at(f.name, invalid("Seek with whence %d: want io.SeekStart, io.SeekCurrent or io.SeekEnd", whence))
	}
	if offset < 0 {
		return 0, f.s.at(f.name, invalid("Seek to %d, before the beginning", offset))
	}
	if offset != f.position {
		f.stop()
		f.position = offset
	}
	return offset, nil
}

// Read implements [io.Reader].
func (f *Object) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, f.check()
	}
	rest, err := f.next()
	n := copy(p, rest)
	f.advance(n)
	return n, err
}

// WriteTo implements [io.WriterTo]. It writes the rest of the object.
func (f *Object) WriteTo(w io.Writer) (written int64, err error) {
	for {
		rest, err := f.next()
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(rest)
		f.advance(n)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

func (f *Object) advance(n int) {
	if n > 0 {
		f.reading.rest = f.reading.rest[n:]
		f.position += int64(n)
		f.given = true
	}
}

// next returns bytes at the position, at least one unless there is an error.
func (f *Object) next() ([]byte, error) {
	for {
		if err := f.check(); err != nil {
			return nil, err
		}
		is := f.found()
		if f.position >= is.Size && (f.reading == nil || f.reading.verified) && f.position > 0 {
			return nil, io.EOF
		}
		if f.reading == nil {
			f.reading = newReading(f.ctx, &is, f.position)
		}
		rest, err := f.reading.next()
		if err == nil || err == io.EOF {
			return rest, err
		}
		f.stop()
		if !errors.Is(err, errReplaced) || f.given {
			return nil, f.s.at(f.name, err)
		}
		if err := f.find(f.ctx); err != nil { // nothing was returned: begin again with the new object
			return nil, f.s.at(f.name, err)
		}
	}
}

// ReadAt implements [io.ReaderAt].
func (f *Object) ReadAt(p []byte, offset int64) (n int, err error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	is := f.found()
	switch {
	case offset < 0:
		return 0, f.s.at(f.name, invalid("ReadAt(%d): the offset is negative", offset))
	case offset >= is.Size:
		return 0, io.EOF
	}
	r := newReading(f.ctx, &is, offset)
	defer r.stop()
	for n < len(p) {
		rest, err := r.next()
		if err == io.EOF {
			return n, err
		}
		if err != nil {
			return n, f.s.at(f.name, err)
		}
		k := copy(p[n:], rest)
		r.rest = r.rest[k:]
		n += k
	}
	return n, nil
}

// maxLinks is the number of links that are followed one after the other.
const maxLinks = 8

// follow returns the object with a name, after all links.
func (s *opened) follow(ctx context.Context, name string) (found, error) {
	for range maxLinks {
		is, err := s.current(ctx, name)
		switch {
		case err != nil:
			return found{}, err
		case is == nil:
			return found{}, errMissing
		case is.Link == nil:
			return found{*is, s, new(layout)}, nil
		case is.Link.Name == "":
			return found{}, notDone(transport.FailedPrecondition, "it is a link to the store %q, which has no content", is.Link.Bucket)
		}
		if is.Link.Bucket != s.name {
			if s, err = s.other(ctx, is.Link.Bucket); err != nil {
				return found{}, about("the link to store "+is.Link.Bucket, err)
			}
		}
		name = is.Link.Name
	}
	return found{}, notDone(transport.FailedPrecondition, "more than %d links follow one another", maxLinks)
}

// errReplaced means that an object no longer is as it was found.
var errReplaced = errors.New("it was replaced or deleted while it was read")

// reading reads the chunks of one version of an object in order.
type reading struct {
	ctx  context.Context
	is   *found
	pull func() (*driver.Chunk, error, bool)
	stop func()

	index    int    // of the next chunk
	rest     []byte // of the last chunk
	left     int64  // bytes after rest
	digest   hash.Hash
	verified bool // all was read, and checked
}

// newReading returns a reading from an offset.
func newReading(ctx context.Context, is *found, offset int64) *reading {
	r := &reading{ctx: ctx, is: is, left: is.Size - offset}
	if offset == 0 {
		r.digest = sha256.New()
	}
	r.pull, r.stop = iter.Pull2(r.chunks(offset))
	return r
}

// next returns the bytes that follow, at least one unless there is an error.
func (r *reading) next() ([]byte, error) {
	for len(r.rest) == 0 {
		if r.left <= 0 && r.index == r.is.chunks || r.is.chunks == 0 {
			if err := r.verify(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		c, err, ok := r.pull()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, r.explain()
		case int64(len(c.Data)) > r.left:
			return nil, notDone(transport.DataLoss, "chunk %d of %d has more bytes than are left of the object", r.index, r.is.chunks)
		}
		r.index++
		r.rest, r.left = c.Data, r.left-int64(len(c.Data))
		if r.digest != nil {
			r.digest.Write(c.Data)
		}
		if r.left == 0 && r.index == r.is.chunks {
			if err := r.verify(); err != nil {
				return nil, err
			}
		}
	}
	return r.rest, nil
}

// verify checks the whole object, once.
func (r *reading) verify() error {
	switch {
	case r.verified:
		return nil
	case r.left != 0:
		return notDone(transport.DataLoss, "%d bytes are missing at the end", r.left)
	case r.digest == nil || r.is.Digest == "":
	default:
		want, err := parseDigest(r.is.Digest)
		if err != nil {
			return err
		}
		if !bytes.Equal(want, r.digest.Sum(nil)) {
			return notDone(transport.DataLoss, "the content has another digest than %s: it was changed, or chunks were exchanged", r.is.Digest)
		}
	}
	r.verified = true
	return nil
}

// parseDigest returns the bytes of a digest. Other clients write it with or without padding.
func parseDigest(digest string) ([]byte, error) {
	text, ok := strings.CutPrefix(digest, digestPrefix)
	sum, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if !ok || err != nil {
		return nil, notDone(transport.DataLoss, "the digest %.100q: want SHA-256= and URL-safe base64", digest)
	}
	return sum, nil
}

// chunks returns the chunks from the one with an offset on. The first one is cut.
func (r *reading) chunks(offset int64) iter.Seq2[*driver.Chunk, error] {
	return func(yield func(*driver.Chunk, error) bool) {
		from, err := r.is.locate(r.ctx, offset)
		if err != nil {
			yield(nil, err)
			return
		}
		r.index = from.index
		skip, left := offset-from.offset, r.is.chunks-from.index
		more := true
		err = r.is.s.Read(r.ctx, r.is.upload, from.sequence, func(c *driver.Chunk) bool {
			left--
			if skip >= int64(len(c.Data)) {
				skip -= int64(len(c.Data))
				r.index++
				return left > 0
			}
			c.Data, skip = c.Data[skip:], 0
			more = yield(c, nil)
			return more && left > 0
		})
		if err != nil && more {
			yield(nil, asNotDone(err))
		}
	}
}

// explain returns the error for a chunk that is missing.
func (r *reading) explain() error {
	e, err := r.is.s.newest(r.ctx, r.is.Name)
	switch {
	case err != nil:
		return err
	case e == nil || e.upload != r.is.upload:
		return notDone(transport.Aborted, "%w", errReplaced)
	}
	return notDone(transport.DataLoss, "chunk %d of %d is missing", r.index, r.is.chunks)
}
