package natsx

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Get implements [driver.Bucket]. A direct get costs a quarter of a request to the leader.
func (b *bucket) Get(ctx context.Context, key string, revision uint64, fresh bool) (*driver.Record, error) {
	if !b.shape.Load().direct || fresh && !b.single() {
		return b.getFromLeader(ctx, key, revision)
	}
	r, own, answered, err := b.getDirect(ctx, key, revision)
	switch {
	case own && err == nil:
		return r, nil
	case fresh && (err == nil || err == errNoRecord || transport.CodeOf(err) == transport.PermissionDenied): // perhaps of a mirror
		return b.getFromLeader(ctx, key, revision)
	case answered || err != nil:
		return r, err
	}
	if _, err := b.look(ctx); err != nil { // the bucket may be gone, or its setting may have changed
		return nil, err
	}
	return b.getFromLeader(ctx, key, revision)
}

// single reports whether the bucket has one replica. A direct get is then answered by it, or by a
// mirror.
func (b *bucket) single() bool {
	return b.shape.Load().config.Replicas <= 1 && !b.t.clustered() && b.t.options.domain == ""
}

// directGet is the part of the subjects of direct gets after the prefix of the API.
const directGet = ".DIRECT.GET."

// getDirect asks any server that stores the bucket. It reports whether the record is from the
// bucket itself, not from a mirror, and whether there is an answer that can be read.
func (b *bucket) getDirect(ctx context.Context, key string, revision uint64) (r *driver.Record, own, answered bool, err error) {
	prefix := b.shape.Load().prefix
	m := transport.Message{Subject: b.t.api.prefix() + directGet + b.name + "." + prefix + key}
	if revision > 0 {
		m.Subject = b.t.api.prefix() + directGet + b.name
		m.Body = strconv.AppendUint([]byte(`{"seq":`), revision, 10)
		m.Body = append(m.Body, '}')
	}
	reply, err := b.ask(ctx, &b.t.requests, &m, nil)
	if err != nil {
		return nil, false, true, err
	}
	switch status := statusOf(reply); status {
	case noStatus: // nats.go has dropped a malformed header
		return nil, false, false, nil
	case "":
		r, err = directRecord(reply, prefix)
		if err == nil && r.Key != key {
			err = errNoRecord
		}
		return r, lastOf(reply.Header, headerStream) == b.name, true, err
	case "404":
		return nil, false, true, errNoRecord
	case "503":
		return nil, false, false, nil
	default:
		return nil, false, true, b.badStatus(status, reply)
	}
}

// Headers of the answer to a direct get.
const (
	headerStatus   = "Status"
	headerStream   = "Nats-Stream"
	headerSubject  = "Nats-Subject"
	headerSequence = "Nats-Sequence"
	headerTime     = "Nats-Time-Stamp"
	headerPending  = "Nats-Num-Pending"
	headerUpTo     = "Nats-UpTo-Sequence"
)

// statusOf returns the status of an answer to a direct get, or "" for a record. A record may
// have a header of the same name.
func statusOf(msg *nats.Msg) string {
	if len(msg.Header[headerSequence]) > 0 {
		return ""
	}
	return cmp.Or(firstOf(msg.Header, headerStatus), noStatus)
}

const noStatus = "none"

// directRecord returns the record in the answer to a direct get. For a subject outside the
// bucket, the key is the whole subject. The server's headers come last: a republished record
// may have headers of the same names.
func directRecord(msg *nats.Msg, prefix string) (*driver.Record, error) {
	sequence, err := strconv.ParseUint(lastOf(msg.Header, headerSequence), 10, 64)
	created, timeErr := time.Parse(time.RFC3339Nano, lastOf(msg.Header, headerTime))
	subject := lastOf(msg.Header, headerSubject)
	if err != nil || timeErr != nil {
		return nil, transport.Errorf(transport.Internal, transport.OutcomeNotDone, "the answer is not a record: find the other subscribers of the subject")
	}
	r := &driver.Record{Key: strings.TrimPrefix(subject, prefix), Revision: sequence, Created: created}
	fillRecord(r, msg.Header, msg.Data)
	return r, nil
}

