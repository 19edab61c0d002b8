package natsx

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// Append implements [driver.Log].
func (l *log) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	w, ok := l.idle.Get().(*appendWait)
	if !ok {
		w = newAppendWait()
	}
	if err := l.AppendAsync(ctx, m, o, w.done); err != nil {
		l.idle.Put(w)
		return transport.Appended{}, err
	}
	select {
	case r := <-w.result:
		l.idle.Put(w)
		return r.Appended, r.err
	case <-ctx.Done():
		return transport.Appended{}, ctx.Err()
	}
}

// appendWait waits for the result of an Append. It is reused, unless its result is still to come.
type appendWait struct {
	result chan appendResult // with room for one
	done   func(transport.Appended, error)
}

type appendResult struct {
	transport.Appended
	err error
}

func newAppendWait() *appendWait {
	w := &appendWait{result: make(chan appendResult, 1)}
	w.done = func(a transport.Appended, err error) { w.result <- appendResult{a, err} }
	return w
}

// AppendAsync implements [driver.Log]. It gives up on an answer that does not arrive
// within 20 seconds.
func (l *log) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	if err := l.admit(ctx); err != nil {
		return err
	}
	a := &appending{l: l, subject: m.Subject, o: o, done: done}
	err := a.recall(ctx)
	if err == nil {
		err = a.begin(ctx, m)
	}
	if err != nil {
		a.leave()
	}
	return err
}

// admit reports why nothing can be appended now.
func (l *log) admit(ctx context.Context) error {
	if err := l.t.permissions.checkReplies(); err != nil {
		return err
	}
	switch {
	case l.origin != "":
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "the log is a mirror of %s: append to that one", l.origin)
	case l.declared != nil:
		return l.declared.await(ctx)
	}
	return nil
}

// appending is an append that waits for its answer.
type appending struct {
	l       *log
	subject string
	o       transport.AppendOptions
	done    func(transport.Appended, error)
	counted bool  // counted by the log's room
	full    error // the error of the append, unless the message was stored before

	earlier *transport.Appended // appended by an earlier process; the server may have forgotten it

	progress atomic.Int32
	lost     *transport.Error // set before progress is sendingLost
}

// The progress of an append until it is sent. If the connection is lost meanwhile, only
// begin knows whether the message was sent.
const (
	sending int32 = iota
	sendingLost
	sent
	notSent
)

// recall looks up whether an earlier process has appended the message. It believes that
// only if the stream is still the same, which the server knows.
func (a *appending) recall(ctx context.Context) error {
	if a.o.ID == "" || a.o.Generated || !a.l.t.journal.Persistent() {
		return nil
	}
	if _, ok := a.recorded(); !ok && !a.stream().created().IsZero() {
		return nil
	}
	_, err := a.stream().info(ctx)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeNotDone, "%w", err)
	}
	if sequence, ok := a.recorded(); ok {
		if a.delayed() {
			sequence = 0
		}
		a.earlier = &transport.Appended{Sequence: sequence, Duplicate: true}
	}
	return nil
}

// recorded returns the sequence of the message in its stream, as far as that is known.
func (a *appending) recorded() (sequence uint64, ok bool) {
	s := a.stream()
	return a.l.t.journal.Recall(s.name, s.created(), a.o.ID)
}

// remember records for the next process that the message was appended.
func (a *appending) remember(sequence uint64) {
	if a.o.ID != "" && !a.o.Generated {
		s := a.stream()
		a.l.t.journal.Remember(s.name, s.created(), a.o.ID, sequence, time.Now().Add(a.l.config.Window()))
	}
}

// stream returns the stream that stores the message first. Each stream has its own ids.
func (a *appending) stream() stream {
	if a.delayed() {
		return a.l.delayed.stream
	}
	return a.l.stream
}

func (a *appending) delayed() bool { return !a.o.NotBefore.IsZero() }

func (a *appending) begin(ctx context.Context, m *transport.Message) error {
	if a.delayed() && a.l.config.MaxDelayed > 0 {
		if err := a.l.delayed.takeTurn(ctx); err != nil {
			return err
		}
		defer a.l.delayed.endTurn()
		if err := a.takeRoom(ctx); err != nil {
			return err
		}
	}
	msg := a.message(m)
	number := a.l.t.acks.expect(msg.Subject, a)
	msg.Reply = a.l.t.acks.inbox(number)
	if err := a.l.t.send(msg); err != nil {
		a.l.t.acks.take(number)
		a.progress.Store(notSent)
		return err
	}
	if !a.progress.CompareAndSwap(sending, sent) {
		go a.finish(transport.Appended{}, a.lost)
	}
	return nil
}

// takeRoom reports that the log has no room for another delayed message, unless that depends
// on the id of the message.
func (a *appending) takeRoom(ctx context.Context) error {
	err := a.l.delayed.checkRoom(ctx, a.l.config.MaxDelayed)
	if err != nil && (a.o.ID == "" || transport.CodeOf(err) != transport.ResourceExhausted) {
		return err
	}
	a.full = err
	a.counted = true
	a.l.delayed.underway.Add(1)
	return nil
}

func (a *appending) leave() {
	if a.counted {
		a.l.delayed.leave()
	}
}

// message returns the message to publish.
func (a *appending) message(m *transport.Message) *outgoing {
	msg := a.l.t.outgoing.get(m)
	msg.Subject = a.l.partitions.published(m.Subject)
	if a.o.ID != "" {
		msg.set(jetstream.MsgIDHeader, a.o.ID)
	}
	if a.o.TTL > 0 {
		// Only whole seconds count; round up.
		msg.setNumber(jetstream.MsgTTLHeader, uint64((a.o.TTL+time.Second-1)/time.Second))
	}
	if e := a.o.Expect; e != nil {
		a.expect(msg, e)
	}
	if a.delayed() {
		a.l.delayed.schedule(msg, &a.o)
	}
	if a.full != nil || a.earlier != nil {
		// No message has this id, so nothing is stored. The server checks ids first.
		msg.set(jetstream.ExpectedLastMsgIDHeader, rand.Text())
	}
	return msg
}

