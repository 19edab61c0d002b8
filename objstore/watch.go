package objstore

import (
	"context"
	"iter"
	"strings"
	"time"

	"gomono.dev/kv"
)

// Event is one step of a Watch. Its Info describes the object after an EventPut; of the others
// only Name and Revision are set.
type Event struct {
	Info
	Kind EventKind
}

// EventKind is the kind of an Event.
type EventKind uint8

const (
	// EventPut is an object that is present, or whose content or description was stored.
	EventPut EventKind = iota

	// EventDelete is the end of an object that was deleted or renamed.
	EventDelete

	// EventExpire is the end of an object that has expired, by the local clock, with the
	// Revision of the object. It comes only for objects that the Watch has given.
	EventExpire

	// EventCurrent marks that the objects that were present have been given. Changes follow.
	// Only the Revision is set.
	EventCurrent

	// EventReplay marks that changes after the Revision may be missing, because the watcher
	// read too slowly. The objects that are present now follow, and then EventCurrent. A name
	// that does not come again has no object. A watcher with [UpdatesOnly] gets those stored
	// since the Revision.
	EventReplay
)

// WatchOption is an option of Watch: [Prefix], [UpdatesOnly], [FromRevision] or [IgnoreDeletes].
type WatchOption interface{ watchOption(o *watchOptions) }

type watchOptions struct {
	prefix        string
	ignoreDeletes bool
	continues     bool // it does not begin with all present objects
	entries       []kv.WatchOption
}

type watchOption func(*watchOptions)

func (f watchOption) watchOption(o *watchOptions) { f(o) }

// UpdatesOnly leaves out the objects that are present at the beginning, and their EventCurrent.
func UpdatesOnly() WatchOption { return continuing(kv.UpdatesOnly()) }

// FromRevision begins with the objects that were stored or deleted from a revision on, instead
// of the present ones. A revision that the store has not reached is out_of_range, except the
// next one. Expired objects are left out.
func FromRevision(revision uint64) WatchOption { return continuing(kv.FromRevision(revision)) }

func continuing(option kv.WatchOption) WatchOption {
	return watchOption(func(o *watchOptions) { o.continues, o.entries = true, append(o.entries, option) })
}

// IgnoreDeletes leaves out the ends of objects.
func IgnoreDeletes() WatchOption {
	return watchOption(func(o *watchOptions) { o.ignoreDeletes = true })
}

// Watch returns the present objects, then EventCurrent, and then the changes, until ctx ends or
// the loop is left. All but expiries come in the order of revisions. Unless the loop is left,
// the last step is an error: the error of ctx, not_found for a deleted store, or unavailable
// for a closed one.
//
// Each change comes once, also over lost connections, servers and leaders, or EventReplay
// reports that it may be missing. An object that changes while it is not read may come with its
// newest description only.
//
// A description that cannot be decoded is an error with the Name and the Revision of its Event:
// the Watch continues. All watchers of a store in an App share one consumer.
func (o *Objects) Watch(ctx context.Context, options ...WatchOption) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s, err := o.begin(ctx)
		if err != nil {
			yield(Event{}, err)
			return
		}
		w := &watch{s: s, yield: yield}
		for _, option := range options {
			if option == nil {
				yield(Event{}, inStore(s.name, invalid("an option of Watch is nil")))
				return
			}
			option.watchOption(&w.watchOptions)
		}
		w.run(ctx)
	}
}

// watch is one Watch.
type watch struct {
	watchOptions
	s        *opened
	yield    func(Event, error) bool
	expiries expiries // of the objects that were given
}

// change is one step of the Watch of the entries.
type change struct {
	kv.Event[entry]
	err error
}

// run gives events until the loop is left, or the Watch of the entries ends.
func (w *watch) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	left, changes := make(chan struct{}), make(chan change)
	go w.follow(ctx, changes, left)
	defer func() { // also if the loop panics
		close(left)
		cancel()
		for range changes { // until follow has ended
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for more := true; more; {
		var due <-chan time.Time
		if next := w.expiries.next(); next != nil {
			timer.Reset(time.Until(next.at))
			due = timer.C
		}
		select {
		case c, ok := <-changes:
			more = ok && w.give(&c)
		case <-due:
			more = w.expire()
		}
	}
}

// follow sends the steps of the Watch of the entries.
func (w *watch) follow(ctx context.Context, changes chan<- change, left <-chan struct{}) {
	defer close(changes)
	for e, err := range w.s.entries.Watch(ctx, w.entries...) {
		select {
		case changes <- change{e, err}:
		case <-left:
			return
		}
	}
}

// give gives a change. It reports whether the loop goes on.
func (w *watch) give(c *change) bool {
	if c.Kind != kv.EventEntry {
		return w.mark(c)
	}
	if c.Key == "" {
		return w.yield(Event{}, inStore(w.s.name, ofEntries(c.err)))
	}
	name := nameOf(c.Key)
	switch {
	case !strings.HasPrefix(name, w.prefix), c.Op == kv.OpExpire: // see expire
		return true
	case c.err != nil:
		w.expiries.remove(name)
		return w.yield(Event{Info: Info{Name: name, Revision: c.Revision}}, w.s.at(name, ofEntries(c.err)))
	case c.Op != kv.OpPut:
		w.expiries.remove(name)
		return w.ignoreDeletes || w.yield(Event{Info{Name: name, Revision: c.Revision}, EventDelete}, nil)
	}
	is, err := newInfo(&c.Entry)
	if err != nil {
		w.expiries.remove(name)
		return w.yield(Event{Info: is}, w.s.at(name, err))
	}
	if !w.ignoreDeletes {
		w.expiries.set(name, is.Revision, is.Expires)
	}
	return w.yield(Event{is, EventPut}, nil)
}

// mark gives a mark of the Watch of the entries.
func (w *watch) mark(c *change) bool {
	e := Event{Info: Info{Revision: c.Revision}, Kind: EventCurrent}
	if c.Kind == kv.EventReplay {
		e.Kind = EventReplay
		if !w.continues {
			w.expiries = expiries{} // what is present comes again
		}
	}
	return w.yield(e, nil)
}

// expire gives the ends of the objects that have expired.
func (w *watch) expire() bool {
	for x := w.expiries.take(time.Now()); x != nil; x = w.expiries.take(time.Now()) {
		if !w.yield(Event{Info{Name: x.name, Revision: x.revision}, EventExpire}, nil) {
			return false
		}
	}
	return true
}
