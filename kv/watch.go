package kv

import (
	"context"
	"iter"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Event is one step of a Watch.
type Event[T any] struct {
	Entry[T]
	Kind EventKind
}

// EventKind is the kind of an Event.
type EventKind uint8

const (
	// EventEntry is a value, or the end of one: see Op.
	EventEntry EventKind = iota

	// EventCurrent marks that the values that were present have been given. Changes follow.
	// Only the Revision is set.
	EventCurrent

	// EventReplay marks that changes after the Revision may be missing, because the watcher
	// read too slowly, or was disconnected for so long that marks of deletions were removed.
	// The values that are present now follow, and then EventCurrent. A key that does not come
	// again has no value. A watcher with [UpdatesOnly] gets those set since the Revision.
	EventReplay
)

type watchOptions struct {
	selectors     selectors
	updatesOnly   bool
	from          uint64 // 0: not set
	metadataOnly  bool
	ignoreDeletes bool
	err           error
}

type watchOption func(*watchOptions)

func (f watchOption) watchOption(o *watchOptions) { f(o) }

// UpdatesOnly leaves out the values that are present at the beginning, and their EventCurrent.
func UpdatesOnly() WatchOption { return watchOption(func(o *watchOptions) { o.updatesOnly = true }) }

// FromRevision begins with all stored records from a revision on, instead of the present
// values. A revision that the bucket has not reached is out_of_range, except the next one.
func FromRevision(revision uint64) WatchOption {
	return watchOption(func(o *watchOptions) {
		o.from = revision
		if revision == 0 {
			o.err = firstError(o.err, invalid("FromRevision(0): revisions begin at 1"))
		}
	})
}

// MetadataOnly leaves out the values.
func MetadataOnly() WatchOption {
	return watchOption(func(o *watchOptions) { o.metadataOnly = true })
}

// IgnoreDeletes leaves out the ends of values.
func IgnoreDeletes() WatchOption {
	return watchOption(func(o *watchOptions) { o.ignoreDeletes = true })
}

// Watch returns the present values of the selected keys, or of all, then EventCurrent, and
// then the changes, in the order of revisions, until ctx ends or the loop is left. The last
// step is an error, if the loop is not left: that of ctx, not_found if the bucket was deleted,
// or unavailable if it was closed.
//
// Each change comes once, also over lost connections, servers and leaders. If that cannot be
// promised, EventReplay says so. A key that changes while it is not read may come with its
// newest value only.
//
// Changes that are not read yet are in memory: 4,096 of them, and until the present values have
// been read and the Watch has caught up, one for each key that has changed.
//
// A value that cannot be decoded is an error with the Key and the Revision of its Entry and a
// [DecodeError]: the Watch continues.
//
// All watchers of a bucket in a process share one subscription.
func (kv *KeyValue[T]) Watch(ctx context.Context, options ...WatchOption) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		v := &view[T]{kv: kv, yield: yield}
		defer v.end() // also if the loop panics
		err := v.begin(ctx, options)
		for err == nil && !v.left {
			v.w.await(ctx) // here, where the stack is small
			err = v.step(ctx)
		}
		if err != nil && !v.left {
			yield(Event[T]{}, v.named(err))
		}
	}
}

// view is one Watch.
type view[T any] struct {
	watchOptions
	kv    *KeyValue[T]
	o     *opened
	w     *watcher
	yield func(Event[T], error) bool
	after uint64 // the last revision that was given, or left out
	left  bool   // the loop was left
}

// named names the bucket in an error, unless it was not open.
func (v *view[T]) named(err error) error {
	if v.o == nil {
		return err
	}
	return inBucket(v.o.name, err)
}

