package objstore

import (
	"context"
	"iter"
	"strings"
)

// ListOption is an option of List: [Prefix] or [Delimiter].
type ListOption interface{ listOption(o *listOptions) }

type listOptions struct{ prefix, delimiter string }

type listOption func(*listOptions)

func (f listOption) listOption(o *listOptions) { f(o) }

// Prefix selects the objects whose names begin with a text.
func Prefix(text string) interface {
	ListOption
	WatchOption
} {
	return prefix(text)
}

type prefix string

func (p prefix) listOption(o *listOptions)   { o.prefix = string(p) }
func (p prefix) watchOption(o *watchOptions) { o.prefix = string(p) }

// Delimiter lists names as directories: of all names that have the text after the prefix, List
// returns the part up to the first one, once, with IsPrefix.
func Delimiter(text string) ListOption {
	return listOption(func(o *listOptions) { o.delimiter = text })
}

// List returns the objects of the store. It has no order, unless the store has an [Index]. An
// object that is created or deleted meanwhile may be missing or not; all others are returned,
// or the iteration ends with an error. A description that cannot be decoded is an error with
// the Name of its Info: the iteration continues.
//
// The server cannot select by a prefix: all descriptions are read, unless there is an Index. Those
// of names without the prefix are not decoded.
func (o *Objects) List(ctx context.Context, options ...ListOption) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		s, err := o.begin(ctx)
		if err != nil {
			yield(Info{}, err)
			return
		}
		l := &listing{s: s, yield: yield}
		for _, option := range options {
			if option == nil {
				yield(Info{}, inStore(s.name, invalid("an option is nil")))
				return
			}
			option.listOption(&l.listOptions)
		}
		if from, done := s.index.list(ctx, l); !done {
			l.read(ctx, from)
		}
	}
}

// listing is one List.
type listing struct {
	listOptions
	s     *opened
	yield func(Info, error) bool
}

// directory returns the part of a name up to the delimiter, or "".
func (l *listing) directory(name string) string {
	if l.delimiter == "" {
		return ""
	}
	i := strings.Index(name[len(l.prefix):], l.delimiter)
	if i < 0 {
		return ""
	}
	return name[:len(l.prefix)+i+len(l.delimiter)]
}

// read reads all descriptions, and gives those from a name on. It gives a directory once.
func (l *listing) read(ctx context.Context, from string) {
	given := make(map[string]bool)
	for e, err := range l.s.entries.List(context.WithValue(ctx, prefixKey{}, l.prefix)) {
		if err != nil && e.Key == "" {
			l.yield(Info{}, inStore(l.s.name, ofEntries(err)))
			return
		}
		is := Info{Name: nameOf(e.Key)}
		if err == nil {
			is, err = newInfo(&e)
		}
		if is.Name < from || !strings.HasPrefix(is.Name, l.prefix) {
			continue
		}
		directory := l.directory(is.Name)
		if given[directory] {
			continue
		}
		if directory != "" {
			given[directory] = true
		}
		if !l.give(&is, directory, ofEntries(err)) {
			return
		}
	}
}

// giveSome gives descriptions from an index, in order. It returns the name from which on the
// index has others, "" if the listing is complete, or the loop was left.
func (l *listing) giveSome(some []*named) (next string) {
	for _, is := range some {
		if !strings.HasPrefix(is.Name, l.prefix) {
			return ""
		}
		if is.Name < next {
			continue
		}
		next = is.Name + "\x00"
		if is.expired() {
			continue
		}
		directory := l.directory(is.Name)
		if directory != "" {
			next = after(directory)
		}
		own := is.Info.clone()
		if !l.give(&own, directory, is.err) {
			return ""
		}
	}
	return next
}

// give gives a description, or its directory instead.
func (l *listing) give(is *Info, directory string, err error) bool {
	if directory != "" {
		return l.yield(Info{Name: directory, IsPrefix: true}, nil)
	}
	if err != nil {
		return l.yield(Info{Name: is.Name}, l.s.at(is.Name, err))
	}
	return l.yield(*is, nil)
}
