package mono

import (
	"context"
	"errors"
	"time"

	"gomono.dev/transport"
)

// store appends a message to the log of its handle.
func (s *sender) store(ctx context.Context, m *transport.Message, c *Call) error {
	if n := m.Size() - len(m.Body); n > maxHeader {
		return notDone(InvalidArgument, "the header has %d bytes, at most %d can be stored: put it into the body", n, maxHeader)
	}
	log, err := s.storage.log(ctx)
	if err != nil {
		return err
	}
	o := c.sent.appendOptions(c.ID())
	if c.sent.conditional {
		// Of its subject also where there is no key: replays are in the log, too.
		o.Expect = &transport.Expectation{Subject: m.Subject, Sequence: c.sent.last}
	}
	if c.sent.done != nil {
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

// storeAsync appends without the wait. The middleware sees the hand-over.
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
				s.in.log.Error("mono: a callback of AppendAsync ended its goroutine (runtime.Goexit, or a test's FailNow): no more of them may be called", "handle", s.decl.name)
			}
		}()
		_ = guard("the callback of AppendAsync to "+s.decl.String(), s.in.panicked, func() error { sent.done(err); return nil }) // it logs a panic
		returned = true
	})
	if err != nil {
		s.in.outgoing.leave()
	}
	return err
}

// appendOnce appends m once, however often it has to try: when the
// acknowledgement of one try was lost, the next one has the same id.
func appendOnce(ctx context.Context, log transport.Log, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	stored, doubt := log.Append(ctx, m, o)
	if !doubtful(doubt) {
		return stored, doubt
	}
	ctx, cancel := context.WithTimeout(ctx, doubtTimeout)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return stored, doubt
		case <-time.After(doubtWait):
		}
		stored, err := log.Append(ctx, m, o)
		if CodeOf(err) != Unavailable {
			return stored, unsure(err)
		}
	}
}

// How long, and how often, an append is tried again whose acknowledgement was
// lost.
const (
	doubtTimeout = 10 * time.Second
	doubtWait    = 100 * time.Millisecond
)

// doubtful reports whether a message may have been stored although the append
// failed.
func doubtful(err error) bool {
	return CodeOf(err) == Unavailable && OutcomeOf(err) == OutcomeUnknown
}

// unsure takes from the error of a later try the claim that nothing was done: an
// earlier one may have done it.
func unsure(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Outcome != OutcomeNotDone {
		return err
	}
	unsure := *e
	unsure.Outcome = OutcomeUnknown
	return &unsure
}

// appendOptions are those of one message.
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

// delayed reports whether a time was asked for that has not come.
func (s *sendOptions) delayed() bool { return s.delay > 0 || s.at > time.Now().UnixNano() }