func lastOf(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func (b *bucket) badStatus(status string, reply *nats.Msg) error {
	return transport.Errorf(transport.Internal, transport.OutcomeNotDone, "%s: status %s: %s", b.t.address, status, firstOf(reply.Header, "Description"))
}

// getFromLeader asks the server that has all records.
func (b *bucket) getFromLeader(ctx context.Context, key string, revision uint64) (*driver.Record, error) {
	subject := b.shape.Load().prefix + key
	request := map[string]any{"last_by_subj": subject}
	if revision > 0 {
		request = map[string]any{"seq": revision}
	}
	m, err := b.message(ctx, request)
	switch {
	case isNoMessage(err):
		return nil, errNoRecord
	case err != nil:
		return nil, b.explain(err)
	case m.Subject != subject:
		return nil, errNoRecord
	}
	r := &driver.Record{Key: key, Revision: m.Sequence, Created: m.Time}
	fillRecord(r, m.Header, m.Data)
	return r, nil
}

// Read implements [driver.Bucket]. The server reads all keys while nothing is written, and
// answers with a message for each, and one for the end.
func (b *bucket) Read(ctx context.Context, keys []string) ([]*driver.Record, uint64, error) {
	switch {
	case !b.shape.Load().direct:
		return nil, 0, errNotDirect
	case b.t.account.Load().level < levelTTL:
		return nil, 0, transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "several keys are read at once by nats-server 2.11 or later: upgrade the server")
	}
	if len(keys) == 0 {
		info, err := b.Info(ctx)
		return nil, info.Last, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	for r, also := retryFor(acceptTime), ""; ; {
		var m *multiRead
		err := b.untilAnswered(ctx, transport.OutcomeNotDone, func(limit time.Duration) error {
			m = &multiRead{b: b, prefix: b.shape.Load().prefix, keys: slices.Compact(slices.Sorted(slices.Values(keys))), also: also}
			return m.run(ctx, limit)
		})
		if err == errNoReplica {
			err = b.explainNoReplica(ctx)
		}
		if err == nil && m.malformed > 0 {
			err = m.readMalformed(ctx)
		}
		if err == errNoReplica && b.replicated && r.next(ctx) {
			continue
		}
		if err != nil || m.revision > 0 {
			return m.asked(), m.revision, err
		}
		if also != "" && !pause(ctx, apiPause) { // a replica lags, or the record was removed
			return nil, 0, lost(ctx, transport.OutcomeNotDone)
		}
		revision, other, err := m.other(ctx)
		if other == "" || err != nil {
			return nil, revision, err
		}
		also = other
	}
}

// errNoReplica means that no server answers direct gets of the bucket.
var errNoReplica = unavailable("no replica answers now: try later")

var errNotDirect = transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone,
	"any replica must answer such a read, which the stream does not allow: set allow_direct in it")

func (b *bucket) explainNoReplica(ctx context.Context) error {
	if _, err := b.look(ctx); err != nil {
		return err
	}
	if !b.shape.Load().direct {
		return errNotDirect
	}
	return errNoReplica
}

// multiRead is a read of several keys.
type multiRead struct {
	b        *bucket
	prefix   string
	keys     []string
	also     string // a subject that is read only because it has a record, or ""
	records  []*driver.Record
	expected int    // answers, according to the first record; 0 without records
	revision uint64 // 0 without answers

	malformed int // answers whose header nats.go has dropped, with the key
}

// run sends one request and receives all answers. It returns errSilent if none arrives for limit.
func (m *multiRead) run(ctx context.Context, limit time.Duration) error {
	t := m.b.t
	if err := t.ready(ctx); err != nil {
		return err
	}
	message, err := m.request()
	if err != nil {
		return err
	}
	if err := t.permissions.checkReplies(); err != nil {
		return err
	}
	number, replies := t.requests.openMany(message.Subject, len(m.keys)+2)
	defer t.requests.take(number)
	msg := t.outgoing.get(message)
	msg.Reply = t.requests.inbox(number)
	if err := t.send(msg); err != nil {
		return err
	}
	for {
		a, err := t.nextAnswer(ctx, limit, replies)
		switch {
		case err == errSilent:
			return err
		case err != nil:
			return lost(ctx, transport.OutcomeNotDone)
		case a.err != nil:
			return a.err
		}
		if done, err := m.take(a.msg); done || err != nil {
			return err
		}
	}
}

// maxAnswer bounds the bytes of an answer. A server disconnects a client for which more bytes
// wait than its max_pending, which is 64 MB by default.
const maxAnswer = 32 << 20

