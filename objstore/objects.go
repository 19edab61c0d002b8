package objstore

import (
	"context"
	"encoding/json"
	"iter"
	"strings"
	"time"

	"gomono.dev/kv"
	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// Stat returns the description of an object, or not_found. That of a link is its own.
func (o *Objects) Stat(ctx context.Context, name string) (Info, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Info{}, err
	}
	if err := checkName(name); err != nil {
		return Info{}, s.at(name, err)
	}
	is, err := s.existing(ctx, name)
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

var errMissing = notDone(transport.NotFound, "there is no such object")

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
	is := newInfo(&e)
	return &is, nil
}

// newest returns the Info of an object according to the leader, nil if it does not exist. A
// change that depends on it is not refused because a replica lags.
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
	e := kv.Entry[entry]{Revision: r.Revision, Created: r.Created, Expires: r.Expiry(s.Config().TTL)}
	if err := json.Unmarshal(r.Value, &e.Value); err != nil {
		return nil, notDone(transport.DataLoss, "its description (revision %d) cannot be decoded: %w", r.Revision, err)
	}
	is := newInfo(&e)
	return &is, nil
}

// toChange returns the newest Info of an object that is to be changed.
func (s *opened) toChange(ctx context.Context, name string) (*Info, error) {
	is, err := s.newest(ctx, name)
	if err == nil && is == nil {
		err = errMissing
	}
	return is, err
}

// Delete deletes an object, if the conditions hold. A missing one is not_found. Its chunks are
// removed at once; if that fails, [Objects.Sweep] removes them.
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
	is, err := s.toChange(ctx, name)
	if err == nil {
		err = c.check(is)
	}
	if err == nil {
		err = ofEntries(s.entries.Delete(ctx, keyOf(name), kv.IfRevision(is.Revision)))
	}
	if err == nil {
		s.removeReplaced(ctx, is, "")
	}
	return err
}

// ListOption is an option of List: [Prefix] or [Delimiter].
type ListOption interface{ listOption(o *listOptions) }

type listOptions struct{ prefix, delimiter string }

type listOption func(*listOptions)

func (f listOption) listOption(o *listOptions) { f(o) }

// Prefix selects the objects whose names begin with a text.
func Prefix(text string) ListOption { return listOption(func(o *listOptions) { o.prefix = text }) }

// Delimiter lists names as directories: of all names that have the text after the prefix, List
// returns the part up to the first one, once, with IsPrefix.
func Delimiter(text string) ListOption {
	return listOption(func(o *listOptions) { o.delimiter = text })
}

// List returns the objects of the store. It has no order. An object that is created or deleted
// meanwhile may be missing or not; all others are returned, or the iteration ends with an error.
//
// The server cannot select by a prefix: all descriptions are read.
func (o *Objects) List(ctx context.Context, options ...ListOption) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		s, err := o.begin(ctx)
		if err != nil {
			yield(Info{}, err)
			return
		}
		var all listOptions
		for _, option := range options {
			if option == nil {
				yield(Info{}, inStore(s.name, invalid("an option is nil")))
				return
			}
			option.listOption(&all)
		}
		all.list(ctx, s, yield)
	}
}

func (o *listOptions) list(ctx context.Context, s *opened, yield func(Info, error) bool) {
	prefixes := make(map[string]bool)
	for e, err := range s.entries.List(ctx) {
		if err != nil {
			err = inStore(s.name, ofEntries(err))
			if e.Key != "" {
				err = s.at(nameOf(e.Key), ofEntries(err))
			}
			if !yield(Info{Name: nameOf(e.Key)}, err) {
				return
			}
			continue
		}
		is := newInfo(&e)
		rest, ok := strings.CutPrefix(is.Name, o.prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, o.delimiter); o.delimiter != "" && i >= 0 {
			name := o.prefix + rest[:i+len(o.delimiter)]
			if prefixes[name] {
				continue
			}
			prefixes[name] = true
			is = Info{Name: name, IsPrefix: true}
		}
		if !yield(is, nil) {
			return
		}
	}
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
