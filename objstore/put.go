package objstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"time"

	"gomono.dev/kv"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Put stores an object with the content of r, and replaces the one with the same name. It
// needs memory for two chunks, whatever the size.
//
// The object is stored as a whole: until Put returns, readers see the old one. If the object
// changes meanwhile, Put returns aborted: of several concurrent Puts one succeeds. See
// [IfAbsent], [IfRevision] and [IfDigest] for other conditions.
//
// After an error nothing is left of the content, unless the outcome of the error is unknown,
// the connection is lost, or the process is killed: see [Objects.Sweep]. An error of r has the
// code unknown. A panic of r is an error.
func (o *Objects) Put(ctx context.Context, name string, r io.Reader, options ...PutOption) (Info, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Info{}, err
	}
	is, err := s.put(ctx, name, r, options)
	return is, s.at(name, err)
}

// PutBytes is a Put of bytes.
func (o *Objects) PutBytes(ctx context.Context, name string, content []byte, options ...PutOption) (Info, error) {
	return o.Put(ctx, name, bytes.NewReader(content), options...)
}

func (s *opened) put(ctx context.Context, name string, r io.Reader, options []PutOption) (Info, error) {
	p, err := putOptionsOf(options)
	if err = firstError(checkName(name), err); err != nil {
		return Info{}, err
	}
	before, err := s.newest(ctx, name)
	if err == nil {
		err = p.conditions.check(before)
	}
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name, Description: p.description, ContentType: p.contentType, Header: p.header, Metadata: p.metadata}
	u := s.newUpload(&p)
	if err = u.send(ctx, r); err == nil {
		err = u.commit(ctx, &info, before, p.conditions.absent)
	}
	if err != nil {
		return Info{}, err
	}
	s.removeReplaced(ctx, before, info.upload)
	if err := u.report(u.size); err != nil {
		return Info{}, transport.Errorf(transport.Internal, transport.OutcomeUnknown, "the object is stored, but %w", err)
	}
	return info.clone(), nil
}

// asNotDone returns the error of a read: nothing was changed.
func asNotDone(err error) error {
	e, ok := errors.AsType[*transport.Error](err)
	if !ok {
		return notDone(transport.CodeOf(err), "%w", err)
	}
	done := *e
	done.Outcome = transport.OutcomeNotDone
	return &done
}

// upload is an object that is being stored.
type upload struct {
	s        *opened
	id       string
	writer   driver.Writer
	chunk    int           // bytes
	ttl      time.Duration // of the object, 0 for the store's
	began    time.Time
	size     int64
	want     int64 // the declared size, -1 for any
	progress func(int64)

	chunks int
	sent   int64
	digest hash.Hash
	last   []byte // the last chunk, which is stored with the entry; empty for an empty object
}

// newUpload returns an upload with a new id.
func (s *opened) newUpload(p *putOptions) *upload {
	u := &upload{s: s, id: rand.Text(), chunk: s.chunkSize(p.chunk), ttl: p.ttl, began: time.Now(), want: p.size, progress: p.progress, digest: sha256.New()}
	u.writer = s.Write(u.id, 0)
	return u
}

// send sends all chunks of the content but the last. If it fails, or a function of the caller
// ends the goroutine, it removes them.
func (u *upload) send(ctx context.Context, r io.Reader) error {
	sent := false
	defer func() {
		if !sent && u.chunks > 0 {
			u.remove(ctx)
		}
	}()
	if err := u.sendAll(ctx, r); err != nil {
		if _, late := u.life(); late != nil && transport.CodeOf(err) == transport.FailedPrecondition {
			err = late // the store lacks the chunks that have expired
		}
		return asNotDone(err)
	}
	sent = true
	return nil
}

