package kv

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

// Disjoint patterns match all that the given ones match, and no two overlap.
func TestDisjoint(t *testing.T) {
	t.Parallel()
	pattern := rapid.SampledFrom([]string{"a", "b", "a.a", "a.b", "b.b", "*", "a.*", "*.b", "a.>", "*.>", ">"})
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.SliceOfN(pattern, 1, 6).Draw(t, "given")
		kept := disjoint(append([]string(nil), given...))
		for i, k := range kept {
			for _, other := range kept[:i] {
				if transport.Overlap(k, other) {
					t.Errorf("%q of %q overlap", kept, given)
				}
			}
		}
		outer := following{kept, true}
		if !(following{given, true}).within(outer) {
			t.Errorf("%q do not match all that %q match", kept, given)
		}
	})
}

// The patterns of many watchers of one key each are compared without a step for each pair.
func TestManyKeys(t *testing.T) { // not parallel, since it counts allocations
	var keys []string
	for i := range 2000 {
		keys = append(keys, fmt.Sprint("user.", i))
	}
	one := following{keys[:1], true}
	allocations := testing.AllocsPerRun(1, func() {
		if !one.within(following{disjoint(keys), true}) {
			t.Error("a key is missing")
		}
	})
	if allocations > 100 {
		t.Errorf("%v allocations", allocations)
	}
}