func (a *appending) expect(msg *outgoing, e *transport.Expectation) {
	if e.Subject == "" {
		msg.setNumber(jetstream.ExpectedLastSeqHeader, e.Sequence)
		return
	}
	msg.setNumber(jetstream.ExpectedLastSubjSeqHeader, e.Sequence)
	if e.Subject != a.subject {
		msg.set(jetstream.ExpectedLastSubjSeqSubjHeader, a.l.partitions.stored(e.Subject))
	}
}

// answered handles the answer. It runs on the goroutine that receives all answers, so answers
// that need another request are handled on a new goroutine.
func (a *appending) answered(got answer) {
	switch {
	case got.err != nil:
		if a.progress.Load() == sending {
			a.lost = got.err
		}
		if !a.progress.CompareAndSwap(sending, sendingLost) && a.progress.Load() == sent {
			a.finish(transport.Appended{}, got.err)
		}
		return
	case noResponders(got.msg):
		go a.explainNoResponders()
		return
	}
	ack, err := parseAck(got.msg.Data)
	switch {
	case err != nil:
		a.finish(transport.Appended{}, transport.Errorf(transport.Internal, transport.OutcomeUnknown,
			"a subscriber that is not a stream answered %.100q: find the other subscribers of the subject", got.msg.Data))
	case ack.Error == nil:
		a.stored(&ack)
	case a.earlier != nil && ack.Error.ErrorCode == codeWrongLastID:
		a.finish(*a.earlier, nil)
	case a.full != nil && ack.Error.ErrorCode == codeWrongLastID:
		a.finish(transport.Appended{}, a.full)
	case a.mayBeStored(ack.Error):
		go a.lookAgain(ack.Error)
	default:
		a.finish(transport.Appended{}, a.refused(ack.Error))
	}
}

func (a *appending) stored(ack *publishAck) {
	appended := transport.Appended{Sequence: ack.Seq, Duplicate: ack.Duplicate}
	if a.delayed() {
		appended.Sequence = 0 // it gets a sequence when it is due
	}
	if !ack.Duplicate {
		a.remember(ack.Seq)
	}
	a.finish(appended, nil)
}

func (a *appending) finish(appended transport.Appended, err error) {
	a.leave()
	a.done(appended, err)
}

func (a *appending) refused(e *jetstream.APIError) error {
	err := a.l.t.api.explain(e)
	if e.ErrorCode == codeIDInProcess {
		err.(*transport.Error).Outcome = transport.OutcomeUnknown
	}
	return err
}

// explainNoResponders reports why no stream accepted the message: the log is gone, or has no
// leader now.
func (a *appending) explainNoResponders() {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	err := a.stream().checkExists(ctx)
	if err == nil {
		err = unavailable("the log does not accept it now: it has no leader, or was created without this subject: try later")
	}
	a.finish(transport.Appended{}, driver.About("the stream "+a.stream().name, err))
}

// mayBeStored reports whether an append that was refused because of its Expectation may have
// been stored by an earlier attempt. The message that does not match may then be the appended
// message itself.
func (a *appending) mayBeStored(e *jetstream.APIError) bool {
	return a.o.Expect != nil && a.o.ID != "" && codeFor(e) == transport.Aborted
}

// lookAgain gets the last message to which the Expectation refers.
func (a *appending) lookAgain(refusal *jetstream.APIError) {
	subject := ">"
	if a.o.Expect.Subject != "" {
		subject = a.l.partitions.stored(a.o.Expect.Subject)
	}
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	last, err := a.l.message(ctx, map[string]any{"last_by_subj": subject})
	switch {
	case err == nil && appendedID(last.Header) == a.o.ID:
		a.finish(transport.Appended{Sequence: last.Sequence, Duplicate: true}, nil)
	case err == nil || missing(err):
		a.finish(transport.Appended{}, a.refused(refusal))
	default:
		a.finish(transport.Appended{}, transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%w", err))
	}
}

// publishAck is the answer of a stream to a message.
type publishAck struct {
	Seq       uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Batch     string              `json:"batch"`
	Error     *jetstream.APIError `json:"error"`
}

var (
	ackSequence = []byte(`"seq":`)
	ackError    = []byte(`"error"`)
)

// parseAck parses an answer. Most answers hold only a sequence, and are parsed without a JSON
// decoder.
func parseAck(data []byte) (ack publishAck, err error) {
	if seq, ok := plainSequence(data); ok {
		return publishAck{Seq: seq}, nil
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return ack, err
	}
	if ack.Error == nil && ack.Seq == 0 && !bytes.Contains(data, ackSequence) {
		return ack, errNoAck
	}
	return ack, nil
}

var errNoAck = transport.Errorf(transport.Internal, transport.OutcomeUnknown, "no acknowledgement")

// plainSequence parses {"stream":"<name>", "seq":<digits>} without other fields.
func plainSequence(data []byte) (seq uint64, ok bool) {
	if !bytes.HasPrefix(data, []byte(`{"stream":"`)) || bytes.Contains(data, ackError) {
		return 0, false
	}
	_, rest, found := bytes.Cut(data, ackSequence)
	if !found {
		return 0, false
	}
	rest, found = bytes.CutSuffix(rest, []byte("}"))
	if rest = bytes.TrimSpace(rest); !found || len(rest) == 0 || len(rest) > 19 {
		return 0, false
	}
	for _, c := range rest {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, true
}
