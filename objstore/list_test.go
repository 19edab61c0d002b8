package objstore_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	kvdriver "gomono.dev/kv/driver"
	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
)

// A listing by a prefix of any length has the objects whose names begin with it, also the ones
// whose keys are not in base64.
func TestListByPrefix(t *testing.T) {
	t.Parallel()
	o, s := openDriver(t)
	names := []string{"7", "7/", "7/a", "7/ab", "7/abc", "7/abd", "70", "8", "é", "éa", "ê", "7/a\xcc\x80", "7.a", "7.b"}
	for _, name := range names {
		key := base64.RawURLEncoding.EncodeToString([]byte(name))
		if strings.Contains(name, ".") {
			key = name
		}
		value, err := json.Marshal(driver.Entry{Name: name, Bucket: "files", Upload: "none"})
		must(t, err)
		_, err = s.Entries().Put(t.Context(), kvdriver.Write{Key: key, Value: value})
		must(t, err)
	}
	slices.Sort(names)
	for _, of := range append(names, "x") {
		for end := range len(of) + 1 {
			var got, want []string
			for is, err := range o.List(t.Context(), objstore.Prefix(of[:end])) {
				must(t, err)
				got = append(got, is.Name)
			}
			for _, name := range names {
				if strings.HasPrefix(name, of[:end]) {
					want = append(want, name)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%q: got %q, want %q", of[:end], got, want)
			}
		}
	}
}
