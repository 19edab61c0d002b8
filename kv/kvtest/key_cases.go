package kvtest

import (
	"slices"
	"strings"

	"gomono.dev/kv"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// texts are keys of all kinds, with their written forms.
var texts = map[string]string{
	"a":             "a",
	"A-z/0_9":       "A-z/0_9",
	"a.b.c":         "a.b.c",
	"a b":           "a=20b",
	"a=b":           "a=3Db",
	"=41":           "=3D41",
	".":             "=2E",
	"..":            "=2E=2E",
	".a":            "=2Ea",
	"a.":            "a=2E",
	"..a":           "=2E=2Ea",
	"a..b":          "a.=2Eb",
	"a...b":         "a.=2E=2Eb",
	"a..":           "a.=2E",
	"*":             "=2A",
	">":             "=3E",
	"a.*":           "a.=2A",
	"$KV":           "=24KV",
	"é":             "=C3=A9",
	"日本":            "=E6=97=A5=E6=9C=AC",
	"\x00\xff\r\n":  "=00=FF=0D=0A",
	"user:4@x.test": "user=3A4=40x.test",
}

var keyCases = []testCase{
	{
		name: "key/any-text", contract: "Any text is a key, if it is not empty and has at most 768 bytes",
		rule: "Texts of all kinds are keys for all methods, and each is another key.",
		body: func(s *suite) {
			b := s.open()
			var all []string
			for key, written := range texts {
				b.create(key, "value of "+written)
				all = append(all, key)
			}
			for key, written := range texts {
				b.want(key, "value of "+written)
				b.wantHistory(key, key+"=value of "+written)
				b.wantKeys([]kv.Selector{kv.Key(key)}, key)
			}
			b.wantKeys(nil, all...)
			entries, _, err := b.GetAll(s.patient(), all...)
			s.must(err)
			for _, e := range entries {
				wantEqual(s, e.Key, e.Value, "value of "+texts[e.Key])
			}
			wantEqual(s, "GetAll", len(entries), len(all))
			for key := range texts {
				b.delete(key)
				b.gone(key)
			}
			b.wantKeys(nil)
		},
	},
	{
		name: "key/written", contract: `NATS allows fewer characters, so such a byte, "=" itself, and a dot at an end or after another dot is written as "=HH".`,
		rule: "Keys are stored in a form that NATS allows.",
		body: func(s *suite) {
			b := s.open()
			var want []string
			for key, written := range texts {
				b.put(key, "1")
				want = append(want, written)
			}
			var got []string
			s.must(s.foreign(b.name).Scan(s.patient(), driver.Scan{}, func(r *driver.Record) bool {
				got = append(got, r.Key)
				return true
			}))
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				s.Errorf("got %q, want %q", got, want)
			}
		},
	},
	{
		name: "key/empty", contract: "Any text is a key, if it is not empty",
		rule: "The empty key is invalid_argument for all methods.",
		body: func(s *suite) {
			b := s.open()
			for method, err := range b.withKey("") {
				s.wantError(err, transport.InvalidArgument, "empty", b.name)
				if err == nil {
					s.Errorf("%s accepts an empty key", method)
				}
			}
		},
	},
	{
		name: "key/limit", contract: "has at most 768 bytes, where each byte outside -/_.A-Za-z0-9 counts three",
		rule: "A key of 768 bytes works, one of 769 is invalid_argument for all methods, and a space counts three.",
		body: func(s *suite) {
			b := s.open()
			for _, key := range []string{strings.Repeat("k", 768), strings.Repeat(" ", 256)} {
				b.put(key, "1")
				b.want(key, "1")
				b.wantKeys([]kv.Selector{kv.Prefix(key[:10])}, key)
				for method, err := range b.withKey(key + "k") {
					s.wantError(err, transport.InvalidArgument, "768", b.name)
					if err == nil {
						s.Errorf("%s accepts a key that is too long", method)
					}
				}
				b.purge(key)
				s.must(b.PurgeDeletes(s.patient(), 0))
			}
		},
	},
	{
		name: "key/foreign", contract: "Another program's key that is no valid escape is listed as it is",
		rule: "Keys with any other use of = are listed and watched as they are.",
		body: func(s *suite) {
			b := s.open()
			foreign := []string{"a=2", "=41", "=", "a=zz", "a=2f", "=2E.a=20", "c=3D41"}
			want := []string{"a=2", "=41", "=", "a=zz", "a=2f", "=2E.a=20", "c=41"}
			for _, key := range foreign {
				b.putRaw(key, `"1"`)
			}
			b.wantKeys(nil, want...)
			w := b.watch()
			for _, key := range want {
				w.want(key + "=1")
			}
			w.want("current")
			b.gone("a=2")
		},
	},
}

// withKey calls each method that takes a key, and returns the errors.
func (b *bucket) withKey(key string) map[string]error {
	b.s.Helper()
	ctx := b.s.patient()
	all := make(map[string]error)
	_, all["Get"] = b.Get(ctx, key)
	_, all["GetRevision"] = b.GetRevision(ctx, key, 1)
	_, _, all["GetAll"] = b.GetAll(ctx, "ok", key)
	_, all["History"] = b.History(ctx, key)
	_, all["Put"] = b.Put(ctx, key, "1")
	_, all["Create"] = b.Create(ctx, key, "1")
	_, all["Update"] = b.Update(ctx, key, 1, "1")
	_, all["Modify"] = b.Modify(ctx, key, appendText("1"))
	_, all["Touch"] = b.Touch(ctx, key)
	all["Delete"], all["Purge"] = b.Delete(ctx, key), b.Purge(ctx, key)
	_, all["Batch"] = b.Batch(ctx, func(tx *kv.Tx[string]) error {
		tx.Put(key, "1")
		return nil
	})
	for _, err := range b.Keys(ctx, kv.Key(key)) {
		all["Keys"] = err
	}
	for _, err := range b.List(ctx, kv.Key(key)) {
		all["List"] = err
	}
	for e, err := range b.Watch(ctx, kv.Key(key)) {
		if all["Watch"] = err; e.Kind == kv.EventCurrent {
			break
		}
	}
	return all
}
