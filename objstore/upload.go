package objstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding"
	"encoding/json"
	"errors"
	"io"
	"time"

	"gomono.dev/kv"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Begin begins an upload, which can be continued after a lost connection or process: see
// [Objects.Resume]. The object exists only after [Upload.Finish]. Until then its content is in
// the store, and Sweep keeps it for the given life, at most the TTL of the store.
//
// The conditions are checked at once and again by Finish. Without any, Finish replaces the
// object that exists then. The TTL of the object begins with Finish. Progress ends with the
// Upload that Begin returns.
func (o *Objects) Begin(ctx context.Context, name string, life time.Duration, options ...PutOption) (*Upload, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return nil, err
	}
	u, err := s.beginUpload(ctx, name, life, options)
	return u, s.at(name, err)
}

func (s *opened) beginUpload(ctx context.Context, name string, life time.Duration, options []PutOption) (*Upload, error) {
	p, err := putOptionsOf(options)
	if life < time.Second || life > maxTTL {
		err = firstError(err, invalid("a life of %v: want 1s to %v", life, maxTTL))
	}
	if err = firstError(checkName(name), err); err != nil {
		return nil, err
	}
	before, err := s.newest(ctx, name)
	if err = firstError(err, p.conditions.check(before)); err != nil {
		return nil, err
	}
	if all := s.Config().TTL; all > 0 {
		life = min(life, all)
	}
	plan := newUploadPlan(name, life, &p)
	if plan.Chunk, err = s.roomFor(plan, s.chunkSize(p.chunk)); err != nil {
		return nil, err
	}
	u := s.uploadOf(rand.Text(), plan)
	u.progress = p.progress
	if err := u.store(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// roomFor returns the size of chunks that leaves room for the plan in the first one.
func (s *opened) roomFor(plan *uploadPlan, chunk int) (int, error) {
	limit := s.transport.Capabilities().MaxPayload
	if limit == 0 {
		return chunk, nil
	}
	room := limit - 2*chunkOverhead - len(plan.encode())
	if room < 1 {
		return 0, invalid("the description has more bytes than the payload limit of %d allows", limit)
	}
	return min(chunk, room), nil
}

// Upload is an upload that can be resumed. Its methods are called one after the other. If two
// Uploads of one token add to it, all but one get failed_precondition: contents are never mixed.
//
// A process that is killed while it replaces the last chunk, which was not full, may lose that
// chunk, and with it an upload that has no other one.
//
// After an error of the store, all methods of the Upload return it: Resume the token.
type Upload struct {
	upload
	plan     *uploadPlan
	finished bool
	failed   error

	// Between calls all bytes are stored, also the last chunk, which is in memory as well. It is
	// replaced when it is full or Append ends, and Finish stores it with the entry.
	stored  uint64 // the sequence of the last chunk, 0 if it is not stored
	changed bool   // it has more bytes now
	before  uint64 // the sequence of the chunk before it
	state   []byte // of the digest before it
}

// uploadOf returns an upload without content.
func (s *opened) uploadOf(id string, plan *uploadPlan) *Upload {
	u := &Upload{plan: plan, upload: upload{
		s: s, id: id, writer: s.Write(id, 0), chunk: plan.Chunk, want: plan.Size, digest: sha256.New(),
		last: make([]byte, 0, plan.Chunk),
	}}
	if plan.TTL > 0 {
		u.ttl = plan.TTL + plan.Life // chunks stay for as long as the object
	}
	u.saveDigest()
	return u
}

// Name returns the name of the object.
func (u *Upload) Name() string { return u.plan.Name }

// Offset returns the number of bytes that are stored.
func (u *Upload) Offset() int64 { return u.size }

// Size returns the declared size of the object, or -1. See [Size].
func (u *Upload) Size() int64 { return u.want }

// Expires returns when the upload expires.
func (u *Upload) Expires() time.Time { return u.plan.Expires }

// Metadata returns the metadata of the object.
func (u *Upload) Metadata() map[string]string { return u.plan.Metadata }

// errExpired is the cause of an error of an upload that has expired.
var errExpired = errors.New("the upload has expired: begin it again")

// check returns an error if the upload cannot be changed.
func (u *Upload) check() error {
	switch {
	case u.failed != nil:
		return u.failed
	case u.finished:
		return notDone(transport.FailedPrecondition, "the upload is finished")
	case !time.Now().Before(u.plan.Expires):
		return notDone(transport.FailedPrecondition, "%w", errExpired)
	}
	return nil
}

// fail remembers an error of the store.
func (u *Upload) fail(err error) error {
	if transport.CodeOf(err) == transport.Aborted {
		err = notDone(transport.FailedPrecondition, "another writer continues the upload, or it was removed")
	}
	u.failed = firstError(u.failed, err)
	return err
}

// Append adds the content of r, and returns how much it has added. If r fails or ctx ends, the
// bytes until then are stored, for which Append takes at most ten seconds. More bytes than were
// declared are invalid_argument.
func (u *Upload) Append(ctx context.Context, r io.Reader) (int64, error) {
	if err := u.check(); err != nil {
		return 0, u.s.at(u.Name(), err)
	}
	work, cancel := lingering(ctx)
	defer cancel()
	from := u.size
	err := u.receive(ctx, work, r)
	if u.failed == nil {
		err = firstError(err, u.store(work))
	}
	return u.size - from, u.s.at(u.Name(), err)
}

// lingering returns a context that ends some time after ctx.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(cleanUpTimeout, cancel)
		context.AfterFunc(work, func() { t.Stop() })
	})
	return work, func() { stop(); cancel() }
}

