package kv

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Each text has one written form, by which it is found again.
func TestWrittenKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := drawText(t, "key")
		written := writeText(key, false)
		if got := readKey(written); got != key {
			t.Fatalf("%q is written as %q, and read as %q", key, written, got)
		}
		if transport.ValidateSubject(written) != nil || strings.Trim(written, "-/_=.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Fatalf("%q is written as %q", key, written)
		}
	})
}

// Any written form is read without a panic, and another text than a valid one's is itself.
func TestReadAnyKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		written := drawText(t, "written")
		if key := readKey(written); key != written && writeText(key, false) != written {
			t.Fatalf("%q is read as %q", written, key)
		}
	})
}

// A prefix selects exactly the keys that begin with it.
func TestPrefixSelects(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key, prefix := drawText(t, "key"), drawText(t, "prefix")
		if rapid.Bool().Draw(t, "begins") {
			key = prefix + rapid.SampledFrom([]string{"", ".", "a", "..", ".a"}).Draw(t, "rest")
		}
		ss := selectors{Prefix(prefix)}
		patterns, err := ss.patterns()
		if err != nil {
			t.Fatal(err)
		}
		written := writeText(key, false)
		found := transport.Contains(patterns, written) && ss.match(key, written)
		if found != strings.HasPrefix(key, prefix) {
			t.Fatalf("Prefix(%q) with patterns %q selects %q (%q): %v", prefix, patterns, key, written, found)
		}
	})
}

// No selector has a pattern that is longer than a key.
func TestSelectorLimits(t *testing.T) {
	t.Parallel()
	for _, s := range []Selector{Prefix(strings.Repeat(" ", 300) + "."), Prefix(strings.Repeat("a", 768) + "."), Prefix(strings.Repeat(" ", 255) + "a.")} {
		for _, p := range s.patterns {
			if len(p) > driver.MaxKey {
				t.Errorf("a pattern has %d bytes", len(p))
			}
		}
		if s.err == nil && len(s.patterns) == 0 {
			t.Error("got neither patterns nor an error")
		}
	}
}

func drawText(t *rapid.T, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", ".", "=", " ", "é", "*", ">", "=2E", "\xff", "\x00"}), 1, 6).Draw(t, label), "")
}

// A key of several tokens costs a Get no more than one of a single token.
func TestKeyWithDotsIsNotCopied(t *testing.T) {
	for _, key := range []string{"user", "user.1.name"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = writeKey(key) }); n > 0 {
			t.Errorf("%s: %v allocations", key, n)
		}
	}
}