func (u *upload) sendAll(ctx context.Context, r io.Reader) error {
	spare := make([]byte, u.chunk)
	for {
		if err := ctx.Err(); err != nil {
			return transport.ContextError(ctx, transport.OutcomeNotDone, "%w after %d bytes", err, u.size)
		}
		n, err := u.fill(r, spare)
		if n > 0 {
			if err := u.flushLast(ctx); err != nil {
				return err
			}
			u.last, spare = spare[:n], u.last
			if spare == nil {
				spare = make([]byte, u.chunk)
			}
			spare = spare[:u.chunk]
			u.digest.Write(u.last)
			u.size += int64(n)
		}
		switch {
		case err == io.EOF:
			return u.checkSize()
		case err != nil:
			return notDone(transport.Unknown, "the content cannot be read after %d bytes: %w", u.size, err)
		case u.want >= 0 && u.size > u.want:
			return u.checkSize()
		}
	}
}

// fill reads a whole chunk, or what there is before an error, io.EOF at the end. Another error
// of r stays as it is, also io.ErrUnexpectedEOF: a truncated body of a request is not its end.
// A panic of r is an error.
func (u *upload) fill(r io.Reader, chunk []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = notDone(transport.Internal, "the reader panicked: %v", v)
		}
	}()
	for empty := 0; n < len(chunk) && err == nil; empty++ {
		var k int
		if k, err = r.Read(chunk[n:]); k > 0 {
			n, empty = n+k, 0
		}
		if empty == maxEmptyReads {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

// maxEmptyReads is the number of reads without bytes after which a reader is given up.
const maxEmptyReads = 100

func (u *upload) checkSize() error {
	if u.want >= 0 && u.size != u.want {
		return invalid("the content has %d bytes or more, and %d were declared", u.size, u.want)
	}
	return nil
}

// flushLast sends the last chunk, since another one follows.
func (u *upload) flushLast(ctx context.Context) error {
	if len(u.last) == 0 {
		return nil
	}
	if err := u.writer.Append(ctx, u.next()); err != nil {
		return err
	}
	u.sent += int64(len(u.last))
	u.chunks++
	return u.report(u.sent)
}

// report calls the function of Progress. A panic of it is an error.
func (u *upload) report(done int64) (err error) {
	if u.progress == nil {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = notDone(transport.Internal, "the function of Progress panicked after %d bytes: %v", done, v)
		}
	}()
	u.progress(done)
	return nil
}

// next returns the chunk that is sent next. TTLs are rounded up: that of the entry must not be
// the longer one.
func (u *upload) next() driver.Chunk {
	c := driver.Chunk{Data: u.last}
	if u.ttl > 0 {
		c.TTL = u.ttl + time.Second
	}
	return c
}

// commit stores the last chunk and the entry, and completes info. The entry is stored only if
// the object is still as before; nil means that it does not exist.
func (u *upload) commit(ctx context.Context, info, before *Info, absent bool) error {
	c := u.describe(info)
	_, err := u.writer.Flush(ctx)
	life, late := u.life()
	if err = firstError(err, late); err != nil {
		u.remove(ctx)
		return asNotDone(err)
	}
	revision, err := u.s.write(context.WithValue(ctx, commitKey{}, c), info, before, life...)
	switch {
	case err == nil:
	case isUnknown(err):
		if revision, err = u.resolve(ctx, info.Name, before, err); err != nil {
			return err
		}
	default:
		u.remove(ctx)
		return lostRace(err, absent)
	}
	info.Revision = revision
	return nil
}

// describe completes info, and returns the commit of the last chunk.
func (u *upload) describe(info *Info) *commit {
	c := &commit{writer: u.writer}
	info.upload, info.chunks, info.chunkSize, info.Size = u.id, u.chunks, u.chunk, u.size
	if len(u.last) > 0 {
		next := u.next()
		c.chunk = &next
		info.chunks++
	}
	info.Digest = digestPrefix + base64.URLEncoding.EncodeToString(u.digest.Sum(nil))
	return c
}

// lostRace returns the error of a write. Without IfAbsent, an object that has appeared
// meanwhile is aborted.
func lostRace(err error, absent bool) error {
	if absent || transport.CodeOf(err) != transport.AlreadyExists {
		return err
	}
	return notDone(transport.Aborted, "another program has created it meanwhile: read it, and decide again")
}

// life returns the TTL of the entry. The life of an object begins with its first chunk: it must
// not outlive that.
func (u *upload) life() ([]kv.WriteOption, error) {
	ttl, elapsed := u.ttl, time.Since(u.began)
	if all := u.s.Config().TTL; all > 0 && elapsed >= time.Second && (ttl == 0 || all < ttl) {
		ttl = all
	}
	switch {
	case ttl == 0:
		return nil, nil
	case elapsed >= ttl:
		return nil, notDone(transport.FailedPrecondition, "its first bytes expired before its last ones were read, after %v: choose a TTL longer than %v", elapsed.Round(time.Millisecond), ttl)
	}
	return []kv.WriteOption{kv.TTL(max(ttl-elapsed, time.Second))}, nil
}

// digestPrefix names the algorithm of a digest.
const digestPrefix = "SHA-256="

// write stores an entry, if the object is still as before.
func (s *opened) write(ctx context.Context, info, before *Info, options ...kv.WriteOption) (uint64, error) {
	var e kv.Entry[entry]
	var err error
	if before == nil {
		e, err = s.entries.Create(ctx, keyOf(info.Name), info.entry(s.name), options...)
	} else {
		e, err = s.entries.Update(ctx, keyOf(info.Name), before.Revision, info.entry(s.name), options...)
	}
	return e.Revision, ofEntries(err)
}

// cleanUpTimeout limits the time for the removal of chunks after an error.
const cleanUpTimeout = 10 * time.Second

// detached returns a context for work that continues after the end of ctx.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanUpTimeout)
}

