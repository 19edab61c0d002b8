package kvtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"gomono.dev/kv"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

func appendText(text string) func(string) (string, error) {
	return func(was string) (string, error) { return was + text, nil }
}

var modifyCases = []testCase{
	{
		name: "modify/value", contract: "Modify replaces the value of a key by the result of f for it.",
		rule: "f gets the newest value, and its result is stored and returned with the revision.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			e, err := b.Modify(s.patient(), "a", appendText("2"))
			s.must(err)
			wantEqual(s, "the value", e.Value, "12")
			b.want("a", "12")
			wantEqual(s, "the revision", b.get("a").Revision, e.Revision)
		},
	},
	{
		name: "modify/new", contract: "A key without a value is created: f gets a zero T.",
		rule: "f gets a zero value for a key that was never set, was deleted, or was purged.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("deleted", "1")
			b.delete("deleted")
			b.put("purged", "1")
			b.purge("purged")
			for _, key := range []string{"new", "deleted", "purged"} {
				_, err := b.Modify(s.patient(), key, appendText("2"))
				s.must(err)
				b.want(key, "2")
			}
		},
	},
	{
		name: "modify/error", contract: "An error of f is returned as it is, and nothing is written.",
		rule: "An error of f is returned as it is, and nothing is written, also for a new key.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			own := errors.New("own")
			for _, key := range []string{"a", "b"} {
				if _, err := b.Modify(s.patient(), key, func(string) (string, error) { return "2", own }); err != own {
					s.Errorf("got %v, want %v", err, own)
				}
			}
			b.want("a", "1")
			b.gone("b")
		},
	},
	{
		name: "modify/conflict", contract: "writes the result if the key has not changed meanwhile; otherwise it starts anew",
		rule: "If the key changes while f runs, f gets the new value, and both changes take effect.",
		body: func(s *suite) {
			b := s.open()
			other := b.elsewhere()
			b.put("a", "1")
			calls := 0
			_, err := b.Modify(s.patient(), "a", func(was string) (string, error) {
				if calls++; calls == 1 {
					other.put("a", was+"2")
				}
				return was + "3", nil
			})
			s.must(err)
			wantEqual(s, "calls of f", calls, 2)
			b.want("a", "123")
		},
	},
	{
		name: "modify/conflict-of-a-new-key", contract: "writes the result if the key has not changed meanwhile; otherwise it starts anew",
		rule: "If the key is created or deleted while f runs, f is called again.",
		body: func(s *suite) {
			b := s.open()
			other := b.elsewhere()
			b.put("deleted", "1")
			calls := 0
			modify := func(key string, meanwhile func()) {
				s.Helper()
				first := true
				_, err := b.Modify(s.patient(), key, func(was string) (string, error) {
					if calls++; first {
						first = false
						meanwhile()
					}
					return was + "3", nil
				})
				s.must(err)
			}
			modify("created", func() { other.put("created", "2") })
			modify("deleted", func() { other.delete("deleted") })
			wantEqual(s, "calls of f", calls, 4)
			b.want("created", "23")
			b.want("deleted", "3")
		},
	},
	{
		name: "modify/context", contract: "otherwise it starts anew, until ctx ends",
		rule: "With a key that always changes, Modify returns at the end of ctx, and has written nothing.",
		body: func(s *suite) {
			b := s.open()
			ctx, cancel := context.WithCancel(s.patient())
			calls := 0
			_, err := b.Modify(ctx, "a", func(string) (string, error) {
				if calls++; calls == 5 {
					cancel()
				}
				b.put("a", strconv.Itoa(calls))
				return "mine", nil
			})
			b.wantError("a", err, transport.Canceled)
			b.want("a", strconv.Itoa(calls))
		},
	},
	{
		name: "modify/undecodable", contract: "No error changes a stored value in part.",
		rule: "A value that cannot be decoded is data_loss, f is not called, and the value stays.",
		body: func(s *suite) {
			b := s.open()
			r := b.putRaw("a", "{")
			_, err := b.Modify(s.patient(), "a", func(string) (string, error) {
				s.Error("f was called")
				return "", nil
			})
			b.isDecodeError(err, "a", r)
			b.wantRaw("a", "{")
		},
	},
	{
		name: "modify/many", contract: "the changes of concurrent calls, also of other programs, all take effect, one after the other",
		rule: "Concurrent Modify of two Transports lose no increment.",
		body: func(s *suite) { countTogether(s, 4, 10) },
	},
}

