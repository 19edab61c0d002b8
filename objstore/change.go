package objstore

import (
	"context"
	"maps"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

// Copy stores the content and the description of an object under another name, which may be
// that of an existing object. The copy has chunks of its own. Options, such as [IfAbsent], are
// those of Put, and change its description.
func (o *Objects) Copy(ctx context.Context, from, to string, options ...PutOption) (Info, error) {
	f, err := o.Open(ctx, from)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	is := f.Info()
	same := []PutOption{Description(is.Description), Size(is.Size), putOption(func(p *putOptions) {
		p.contentType, p.header, p.metadata = is.ContentType, is.Header, is.Metadata
	})}
	return o.Put(ctx, to, f, append(same, options...)...)
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
	is, err := s.toChange(ctx, from)
	if err != nil || from == to {
		return value(is), err
	}
	renamed := is.clone()
	renamed.Name = to
	revision, err := s.entries.Batch(ctx, func(tx *kv.Tx[entry]) error {
		tx.Delete(keyOf(from), kv.IfRevision(is.Revision))
		tx.Create(keyOf(to), renamed.entry(s.name), lifeLeft(is)...)
		return nil
	})
	if err = ofEntries(err); err != nil {
		return Info{}, err
	}
	renamed.Revision, renamed.Modified = revision, time.Time{}
	return renamed, nil
}

// lifeLeft returns the TTL of a new entry for the chunks of an object: they expire when they
// would have.
func lifeLeft(is *Info) []kv.WriteOption {
	if is.Expires.IsZero() {
		return nil
	}
	return []kv.WriteOption{kv.TTL(max(time.Until(is.Expires), time.Second))}
}

func value(is *Info) Info {
	if is == nil {
		return Info{}
	}
	return *is
}

// Update changes the description of an object: its Description, ContentType, Header and
// Metadata are those that change sets. If the object changes meanwhile, Update tries again.
// The conditions are those of a Put.
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
		is, err := s.toChange(ctx, name)
		if err == nil {
			err = c.check(is)
		}
		if err != nil {
			return Info{}, err
		}
		changed := is.clone()
		if err := change(&changed); err != nil {
			return Info{}, err
		}
		next := is.clone()
		next.Description, next.ContentType = changed.Description, changed.ContentType
		next.Header, next.Metadata = maps.Clone(changed.Header), maps.Clone(changed.Metadata)
		if err := checkHeader(next.Header); err != nil {
			return Info{}, err
		}
		next.Revision, err = s.write(ctx, &next, is, lifeLeft(is)...)
		if transport.CodeOf(err) != transport.Aborted {
			return next, err
		}
	}
}
