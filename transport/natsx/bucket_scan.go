package natsx

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Scan implements [driver.Bucket]. It reads with a consumer, as a reader of a log does. The
// leader confirms that nothing is left.
func (b *bucket) Scan(ctx context.Context, s driver.Scan, yield func(*driver.Record) bool) error {
	var is *jetstream.StreamInfo
	if err := b.persist(ctx, func() (err error) { is, err = b.look(ctx); return err }); err != nil {
		return err
	}
	if is.State.Msgs == 0 {
		return nil
	}
	late := &latecomers{end: is.State.LastSeq, history: s.History, yield: yield}
	if s.UpTo == 0 {
		yield = late.take
	}
	rd := b.reader(s.Patterns, s.HeadersOnly, yield)
	rd.end = cmp.Or(s.UpTo, math.MaxUint64)
	if s.UpTo == 0 {
		rd.rounds = maxRounds
	}
	rd.began = b.checkSame(is.Created)
	if rd.start.LastPerSubject = !s.History; s.History && s.After > 0 {
		rd.start.Sequence = s.After + 1
	}
	err := rd.run(ctx)
	if err == errEndless {
		err = b.scanRest(ctx, s.Patterns, rd.filter, late)
	}
	if err != nil {
		return b.explain(err)
	}
	late.give()
	return nil
}

// maxRounds is the number of times that a Scan reads what was written meanwhile. After that
// it looks for the keys that it has missed, because their records were always replaced by
// later ones.
const maxRounds = 8

// scanRest reads the newest records of the keys that a Scan has missed.
func (b *bucket) scanRest(ctx context.Context, patterns, filter []string, late *latecomers) error {
	for _, pattern := range filter {
		names, err := b.subjects(ctx, pattern)
		if err != nil {
			return err
		}
		for subject := range names {
			key := strings.TrimPrefix(subject, b.shape.Load().prefix)
			if late.knows(key) || len(patterns) > 0 && !transport.Contains(patterns, key) {
				continue
			}
			r, err := b.Get(ctx, key, 0, true)
			switch {
			case err == nil:
				late.take(r)
			case !missing(err):
				return err
			}
		}
	}
	return nil
}

// checkSame returns a function that checks, from its second call on, that the stream has a given
// time of creation. Another stream has other records at the same revisions.
func (b *bucket) checkSame(created time.Time) func(context.Context) error {
	first := true
	return func(ctx context.Context) error {
		if first {
			first = false
			return nil
		}
		is, err := b.look(ctx)
		if err == nil && !is.Created.Equal(created) {
			return transport.Errorf(transport.Aborted, transport.OutcomeNotDone, "it was deleted and created again meanwhile: read it again")
		}
		return err
	}
}

// latecomers holds back the records of a Scan that were written after its start, until there
// are no more. Otherwise a caller that writes for each record, or reads more slowly than others
// write, would never see the end. Such a record may replace one that the Scan has missed. If the
// key had a record before, it is left out.
type latecomers struct {
	end     uint64 // the last revision at the start
	history bool
	yield   func(*driver.Record) bool

	given   []string        // keys without history, until the first latecomer
	seen    map[string]bool // then
	held    map[string][]*driver.Record
	stopped bool
}

// take gets the next record.
func (l *latecomers) take(r *driver.Record) bool {
	switch {
	case r.Revision <= l.end:
		l.note(r.Key)
		l.stopped = !l.yield(r)
	case l.history:
		l.hold(r, append(l.held[r.Key], r))
	case !l.had(r.Key):
		l.hold(r, []*driver.Record{r})
	}
	return !l.stopped
}

// note notes that the key has come.
func (l *latecomers) note(key string) {
	switch {
	case l.history:
	case l.seen != nil:
		l.seen[key] = true
	default:
		l.given = append(l.given, key)
	}
}

// had reports whether the key has come. Most Scans have no latecomer, and need no map.
func (l *latecomers) had(key string) bool {
	if l.seen == nil {
		l.seen = make(map[string]bool, len(l.given))
		for _, key := range l.given {
			l.seen[key] = true
		}
		l.given = nil
	}
	return l.seen[key]
}

func (l *latecomers) hold(r *driver.Record, records []*driver.Record) {
	if l.held == nil {
		l.held = make(map[string][]*driver.Record)
	}
	l.held[r.Key] = records
}

// knows reports whether a record of the key has come or is held back.
func (l *latecomers) knows(key string) bool { return l.had(key) || l.held[key] != nil }

// give yields what was held back.
func (l *latecomers) give() {
	if l.stopped {
		return
	}
	held := slices.Concat(slices.Collect(maps.Values(l.held))...)
	slices.SortFunc(held, func(a, b *driver.Record) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, r := range held {
		if !l.yield(r) {
			return
		}
	}
}

// persist calls do until its error does not end with the next connection or leader.
func (b *bucket) persist(ctx context.Context, do func() error) error {
	for {
		err := do()
		switch retry := b.t.passing(err) || transport.CodeOf(err) == transport.DeadlineExceeded; {
		case err == nil, !retry:
			return err
		case !pause(ctx, apiPause):
			return lost(ctx, transport.OutcomeUnknown)
		}
	}
}

// reader returns a reader of the records whose keys match one of the patterns.
func (b *bucket) reader(patterns []string, headersOnly bool, yield func(*driver.Record) bool) *reader {
	is := b.shape.Load()
	selected := selectKeys(patterns)
	rd := &reader{from: b.stream, replicated: true, patient: true, headersOnly: headersOnly}
	for _, pattern := range selected.filter {
		rd.filter = append(rd.filter, is.prefix+pattern)
	}
	rd.yield = func(msg *nats.Msg, about *nats.MsgMetadata) bool {
		r := is.record(msg, about, headersOnly)
		return !selected.includes(r.Key) || yield(r)
	}
	return rd
}

// maxFilters is the maximum number of filters of a consumer. With more patterns, it sends the
// whole bucket. A server takes many more, but searches all of them for each record.
const maxFilters = 256

// selection selects keys.
type selection struct {
	filter   []string // patterns for the server
	exact    map[string]bool
	patterns []string // in addition to exact; both are empty if the server selects
}

func selectKeys(patterns []string) *selection {
	patterns = disjoint(patterns)
	if len(patterns) <= maxFilters {
		return &selection{filter: patterns}
	}
	s := &selection{filter: []string{">"}, exact: make(map[string]bool)}
	for _, p := range patterns {
		if hasWildcard(p) {
			s.patterns = append(s.patterns, p)
		} else {
			s.exact[p] = true
		}
	}
	return s
}

func (s *selection) includes(key string) bool {
	return s.exact == nil || s.exact[key] || transport.Contains(s.patterns, key)
}

func hasWildcard(pattern string) bool {
	for token := range strings.SplitSeq(pattern, ".") {
		if token == "*" || token == ">" {
			return true
		}
	}
	return false
}

// disjoint removes patterns that another one covers, since a server refuses them. No patterns
// mean all keys.
func disjoint(patterns []string) []string {
	if len(patterns) == 0 {
		return []string{">"}
	}
	patterns = slices.Compact(slices.Sorted(slices.Values(patterns)))
	wild := slices.DeleteFunc(slices.Clone(patterns), func(p string) bool { return !hasWildcard(p) })
	return slices.DeleteFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(wild, func(by string) bool { return by != p && covers(by, p) })
	})
}

// covers reports whether a pattern matches all subjects that another one matches.
func covers(by, pattern string) bool {
	endless := func(p string) bool { return p == ">" || strings.HasSuffix(p, ".>") }
	return transport.Match(by, pattern) && (endless(by) || !endless(pattern))
}
