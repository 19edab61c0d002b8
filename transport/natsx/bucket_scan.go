package natsx

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

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
	rd := b.reader(s.Patterns, s.HeadersOnly, yield)
	rd.end = cmp.Or(s.UpTo, math.MaxUint64)
	if rd.start.LastPerSubject = !s.History; s.History && s.After > 0 {
		rd.start.Sequence = s.After + 1
	}
	return b.explain(rd.run(ctx))
}

// persist calls do until its error does not end with the next connection or leader.
func (b *bucket) persist(ctx context.Context, do func() error) error {
	for {
		err := do()
		retry := b.t.passing(err) || transport.CodeOf(err) == transport.DeadlineExceeded
		if err == nil || ctx.Err() != nil || !retry || !pause(ctx, apiPause) {
			return err
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
