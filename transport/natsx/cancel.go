package natsx

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// Cancel pauses the groups, removes a message that none of them has delivered, and resumes them. It
// looks again after the removal, so it knows whether someone has resumed a group too early: a
// consumer delivers in the order of sequences.
//
// A delayed message moves from its schedule to the subject of due messages, and from there into the
// log. Cancel looks for it in this order, so it misses none. A schedule that is about to fire is
// left alone, because its message may be on the way already.

const (
	cancelPause = 5 * time.Second // ends the pause of the groups, should this process end before
	firingTime  = time.Second     // the clocks of a cluster's servers may differ by that

	// cancelMark is the part below a millisecond of the end of a pause. It tells the pauses of Cancel,
	// in any process, from those of PauseGroup.
	cancelMark = 271828
)

// byCancel reports whether a pause that ends then is one of Cancel.
func byCancel(until time.Time) bool { return until.Nanosecond()%int(time.Millisecond) == cancelMark }

// Cancel implements [driver.Log].
func (l *log) Cancel(ctx context.Context, id string) error {
	if l.t.account.Load().level < levelTTL {
		return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "messages are cancelled by nats-server 2.11 or later: upgrade the server")
	}
	select {
	case l.cancels <- struct{}{}:
		defer func() { <-l.cancels }()
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while another message was cancelled", ctx.Err())
	}
	for {
		due := false
		if l.config.Delays {
			removed, moves, err := l.delayed.cancel(ctx, id)
			if removed || err != nil {
				return err
			}
			due = moves
		}
		err := l.cancelStored(ctx, id)
		if !due || err != errNoMessage {
			return err
		}
		if !pause(ctx, apiPause) {
			return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while the message was due and not in the log yet", ctx.Err())
		}
	}
}

var errNoMessage = transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such message")

// cancel removes a message that is not due. It reports whether it has, or else whether the message
// is due and on its way to the log.
func (d *delayed) cancel(ctx context.Context, id string) (removed, due bool, err error) {
	for {
		m, err := d.find(ctx, id, func(*storedMessage) bool { return true })
		switch {
		case err != nil || m == nil:
			return false, false, err
		case !strings.HasPrefix(m.Subject, delayedSubject(d.log, "at.")):
			return false, true, nil
		}
		at, _ := time.Parse(time.RFC3339Nano, strings.TrimPrefix(m.Header.Get(headerSchedule), "@at "))
		before, err := d.info(ctx)
		if err != nil {
			return false, false, err
		}
		if left := at.Sub(before.TimeStamp); left < 2*firingTime {
			if !pause(ctx, max(left, apiPause)) {
				return false, false, transport.ContextError(ctx, transport.OutcomeNotDone, "%w while the message became due", ctx.Err())
			}
			continue
		}
		switch err := d.removeMessage(ctx, m.Sequence); {
		case isGone(err):
			continue // it is due now, or someone has cancelled it
		case err != nil:
			return false, false, err
		}
		after, err := d.info(ctx)
		switch {
		case err != nil:
			return false, false, transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "it was removed, perhaps after it was due: %w", err)
		case at.Sub(after.TimeStamp) < firingTime:
			return false, false, errTooLate
		}
		return true, false, nil
	}
}

var errTooLate = transport.Errorf(transport.Aborted, transport.OutcomeUnknown, "it was removed, but a member may have received it before")

// isGone reports whether an error means that a message does not exist in an existing stream.
func isGone(err error) bool {
	return missing(err) && codeOfAPI(err) != jetstream.JSErrCodeStreamNotFound
}

// find returns the first message with an id that accept accepts, or nil. It reads the stream message
// by message, since a consumer of a log with InterestRetention would retain messages.
func (s stream) find(ctx context.Context, id string, accept func(*storedMessage) bool) (*storedMessage, error) {
	for from := uint64(1); ; {
		m, err := s.message(ctx, map[string]any{"seq": from, "next_by_subj": ">"})
		switch {
		case isGone(err):
			return nil, nil
		case err != nil:
			return nil, err
		case appendedID(m.Header) == id && accept(m):
			return m, nil
		}
		from = m.Sequence + 1
	}
}

// removeMessage deletes a message of the stream.
func (s stream) removeMessage(ctx context.Context, sequence uint64) error {
	return s.remove(ctx, func(ctx context.Context) error {
		return s.t.api.request(ctx, "STREAM.MSG.DELETE."+s.name, map[string]any{"seq": sequence, "no_erase": true}, &struct{}{})
	})
}

