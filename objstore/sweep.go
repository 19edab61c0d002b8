package objstore

import (
	"context"
	"slices"
	"time"

	"gomono.dev/kv"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Swept counts the result of a Sweep.
type Swept struct {
	Uploads int // that were removed
	Chunks  int // that they had
}

// Sweep removes the chunks that no object has: those of Puts whose processes were killed, and
// of replaced objects. An upload whose last chunk is newer than olderThan stays, and one that
// can be resumed stays until it expires; see [Objects.Begin].
//
// Sweep stores a short message for each upload before it removes it. In a store that has not even
// room for that, it returns resource_exhausted: delete an object first, or raise MaxBytes.
//
// A Put that is still in progress, however slow, fails when its chunks were removed. A Put of
// another client does not notice it, so olderThan must be longer than such a client can pause.
func (o *Objects) Sweep(ctx context.Context, olderThan time.Duration) (Swept, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Swept{}, err
	}
	if olderThan < 0 {
		return Swept{}, inStore(s.name, invalid("a Sweep of uploads older than %v: want 0 or more", olderThan))
	}
	all, err := s.sweep(ctx, time.Now().Add(-olderThan))
	return all, inStore(s.name, err)
}

// sweep removes uploads that have no entry. The last chunk of each is read before the entries:
// a Commit after that changes the last chunk, and then Discard removes nothing.
func (s *opened) sweep(ctx context.Context, limit time.Time) (all Swept, err error) {
	left, err := s.leftOver(ctx)
	if err != nil || len(left) == 0 {
		return all, err
	}
	ends := make(map[string]uint64, len(left))
	for _, u := range left {
		switch last, err := s.Last(ctx, u.ID); {
		case transport.CodeOf(err) == transport.NotFound:
		case err != nil:
			return all, about("upload "+u.ID, asNotDone(err))
		case !last.Created.After(limit):
			if paused, err := s.isPaused(ctx, u.ID); err != nil {
				return all, about("upload "+u.ID, err)
			} else if !paused {
				ends[u.ID] = last.Sequence
			}
		}
	}
	named, err := s.named(ctx)
	if err != nil {
		return all, err
	}
	for _, u := range left {
		end := ends[u.ID]
		if end == 0 || named[u.ID] {
			continue
		}
		switch err := s.Discard(ctx, u.ID, end); {
		case err == nil:
			all.Uploads++
			all.Chunks += u.Chunks
		case transport.CodeOf(err) != transport.Aborted:
			return all, about("upload "+u.ID, err)
		}
	}
	return all, nil
}

// leftOver returns uploads that no entry names.
func (s *opened) leftOver(ctx context.Context) (left []driver.Upload, err error) {
	for u, err := range s.Uploads(ctx) {
		if err != nil {
			return nil, asNotDone(err)
		}
		left = append(left, u)
	}
	named, err := s.named(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(left, func(u driver.Upload) bool { return named[u.ID] }), nil
}

// named returns the uploads that entries name. An upload that is named all the time is among
// them, also if its object is renamed meanwhile. It fails if an entry cannot be decoded, which
// may name any upload.
func (s *opened) named(ctx context.Context) (map[string]bool, error) {
	before, err := s.entries.Status(ctx)
	if err != nil {
		return nil, asNotDone(ofEntries(err))
	}
	all := make(map[string]bool)
	for e, err := range s.entries.List(ctx) {
		if err != nil {
			return nil, asNotDone(ofEntries(err))
		}
		all[e.Value.Upload] = true
	}
	for e, err := range s.entries.Watch(ctx, kv.FromRevision(before.Revision+1), kv.IgnoreDeletes()) {
		switch {
		case err != nil:
			return nil, asNotDone(ofEntries(err))
		case e.Kind == kv.EventCurrent:
			return all, nil
		}
		all[e.Value.Upload] = true
	}
	return all, nil
}