func (m *multiRead) request() (*transport.Message, error) {
	subjects := make([]string, len(m.keys))
	for i, key := range m.keys {
		subjects[i] = m.prefix + key
	}
	if m.also != "" && !slices.Contains(subjects, m.also) {
		subjects = append(subjects, m.also)
	}
	body, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": maxAnswer})
	if err != nil {
		return nil, err
	}
	if limit := m.b.t.maxPayload(); limit > 0 && len(body) > limit {
		return nil, transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone, "the keys have %d bytes in all, and the server allows %d: read fewer keys at once", len(body), limit)
	}
	return &transport.Message{Subject: m.b.t.api.prefix() + directGet + m.b.name, Body: body}, nil
}

// take handles an answer, and reports whether it was the last.
func (m *multiRead) take(msg *nats.Msg) (done bool, err error) {
	switch status := statusOf(msg); status {
	case "":
		r, err := directRecord(msg, m.prefix)
		if err != nil {
			return false, err
		}
		if m.records = append(m.records, r); len(m.records) == 1 {
			m.expected = 1 + m.malformed + numberIn(msg, headerPending)
		}
		return false, nil
	case noStatus:
		m.malformed++
		return false, nil
	case "204":
		return true, m.end(msg)
	case "404":
		return true, nil
	case "413":
		return true, transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone, "the server reads at most %d keys at once: read fewer", driver.MaxRead)
	case "503":
		return true, errNoReplica
	default:
		return true, m.b.badStatus(status, msg)
	}
}

// end checks that all records have arrived.
func (m *multiRead) end(msg *nats.Msg) error {
	switch {
	case numberIn(msg, headerPending) > 0:
		return transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone, "one answer of the server cannot hold the values: read fewer keys at once")
	case m.expected > 0 && len(m.records)+m.malformed != m.expected:
		return unavailable("%d of %d records arrived: try again", len(m.records)+m.malformed, m.expected)
	}
	m.revision = uint64(numberIn(msg, headerUpTo))
	if m.revision == 0 {
		return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "the server does not report the revision of several keys: upgrade it to nats-server 2.11 or later")
	}
	return nil
}

// readMalformed asks the leader for each key without a record. Its answer includes malformed
// records.
func (m *multiRead) readMalformed(ctx context.Context) error {
	known := make(map[string]bool, len(m.records))
	for _, r := range m.records {
		known[r.Key] = true
	}
	found := 0
	for _, key := range append(slices.Clone(m.keys), strings.TrimPrefix(m.also, m.prefix)) {
		if known[key] || key == "" {
			continue
		}
		known[key] = true
		r, err := m.b.getFromLeader(ctx, key, 0)
		switch {
		case err == nil && r.Revision <= m.revision:
			m.records, found = append(m.records, r), found+1
		case err != nil && err != errNoRecord:
			return err
		}
	}
	if found != m.malformed {
		return unavailable("a record with a malformed header was replaced meanwhile: try again")
	}
	return nil
}

// asked returns the records of the keys, in the order of revisions.
func (m *multiRead) asked() []*driver.Record {
	m.records = slices.DeleteFunc(m.records, func(r *driver.Record) bool {
		_, asked := slices.BinarySearch(m.keys, r.Key)
		return !asked
	})
	slices.SortFunc(m.records, func(a, b *driver.Record) int { return cmp.Compare(a.Revision, b.Revision) })
	return m.records
}

// other returns the subject of any record, according to the leader. A replica does not report
// the revision at which it found none of the keys, unless it finds another record as well. For a
// bucket without records, other returns "" and its revision.
func (m *multiRead) other(ctx context.Context) (revision uint64, subject string, err error) {
	is, err := m.b.look(ctx)
	if err != nil {
		return 0, "", err
	}
	first, err := m.b.message(ctx, map[string]any{"seq": 1, "next_by_subj": m.prefix + ">"})
	switch {
	case isNoMessage(err):
		return is.State.LastSeq, "", nil
	case err != nil:
		return 0, "", m.b.explain(err)
	}
	return 0, first.Subject, nil
}

// numberIn returns the number in a header, or 0.
func numberIn(msg *nats.Msg, name string) int {
	n, _ := strconv.Atoi(lastOf(msg.Header, name))
	return max(n, 0)
}

// isNoMessage reports whether an error means that the stream has no such message.
func isNoMessage(err error) bool {
	return missing(err) && codeOfAPI(err) != jetstream.JSErrCodeStreamNotFound
}
