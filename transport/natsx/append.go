package natsx

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// Append implements [transport.Log].
func (l *log) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	type result struct {
		transport.Appended
		err error
	}
	appended := make(chan result, 1)
	if err := l.AppendAsync(ctx, m, o, func(a transport.Appended, err error) { appended <- result{a, err} }); err != nil {
		return transport.Appended{}, err
	}
	select {
	case r := <-appended:
		return r.Appended, r.err
	case <-ctx.Done():
		return transport.Appended{}, transport.ContextError(ctx, transport.OutcomeUnknown,
			"append to %s on %q: %v while it waited for the acknowledgement", l.what, m.Subject, ctx.Err())
	}
}

// AppendAsync implements [transport.Log]. An answer that does not come within 20
// seconds is given up.
func (l *log) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	if err := l.admit(ctx, m, &o); err != nil {
		return err
	}
	if err := l.enter(ctx); err != nil {
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

// admit reports why m cannot be appended now.
func (l *log) admit(ctx context.Context, m *transport.Message, o *transport.AppendOptions) error {
	if err := l.t.admit(ctx, m); err != nil {
		return err
	}
	if err := l.t.checkReplies("append to " + l.what); err != nil {
		return err
	}
	if l.origin != "" {
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"append to %s on %q: it is a mirror of %s: append to that", l.what, m.Subject, l.origin)
	}
	if !o.NotBefore.IsZero() && !l.t.Capabilities().Delays {
		return tooOld("append to %s: NotBefore", l.what)
	}
	if err := o.Validate(&l.config, m); err != nil || l.declared == nil {
		return err
	}
	return l.declared.await(ctx)
}

// enter waits until fewer than maxAppending appends wait for their answer.
func (l *log) enter(ctx context.Context) error {
	select {
	case l.window <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.window <- struct{}{}:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeNotDone, "append to %s: %d others wait for their acknowledgement", l.what, maxAppending)
	}
}

// appending is an append that waits for its answer.
type appending struct {
	l       *log
	subject string
	o       transport.AppendOptions
	done    func(transport.Appended, error)
	roomed  bool  // it is counted by the log's room
	full    error // what it comes to, unless it was stored before

	earlier *transport.Appended // by an earlier process, which the server may have forgotten
}

// recall looks whether an earlier process has appended the message. It believes that
// only if the stream is still the same, which the server knows.
func (a *appending) recall(ctx context.Context) error {
	if a.o.ID == "" || a.o.Generated || !a.l.t.journal.Lasting() {
		return nil
	}
	if _, ok := a.recorded(); !ok && !a.l.t.streamCreated(a.stream()).IsZero() {
		return nil
	}
	_, err := a.l.t.stream(ctx, a.stream())
	switch {
	case missing(err):
		return nil
	case err != nil:
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeNotDone, "append to %s on %q: %w", a.l.what, a.subject, err)
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
	return a.l.t.journal.Recall(a.stream(), a.l.t.streamCreated(a.stream()), a.o.ID)
}

// remember notes that the message was appended, for the next process.
func (a *appending) remember(sequence uint64) {
	if a.o.ID != "" && !a.o.Generated {
		a.l.t.journal.Remember(a.stream(), a.l.t.streamCreated(a.stream()), a.o.ID, sequence, time.Now().Add(a.l.config.Window()))
	}
}

// stream is the one that stores the message first. Each has ids of its own.
func (a *appending) stream() string {
	if a.delayed() {
		return a.l.delayedName()
	}
	return a.l.config.Name
}

func (a *appending) delayed() bool { return !a.o.NotBefore.IsZero() }

func (a *appending) begin(ctx context.Context, m *transport.Message) error {
	if a.delayed() && a.l.config.MaxDelayed > 0 {
		if err := a.l.room.takeTurn(ctx); err != nil {
			return err
		}
		defer a.l.room.endTurn()
		if err := a.takeRoom(ctx); err != nil {
			return err
		}
	}
	msg := a.message(m)
	token := a.l.t.acks.expect(msg.Subject, a.answered)
	msg.Reply = a.l.t.acks.prefix + token
	if err := a.l.t.send(msg, "append on "); err != nil {
		if _, ours := a.l.t.acks.take(token); ours {
			return err
		}
		// A loss of the connection has answered already.
	}
	return nil
}

// takeRoom reports that there is no room for another message that is delayed, unless
// that depends on its id.
func (a *appending) takeRoom(ctx context.Context) error {
	err := a.l.checkRoom(ctx)
	if err != nil && (a.o.ID == "" || transport.CodeOf(err) != transport.ResourceExhausted) {
		return err
	}
	a.full = err
	a.roomed = true
	a.l.room.underway.Add(1)
	return nil
}