// receive reads r until its end or the end of ctx. A spare chunk takes what comes after a full one.
func (u *Upload) receive(ctx, work context.Context, r io.Reader) error {
	spare := make([]byte, 0, u.chunk)
	for {
		if err := ctx.Err(); err != nil {
			return transport.ContextError(ctx, transport.OutcomeNotDone, "%w after %d bytes", err, u.size)
		}
		room := u.last[len(u.last):u.chunk]
		if len(room) == 0 {
			room = spare[:u.chunk]
		}
		n, err := u.fill(r, room)
		tooMany := u.want >= 0 && u.size+int64(n) > u.want
		if tooMany {
			n = int(u.want - u.size)
		}
		if n > 0 {
			var failed error
			if spare, failed = u.add(work, n, spare); failed != nil {
				return failed
			}
		}
		switch {
		case tooMany:
			return invalid("the content has more bytes than the declared %d", u.want)
		case err == io.EOF:
			return nil
		case err != nil:
			return notDone(transport.Unknown, "the content cannot be read after %d bytes: %w", u.size, err)
		}
	}
}

// advance begins a new last chunk. The one before is acknowledged first: a chunk that is sent
// without waiting could follow one of another writer.
func (u *Upload) advance(ctx context.Context) error {
	if u.stored == 0 || u.changed {
		if err := u.takeBack(ctx); err != nil {
			return err
		}
		c := u.next()
		c.Header = u.header(nil)
		if err := u.sendChunk(ctx, c); err != nil {
			return err
		}
	}
	u.stored = 0
	u.chunks++
	u.saveDigest()
	return nil
}

// add adds n bytes, which follow the last chunk in memory, or are in the spare one if it is full.
func (u *Upload) add(ctx context.Context, n int, spare []byte) ([]byte, error) {
	if len(u.last) == u.chunk {
		if err := u.advance(ctx); err != nil {
			return nil, err
		}
		u.last, spare = spare[:0], u.last
	}
	from := len(u.last)
	u.last, u.changed = u.last[:from+n], true
	u.digest.Write(u.last[from:])
	u.size += int64(n)
	return spare, u.report(u.size)
}

// saveDigest keeps the state of the digest.
func (u *Upload) saveDigest() {
	u.state, _ = u.digest.(encoding.BinaryMarshaler).MarshalBinary() // sha256 has no error
}

// takeBack removes the last chunk from the store.
func (u *Upload) takeBack(ctx context.Context) error {
	if u.stored == 0 {
		return nil
	}
	if err := u.s.Truncate(ctx, u.id, u.stored); err != nil {
		return u.fail(err)
	}
	u.stored, u.writer = 0, u.s.Write(u.id, u.before)
	return nil
}

// store stores the last chunk, with all that another Upload needs to continue.
func (u *Upload) store(ctx context.Context) error {
	if u.stored != 0 && !u.changed {
		return nil
	}
	if err := u.takeBack(ctx); err != nil {
		return err
	}
	before, err := u.writer.Flush(ctx)
	if err != nil {
		return u.fail(err)
	}
	u.before = before
	c := u.next()
	c.Header = u.header(&uploadState{Index: u.chunks, Before: before, Digest: u.state})
	return u.sendChunk(ctx, c)
}

// sendChunk stores the last chunk.
func (u *Upload) sendChunk(ctx context.Context, c driver.Chunk) error {
	err := u.writer.Append(ctx, c)
	if err == nil {
		u.stored, err = u.writer.Flush(ctx)
	}
	if err != nil {
		return u.fail(err)
	}
	u.changed = false
	return nil
}

