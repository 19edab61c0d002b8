package natsx

import (
	"testing"
	"time"
)

// The base of fencing tokens grows with each boot, whatever the clock does, and whether or not
// the last base is known. JSON represents the tokens exactly.
func TestTokenBaseGrows(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	base := nextBase(0, begin)
	for _, now := range []time.Time{begin, begin.Add(time.Second), begin.Add(-time.Hour), time.Unix(0, 0), {}} {
		next := nextBase(base, now)
		if next <= base {
			t.Errorf("at %v: base %d after %d", now, next, base)
		}
		base = next
	}
	if lost, last := nextBase(0, begin.Add(time.Hour)), nextBase(nextBase(0, begin), begin.Add(time.Minute)); lost <= last {
		t.Errorf("base %d after the loss of %d", lost, last)
	}
	if end := time.Date(2140, 1, 1, 0, 0, 0, 0, time.UTC); fencingToken(nextBase(0, end), end, 1<<32) >= 1<<53 {
		t.Error("a token of 2140 is too large")
	}
}
