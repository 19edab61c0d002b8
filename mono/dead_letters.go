package mono

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"gomono.dev/transport"
)

// DeadLetters gives access to the messages that the groups of a handle have given up:
// after the last attempt, by Permanent, or because they cannot be decoded. They are
// kept until they are replayed or discarded.
//
// Every method may be repeated after an error. What was already done is not done twice;
// for a replay this holds within the handle's DedupWindow.
//
// A DeadLetters may be used concurrently, also by several processes.
type DeadLetters[T any] struct {
	decl *declaration
	b    Binder
}

// DeadLetters returns the dead letters of the queue.
func (q Queue[T]) DeadLetters(b Binder) DeadLetters[T] { return DeadLetters[T]{q.decl, b} }

// DeadLetters returns the dead letters of a durable event.
func (e Event[T]) DeadLetters(b Binder) DeadLetters[T] { return DeadLetters[T]{e.decl, b} }

// DeadLetters returns the dead letters of the stream.
func (s Stream[T]) DeadLetters(b Binder) DeadLetters[T] { return DeadLetters[T]{s.decl, b} }

// DeadLetterFilter selects dead letters. A dead letter matches if it matches all fields
// that are set. The zero value selects all.
type DeadLetterFilter struct {
	Group  string
	ID     string
	Key    string
	Reason Reason
	Code   Code
	After  time.Time // dead-lettered at this time or later
	Before time.Time // dead-lettered earlier
}

func matches[T any](f *DeadLetterFilter, l *DeadLetter[T]) bool {
	return (f.ID == "" || f.ID == l.ID) &&
		(f.Key == "" || f.Key == l.Key) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		(f.Code == "" || f.Code == l.Code) &&
		(f.After.IsZero() || !l.DeadLettered.Before(f.After)) &&
		(f.Before.IsZero() || l.DeadLettered.Before(f.Before))
}

// List returns the dead letters that exist when it begins, the oldest first. An error
// ends it.
func (dl DeadLetters[T]) List(ctx context.Context, f DeadLetterFilter) iter.Seq2[DeadLetter[T], error] {
	return func(yield func(DeadLetter[T], error) bool) {
		in, err := dl.instance()
		if err != nil {
			yield(DeadLetter[T]{}, err)
			return
		}
		log, err := dl.open(ctx, in)
		if err != nil {
			yield(DeadLetter[T]{}, err)
			return
		}
		if f.Group != "" && !isToken(f.Group) {
			yield(DeadLetter[T]{}, notDone(InvalidArgument, "dead letters of %s: invalid group %q: want lower-case letters, digits and single hyphens", dl.decl, f.Group))
			return
		}
		for d, err := range log.Read(ctx, transport.ReadConfig{Filter: dl.filter(in, &f)}) {
			if CodeOf(err) == NotFound { // the log was deleted, with all dead letters
				in.logs.deadLettersOf(dl.decl).reopen()
				return
			}
			if err != nil {
				yield(DeadLetter[T]{}, about("dead letters of "+dl.decl.String(), err))
				return
			}
			l := decodeDeadLetter[T](in.codecs.orOwn(d.Header, dl.decl), d)
			if matches(&f, &l) && !yield(l, nil) {
				return
			}
		}
	}
}

func (dl DeadLetters[T]) filter(in *instance, f *DeadLetterFilter) []string {
	if f.Group == "" {
		return nil
	}
	return []string{in.names.deadLetter(dl.decl, f.Group, "*")}
}

