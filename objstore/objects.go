package objstore

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"gomono.dev/kv"
	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Stat returns the description of an object, or not_found. That of a link is its own. See
// [Index] for a Stat without a request.
func (o *Objects) Stat(ctx context.Context, name string) (Info, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Info{}, err
	}
	if err := checkName(name); err != nil {
		return Info{}, s.at(name, err)
	}
	is, err, known := s.index.stat(name)
	if !known {
		is, err = s.existing(ctx, name)
	}
	if err != nil {
		return Info{}, s.at(name, err)
	}
	return *is, nil
}

// existing returns the Info of an object.
func (s *opened) existing(ctx context.Context, name string) (*Info, error) {
	is, err := s.current(ctx, name)
	if err == nil && is == nil {
		err = errMissing
	}
	return is, err
}

var errMissing = notDone(transport.NotFound, "no such object")

// current returns the Info of an object, nil if it does not exist. It is at least as new as the
// last write of this process.
func (s *opened) current(ctx context.Context, name string) (*Info, error) {
	e, err := s.entries.Get(ctx, keyOf(name))
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		return nil, nil
	case err != nil:
		return nil, asNotDone(ofEntries(err))
	}
	is, err := newInfo(&e)
	return &is, err
}

// newest returns the Info of an object according to the leader, nil if it does not exist, or has
// expired by the leader's clock. A change that depends on it is not refused because a replica lags.
// With data_loss the Info has the revision only.
func (s *opened) newest(ctx context.Context, name string) (*Info, error) {
	r, err := s.Entries().Get(ctx, keyOf(name), 0, true)
	switch {
	case transport.CodeOf(err) == transport.NotFound:
		return nil, nil
	case err != nil:
		return nil, asNotDone(err)
	case r.Op != kvdriver.Put:
		return nil, nil
	}
	if at := r.Expiry(s.Config().TTL); !at.IsZero() && !time.Now().Before(at) {
		bucket, err := s.Entries().Info(ctx)
		if err != nil {
			return nil, asNotDone(err)
		}
		if !bucket.Now.Before(at) {
			return nil, nil
		}
	}
	is, err := s.decode(r)
	return &is, err
}

// decode returns the Info in a record of the entries.
func (s *opened) decode(r *kvdriver.Record) (Info, error) {
	e := kv.Entry[entry]{Key: r.Key, Revision: r.Revision, Created: r.Created, Expires: r.Expiry(s.Config().TTL)}
	if err := json.Unmarshal(r.Value, &e.Value); err != nil {
		return Info{Name: nameOf(r.Key), Revision: r.Revision}, notDone(transport.DataLoss, "its description (revision %d) cannot be decoded: %w", r.Revision, err)
	}
	return newInfo(&e)
}

// toChange returns the newest Info of an object that is to be changed.
func (s *opened) toChange(ctx context.Context, name string) (*Info, error) {
	is, err := s.newest(ctx, name)
	if err == nil && is == nil {
		err = errMissing
	}
	return is, err
}

// changing calls change with the Info of an object that satisfies the conditions. The first one
// may come from the index, which saves a request. It may be old, so change must write on the
// condition that the object has its revision. If that fails, change is called with the newest.
func (s *opened) changing(ctx context.Context, name string, c conditions, change func(*Info) error) error {
	if is, err, known := s.index.stat(name); known && err == nil && c.check(is) == nil {
		if err := change(is); err == nil || isUnknown(err) {
			return err
		}
	}
	is, err := s.toChange(ctx, name)
	if err == nil {
		err = c.check(is)
	}
	if err != nil {
		return err
	}
	return change(is)
}

// Delete deletes an object, if the conditions hold. A missing one is not_found. Its chunks are
// removed at once; if that fails, [Objects.Sweep] removes them. An object whose description is
// damaged (data_loss) can be deleted without conditions.
//
// A deletion needs no room, so a full store allows it. If MaxBytes was lowered below the size of
// the store, a NATS server allows it only for an object that is as large as the excess. A process
// that is killed while it deletes an object of a full store, or loses its connection, may have
// deleted it without an event for the Watches in progress.
func (o *Objects) Delete(ctx context.Context, name string, conditions ...Condition) error {
	s, err := o.begin(ctx)
	if err != nil {
		return err
	}
	return s.at(name, s.delete(ctx, name, conditions))
}

func (s *opened) delete(ctx context.Context, name string, options []Condition) error {
	c, err := conditionsOf(options)
	if err = firstError(checkName(name), err); err != nil {
		return err
	}
	remove := func(is *Info) error {
		err := ofEntries(s.entries.Delete(ctx, keyOf(name), kv.IfRevision(is.Revision)))
		if err == nil {
			s.removeReplaced(ctx, is, "")
		}
		return err
	}
	err = s.changing(ctx, name, c, remove)
	if transport.CodeOf(err) == transport.DataLoss && c == (conditions{}) { // it is of no use to anyone
		if is, _ := s.newest(ctx, name); is != nil {
			return remove(is)
		}
	}
	return err
}

// Status is the state of a store.
type Status struct {
	Name        string // at the backend
	Description string
	Bytes       uint64        // of all chunks and descriptions
	TTL         time.Duration // 0: none
	MaxBytes    int64         // 0: no limit
	Memory      bool
	Replicas    int
	Compression bool
	Sealed      bool
	ObjectTTL   bool // whether an object can have a TTL of its own
}

func statusOf(is driver.Info) Status {
	c := &is.Config
	return Status{
		Name: c.Name, Description: c.Description, Bytes: is.Bytes, TTL: c.TTL, MaxBytes: c.MaxBytes, Memory: c.Memory,
		Replicas: max(c.Replicas, 1), Compression: c.Compressed, Sealed: is.Sealed, ObjectTTL: is.Expires,
	}
}

// Status returns the state of the store.
func (o *Objects) Status(ctx context.Context) (Status, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Status{}, err
	}
	is, err := s.Info(ctx)
	if err != nil {
		return Status{}, inStore(s.name, asNotDone(err))
	}
	return statusOf(is), nil
}

// Seal makes the store read-only, for ever.
func (o *Objects) Seal(ctx context.Context) error {
	s, err := o.begin(ctx)
	if err != nil {
		return err
	}
	return inStore(s.name, s.Store.Seal(ctx))
}

// Stores returns the stores of a transport, in any order, by whatever program they were made.
// The iteration is complete, or ends with an error.
func Stores(ctx context.Context, t transport.Transport) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		backend, err := backendOf(t)
		if err != nil {
			yield(Status{}, about("list stores", err))
			return
		}
		for is, err := range backend.List(ctx) {
			if !yield(statusOf(is), about("list stores", err)) || err != nil {
				return
			}
		}
	}
}

// DeleteStore deletes a store with all its objects, by its stored name. A missing one is
// not_found.
func DeleteStore(ctx context.Context, t transport.Transport, name string) error {
	if !validStored.MatchString(name) {
		return inStore(name, invalid("want a name of 1 to 200 letters, digits, underscores and hyphens"))
	}
	backend, err := backendOf(t)
	if err == nil {
		err = backend.Delete(ctx, name)
	}
	return inStore(name, err)
}
