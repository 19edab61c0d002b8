package kv

import (
	"slices"
	"strconv"
	"strings"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Selector selects keys. Create one with [Key], [Prefix] or [Match].
type Selector struct {
	patterns []string // of written keys
	prefix   string   // of keys; checked in addition to the patterns
	err      error
}

// Key selects one key.
func Key(key string) Selector {
	written, err := writeKey(key)
	return Selector{patterns: []string{written}, prefix: key, err: err}
}

// Prefix selects the keys that begin with a text. The text up to its last dot is compared by
// the server, the rest here: Prefix("user.4") reads all keys that begin with "user.".
func Prefix(text string) Selector {
	written := writeText(text, true)
	if len(written) >= driver.MaxKey {
		return Selector{err: invalid("the prefix has %d bytes, where each byte outside -/_.A-Za-z0-9 counts three: less than %d are allowed", len(written), driver.MaxKey)}
	}
	parent := written[:strings.LastIndexByte(written, '.')+1]
	if parent == "" {
		return Selector{patterns: []string{">"}, prefix: text}
	}
	s := Selector{patterns: []string{parent + ">"}, prefix: text}
	if itself := writeText(text, false); itself != written && len(itself) <= driver.MaxKey {
		s.patterns = append(s.patterns, itself) // its last dot is at an end
	}
	return s
}

// Match selects the keys that match a pattern of dot-separated tokens, as in a NATS subject:
// "*" is one token, and ">" at the end is one or more.
func Match(pattern string) Selector {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		if token != "*" && (token != ">" || i < len(tokens)-1) {
			tokens[i] = writeText(token, false)
		}
	}
	written := strings.Join(tokens, ".")
	s := Selector{patterns: []string{written}}
	if len(written) > driver.MaxKey {
		s.err = invalid("the pattern has %d bytes: at most %d are allowed", len(written), driver.MaxKey)
	} else if transport.ValidatePattern(written) != nil {
		s.err = invalid("the pattern %q: want tokens that are not empty, joined by dots", pattern)
	}
	return s
}

func (s Selector) watchOption(o *watchOptions) { o.selectors = append(o.selectors, s) }

// selectors is a choice of keys: each key that a selector selects. Without selectors, it is
// all keys.
type selectors []Selector

// String lists the patterns of the selectors, and their prefixes in quotes.
func (ss selectors) String() string {
	if len(ss) == 0 {
		return "all keys"
	}
	var all []string
	for _, s := range ss {
		all = append(all, s.patterns...)
		if s.prefix != "" {
			all = append(all, strconv.Quote(s.prefix))
		}
	}
	return strings.Join(all, " ")
}

// patterns returns patterns that match all selected keys, and perhaps others. No pattern
// overlaps another one.
func (ss selectors) patterns() ([]string, error) {
	var all []string
	for _, s := range ss {
		if s.err != nil {
			return nil, s.err
		}
		if len(s.patterns) == 0 {
			return nil, invalid("a zero Selector: use Key, Prefix or Match")
		}
		all = append(all, s.patterns...)
	}
	return disjoint(all), nil
}

// disjoint returns patterns that match what the given ones match, and perhaps more, where no
// two overlap. A consumer of a NATS server allows no others.
func disjoint(all []string) []string {
	var kept, keys []string
	for _, p := range all {
		if !isWild(p) {
			keys = append(keys, p)
			continue
		}
		if slices.ContainsFunc(kept, func(k string) bool { return covers(k, p) }) {
			continue
		}
		kept = slices.DeleteFunc(kept, func(k string) bool { return covers(p, k) })
		if slices.ContainsFunc(kept, func(k string) bool { return transport.Overlap(k, p) }) {
			return nil // all keys: neither of the two contains the other
		}
		kept = append(kept, p)
	}
	wild := kept
	slices.Sort(keys) // there may be many
	for _, key := range slices.Compact(keys) {
		if !transport.Contains(wild, key) {
			kept = append(kept, key)
		}
	}
	return kept
}

// isWild reports whether a pattern matches several keys.
func isWild(pattern string) bool { return strings.ContainsAny(pattern, "*>") }

// covers reports whether every subject that matches b also matches a.
func covers(a, b string) bool {
	if a == b || !isWild(a) {
		return a == b
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i, token := range as {
		switch {
		case token == ">":
			return len(bs) > i
		case i >= len(bs), bs[i] == ">", token != "*" && token != bs[i]:
			return false
		}
	}
	return len(as) == len(bs)
}

// match reports whether a key is selected.
func (ss selectors) match(key, written string) bool {
	return len(ss) == 0 || slices.ContainsFunc(ss, func(s Selector) bool {
		return strings.HasPrefix(key, s.prefix) && transport.Contains(s.patterns, written)
	})
}