// Replay returns a message to the group that gave it up, and to no other group. A job that
// is ReasonUnclaimed goes to the groups that take its key now. Its attempts are counted from
// the beginning, and the dead letter is removed. NotFound means that the dead letter is gone,
// or was edited since it was listed. FailedPrecondition means that its group is gone, or that
// still no group takes its key.
func (dl DeadLetters[T]) Replay(ctx context.Context, l DeadLetter[T]) error {
	return dl.change(ctx, &l, func(in *instance, deadLetters transport.Log, _ *transport.Delivery) error {
		log, err := in.logs.of(dl.decl).log(ctx)
		if err != nil {
			return err
		}
		subject := in.names.replay(dl.decl, l.Group, l.Key)
		if l.Group == "" {
			subject = in.names.keyed(dl.decl, l.Key)
			err = dl.checkClaimed(ctx, in.logs.of(dl.decl), &l)
		} else {
			err = dl.checkGroup(ctx, log, l.Group)
		}
		if err != nil {
			return err
		}
		m := &transport.Message{Subject: subject, Header: l.Header, Body: l.Body}
		// The id has both positions, since positions start again in a log of dead letters
		// that was deleted.
		id := fmt.Sprintf("replay-%s-%d-%d", l.Group, l.Sequence, l.position)
		if _, err := appendOnce(ctx, log, m, transport.AppendOptions{ID: id}); err != nil {
			return dl.about(&l, err)
		}
		if err := dl.remove(ctx, deadLetters, &l); err != nil {
			return err
		}
		dl.observe(ctx, in, &l, DeadLetterReplayed)
		return nil
	})
}

// observe reports a change of a dead letter.
func (dl DeadLetters[T]) observe(ctx context.Context, in *instance, l *DeadLetter[T], change DeadLetterChange) {
	in.observe(DeadLetterChanged{Context: ctx, Module: dl.b.Scope().Module(), Handle: dl.decl, Group: l.Group, ID: l.ID, Change: change})
}

// checkGroup reports a group that does not exist any more: a message sent to it would
// be lost.
func (dl DeadLetters[T]) checkGroup(ctx context.Context, log transport.Log, group string) error {
	groups, err := log.Groups(ctx)
	if err != nil {
		return about("dead letters of "+dl.decl.String(), err)
	}
	for _, g := range groups {
		if g.Config.Name == group {
			return nil
		}
	}
	return notDone(FailedPrecondition, "dead letters of %s: the group %q is gone, and the replay would be lost: start a module with this group, or discard the dead letter", dl.decl, group)
}

// checkClaimed reports a job that no group takes: its replay would become a dead letter again.
func (dl DeadLetters[T]) checkClaimed(ctx context.Context, s *storage, l *DeadLetter[T]) error {
	c, err := s.readClaims(ctx)
	if err != nil {
		return dl.about(l, err)
	}
	if c.taken(l.Key) {
		return nil
	}
	return notDone(FailedPrecondition, "dead letter %s of %s: no group takes the key %q yet: start a worker with it among its mono.Keys, or discard the dead letter", l.ID, dl.decl, l.Key)
}

// ReplayAll replays the dead letters that match f, the oldest first, and returns how
// many it has replayed. It skips those that were replayed or discarded elsewhere in the
// meantime.
func (dl DeadLetters[T]) ReplayAll(ctx context.Context, f DeadLetterFilter) (int, error) {
	return dl.each(ctx, f, dl.Replay)
}

// Discard removes a dead letter permanently. It returns nil if the dead letter is
// already gone.
func (dl DeadLetters[T]) Discard(ctx context.Context, l DeadLetter[T]) error {
	err := dl.change(ctx, &l, func(in *instance, deadLetters transport.Log, _ *transport.Delivery) error {
		if err := dl.remove(ctx, deadLetters, &l); err != nil {
			return err
		}
		dl.observe(ctx, in, &l, DeadLetterDiscarded)
		return nil
	})
	if CodeOf(err) == NotFound {
		return nil
	}
	return err
}

// DiscardAll discards the dead letters that match f and returns how many it has
// discarded.
func (dl DeadLetters[T]) DiscardAll(ctx context.Context, f DeadLetterFilter) (int, error) {
	return dl.each(ctx, f, dl.Discard)
}

