package inproc_test

import (
	"fmt"
	"strings"
	"testing"

	"gomono.dev/kv/driver"
)

// A key whose value is replaced during a Scan comes once. A record after UpTo does not.
func TestBucketScanOfReplacedRecords(t *testing.T) {
	t.Parallel()
	const keys = 600
	for _, upTo := range []uint64{0, keys} {
		b := newBucket(t, driver.Config{})
		rewrite := func() {
			for i := range keys {
				put(t, b, set(fmt.Sprint("k", i), "1"))
			}
		}
		rewrite()
		seen := make(map[string]bool)
		err := b.Scan(t.Context(), driver.Scan{UpTo: upTo}, func(r *driver.Record) bool {
			if len(seen) == 0 {
				rewrite()
			}
			if seen[r.Key] {
				t.Errorf("%s came twice", r.Key)
			}
			if seen[r.Key] = true; upTo > 0 && r.Revision > upTo {
				t.Errorf("got revision %d after UpTo", r.Revision)
			}
			return true
		})
		if err != nil || upTo == 0 && len(seen) != keys {
			t.Errorf("with UpTo %d got %d keys, %v", upTo, len(seen), err)
		}
	}
}

func TestBucketScanAfter(t *testing.T) {
	t.Parallel()
	b := newBucket(t, driver.Config{History: 3})
	put(t, b, set("a", "1"), set("b", "1"))
	put(t, b, set("a", "2"))
	var got []string
	if err := b.Scan(t.Context(), driver.Scan{History: true, After: 1}, func(r *driver.Record) bool {
		got = append(got, r.Key+string(r.Value))
		return true
	}); err != nil || strings.Join(got, " ") != "b1 a2" {
		t.Errorf("got %q, %v", got, err)
	}
}
