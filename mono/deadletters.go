package mono

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"gomono.dev/transport"
)

// DeadLetters are the messages of a handle that its groups have given up: after
// the last attempt, by Drop, or because nobody can read them. They are kept until
// they are replayed or discarded. Every method may be repeated after an error: what was
// done already is not done twice, a replay within the handle's DedupWindow.
//
// It may be used concurrently, by several processes too.
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

// LetterFilter says which letters are meant. Its zero value means all; of a field
// that is set, only those that match.
type LetterFilter struct {
	Group  string
	ID     string
	Key    string
	Reason Reason
	Code   Code
	After  time.Time // died at this time or later
	Before time.Time // died earlier
}

func matches[T any](f *LetterFilter, l *Letter[T]) bool {
	return (f.ID == "" || f.ID == l.ID) &&
		(f.Key == "" || f.Key == l.Key) &&
		(f.Reason == "" || f.Reason == l.Reason) &&
		(f.Code == "" || f.Code == l.Code) &&
		(f.After.IsZero() || !l.Died.Before(f.After)) &&
		(f.Before.IsZero() || l.Died.Before(f.Before))
}

// List returns the letters that are there when it begins, the oldest first. An
// error ends it.
func (dl DeadLetters[T]) List(ctx context.Context, f LetterFilter) iter.Seq2[Letter[T], error] {
	return func(yield func(Letter[T], error) bool) {
		in, log, err := dl.open(ctx)
		if err != nil {
			yield(Letter[T]{}, err)
			return
		}
		if f.Group != "" && !isToken(f.Group) {
			yield(Letter[T]{}, notDone(InvalidArgument, "dead letters of %s: %q is no group", dl.decl, f.Group))
			return
		}
		for d, err := range log.Read(ctx, transport.ReadConfig{Filter: dl.filter(in, &f)}) {
			if CodeOf(err) == NotFound { // somebody has deleted the log, and all that was in it
				in.lettersOf(dl.decl).reopen()
				return
			}
			if err != nil {
				yield(Letter[T]{}, about("dead letters of "+dl.decl.String(), err))
				return
			}
			l := readLetter[T](in.codecFor(dl.decl, d.Header), d)
			if matches(&f, &l) && !yield(l, nil) {
				return
			}
		}
	}
}

func (dl DeadLetters[T]) filter(in *instance, f *LetterFilter) []string {
	if f.Group == "" {
		return nil
	}
	return []string{in.letterSubject(dl.decl, f.Group, "*")}
}

// Replay gives a message back to the group that gave it up, and to no other, with
// its attempts counted from the beginning, and removes the letter. NotFound means
// that the letter is gone, or was edited since it was listed; FailedPrecondition
// that its group is.
func (dl DeadLetters[T]) Replay(ctx context.Context, l Letter[T]) error {
	leave, err := dl.enter()
	if err != nil {
		return err
	}
	defer leave()
	in, letters, err := dl.find(ctx, &l)
	if err != nil {
		return err
	}
	log, err := in.storageOf(dl.decl).log(ctx)
	if err != nil {
		return err
	}
	if err := dl.checkGroup(ctx, log, l.Group); err != nil {
		return err
	}
	m := &transport.Message{Subject: in.replaySubject(dl.decl, l.Group, l.Key), Header: l.Header, Body: l.Body}
	// With both places, since positions begin anew in a log of letters that was deleted.
	id := fmt.Sprintf("replay-%s-%d-%d", l.Group, l.Sequence, l.position)
	if _, err := appendOnce(ctx, log, m, transport.AppendOptions{ID: id}); err != nil {
		return dl.about(&l, err)
	}
	return dl.remove(ctx, letters, &l)
}

// checkGroup reports a group that is no more: what is sent to it would be lost.
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
	return notDone(FailedPrecondition, "dead letters of %s: the group %q is gone, and nobody would get the replay: start a module that has it, or discard the letter", dl.decl, group)
}

// ReplayAll replays what matches, the oldest first, and returns how many. Letters
// that somebody else replays or discards meanwhile are left to him.
func (dl DeadLetters[T]) ReplayAll(ctx context.Context, f LetterFilter) (int, error) {
	return dl.each(ctx, f, dl.Replay)
}

// Discard removes a letter for good. One that is gone already is no error.
func (dl DeadLetters[T]) Discard(ctx context.Context, l Letter[T]) error {
	leave, err := dl.enter()
	if err != nil {
		return err
	}
	defer leave()
	_, letters, err := dl.find(ctx, &l)
	if CodeOf(err) == NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return dl.remove(ctx, letters, &l)
}