// Edit replaces the body of a dead letter before a replay, and returns the edited dead
// letter. The key stays the same. The old value can no longer be used. NotFound means
// that the dead letter was changed or removed in the meantime.
func (dl DeadLetters[T]) Edit(ctx context.Context, l DeadLetter[T], v T) (DeadLetter[T], error) {
	edited := l
	err := dl.change(ctx, &l, func(in *instance, deadLetters transport.Log, stored *transport.Delivery) error {
		m := stored.Message.Clone()
		m.Reply = ""
		m.Header.Del(transport.HeaderContentType)
		if err := encodePayload(m, in.codecs.own(dl.decl), &v); err != nil {
			return dl.about(&l, err)
		}
		at, err := deadLetters.Append(ctx, m, transport.AppendOptions{Expect: &transport.Expectation{Subject: l.subject, Sequence: l.position}})
		if CodeOf(err) == Aborted {
			return dl.gone(&l)
		}
		if err != nil {
			return dl.about(&l, err)
		}
		edited = decodeDeadLetter[T](in.codecs.own(dl.decl), &transport.Delivery{Message: *m, Sequence: at.Sequence, Stored: time.Now()})
		dl.observe(ctx, in, &l, DeadLetterEdited)
		return nil
	})
	return edited, err
}

// each calls f for all dead letters that match filter, and skips those that are gone.
func (dl DeadLetters[T]) each(ctx context.Context, filter DeadLetterFilter, f func(context.Context, DeadLetter[T]) error) (int, error) {
	n := 0
	for l, err := range dl.List(ctx, filter) {
		if err == nil {
			err = f(ctx, l)
		}
		switch {
		case errors.Is(err, errDeadLetterGone):
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// change calls f with the log of the dead letters and l as it is stored there. A stop
// waits for f.
func (dl DeadLetters[T]) change(ctx context.Context, l *DeadLetter[T], f func(*instance, transport.Log, *transport.Delivery) error) error {
	in, err := dl.instance()
	if err != nil {
		return err
	}
	if !in.outgoing.enter() {
		return notDone(Unavailable, "dead letters of %s: the App has stopped", dl.decl)
	}
	defer in.outgoing.leave()
	log, err := dl.open(ctx, in)
	if err != nil {
		return err
	}
	if l.subject == "" {
		return notDone(InvalidArgument, "the dead letter did not come from DeadLetters: get it with List")
	}
	stored, err := dl.stored(ctx, log, l)
	if err != nil {
		return err
	}
	return f(in, log, stored)
}

func (dl DeadLetters[T]) instance() (*instance, error) {
	in := dl.b.Scope().in
	if in == nil {
		return nil, notDone(Unavailable, "dead letters of %s: the App has not been started", dl.decl)
	}
	return in, nil
}

// open returns the log of the dead letters.
func (dl DeadLetters[T]) open(ctx context.Context, in *instance) (transport.Log, error) {
	if !dl.decl.stored() {
		return nil, notDone(FailedPrecondition, "%s has no dead letters: it is not stored", dl.decl)
	}
	return in.logs.deadLettersOf(dl.decl).log(ctx)
}

// stored returns the dead letter as it is stored.
func (dl DeadLetters[T]) stored(ctx context.Context, log transport.Log, l *DeadLetter[T]) (*transport.Delivery, error) {
	for d, err := range log.Read(ctx, transport.ReadConfig{Start: transport.Start{Sequence: l.position}, Filter: []string{l.subject}}) {
		if CodeOf(err) == NotFound { // the log itself is gone
			break
		}
		if err != nil {
			return nil, dl.about(l, err)
		}
		if d.Sequence == l.position {
			return d, nil
		}
		break
	}
	return nil, dl.gone(l)
}

func (dl DeadLetters[T]) remove(ctx context.Context, log transport.Log, l *DeadLetter[T]) error {
	err := log.Remove(ctx, l.position)
	if err == nil || CodeOf(err) == NotFound {
		return nil
	}
	return dl.about(l, err)
}

func (dl DeadLetters[T]) gone(l *DeadLetter[T]) error {
	e := notDone(NotFound, "dead letter %s of %s in group %q is gone or was edited: list it again", l.ID, dl.decl, l.Group)
	e.Err = errDeadLetterGone
	return e
}

var errDeadLetterGone = errors.New("the dead letter is gone")

func (dl DeadLetters[T]) about(l *DeadLetter[T], err error) error {
	var e *Error
	if errors.As(err, &e) {
		return about("dead letter "+l.ID+" of "+dl.decl.String(), e)
	}
	return about("dead letter "+l.ID, err)
}