// cancelStored removes a message of the log that no group has delivered.
func (l *log) cancelStored(ctx context.Context, id string) error {
	consumers, err := l.reported(ctx)
	if err != nil {
		return err
	}
	for consumers.cancelling() {
		if !pause(ctx, apiPause) {
			return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while another process cancelled a message", ctx.Err())
		}
		if consumers, err = l.reported(ctx); err != nil {
			return err
		}
	}
	var begun error
	m, err := l.find(ctx, id, func(m *storedMessage) bool {
		err := l.checkWaits(m, consumers)
		if err != nil {
			begun = err
		}
		return err == nil
	})
	switch {
	case err != nil:
		return err
	case m == nil && begun != nil:
		return begun
	case m == nil:
		return errNoMessage
	}
	held := &held{log: l, until: consumers.now().Add(cancelPause).Truncate(time.Millisecond).Add(cancelMark)}
	defer held.resume(ctx)
	if err := held.pause(ctx, consumers.concerned(l, m)); err != nil {
		return err
	}
	if consumers, err = l.reported(ctx); err == nil {
		err = l.checkWaits(m, consumers)
	}
	if err == nil {
		err = l.removeMessage(ctx, m.Sequence)
	}
	switch {
	case isGone(err):
		return errNoMessage // someone else has cancelled it
	case err != nil:
		return err
	}
	consumers, err = l.reported(ctx)
	switch {
	case err != nil:
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "it was removed, perhaps after a member has received it: %w", err)
	case l.checkWaits(m, consumers) != nil:
		return errTooLate
	}
	return nil
}

// consumers are the consumers of a log's groups, as their servers report them.
type consumers []*jetstream.ConsumerInfo

func (l *log) reported(ctx context.Context) (consumers, error) {
	all, lacking, err := l.groups.durables(ctx)
	if err == nil && lacking {
		err = unavailable("its servers have yet to start some of its groups: try later")
	}
	return all, err
}

// now returns the time of the server.
func (cs consumers) now() time.Time {
	if len(cs) == 0 {
		return time.Now()
	}
	return cs[0].TimeStamp
}

// cancelling reports whether a Cancel has paused one of the consumers.
func (cs consumers) cancelling() bool {
	return slices.ContainsFunc(cs, func(is *jetstream.ConsumerInfo) bool {
		until := is.Config.PauseUntil
		return until != nil && byCancel(*until) && until.After(is.TimeStamp)
	})
}

// concerned returns the consumers that deliver a message.
func (cs consumers) concerned(l *log, m *storedMessage) consumers {
	return slices.DeleteFunc(slices.Clone(cs), func(is *jetstream.ConsumerInfo) bool {
		c := &is.Config
		if filter := filterOf(c); len(filter) > 0 && !transport.Contains(filter, m.Subject) {
			return true
		}
		later := !l.replicated && (l.config.Retention == transport.InterestRetention || c.DeliverPolicy == jetstream.DeliverNewPolicy)
		return c.OptStartSeq > m.Sequence || later && is.Created.After(m.Time)
	})
}

// checkWaits returns an error if a group has delivered a message.
func (l *log) checkWaits(m *storedMessage, all consumers) error {
	for _, is := range all.concerned(l, m) {
		if is.Delivered.Stream >= m.Sequence {
			return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "a member of the group %q has received it", groupOf(is))
		}
	}
	return nil
}

// held are the consumers that a Cancel has paused. It leaves longer pauses of PauseGroup alone, and
// takes the place of another Cancel that began at the same time.
type held struct {
	*log
	until time.Time
	all   consumers // as they were before
}

func (h *held) pause(ctx context.Context, all consumers) error {
	h.all = slices.DeleteFunc(all, func(is *jetstream.ConsumerInfo) bool {
		until := is.Config.PauseUntil
		return until != nil && until.After(h.until) && !byCancel(*until)
	})
	return h.t.api.explain(firstError(h.t.api.inParallel(ctx, len(h.all), func(i int) error {
		return h.log.pause(ctx, h.all[i].Name, h.until)
	})...))
}

// resume ends the pauses, unless someone has changed them. They end by themselves if it fails.
func (h *held) resume(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelPause)
	defer cancel()
	h.t.api.inParallel(ctx, len(h.all), func(i int) error {
		is, err := h.consumer(ctx, h.all[i].Name)
		if err != nil || is.Config.PauseUntil == nil || !is.Config.PauseUntil.Equal(h.until) {
			return err
		}
		var before time.Time
		if was := h.all[i].Config.PauseUntil; was != nil && was.After(is.TimeStamp) && !byCancel(*was) {
			before = *was
		}
		return h.log.pause(ctx, is.Name, before)
	})
}