func (a *appending) leave() {
	if a.roomed {
		a.l.room.leave()
	}
	<-a.l.window
}

// message makes what is published.
func (a *appending) message(m *transport.Message) *outgoing {
	msg := a.l.t.toNATS(m)
	msg.Subject = a.l.lanes.published(m.Subject)
	if a.o.ID != "" {
		msg.set(jetstream.MsgIDHeader, a.o.ID)
	}
	if a.o.TTL > 0 {
		// In whole seconds, which are all that count, and never too few.
		msg.setNumber(jetstream.MsgTTLHeader, uint64((a.o.TTL+time.Second-1)/time.Second))
	}
	if e := a.o.Expect; e != nil {
		a.expect(msg, e)
	}
	if a.delayed() {
		a.l.schedule(msg, &a.o)
	}
	if a.full != nil || a.earlier != nil {
		// No message has this id, so nothing is stored; ids are looked at before.
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
		msg.set(jetstream.ExpectedLastSubjSeqSubjHeader, a.l.lanes.stored(e.Subject))
	}
}

// answered is called with the answer, on the goroutine that all answers come on.
// What needs another question to be understood moves to a goroutine of its own.
func (a *appending) answered(got answer) {
	switch {
	case got.err != nil:
		a.finish(transport.Appended{}, about("append to "+a.l.what+" on "+strconv.Quote(a.subject), got.err))
		return
	case nobody(got.msg):
		go a.explainNobody()
		return
	}
	ack, err := parseAck(got.msg.Data)
	switch {
	case err != nil:
		a.finish(transport.Appended{}, transport.Errorf(transport.Internal, transport.OutcomeUnknown,
			"append to %s on %q: somebody who is no stream answered %.100q: see who else subscribes to the subject", a.l.what, a.subject, got.msg.Data))
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
		appended.Sequence = 0 // it gets one when its time has come
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
	err := a.l.t.apiError(e, "append to "+a.l.what+" on "+strconv.Quote(a.subject))
	if e.ErrorCode == codeIDInProcess {
		err.(*transport.Error).Outcome = transport.OutcomeUnknown
	}
	return err
}

// explainNobody says why nobody took the message: the log is gone, or has no
// leader for the moment. The cluster's leader may itself be a moment late to know a new
// log, so it is believed when it says twice that there is none.
func (a *appending) explainNobody() {
	what := "append to " + a.l.what + " on " + strconv.Quote(a.subject)
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	_, err := a.l.t.stream(ctx, a.stream())
	if missing(err) && a.l.replicated && pause(ctx, 5*askPause) {
		_, err = a.l.t.stream(ctx, a.stream())
	}
	if !missing(err) {
		err = unavailable("%s: the log does not take it now: it has no leader, or was made without this subject", what)
	}
	a.finish(transport.Appended{}, err)
}

// mayBeStored reports whether an append that was refused for its Expectation may
// have been stored by an earlier attempt, and so be the last message itself.
func (a *appending) mayBeStored(e *jetstream.APIError) bool {
	return a.o.Expect != nil && a.o.ID != "" && codeFor(e) == transport.Aborted
}

// lookAgain asks for the last message that the Expectation is about.
func (a *appending) lookAgain(refusal *jetstream.APIError) {
	subject := ">"
	if a.o.Expect.Subject != "" {
		subject = a.l.lanes.stored(a.o.Expect.Subject)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	last, err := ask(ctx, a.l.t, a.l.what, func(ctx context.Context) (*storedMessage, error) {
		return a.l.getMessage(ctx, map[string]any{"last_by_subj": subject})
	})
	switch {
	case err == nil && appendedID(last.Header) == a.o.ID:
		a.finish(transport.Appended{Sequence: last.Sequence, Duplicate: true}, nil)
	case err == nil || missing(err):
		a.finish(transport.Appended{}, a.refused(refusal))
	default:
		a.finish(transport.Appended{}, transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%w", err))
	}
}

// publishAck is a stream's answer to a message.
type publishAck struct {
	Seq       uint64              `json:"seq"`
	Duplicate bool                `json:"duplicate"`
	Error     *jetstream.APIError `json:"error"`
}

var (
	ackSequence = []byte(`"seq":`)
	ackError    = []byte(`"error"`)
)

// parseAck reads an answer. Most say no more than a sequence, and those are read
// without a parser.
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

// plainSequence reads {"stream":"<name>", "seq":<digits>} with nothing else in it.
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