// countTogether increments one counter in several goroutines on two Transports.
func countTogether(s *suite, goroutines, rounds int) {
	s.Helper()
	b := s.open()
	both := []*bucket{b, b.elsewhere()}
	ctx := s.patient()
	s.together(goroutines, func(i int) {
		for range rounds {
			_, err := both[i%2].Modify(ctx, "n", func(was string) (string, error) {
				n, _ := strconv.Atoi(was)
				return strconv.Itoa(n + 1), nil
			})
			if err != nil {
				s.Error(err)
				return
			}
		}
	})
	b.want("n", strconv.Itoa(goroutines*rounds))
}

// putRaw stores bytes that another program has written.
func (b *bucket) putRaw(key, value string, header ...transport.Field) uint64 {
	b.s.Helper()
	r, err := b.s.foreign(b.name).Put(b.s.patient(), driver.Write{Key: key, Header: header, Value: []byte(value)})
	b.s.must(err)
	return r
}

// wantRaw fails unless the stored bytes of a key are a text.
func (b *bucket) wantRaw(key, value string) {
	b.s.Helper()
	e, err := b.Raw().Get(b.s.patient(), key)
	b.s.must(err)
	wantEqual(b.s, "the stored value of "+key, string(e.Value), value)
}

var touchCases = []testCase{
	{
		name: "touch/value", contract: "Touch writes the value of a key again",
		rule: "Touch returns the value with a new revision, which Get has as well.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			e, err := b.Touch(s.patient(), "a")
			s.must(err)
			if e.Value != "1" || e.Revision <= r || e.Key != "a" {
				s.Errorf("got %+v after revision %d", e, r)
			}
			b.want("a", "1")
			wantEqual(s, "the revision", b.get("a").Revision, e.Revision)
		},
	},
	{
		name: "touch/missing", contract: "A key without a value is not_found.",
		rule: "Touch of a key that was never set, or was deleted, is not_found and writes nothing.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.delete("a")
			for _, key := range []string{"a", "b"} {
				_, err := b.Touch(s.patient(), key)
				b.wantError(key, err, transport.NotFound)
			}
			b.wantHistory("a", "a:delete")
			b.wantHistory("b", "")
		},
	},
	{
		name: "touch/undecodable", contract: "A write is stored, or has no effect, or returns an error with an unknown outcome.",
		rule: "Touch of a value that cannot be decoded is data_loss and has no effect.",
		body: func(s *suite) {
			b := s.open()
			r := b.putRaw("a", "{")
			_, err := b.Touch(s.patient(), "a")
			b.isDecodeError(err, "a", r)
			wantEqual(s, "the revision", b.last("a"), r)
		},
	},
	{
		name: "touch/bytes", contract: "Touch writes the value of a key again",
		rule: "Touch keeps the stored bytes and their content type.",
		body: func(s *suite) {
			b := s.open()
			b.putRaw("a", ` "1" `, transport.Field{Name: transport.HeaderContentType, Value: "application/json; charset=utf-8"})
			_, err := b.Touch(s.patient(), "a")
			s.must(err)
			b.wantRaw("a", ` "1" `)
			r, err := s.foreign(b.name).Get(s.patient(), "a", 0, true)
			s.must(err)
			wantEqual(s, "the content type", r.Header.Get(transport.HeaderContentType), "application/json; charset=utf-8")
		},
	},
	{
		name: "touch/concurrent", contract: "Touch writes the value of a key again",
		rule: "Touch beside other writers never brings back an older value.",
		body: func(s *suite) {
			b := s.open(kv.History(64))
			b.put("a", "0")
			other := b.elsewhere()
			ctx := s.patient()
			s.together(3, func(i int) {
				for n := range 15 {
					if i > 0 {
						if _, err := b.Touch(ctx, "a"); err != nil {
							s.Error(err)
						}
					} else if _, err := other.Put(ctx, "a", strconv.Itoa(n+1)); err != nil {
						s.Error(err)
					}
				}
			})
			entries, err := b.History(ctx, "a")
			s.must(err)
			last := 0
			for _, e := range entries {
				n, err := strconv.Atoi(e.Value)
				if err != nil || n < last {
					s.Fatalf("%q at revision %d follows %d", e.Value, e.Revision, last)
				}
				last = n
			}
			b.want("a", fmt.Sprint(15))
		},
	},
}
