package objstore

import (
	"context"
	"errors"
	"maps"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

// Copy stores the content and the description of an object under another name, which may be
// that of an existing object. The copy has chunks of its own. Options, such as [IfAbsent], are
// those of Put, and change its description. If the object is replaced meanwhile, Copy begins
// again, but after a few times it is aborted.
func (o *Objects) Copy(ctx context.Context, from, to string, options ...PutOption) (Info, error) {
	for try := 1; ; try++ {
		is, err := o.copy(ctx, from, to, options)
		if !errors.Is(err, errReplaced) || try == maxCopies {
			return is, err
		}
	}
}

// maxCopies is how often Copy begins.
const maxCopies = 10

func (o *Objects) copy(ctx context.Context, from, to string, options []PutOption) (Info, error) {
	f, err := o.Open(ctx, from)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	is := f.pinFound()
	same := []PutOption{Description(is.Description), Size(is.Size), putOption(func(p *putOptions) {
		p.contentType, p.header, p.metadata = is.ContentType, maps.Clone(is.Header), maps.Clone(is.Metadata)
	})}
	copied, err := o.Put(ctx, to, f, append(same, options...)...)
	if f.failed != nil {
		return Info{}, f.failed
	}
	return copied, err
}

// Rename gives an object another name, at once: at no time both names exist, or none. An object
// with the new name is already_exists. If either changes meanwhile, Rename is aborted.
func (o *Objects) Rename(ctx context.Context, from, to string) (Info, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Info{}, err
	}
	if err := checkName(to); err != nil {
		return Info{}, s.at(to, err)
	}
	is, err := s.rename(ctx, from, to)
	return is, s.at(from, err)
}

func (s *opened) rename(ctx context.Context, from, to string) (Info, error) {
	if err := checkName(from); err != nil {
		return Info{}, err
	}
	if from == to {
		is, err := s.toChange(ctx, from)
		return value(is), err
	}
	var renamed Info
	err := s.changing(ctx, from, conditions{}, func(is *Info) error {
		life, err := lifeLeft(is)
		if err != nil {
			return err
		}
		renamed = is.clone()
		renamed.Name, renamed.Modified = to, time.Time{}
		renamed.Revision, err = s.entries.Batch(ctx, func(tx *kv.Tx[entry]) error {
			tx.Delete(keyOf(from), kv.IfRevision(is.Revision))
			tx.Create(keyOf(to), renamed.entry(s.name), life...)
			return nil
		})
		return ofEntries(err)
	})
	if err != nil {
		return Info{}, err
	}
	return renamed, nil
}

// lifeLeft returns the TTL of a new entry for the chunks of an object. It is rounded down: an
// object that is described again and again must not outlive its chunks.
func lifeLeft(is *Info) ([]kv.WriteOption, error) {
	if is.Expires.IsZero() {
		return nil, nil
	}
	left := time.Until(is.Expires).Truncate(time.Second)
	if left < time.Second {
		return nil, notDone(transport.FailedPrecondition, "it expires within a second: put it again")
	}
	return []kv.WriteOption{kv.TTL(left)}, nil
}

func value(is *Info) Info {
	if is == nil {
		return Info{}
	}
	return *is
}

// Update changes the description of an object: its Description, ContentType, Header and
// Metadata are those that change sets. If the object changes meanwhile, Update tries again.
// The conditions are those of a Put. An object with a TTL may lose up to a second of its life.
func (o *Objects) Update(ctx context.Context, name string, change func(*Info) error, options ...Condition) (Info, error) {
	s, err := o.begin(ctx)
	if err != nil {
		return Info{}, err
	}
	is, err := s.update(ctx, name, change, options)
	return is, s.at(name, err)
}

func (s *opened) update(ctx context.Context, name string, change func(*Info) error, options []Condition) (Info, error) {
	c, err := conditionsOf(options)
	if err = firstError(checkName(name), err); err != nil {
		return Info{}, err
	}
	for {
		var next Info
		var refused, written error
		err := s.changing(ctx, name, c, func(is *Info) (err error) {
			if next, refused = changed(is, change); refused != nil {
				return errRefused
			}
			life, err := lifeLeft(is)
			if err == nil {
				next.Revision, err = s.write(ctx, &next, is, life...)
				written = err
			}
			return err
		})
		switch {
		case err == nil:
			return next, nil
		case err == errRefused:
			return Info{}, refused
		case err != written || transport.CodeOf(err) != transport.Aborted:
			return Info{}, err
		}
	}
}

// errRefused stands for the error of a function of the caller.
var errRefused = notDone(transport.Unknown, "the function of Update has refused")

// changed returns an Info with what change sets.
func changed(is *Info, change func(*Info) error) (Info, error) {
	by, next := is.clone(), is.clone()
	if err := change(&by); err != nil {
		return Info{}, err
	}
	next.Description, next.ContentType = by.Description, by.ContentType
	next.Header, next.Metadata = maps.Clone(by.Header), maps.Clone(by.Metadata)
	return next, checkHeader(next.Header)
}