// remove removes the chunks of an upload that no entry names, and never will.
func (u *upload) remove(ctx context.Context) {
	ctx, cancel := detached(ctx)
	defer cancel()
	_, _ = u.writer.Flush(ctx) // a chunk that arrives later would remain
	if err := u.s.Remove(ctx, u.id); err != nil {
		u.s.log.Warn("objstore: chunks not removed, Sweep will", "store", u.s.name, "upload", u.id, "error", err)
	}
}

// resolve finds out whether a commit with an unknown outcome has taken effect. If not, it
// makes sure that it never will. It returns the revision, or the error of the Put. Another write
// may have followed it.
func (u *upload) resolve(ctx context.Context, name string, before *Info, failed error) (revision uint64, err error) {
	ctx, cancel := detached(ctx)
	defer cancel()
	last, err := u.writer.Flush(ctx)
	if err != nil {
		return 0, failed
	}
	discarded := u.s.Discard(ctx, u.id, last)
	if discarded == nil {
		is, err := u.s.Entries().Get(ctx, keyOf(name), 0, true)
		same := err == nil && before != nil && is.Revision == before.Revision || before == nil && transport.CodeOf(err) == transport.NotFound
		if last == 0 || !same {
			return 0, failed // the commit may still come, as the only message with these chunks
		}
		return 0, asNotDone(failed)
	}
	if is, err := u.s.entries.Get(ctx, keyOf(name)); err == nil && is.Value.Upload == u.id {
		return is.Revision, nil
	}
	return 0, failed
}

// removeReplaced removes the chunks of an object that was replaced or deleted. If that fails,
// Sweep does it.
func (s *opened) removeReplaced(ctx context.Context, before *Info, by string) {
	if before == nil || before.upload == "" || before.upload == by || before.chunks == 0 || before.Link != nil {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if err := s.Remove(ctx, before.upload); err != nil {
		s.log.Warn("objstore: chunks not removed, Sweep will", "store", s.name, "object", before.Name, "upload", before.upload, "error", err)
	}
}
