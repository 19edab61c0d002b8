package mono

import (
	"context"
	"errors"
	"time"

	"gomono.dev/transport"
)

// store appends a message to the log of its handle.
func (s *sender) store(ctx context.Context, m *transport.Message, c *sendingCall) error {
	if n := m.Size() - len(m.Body); n > maxHeader {
		err := notDone(InvalidArgument, "the header has %d bytes, and at most %d can be stored: put large values into the body", n, maxHeader)
		err.Err = transport.ErrTooLarge
		return err
	}
	log, err := s.storage.log(ctx)
	if err != nil {
		return err
	}
	o := c.sent.appendOptions(c.ID())
	if c.sent.conditional {
		// The subject is set even if there is no key: replays are in the log, too.
		o.Expect = &transport.Expectation{Subject: m.Subject, Sequence: c.sent.last}
	}
	if c.sent.async != nil {
		return s.storeAsync(ctx, log, m, o, c.sent)
	}
	if c.sent.stored != nil {
		c.sent.stored.ID = o.ID
	}
	stored, err := appendOnce(ctx, log, m, o)
	c.sequence = stored.Sequence
	if err == nil {
		s.reportStored(c.sent, o.ID, stored)
	}
	return err
}

// storeAsync appends without waiting. Middleware runs around the hand-over to the
// transport.
func (s *sender) storeAsync(ctx context.Context, log transport.Log, m *transport.Message, o transport.AppendOptions, sent *sendOptions) error {
	if !s.in.outgoing.enter() {
		return notDone(Unavailable, "the App has stopped")
	}
	err := log.AppendAsync(ctx, m, o, func(at transport.Appended, err error) {
		defer s.in.outgoing.leave()
		if err != nil {
			err = about(s.decl.String(), err)
		} else {
			s.reportStored(sent, o.ID, at)
		}
		returned := false
		defer func() {
			if !returned {
				s.in.log.Error("mono: a callback of AppendAsync ended its goroutine (runtime.Goexit, or a test's FailNow): further callbacks may not be called", "handle", s.decl.name)
			}
		}()
		_ = guard("the callback of AppendAsync to "+s.decl.String(), s.in.panicked, func() error { sent.async.done(err); return nil }) // it logs a panic
		returned = true
	})
	if err != nil {
		s.in.outgoing.leave()
		return err
	}
	sent.async.begun = true
	return nil
}

// appendOnce appends m once, however many tries it takes: if the acknowledgement of one
// try is lost, the next one has the same id.
func appendOnce(ctx context.Context, log transport.Log, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	stored, doubt := log.Append(ctx, m, o)
	if !mayBeStored(doubt) {
		return stored, doubt
	}
	ctx, cancel := context.WithTimeout(ctx, appendRetryTimeout)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return stored, doubt
		case <-time.After(appendRetryWait):
		}
		stored, err := log.Append(ctx, m, o)
		if CodeOf(err) != Unavailable {
			return stored, withUnknownOutcome(err)
		}
	}
}

// These bound the retries of an append whose acknowledgement was lost.
const (
	appendRetryTimeout = 10 * time.Second
	appendRetryWait    = 100 * time.Millisecond
)

// mayBeStored reports whether a message may have been stored although the append
// failed.
func mayBeStored(err error) bool {
	return CodeOf(err) == Unavailable && OutcomeOf(err) == OutcomeUnknown
}

// withUnknownOutcome returns err with an unknown outcome: the error of a later try
// cannot exclude that an earlier one has stored the message.
func withUnknownOutcome(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Outcome != OutcomeNotDone {
		return err
	}
	unsure := *e
	unsure.Outcome = OutcomeUnknown
	return &unsure
}

// appendOptions returns the options of the append of one message.
func (s *sendOptions) appendOptions(id string) transport.AppendOptions {
	o := transport.AppendOptions{ID: id, Generated: s.dedup == "" && s.stored == nil}
	switch {
	case s.delay > 0:
		o.NotBefore = time.Now().Add(s.delay)
	case s.at > time.Now().UnixNano():
		o.NotBefore = time.Unix(0, s.at)
	}
	return o
}

// delayed reports whether the message has a time to wait for.
func (s *sendOptions) delayed() bool { return s.delay > 0 || s.at > time.Now().UnixNano() }

// Stored describes how a message was stored.
type Stored struct {
	// ID is the id of the message: its DedupID, or a random one.
	ID string

	// Sequence is the position in the log, 0 for a delayed job.
	Sequence uint64

	// Duplicate reports that a message with this DedupID had been stored before, within
	// the DedupWindow. Nothing was stored this time, even if that message has been
	// handled since, or its dead letter discarded; Sequence is its position. Duplicate
	// is also true if the acknowledgement of this very message was lost, and a second
	// attempt found it stored.
	Duplicate bool
}

// postStored sends a message that has no reply, and returns how it was stored.
func postStored[T any](ctx context.Context, b Binder, d *declaration, sent sending, v T) (Stored, error) {
	stored := new(Stored)
	sent.opts.stored = stored
	err := post(ctx, b, d, &sent, v)
	return *stored, err
}

// reportStored reports a duplicate to observers, and to the sender how its message was
// stored. A message with a random id is not a duplicate: the log found an earlier
// attempt of the same append, whose acknowledgement was lost.
func (s *sender) reportStored(o *sendOptions, id string, at transport.Appended) {
	duplicate := at.Duplicate && o.dedup != ""
	if duplicate {
		s.in.observe(MessageDeduplicated{Module: s.module, Handle: s.decl, ID: id, Sequence: at.Sequence})
	}
	if o.stored != nil {
		*o.stored = Stored{ID: id, Sequence: at.Sequence, Duplicate: duplicate}
	}
}
