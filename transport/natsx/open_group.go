package natsx

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// openedGroup is the result of opening a group.
type openedGroup struct {
	consumers []*jetstream.ConsumerInfo
	missing   bool // a consumer did not exist
	err       error
}

// part is one consumer of a group to open.
type part struct {
	group  int // index of the group
	config *transport.GroupConfig
	name   string
	filter []string
	other  bool // exists only in a group of the other kind

	is      *jetstream.ConsumerInfo
	missing bool
	err     error
}

// openGroup opens one group of an existing log, and returns its consumers.
func (l *log) openGroup(ctx context.Context, g transport.GroupConfig) ([]*jetstream.ConsumerInfo, error) {
	opened := l.openGroups(ctx, []transport.GroupConfig{g}, false)[0]
	return opened.consumers, opened.err
}

// openGroups creates missing consumers of groups, and updates existing ones if that is
// allowed. In a new log (made) all of them are missing.
func (l *log) openGroups(ctx context.Context, groups []transport.GroupConfig, made bool) []openedGroup {
	opened := make([]openedGroup, len(groups))
	var parts []*part
	for i, g := range groups {
		of, err := l.parts(i, g, made)
		parts, opened[i].err = append(parts, of...), err
	}
	if !made {
		l.find(ctx, parts)
		parts = openable(parts, opened)
	}
	l.t.doAll(ctx, parts, l.openPart)
	awaited := l.awaitAll(ctx, parts)
	for _, p := range parts {
		g := &opened[p.group]
		g.consumers = append(g.consumers, p.is)
		g.missing = g.missing || p.missing
		g.err = firstError(g.err, p.err, awaited)
	}
	return opened
}

// parts lists the consumers of a group, and a consumer that only exists in the other kind of
// group.
func (l *log) parts(index int, g transport.GroupConfig, made bool) (parts []*part, err error) {
	if l.config.Retention == transport.InterestRetention && !made {
		g.Start = transport.Start{New: true}
	}
	names, filters, err := l.consumers(&g)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		parts = append(parts, &part{group: index, config: &g, name: name, filter: filters[i], missing: made})
	}
	if other := l.otherKind(&g); other != "" && !made {
		parts = append(parts, &part{group: index, config: &g, name: other, other: true})
	}
	return parts, nil
}

// otherKind returns the name of a consumer that exists only in an ordered group if g is not
// ordered, and vice versa. Without lanes there is none.
func (l *log) otherKind(g *transport.GroupConfig) string {
	switch {
	case l.lanes.n == 0:
		return ""
	case g.Ordered:
		return g.Name
	}
	return laneName(g.Name, 0)
}

// find looks up all parts. A missing part may be in the process of deletion.
func (l *log) find(ctx context.Context, parts []*part) {
	l.t.doAll(ctx, parts, l.findPart)
	if slices.ContainsFunc(parts, func(p *part) bool { return p.missing }) {
		l.awaitDeletions(ctx, l.config.Name)
	}
}

func (l *log) findPart(ctx context.Context, p *part) error {
	is, err := l.awaitConsumer(ctx, p.name)
	switch {
	case err == nil && l.t.deleted.has(is), missing(err) && codeOfAPI(err) != jetstream.JSErrCodeStreamNotFound:
		p.missing = !p.other
		return nil
	case err == nil && p.other && groupOf(is) == p.config.Name:
		return cannotReorder(p.config)
	}
	p.is = is
	return err
}

// openable returns the parts of groups without an error.
func openable(parts []*part, opened []openedGroup) []*part {
	for _, p := range parts {
		opened[p.group].err = firstError(opened[p.group].err, p.err)
	}
	return slices.DeleteFunc(parts, func(p *part) bool { return p.other || opened[p.group].err != nil })
}

// openPart creates or updates a consumer. Another process may create it first.
func (l *log) openPart(ctx context.Context, p *part) (err error) {
	if p.missing {
		p.is, err = l.makeConsumer(ctx, p.config, p.name, p.filter)
		if code := codeOfAPI(err); code == jetstream.JSErrCodeConsumerExists || code == jetstream.JSErrCodeConsumerNameExists {
			p.is, err = l.awaitConsumer(ctx, p.name)
		}
		if err == nil && l.t.deleted.forget(p.is) {
			p.missing = false // the advisory was a late one about its predecessor
		}
	}
	if err == nil {
		p.is, err = l.changeConsumer(ctx, p.config, p.is, p.filter)
	}
	return err
}

// doAll calls do for each part, with limited concurrency, and stores the errors.
func (t *Transport) doAll(ctx context.Context, parts []*part, do func(context.Context, *part) error) {
	for i, err := range t.inParallel(ctx, len(parts), func(i int) error { return do(ctx, parts[i]) }) {
		parts[i].err = err
	}
}

// Outside a cluster, the server stops listing a deleted consumer before it has removed the
// files of its state. A new consumer of the same name would read them, or lose its own files.
// Until the files are gone, the stream counts more consumers than it lists.
const (
	deletionTimeout = 5 * time.Second
	deletionPause   = 5 * time.Millisecond
)

// awaitDeletions waits until the state of a stream's deleted consumers is removed.
func (l *log) awaitDeletions(ctx context.Context, stream string) {
	for begun := time.Now(); !l.replicated && time.Since(begun) < deletionTimeout && l.deleting(ctx, stream); {
		if !pause(ctx, deletionPause) {
			return
		}
	}
}

// deleting reports whether the server is deleting consumers.
func (l *log) deleting(ctx context.Context, stream string) bool {
	deleting, err := callAPI(ctx, l.t, func(ctx context.Context) (bool, error) {
		s, err := l.t.js(ctx).Stream(ctx, stream)
		if err != nil {
			return false, err
		}
		names := make(map[string]bool) // a page may repeat names while consumers vanish
		list := s.ListConsumers(ctx)
		for is := range list.Info() {
			names[is.Name] = true
		}
		return s.CachedInfo().State.Consumers > len(names), list.Err()
	})
	return err == nil && deleting
}