// DiscardAll discards what matches and returns how many.
func (dl DeadLetters[T]) DiscardAll(ctx context.Context, f LetterFilter) (int, error) {
	return dl.each(ctx, f, dl.Discard)
}

// Edit replaces the body of a letter, to be replayed then, and returns the letter
// as it is now. Its key stays what it was. The old one is good for nothing any more.
// NotFound means that somebody was faster.
func (dl DeadLetters[T]) Edit(ctx context.Context, l Letter[T], v T) (Letter[T], error) {
	leave, err := dl.enter()
	if err != nil {
		return l, err
	}
	defer leave()
	in, letters, err := dl.find(ctx, &l)
	if err != nil {
		return l, err
	}
	stored, err := dl.stored(ctx, letters, &l)
	if err != nil {
		return l, err
	}
	m := stored.Message.Clone()
	m.Reply = ""
	m.Header.Del(transport.HeaderContentType)
	if err := encode(m, in.codecOf(dl.decl), &v); err != nil {
		return l, dl.about(&l, err)
	}
	at, err := letters.Append(ctx, m, transport.AppendOptions{Expect: &transport.Expectation{Subject: l.subject, Sequence: l.position}})
	if CodeOf(err) == Aborted {
		return l, dl.gone(&l)
	}
	if err != nil {
		return l, dl.about(&l, err)
	}
	edited := readLetter[T](in.codecOf(dl.decl), &transport.Delivery{Message: *m, Sequence: at.Sequence, Stored: time.Now()})
	return edited, nil
}

// each does f to all letters that match, and passes over those that are gone.
func (dl DeadLetters[T]) each(ctx context.Context, filter LetterFilter, f func(context.Context, Letter[T]) error) (int, error) {
	n := 0
	for l, err := range dl.List(ctx, filter) {
		if err == nil {
			err = f(ctx, l)
		}
		switch {
		case errors.Is(err, errLetterGone):
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// enter makes a stop wait for the caller, which has to call leave.
func (dl DeadLetters[T]) enter() (leave func(), err error) {
	in, err := dl.instance()
	if err != nil {
		return nil, err
	}
	if !in.outgoing.enter() {
		return nil, notDone(Unavailable, "dead letters of %s: the App has stopped", dl.decl)
	}
	return in.outgoing.leave, nil
}

func (dl DeadLetters[T]) instance() (*instance, error) {
	in := dl.b.Scope().in
	if in == nil {
		return nil, notDone(Unavailable, "dead letters of %s: the App has not been started", dl.decl)
	}
	return in, nil
}

// open returns the log of the letters.
func (dl DeadLetters[T]) open(ctx context.Context) (*instance, transport.Log, error) {
	in, err := dl.instance()
	if err != nil {
		return nil, nil, err
	}
	if !dl.decl.stored() {
		return nil, nil, notDone(FailedPrecondition, "%s has no dead letters: it is not stored", dl.decl)
	}
	log, err := in.lettersOf(dl.decl).log(ctx)
	return in, log, err
}

// find opens the log and looks whether the letter is there.
func (dl DeadLetters[T]) find(ctx context.Context, l *Letter[T]) (*instance, transport.Log, error) {
	in, log, err := dl.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	if l.subject == "" {
		return nil, nil, notDone(InvalidArgument, "the letter did not come from a list of dead letters")
	}
	_, err = dl.stored(ctx, log, l)
	return in, log, err
}

// stored returns the letter as it is stored.
func (dl DeadLetters[T]) stored(ctx context.Context, log transport.Log, l *Letter[T]) (*transport.Delivery, error) {
	for d, err := range log.Read(ctx, transport.ReadConfig{Start: transport.Start{Sequence: l.position}, Filter: []string{l.subject}}) {
		if CodeOf(err) == NotFound { // the log itself
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

func (dl DeadLetters[T]) remove(ctx context.Context, log transport.Log, l *Letter[T]) error {
	err := log.Remove(ctx, l.position)
	if err == nil || CodeOf(err) == NotFound {
		return nil
	}
	return dl.about(l, err)
}

func (dl DeadLetters[T]) gone(l *Letter[T]) error {
	e := notDone(NotFound, "dead letter %s of %s in group %q is gone or was edited: list it again", l.ID, dl.decl, l.Group)
	e.Err = errLetterGone
	return e
}

var errLetterGone = errors.New("the letter is gone")

func (dl DeadLetters[T]) about(l *Letter[T], err error) error {
	var e *Error
	if errors.As(err, &e) {
		return about("dead letter "+l.ID+" of "+dl.decl.String(), e)
	}
	return about("dead letter "+l.ID, err)
}
