package kvtest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

// bucket is a bucket of a case, with methods that fail the case.
type bucket struct {
	*kv.KeyValue[string]
	s    *suite
	name string
}

// open creates a bucket.
func (s *suite) open(options ...kv.BucketOption) *bucket {
	s.Helper()
	name := s.name()
	return &bucket{connectAs[string](s, s.tr, name, options...), s, name}
}

// elsewhere opens the bucket on another Transport.
func (b *bucket) elsewhere() *bucket {
	b.s.Helper()
	return b.on(b.s.connect())
}

func (b *bucket) on(tr transport.Transport) *bucket {
	b.s.Helper()
	return &bucket{connectAs[string](b.s, tr, b.name, kv.Existing()), b.s, b.name}
}

// revision returns the revision of a write that must succeed.
func (b *bucket) revision(e kv.Entry[string], err error) uint64 {
	b.s.Helper()
	b.s.must(err)
	return e.Revision
}

func (b *bucket) put(key, value string, options ...kv.WriteOption) uint64 {
	b.s.Helper()
	return b.revision(b.Put(b.s.patient(), key, value, options...))
}

func (b *bucket) create(key, value string, options ...kv.WriteOption) uint64 {
	b.s.Helper()
	return b.revision(b.Create(b.s.patient(), key, value, options...))
}

func (b *bucket) update(key string, revision uint64, value string, options ...kv.WriteOption) uint64 {
	b.s.Helper()
	return b.revision(b.Update(b.s.patient(), key, revision, value, options...))
}

func (b *bucket) delete(key string, options ...kv.DeleteOption) {
	b.s.Helper()
	b.s.must(b.Delete(b.s.patient(), key, options...))
}

func (b *bucket) purge(key string, options ...kv.DeleteOption) {
	b.s.Helper()
	b.s.must(b.Purge(b.s.patient(), key, options...))
}

func (b *bucket) get(key string) kv.Entry[string] {
	b.s.Helper()
	e, err := b.Get(b.s.patient(), key)
	b.s.must(err)
	return e
}

// want fails unless a key has a value.
func (b *bucket) want(key, value string) {
	b.s.Helper()
	var e kv.Entry[string]
	b.s.settle(func() bool { e = b.get(key); return e.Value == value })
	if e.Value != value || e.Key != key || e.Op != kv.OpPut || e.Revision == 0 {
		b.s.Errorf("got %+v, want %q=%q", e, key, value)
	}
}

// gone fails unless a key has no value, for all methods that return values.
func (b *bucket) gone(key string) {
	b.s.Helper()
	e, err := b.Get(b.s.patient(), key)
	if err == nil {
		b.s.Errorf("got %+v, want no value", e)
		return
	}
	b.wantError(key, err, transport.NotFound)
	all, _, err := b.GetAll(b.s.patient(), key)
	b.s.must(err)
	wantEqual(b.s, "GetAll", len(all), 0)
	b.wantKeys([]kv.Selector{kv.Key(key)})
}

// wantGone waits until a key has no value, and fails if it has another one first. Then it waits
// until the server has removed the value.
func (b *bucket) wantGone(key string) {
	b.s.Helper()
	var last uint64
	realtime.Until(b.s, key+" has expired", func() bool {
		e, err := b.Get(b.s.patient(), key)
		switch {
		case err != nil && transport.CodeOf(err) != transport.NotFound:
			b.s.Fatal(err)
		case err == nil && last != 0 && e.Revision != last:
			b.s.Fatalf("%s has the value of revision %d after that of %d", key, e.Revision, last)
		}
		last = e.Revision
		return err != nil
	})
	b.gone(key)
	realtime.Until(b.s, key+" is removed", func() bool {
		entries, err := b.History(b.s.patient(), key)
		b.s.must(err)
		return len(entries) == 0 || entries[len(entries)-1].Op != kv.OpPut
	})
	b.gone(key)
}

// wantError is wantError of the suite, for an error that names the bucket and the key.
func (b *bucket) wantError(key string, err error, code transport.Code, texts ...string) {
	b.s.Helper()
	texts = append(texts, "bucket "+strconv.Quote(b.name))
	if key != "" {
		texts = append(texts, "key "+strconv.Quote(key))
	}
	b.s.wantError(err, code, texts...)
}

