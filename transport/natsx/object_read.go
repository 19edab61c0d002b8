package natsx

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Limits of one request for chunks. Two requests are in progress at a time.
const (
	maxChunks     = 256
	maxChunkBytes = 512 << 10
)

// Chunk implements [driver.Store].
func (o *objects) Chunk(ctx context.Context, upload string, from uint64) (*driver.Chunk, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	chunks, _, err := o.readChunks(ctx, nil, upload, from, 1)
	switch {
	case err != nil:
		return nil, err
	case len(chunks) == 0:
		return nil, errNoRecord
	}
	return chunks[0], nil
}

// Last implements [driver.Store].
func (o *objects) Last(ctx context.Context, upload string) (*driver.Chunk, error) {
	m, err := o.message(ctx, map[string]any{"last_by_subj": o.chunks + upload})
	switch {
	case isNoMessage(err):
		return nil, errNoRecord
	case err != nil:
		return nil, o.explain(err)
	}
	return &driver.Chunk{Sequence: m.Sequence, Created: m.Time, TTL: ttlOf(m.Header), Header: chunkHeader(m.Header), Data: m.Data}, nil
}

// Count implements [driver.Store].
func (o *objects) Count(ctx context.Context, upload string) (int, error) {
	_, n, err := o.count(ctx, upload)
	return n, err
}

// count is Count, with the state of the stream before the chunks were counted.
func (o *objects) count(ctx context.Context, upload string) (is jetstream.StreamInfo, n int, err error) {
	subject := o.chunks + upload
	is, err = callAPI(ctx, o.t, func(ctx context.Context) (is jetstream.StreamInfo, err error) {
		err = o.t.api.request(ctx, "STREAM.INFO."+o.name, map[string]any{"subjects_filter": subject}, &is)
		return is, err
	})
	return is, int(is.State.Subjects[subject]), o.explain(err)
}

// Read implements [driver.Store].
func (o *objects) Read(ctx context.Context, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	var ahead *chunkRequest
	defer func() {
		if ahead != nil {
			ahead.end()
		}
	}()
	for {
		var chunks []*driver.Chunk
		var after int
		err := o.persist(ctx, func() (err error) {
			r := ahead
			ahead = nil
			chunks, after, err = o.readChunks(ctx, r, upload, from, maxChunks)
			return err
		})
		if err != nil || len(chunks) == 0 {
			return err
		}
		from = chunks[len(chunks)-1].Sequence + 1
		if after > 0 {
			ahead, _ = o.requestChunks(ctx, upload, from, maxChunks) // otherwise the next round asks again
		}
		for _, c := range chunks {
			if !yield(c) {
				return nil
			}
		}
		if after == 0 {
			return nil
		}
	}
}

// readChunks returns at most n chunks at or after a sequence, and the number of chunks after them.
// r is a request for them that was sent, or nil. While it has no answer, another one is sent.
func (o *objects) readChunks(ctx context.Context, r *chunkRequest, upload string, from uint64, n int) (chunks []*driver.Chunk, after int, err error) {
	err = o.untilAnswered(ctx, transport.OutcomeNotDone, func(limit time.Duration) (err error) {
		if r == nil {
			if r, err = o.requestChunks(ctx, upload, from, n); err != nil {
				return err
			}
		}
		chunks, after, err = r.receive(ctx, limit)
		r = nil
		return err
	})
	return chunks, after, err
}

// chunkRequest is a request for several chunks: a direct get of a batch (ADR-31).
type chunkRequest struct {
	o       *objects
	number  uint64
	replies chan answer
}

// requestChunks asks for at most n chunks at or after a sequence.
func (o *objects) requestChunks(ctx context.Context, upload string, from uint64, n int) (*chunkRequest, error) {
	if !o.shape.Load().direct {
		return nil, errNotDirect
	}
	if err := o.t.ready(ctx); err != nil {
		return nil, err
	}
	if err := o.t.permissions.checkReplies(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"seq": max(from, 1), "next_by_subj": o.chunks + upload, "batch": n, "max_bytes": maxChunkBytes})
	if err != nil {
		return nil, err
	}
	m := &transport.Message{Subject: o.t.api.prefix() + directGet + o.name, Body: body}
	r := &chunkRequest{o: o}
	r.number, r.replies = o.t.requests.openMany(m.Subject, n+2)
	msg := o.t.outgoing.get(m)
	msg.Reply = o.t.requests.inbox(r.number)
	if err := o.t.send(msg); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

func (r *chunkRequest) end() { r.o.t.requests.take(r.number) }

// receive returns the chunks, and the number of chunks after them. It returns errSilent if no
// answer arrives for limit.
func (r *chunkRequest) receive(ctx context.Context, limit time.Duration) (chunks []*driver.Chunk, after int, err error) {
	defer r.end()
	for {
		a, err := r.o.t.nextAnswer(ctx, limit, r.replies)
		switch {
		case err == errSilent:
			return nil, 0, err
		case err != nil:
			return nil, 0, lost(ctx, transport.OutcomeNotDone)
		case a.err != nil:
			return nil, 0, a.err
		}
		switch status := statusOf(a.msg); status {
		case "":
			c, err := directChunk(a.msg)
			if err != nil {
				return nil, 0, err
			}
			chunks = append(chunks, c)
			after = c.After
		case "204":
			return chunks, numberIn(a.msg, headerPending), nil
		case "404":
			return nil, 0, nil
		case "503":
			return nil, 0, r.o.explainNoReplica(ctx)
		default:
			return nil, 0, r.o.badStatus(status, a.msg)
		}
	}
}

// directChunk returns the chunk in an answer to a direct get.
func directChunk(msg *nats.Msg) (*driver.Chunk, error) {
	sequence, err := strconv.ParseUint(lastOf(msg.Header, headerSequence), 10, 64)
	created, timeErr := time.Parse(time.RFC3339Nano, lastOf(msg.Header, headerTime))
	if err != nil || timeErr != nil {
		return nil, transport.Errorf(transport.Internal, transport.OutcomeNotDone, "the answer is not a chunk: find the other subscribers of the subject")
	}
	return &driver.Chunk{
		Sequence: sequence, Created: created, After: numberIn(msg, headerPending),
		TTL: ttlOf(msg.Header), Header: chunkHeader(msg.Header), Data: msg.Data,
	}, nil
}

// chunkHeader returns the header of a chunk without the server's fields.
func chunkHeader(h nats.Header) (header transport.Header) {
	for name, values := range h {
		if transport.Reserved(name) {
			continue
		}
		for _, value := range values {
			header = append(header, transport.Field{Name: name, Value: value})
		}
	}
	return header
}
