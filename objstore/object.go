package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

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
// nothing reads the new one, and any other gets aborted: it never returns a mixture. The size
// that Seek returns counts. After an error Read returns it again, until a Seek.
type Object struct {
	s    *opened
	ctx  context.Context
	name string

	mu     sync.Mutex
	is     found
	pinned bool // something of it was returned
	closed bool

	position int64
	reading  *reading // nil: at no chunk
	failed   error    // the last read
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

// find finds the object, or the one that has replaced it if nothing was returned.
func (f *Object) find(ctx context.Context) error {
	is, err := f.s.follow(ctx, f.name)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.pinned:
		return notDone(transport.Aborted, "%w", errReplaced)
	case err != nil:
		return err
	}
	f.is = is
	return nil
}

// pin notes that something of a version of the object is returned. It returns false if a
// concurrent call has found another one.
func (f *Object) pin(is *found) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.is.layout != is.layout {
		return false
	}
	f.pinned = true
	return true
}

// pinFound returns the found version, which stays.
func (f *Object) pinFound() found {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pinned = true
	return f.is
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
		offset += f.pinFound().Size
	default:
		return 0, f.s.at(f.name, invalid("Seek with whence %d: want io.SeekStart, io.SeekCurrent or io.SeekEnd", whence))
	}
	if offset < 0 {
		return 0, f.s.at(f.name, invalid("Seek to %d, before the beginning", offset))
	}
	if offset != f.position || f.failed != nil {
		f.stop()
		f.position, f.failed = offset, nil
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
	}
}

// next returns bytes at the position, at least one unless there is an error.
func (f *Object) next() ([]byte, error) {
	if err := firstError(f.check(), f.failed); err != nil {
		return nil, err
	}
	for {
		if is := f.found(); f.reading == nil {
			if f.position >= is.Size && f.position > 0 {
				return nil, io.EOF
			}
			f.reading = newReading(f.ctx, &is, f.position)
		}
		rest, err := f.reading.next()
		if (err == nil || err == io.EOF) && f.pin(f.reading.is) {
			return rest, err
		}
		f.stop()
		if err = f.again(err); err != nil {
			f.failed = f.s.at(f.name, err)
			return nil, f.failed
		}
	}
}

// again finds the object anew after an error that means that it was replaced. It returns all
// other errors.
func (f *Object) again(err error) error {
	if errors.Is(err, errReplaced) {
		return f.find(f.ctx)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// ReadAt implements [io.ReaderAt].
func (f *Object) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, f.s.at(f.name, invalid("ReadAt(%d): the offset is negative", offset))
	}
	for {
		is := f.found()
		n, err := is.readAt(f.ctx, p, offset)
		if !errors.Is(err, errReplaced) && f.pin(&is) {
			if err != nil && err != io.EOF {
				err = f.s.at(f.name, err)
			}
			return n, err
		}
		if err = f.again(err); err != nil {
			return 0, f.s.at(f.name, err)
		}
	}
}

// readAt is ReadAt for one version of the object.
func (f *found) readAt(ctx context.Context, p []byte, offset int64) (n int, err error) {
	if offset >= f.Size {
		return 0, io.EOF
	}
	r := newReading(ctx, f, offset)
	defer r.stop()
	for n < len(p) {
		rest, err := r.next()
		if err != nil {
			return n, err
		}
		n += copy(p[n:], rest)
		r.rest = nil
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