// header returns the header of the last chunk.
func (u *Upload) header(state *uploadState) transport.Header {
	var h transport.Header
	if u.chunks == 0 {
		h.Add(headerPlan, u.plan.encode())
	}
	if state != nil {
		text, _ := json.Marshal(state)
		h.Add(headerState, string(text))
	}
	return h
}

// Finish creates the object, or replaces it. If a condition does not hold, or the size is not
// the declared one, the upload stays as it is. If the outcome of an error is unknown, Resume and
// Finish again: a Finish of what is finished returns the object, or not_found if it was
// renamed, replaced or deleted.
func (u *Upload) Finish(ctx context.Context) (Info, error) {
	is, err := u.finish(ctx)
	return is, u.s.at(u.Name(), err)
}

func (u *Upload) finish(ctx context.Context) (Info, error) {
	before, err := u.s.newest(ctx, u.Name())
	if err != nil {
		return Info{}, err
	}
	if u.finished {
		if before == nil || before.upload != u.id {
			return Info{}, notDone(transport.NotFound, "the upload was finished, and its object was renamed, replaced or deleted")
		}
		return *before, nil
	}
	conditions := u.plan.conditions()
	if err := firstError(u.check(), u.checkSize(), conditions.check(before)); err != nil {
		return Info{}, err
	}
	if err := u.takeBack(ctx); err != nil {
		return Info{}, err
	}
	info := u.plan.info()
	if info.Revision, err = u.commitUpload(ctx, &info, before); err != nil {
		return Info{}, u.undo(ctx, err)
	}
	u.finished = true
	u.s.removeReplaced(ctx, before, u.id)
	return info, nil
}

// commitUpload stores the last chunk and the entry.
func (u *Upload) commitUpload(ctx context.Context, info, before *Info) (uint64, error) {
	c := u.describe(info)
	if c.chunk == nil { // without a chunk, an empty upload could not be resumed
		c.chunk, info.chunks = new(u.next()), 1
	}
	c.chunk.Header = u.header(&uploadState{Index: u.chunks, Final: true})
	revision, err := u.s.write(context.WithValue(ctx, commitKey{}, c), info, before, u.entryLife()...)
	return revision, lostRace(err, u.plan.Absent)
}

// entryLife returns the TTL of the entry. That of the store began with the first chunk.
func (u *Upload) entryLife() []kv.WriteOption {
	ttl := u.plan.TTL
	if all := u.s.Config().TTL; all > 0 {
		left := max(all-time.Since(u.plan.Expires.Add(-u.plan.Life)), time.Second)
		if ttl == 0 || left < ttl {
			ttl = left
		}
	}
	if ttl == 0 {
		return nil
	}
	return []kv.WriteOption{kv.TTL(ttl)}
}

// undo stores the last chunk again after a Finish that failed. If that was done after all, the
// store refuses the chunk.
func (u *Upload) undo(ctx context.Context, err error) error {
	work, cancel := lingering(ctx)
	defer cancel()
	_ = u.store(work) // if it fails, the other methods return the error
	if isUnknown(err) {
		u.failed = err
	}
	return err
}

// Cancel ends the upload, and removes its content. It takes the upload from another process that
// appends to it: that one gets an error.
func (u *Upload) Cancel(ctx context.Context) error {
	err := u.failed
	if err == nil && !u.finished {
		err = u.discard(ctx)
	}
	switch {
	case u.finished:
		err = notDone(transport.FailedPrecondition, "the upload is finished: delete the object")
	case err != nil:
		err = u.fail(err)
	default:
		u.failed = notDone(transport.FailedPrecondition, "the upload was cancelled")
	}
	return u.s.at(u.Name(), err)
}

// discardLimit is how long discard follows a process that appends.
const discardLimit = 5 * time.Second

// discard removes the upload where it ends, also if that moves on. Another process may finish it.
func (u *Upload) discard(ctx context.Context) error {
	end := u.stored
	for began := time.Now(); ; {
		err := u.s.Discard(ctx, u.id, end)
		if transport.CodeOf(err) != transport.Aborted || time.Since(began) > discardLimit {
			return err
		}
		last, failed := u.s.Last(ctx, u.id)
		switch {
		case failed != nil || last.Sequence == end:
			return err // it is being finished, or was removed
		case isFinal(last):
			u.finished = true
			return err
		}
		end = last.Sequence
	}
}
