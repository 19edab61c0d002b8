package kvtest

import (
	"context"
	"time"

	"gomono.dev/codec"
	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

func (s *suite) storage() *kv.Storage {
	return kv.NewStorage(connectAs[[]byte](s, s.tr, s.name(), kv.Codec(codec.Raw)))
}

// stored returns the value of a key as text, "nil" for none.
func (s *suite) stored(st *kv.Storage, key string) string {
	s.Helper()
	value, err := st.Get(key)
	s.must(err)
	if value == nil {
		return "nil"
	}
	return string(value)
}

var storageCases = []testCase{
	{
		name: "storage/values", contract: "Storage is a bucket of bytes with the methods that middlewares of Go web frameworks expect of a store",
		rule: "Set, Get, Delete, Reset and Close do what middlewares expect, for any text as key.",
		body: func(s *suite) {
			st := s.storage()
			wantEqual(s, "a missing value", s.stored(st, "a"), "nil")
			for _, key := range []string{"a", "user:1 x", "limit.."} {
				s.must(st.Set(key, []byte("1\x00"), 0))
				wantEqual(s, key, s.stored(st, key), "1\x00")
			}
			s.must(st.Delete("a"))
			s.must(st.Delete("new"))
			wantEqual(s, "a deleted value", s.stored(st, "a"), "nil")
			s.must(st.Reset())
			wantEqual(s, "a value after Reset", s.stored(st, "limit.."), "nil")
			s.must(st.Reset())
			s.must(st.Close())
			s.must(st.Set("a", []byte("2"), 0))
			wantEqual(s, "a value after Close", s.stored(st, "a"), "2")
		},
	},
	{
		name: "storage/reset", contract: "removes all values, also those with keys of other programs",
		rule: "Reset removes the values of keys that are no valid escapes.",
		body: func(s *suite) {
			name := s.name()
			st := kv.NewStorage(connectAs[[]byte](s, s.tr, name, kv.Codec(codec.Raw)))
			b := &bucket{connectAs[string](s, s.tr, name), s, name}
			b.putRaw("a=2", "1")
			b.putRaw("b", "1")
			s.must(st.Reset())
			b.wantKeys(nil)
		},
	},
	{
		name: "storage/empty", contract: "An empty key or value is ignored.",
		rule: "Empty keys and values are ignored.",
		body: func(s *suite) {
			st := s.storage()
			s.must(st.Set("a", []byte("1"), 0))
			s.must(st.Set("a", nil, 0))
			s.must(st.Set("", []byte("1"), 0))
			s.must(st.Delete(""))
			wantEqual(s, "the value", s.stored(st, "a"), "1")
		},
	},
	{
		name: "storage/expiry", contract: "It expires after the given time, rounded up to whole seconds, or by the rules of the bucket if that is 0.", needs: KeyTTL,
		rule: "A value expires after its time; a part of a second counts as one; a negative time is an error.",
		body: func(s *suite) {
			st := s.storage()
			s.must(st.Set("a", []byte("1"), time.Millisecond))
			s.must(st.Set("b", []byte("1"), 0))
			wantEqual(s, "before", s.stored(st, "b"), "1")
			s.lasts(900*time.Millisecond, func() { wantEqual(s, "before", s.stored(st, "a"), "1") })
			realtime.Until(s, "the value expires", func() bool { return s.stored(st, "a") == "nil" })
			wantEqual(s, "the other", s.stored(st, "b"), "1")
			s.wantError(st.Set("b", []byte("2"), -time.Second), transport.InvalidArgument)
		},
	},
	{
		name: "storage/context", contract: "GetWithContext returns the value of a key.",
		rule: "The methods with a context return at its end.",
		body: func(s *suite) {
			st := s.storage()
			ctx := s.ended()
			_, err := st.GetWithContext(ctx, "a")
			s.wantError(err, transport.Canceled)
			s.wantError(st.SetWithContext(ctx, "a", []byte("1"), 0), transport.Canceled)
			s.wantError(st.DeleteWithContext(ctx, "a"), transport.Canceled)
			s.wantError(st.ResetWithContext(ctx), transport.Canceled)
			s.must(st.SetWithContext(context.WithoutCancel(ctx), "a", []byte("1"), 0))
			wantEqual(s, "the value", s.stored(st, "a"), "1")
		},
	},
}
