package objstore

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"time"

	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Headers of the chunks of an upload that can be resumed.
const (
	headerPlan  = "Mono-Upload"       // of the first chunk: an uploadPlan
	headerState = "Mono-Upload-State" // of a chunk that was the last one: an uploadState
)

// uploadPlan describes an upload. It is JSON in the header of the first chunk, so a token
// cannot change it.
type uploadPlan struct {
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Size        int64             `json:"size"` // -1: unknown
	Chunk       int               `json:"chunk"`
	TTL         time.Duration     `json:"ttl,omitempty"`
	Life        time.Duration     `json:"life"`
	Expires     time.Time         `json:"expires"`
	Absent      bool              `json:"absent,omitempty"`
	Revision    *uint64           `json:"revision,omitempty"`
	Digest      *string           `json:"digest,omitempty"`
}

// uploadState describes the last chunk, and all before it.
type uploadState struct {
	Index  int    `json:"index"`
	Before uint64 `json:"before"` // the sequence of the chunk before
	Digest []byte `json:"digest,omitempty"`
	Final  bool   `json:"final,omitempty"` // it was stored together with the entry
}

func newUploadPlan(name string, life time.Duration, p *putOptions) *uploadPlan {
	life = (life + time.Second - 1).Truncate(time.Second)
	return &uploadPlan{
		Name: name, Description: p.description, ContentType: p.contentType, Header: p.header, Metadata: p.metadata,
		Size: p.size, TTL: p.ttl, Life: life, Expires: time.Now().Add(life).UTC().Truncate(time.Millisecond),
		Absent: p.absent, Revision: p.revision, Digest: p.digest,
	}
}

func (p *uploadPlan) encode() string {
	text, _ := json.Marshal(p) // maps of strings have no error
	return string(text)
}

func (p *uploadPlan) conditions() *conditions {
	return &conditions{absent: p.Absent, revision: p.Revision, digest: p.Digest}
}

func (p *uploadPlan) info() Info {
	return Info{Name: p.Name, Description: p.Description, ContentType: p.ContentType, Header: p.Header, Metadata: p.Metadata}.clone()
}

// maxChunk limits the memory that the plan of another program can demand. NATS has this limit.
const maxChunk = 64 << 20

// planOf returns the plan in the first chunk of an upload, nil if there is none.
func planOf(first *driver.Chunk) *uploadPlan {
	var p uploadPlan
	err := json.Unmarshal([]byte(first.Header.Get(headerPlan)), &p)
	if err != nil || checkName(p.Name) != nil || p.Chunk < 1 || p.Chunk > maxChunk || p.Size < -1 || checkHeader(p.Header) != nil {
		return nil
	}
	return &p
}

// Token returns the token for [Objects.Resume]. A program that has it can continue and cancel
// the upload.
func (u *Upload) Token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenVersion + "." + u.s.name + "." + u.id))
}

const tokenVersion = "1"

var ownUpload = regexp.MustCompile(`^[A-Z2-7]{26}$`) // as rand.Text has it

// parseToken returns the id of an upload in a store.
func parseToken(token, store string) (id string, ok bool) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	id, ok = strings.CutPrefix(string(text), tokenVersion+"."+store+".")
	return id, ok && err == nil && ownUpload.MatchString(id)
}

// Resume continues an upload, by the token that [Upload.Token] returned in any process. An
// unknown token is not_found, also after a Cancel. An upload that has expired is
// failed_precondition.
//
// If the process ended in the middle of an Append, Resume reads all that is stored.
func (o *Objects) Resume(ctx context.Context, token string) (*Upload, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return nil, err
	}
	u, err := s.resume(ctx, token)
	return u, inStore(s.name, about("upload", err))
}

var errNoUpload = notDone(transport.NotFound, "the upload does not exist: it was never begun, was cancelled, or has expired")

func (s *opened) resume(ctx context.Context, token string) (*Upload, error) {
	id, ok := parseToken(token, s.name)
	if !ok {
		return nil, errNoUpload
	}
	last, err := s.Last(ctx, id)
	if transport.CodeOf(err) == transport.NotFound {
		return nil, errNoUpload
	}
	if err != nil {
		return nil, asNotDone(err)
	}
	first, err := s.Chunk(ctx, id, 0)
	if transport.CodeOf(err) == transport.NotFound {
		return nil, errLags
	}
	if err != nil {
		return nil, asNotDone(err)
	}
	plan := planOf(first)
	if plan == nil {
		return nil, errNoUpload // no upload that Begin began
	}
	u := s.uploadOf(id, plan)
	if !u.restore(last) {
		if err := u.readAgain(ctx, last.Sequence); err != nil {
			return nil, err
		}
	}
	if !u.finished && !time.Now().Before(plan.Expires) {
		return nil, notDone(transport.FailedPrecondition, "%w", errExpired)
	}
	return u, nil
}

var errLags = notDone(transport.Unavailable, "a replica does not have the whole upload yet: try again")

// restore continues with the state in the last chunk. It reports false if there is none.
func (u *Upload) restore(last *driver.Chunk) bool {
	var is uploadState
	text := last.Header.Get(headerState)
	if json.Unmarshal([]byte(text), &is) != nil || is.Index < 0 || is.Index > math.MaxInt32 || len(last.Data) > u.chunk {
		return false
	}
	if !is.Final && u.digest.(encoding.BinaryUnmarshaler).UnmarshalBinary(is.Digest) != nil {
		u.digest = sha256.New()
		return false
	}
	u.finished = is.Final
	u.chunks, u.size, u.before, u.state = is.Index, int64(is.Index)*int64(u.chunk), is.Before, is.Digest
	u.hold(last)
	return true
}

// isFinal reports whether a last chunk was stored with the entry of the object.
func isFinal(last *driver.Chunk) bool {
	var is uploadState
	return json.Unmarshal([]byte(last.Header.Get(headerState)), &is) == nil && is.Final
}

// hold continues with a stored last chunk.
func (u *Upload) hold(last *driver.Chunk) {
	u.last = append(u.last[:0], last.Data...)
	u.digest.Write(u.last)
	u.size += int64(len(u.last))
	u.stored = last.Sequence
	u.writer = u.s.Write(u.id, last.Sequence)
}

// readAgain reads all chunks, of which the last one has the given sequence.
func (u *Upload) readAgain(ctx context.Context, last uint64) error {
	damaged := false
	err := u.s.Read(ctx, u.id, 0, func(c *driver.Chunk) bool {
		if u.stored != 0 {
			damaged = len(u.last) != u.chunk
			u.before = u.stored
			u.chunks++
			u.saveDigest()
		}
		damaged = damaged || len(c.Data) > u.chunk
		if !damaged {
			u.hold(c)
		}
		return !damaged && c.Sequence < last
	})
	switch {
	case err != nil:
		return asNotDone(err)
	case damaged:
		return notDone(transport.DataLoss, "chunk %d has not the size that the upload was begun with", u.chunks)
	case u.stored != last:
		return errLags
	}
	return nil
}

// isPaused reports whether the chunks of an upload are kept, since it can be resumed.
func (s *opened) isPaused(ctx context.Context, upload string) (bool, error) {
	first, err := s.Chunk(ctx, upload, 0)
	if transport.CodeOf(err) == transport.NotFound {
		return true, nil // the replica does not have it yet
	}
	if err != nil {
		return false, asNotDone(err)
	}
	plan := planOf(first)
	return plan != nil && time.Now().Before(plan.Expires), nil
}