// begin starts to watch, and gives the records that the options ask for. The watcher collects
// changes from before the records are read, up to a revision. Those after it come from the
// watcher.
func (v *view[T]) begin(ctx context.Context, options []WatchOption) (err error) {
	if v.o, err = v.kv.store.begin(ctx); err != nil {
		return err
	}
	patterns, err := v.apply(options)
	if err != nil {
		return err
	}
	w := newWatcher(patterns, v.metadataOnly)
	last, err := v.o.feed.join(ctx, w)
	if err != nil {
		return err
	}
	v.w = w
	switch {
	case v.from > last+1:
		return notDone(transport.OutOfRange, "FromRevision(%d): the newest revision is %d", v.from, last)
	case v.from > 0:
		v.after = v.from - 1
		return v.present(ctx, driver.Scan{UpTo: last, History: true, After: v.after})
	case v.updatesOnly:
		v.after = last
		return nil
	}
	return v.present(ctx, driver.Scan{UpTo: last})
}

// apply applies the options, and returns the patterns of the selected keys.
func (v *view[T]) apply(options []WatchOption) ([]string, error) {
	for _, option := range options {
		if option == nil {
			return nil, invalid("an option of Watch is nil")
		}
		option.watchOption(&v.watchOptions)
	}
	switch {
	case v.err != nil:
		return nil, v.err
	case v.updatesOnly && v.from > 0:
		return nil, invalid("UpdatesOnly and FromRevision: the Watch begins at one of them")
	}
	return v.selectors.patterns()
}

func (v *view[T]) end() {
	if v.w != nil {
		v.o.feed.leave(v.w)
	}
}

// present gives the records of a scan, and then EventCurrent. An end is given if a value of
// its key was: a replica that lags answers with both.
func (v *view[T]) present(ctx context.Context, s driver.Scan) error {
	s.Patterns, s.HeadersOnly = v.w.patterns, v.metadataOnly
	if s.UpTo > s.After {
		given := make(map[string]bool)
		err := v.o.Scan(ctx, s, func(r *driver.Record) bool {
			if s.History || r.Op == driver.Put || given[r.Key] {
				given[r.Key] = true
				v.give(r)
			}
			return !v.left
		})
		if err != nil {
			return err
		}
	}
	if v.after = s.UpTo; !v.left {
		v.left = !v.yield(Event[T]{Kind: EventCurrent, Entry: Entry[T]{Revision: s.UpTo}}, nil)
	}
	return nil
}

// step gives the changes that there are, or replays.
func (v *view[T]) step(ctx context.Context) error {
	records, lost, err := v.w.take()
	for _, r := range records {
		if v.left || ctx.Err() != nil {
			break
		}
		if r.Revision > v.after {
			v.after = r.Revision
			v.give(r)
		}
	}
	switch {
	case v.left:
		return nil
	case ctx.Err() != nil:
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while it watched", ctx.Err())
	case lost:
		return v.replay(ctx)
	}
	return err
}

// replay gives the present values after changes were lost.
func (v *view[T]) replay(ctx context.Context) error {
	is, err := v.o.Info(ctx)
	if err != nil {
		return err
	}
	s := driver.Scan{UpTo: is.Last}
	if v.updatesOnly || v.from > 0 {
		s.History, s.After = true, v.after
	}
	if is.Last < v.after {
		s.After = 0 // the bucket was deleted and created again
	}
	if v.left = !v.yield(Event[T]{Kind: EventReplay, Entry: Entry[T]{Revision: v.after}}, nil); v.left {
		return nil
	}
	return v.present(ctx, s)
}

// give gives one record.
func (v *view[T]) give(r *driver.Record) {
	key := readKey(r.Key)
	if !v.selectors.match(key, r.Key) || v.ignoreDeletes && r.Op != driver.Put {
		return
	}
	event := Event[T]{Entry: Entry[T]{Key: key, Revision: r.Revision, Created: r.Created, Op: r.Op}}
	var err error
	if !v.metadataOnly {
		event.Entry, err = v.kv.entry(v.o, r)
	} else if r.Op == driver.Put {
		event.Expires = r.Expiry(v.o.Config().TTL)
	}
	v.left = !v.yield(event, v.o.at(key, err))
}
