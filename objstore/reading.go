package objstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"io"
	"iter"
	"strings"
	"time"

	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// errReplaced means that an object no longer is as it was found.
var errReplaced = errors.New("it was replaced or deleted while it was read")

// reading reads the chunks of one version of an object in order.
type reading struct {
	ctx    context.Context
	is     *found
	offset int64  // of the bytes after rest
	rest   []byte // of the last chunk

	pull     func() (*driver.Chunk, error, bool) // nil: not begun
	end      func()
	at       place // of the next chunk
	from     place // of the first chunk
	digest   hash.Hash
	verified bool      // all was read, and checked
	lagging  time.Time // a replica lags since then
}

// newReading returns a reading from an offset.
func newReading(ctx context.Context, is *found, offset int64) *reading {
	r := &reading{ctx: ctx, is: is, offset: offset, end: func() {}}
	if offset == 0 {
		r.digest = sha256.New()
	}
	return r
}

func (r *reading) stop() {
	r.end()
	r.pull = nil
}

// next returns the bytes that follow, at least one unless there is an error.
func (r *reading) next() ([]byte, error) {
	for len(r.rest) == 0 {
		if r.at.index >= r.is.chunks {
			return nil, r.verify()
		}
		c, err := r.chunk()
		if c == nil && err == nil {
			err = r.explain()
		}
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if r.digest != nil {
			r.digest.Write(c.Data)
		}
		skip := r.offset - r.at.offset
		r.at = place{c.Sequence + 1, r.at.index + 1, r.at.offset + int64(len(c.Data))}
		if r.at.index == r.is.chunks { // before the last bytes are returned
			if err := r.verify(); err != io.EOF {
				return nil, err
			}
		}
		if skip < int64(len(c.Data)) {
			r.rest, r.offset = c.Data[skip:], r.at.offset
		}
	}
	return r.rest, nil
}

// chunk returns the next chunk, or nil if the answering replica does not have it. The number of
// the chunks after one is its index.
func (r *reading) chunk() (*driver.Chunk, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	c, err, ok := r.pull()
	switch last := r.is.chunks - 1; {
	case err != nil:
		return nil, asNotDone(err)
	case !ok || c.After != last-r.at.index:
		r.stop()
		return nil, nil
	case r.at.offset+int64(len(c.Data)) > r.is.Size,
		r.from.index > 0 && r.at.index < last && len(c.Data) != r.is.chunkSize:
		return nil, notDone(transport.DataLoss, "chunk %d of %d has %d bytes, which does not fit the object", r.at.index, r.is.chunks, len(c.Data))
	}
	return c, nil
}

// begin begins to read at the next chunk. The first one is that with the offset, or one before.
func (r *reading) begin() (err error) {
	if r.pull != nil {
		return nil
	}
	if r.at == r.from {
		if r.from, err = r.is.locate(r.ctx, r.offset); err != nil {
			return asNotDone(err)
		}
		r.at = r.from
	}
	r.pull, r.end = iter.Pull2(func(yield func(*driver.Chunk, error) bool) {
		more := true
		err := r.is.s.Read(r.ctx, r.is.upload, r.at.sequence, func(c *driver.Chunk) bool {
			more = yield(c, nil)
			return more
		})
		if err != nil && more {
			yield(nil, err)
		}
	})
	return nil
}

// lagLimit is how long a replica may lack a chunk that the leader has.
const lagLimit = 30 * time.Second

// explain returns why the next chunk is missing, or nil if only the replica that has answered
// lacks it.
func (r *reading) explain() error {
	is, err := r.is.s.newest(r.ctx, r.is.Name)
	switch {
	case err != nil:
		return err
	case is == nil || is.upload != r.is.upload:
		return notDone(transport.Aborted, "%w", errReplaced)
	}
	n, err := r.is.s.Count(r.ctx, r.is.upload)
	switch {
	case err != nil:
		return asNotDone(err)
	case n == r.is.chunks:
		return r.awaitReplica()
	case !is.Expires.IsZero() && time.Until(is.Expires) < time.Second:
		return notDone(transport.NotFound, "its chunks have expired")
	}
	return notDone(transport.DataLoss, "chunk %d of %d is missing: %d are stored", r.at.index, r.is.chunks, n)
}

// awaitReplica waits a moment for a replica that lags.
func (r *reading) awaitReplica() error {
	if r.lagging.IsZero() {
		r.lagging = time.Now()
	}
	if time.Since(r.lagging) > lagLimit {
		return notDone(transport.Unavailable, "a replica does not have chunk %d of %d, which the leader has: try later", r.at.index, r.is.chunks)
	}
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-r.ctx.Done():
		return contextError(r.ctx)
	}
}

// verify checks the whole object, and returns io.EOF.
func (r *reading) verify() error {
	switch {
	case r.verified:
		return io.EOF
	case r.at.offset != r.is.Size:
		return notDone(transport.DataLoss, "%d bytes are missing at the end", r.is.Size-r.at.offset)
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
	return io.EOF
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