// wantKeys fails unless these keys are listed, in any order.
func (b *bucket) wantKeys(keys []kv.Selector, want ...string) {
	b.s.Helper()
	var got []string
	want = slices.Sorted(slices.Values(want))
	b.s.settle(func() bool {
		got = nil
		for key, err := range b.Keys(b.s.patient(), keys...) {
			b.s.must(err)
			got = append(got, key)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
	if len(got) != len(want) {
		b.s.Fatalf("Keys: got %d, want %d", len(got), len(want))
	}
	if !slices.Equal(got, want) {
		b.s.Fatalf("Keys: got %q, want %q", got, want)
	}
}

// wantList fails unless these values are listed, such as "a=1 b=2".
func (b *bucket) wantList(want string, keys ...kv.Selector) {
	b.s.Helper()
	var got string
	b.s.settle(func() bool {
		var all []string
		for e, err := range b.List(b.s.patient(), keys...) {
			b.s.must(err)
			all = append(all, entryText(e))
		}
		slices.Sort(all)
		got = strings.Join(all, " ")
		return got == want
	})
	wantEqual(b.s, "List", got, want)
}

// wantHistory fails unless a key has this history, such as "a=1 a:delete".
func (b *bucket) wantHistory(key, want string) {
	b.s.Helper()
	var got string
	b.s.settle(func() bool {
		got = b.historyText(key)
		return got == want
	})
	wantEqual(b.s, "History of "+key, got, want)
}

func (b *bucket) historyText(key string) string {
	b.s.Helper()
	entries, err := b.History(b.s.patient(), key)
	b.s.must(err)
	last := uint64(0)
	for _, e := range entries {
		if e.Revision <= last {
			b.s.Errorf("revision %d follows %d", e.Revision, last)
		}
		last = e.Revision
	}
	return entriesText(entries)
}

var opNames = map[kv.Op]string{kv.OpDelete: "delete", kv.OpPurge: "purge", kv.OpExpire: "expire"}

func entryText(e kv.Entry[string]) string {
	if e.Op == kv.OpPut {
		return e.Key + "=" + e.Value
	}
	return e.Key + ":" + opNames[e.Op]
}

// entriesText returns the texts of entries, such as "a=1 a:delete".
func entriesText(entries []kv.Entry[string]) string {
	var all []string
	for _, e := range entries {
		all = append(all, entryText(e))
	}
	return strings.Join(all, " ")
}

// last returns the newest revision of a key, marks included.
func (b *bucket) last(key string) uint64 {
	b.s.Helper()
	entries, err := b.Raw().History(b.s.patient(), key)
	b.s.must(err)
	if len(entries) == 0 {
		return 0
	}
	return entries[len(entries)-1].Revision
}

// isDecodeError fails unless err is a DecodeError about a key and a revision.
func (b *bucket) isDecodeError(err error, key string, revision uint64) {
	b.s.Helper()
	b.wantError(key, err, transport.DataLoss, fmt.Sprintf("revision %d", revision))
	e, ok := errors.AsType[*kv.DecodeError](err)
	if !ok || e.Key != key || e.Revision != revision {
		b.s.Errorf("got %#v, want a DecodeError of %q at %d", e, key, revision)
	}
}

// areDecodeErrors fails unless err joins a DecodeError for each of the revisions, whose keys are
// given, and nothing else.
func (b *bucket) areDecodeErrors(err error, want map[uint64]string) {
	b.s.Helper()
	all, ok := err.(interface{ Unwrap() []error })
	if !ok || len(all.Unwrap()) != len(want) {
		b.s.Fatalf("got %v, want %d errors", err, len(want))
	}
	for _, one := range all.Unwrap() {
		e, ok := errors.AsType[*kv.DecodeError](one)
		if !ok || want[e.Revision] == "" {
			b.s.Fatalf("got %v, want a DecodeError of %v", one, want)
		}
		b.isDecodeError(one, want[e.Revision], e.Revision)
	}
}
