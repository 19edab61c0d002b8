package kvtest

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

const listing = "A listing is complete, or ends with an error."

var listCases = []testCase{
	{
		name: "list/empty", contract: listing,
		rule: "A bucket without values has an empty listing, and no error.",
		body: func(s *suite) {
			b := s.open()
			b.wantKeys(nil)
			b.wantList("")
			b.put("a", "1")
			b.delete("a")
			b.wantKeys(nil)
			b.wantList("")
		},
	},
	{
		name: "list/values", contract: "List returns the values of the keys that one of the selectors selects, or of all.",
		rule: "List returns the newest value of each key, with its revision.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "0")
			b.put("b", "1")
			r := b.put("a", "1")
			b.put("c", "1")
			b.purge("c")
			b.put("d", "1")
			b.delete("d")
			b.wantList("a=1 b=1")
			var e kv.Entry[string]
			var err error
			s.settle(func() bool {
				for e, err = range b.List(s.patient(), kv.Key("a")) {
					s.must(err)
				}
				return e.Revision == r
			})
			if e.Revision != r || e.Created.IsZero() {
				s.Errorf("got %+v, want revision %d", e, r)
			}
		},
	},
	{
		name: "list/complete", contract: "all others are returned, or the iteration ends with an error",
		rule: "A thousand keys are all listed, each once.",
		body: func(s *suite) {
			b := s.open(kv.History(2))
			want := b.fill(1000)
			b.fill(100)
			b.wantKeys(nil, want...)
			n := 0
			for _, err := range b.List(s.patient()) {
				s.must(err)
				n++
			}
			wantEqual(s, "values", n, len(want))
		},
	},
	{
		name: "list/rewritten", contract: "all others are returned, or the iteration ends with an error",
		rule: "Keys whose values are replaced during the listing are all listed, each once.",
		body: func(s *suite) {
			b := s.open()
			want := b.fill(300)
			stop := make(chan struct{})
			rewritten := make(chan struct{}, 1)
			ctx := s.patient()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(time.Microsecond): // lets the time of a bubble pass
					}
					if _, err := b.Put(ctx, want[i%len(want)], "again"); err != nil {
						s.Error(err)
						return
					}
					select {
					case rewritten <- struct{}{}:
					default:
					}
				}
			}()
			for range 20 {
				<-rewritten
				b.wantKeys(nil, want...)
			}
			close(stop)
			<-done
		},
	},
	{
		name: "list/rewritten-inside", contract: "all others are returned, or the iteration ends with an error",
		rule: "Keys whose values are replaced by the loop itself are all listed, each once.",
		body: func(s *suite) {
			b := s.open()
			want := b.fill(500)
			first := true
			seen := make(map[string]bool)
			for key, err := range b.Keys(s.patient()) {
				s.must(err)
				if seen[key] {
					s.Errorf("%s came twice", key)
				}
				if seen[key] = true; first {
					first = false
					for _, key := range want {
						b.put(key, "again")
					}
				}
			}
			wantEqual(s, "keys", len(seen), len(want))
		},
	},
	{
		name: "list/left", contract: listing,
		rule: "A loop that is left early ends the listing.",
		body: func(s *suite) {
			b := s.open()
			b.fill(50)
			for range b.Keys(s.patient()) {
				break
			}
			for range b.List(s.patient()) {
				break
			}
			b.want("0", "0")
		},
	},
	{
		name: "list/context", contract: "It is never cut silently.",
		rule: "If the context ends during a listing, its last step is that error.",
		body: func(s *suite) {
			b := s.open()
			all := b.fill(700)
			ctx, cancel := context.WithCancel(s.patient())
			defer cancel()
			n, last := 0, error(nil)
			for _, err := range b.Keys(ctx) {
				n, last = n+1, err
				cancel()
			}
			if n <= len(all) {
				s.wantCode(last, transport.Canceled)
			}
			if last != nil && !errors.Is(last, context.Canceled) {
				s.Errorf("errors.Is(%v, context.Canceled) is false", last)
			}
			for range b.List(ctx) {
				n++
			}
		},
	},
	{
		name: "list/closed", contract: "It is never cut silently.",
		rule: "If the Transport is closed during a listing, its last step is unavailable.",
		body: func(s *suite) {
			b := s.open()
			all := b.fill(700)
			tr := s.connect()
			other := b.on(tr)
			n, last := 0, error(nil)
			for _, err := range other.List(s.patient()) {
				if n, last = n+1, err; n == 1 {
					s.close(tr)
				}
			}
			if n <= len(all) {
				other.wantCode(last, transport.Unavailable)
			}
		},
	},
	{
		name: "list/deleted-bucket", contract: listing,
		rule: "A listing of a deleted bucket is not_found, never empty.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			s.must(kv.DeleteBucket(s.patient(), s.tr, b.name))
			steps := 0
			for _, err := range b.Keys(s.patient()) {
				steps++
				b.wantError("", err, transport.NotFound)
			}
			for _, err := range b.List(s.patient()) {
				steps++
				b.wantError("", err, transport.NotFound)
			}
			wantEqual(s, "steps", steps, 2)
		},
	},
	{
		name: "list/undecodable", contract: "the iteration continues",
		rule: "A value that cannot be decoded is an error with key and revision, and the others follow. Keys lists it.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			r := b.putRaw("b", "{")
			b.put("c", "1")
			var got []string
			for e, err := range b.List(s.patient()) {
				if err != nil {
					b.isDecodeError(err, "b", r)
					wantEqual(s, "the revision", e.Revision, r)
				}
				got = append(got, e.Key)
			}
			wantEqual(s, "keys", strings.Join(got, " "), "a b c")
			b.wantKeys(nil, "a", "b", "c")
		},
	},
	{
		name: "select/prefix", contract: "Prefix selects the keys that begin with a text.",
		rule: "Prefix selects by text, within and across tokens, and with escapes.",
		body: func(s *suite) {
			b := s.open()
			for _, key := range []string{"user", "user.", "user.4", "user.42", "user.4.x", "user..5", "users", "use", ".user", "user 4"} {
				b.put(key, "1")
			}
			for prefix, want := range map[string]string{
				"user.4":  "user.4,user.42,user.4.x",
				"user.":   "user.,user.4,user.42,user.4.x,user..5",
				"user..":  "user..5",
				"user.4.": "user.4.x",
				"user":    "user,user.,user.4,user.42,user.4.x,user..5,users,user 4",
				"user ":   "user 4",
				".":       ".user",
				"x":       "",
				"":        "user,user.,user.4,user.42,user.4.x,user..5,users,use,.user,user 4",
			} {
				b.wantKeys([]kv.Selector{kv.Prefix(prefix)}, split(want)...)
			}
		},
	},
	{
		name: "select/match", contract: `"*" is one token, and ">" at the end is one or more.`,
		rule: "Match selects by tokens, with escapes.",
		body: func(s *suite) {
			b := s.open()
			for _, key := range []string{"a", "a.b", "a.b.c", "b.b", "a.b c", "*"} {
				b.put(key, "1")
			}
			for pattern, want := range map[string]string{
				"a.*":   "a.b,a.b c",
				"*.b":   "a.b,b.b",
				"a.>":   "a.b,a.b.c,a.b c",
				"*":     "a,*",
				">":     "a,a.b,a.b.c,b.b,a.b c,*",
				"a.b":   "a.b",
				"a.b c": "a.b c",
				"*.*.*": "a.b.c",
				"x.>":   "",
			} {
				b.wantKeys([]kv.Selector{kv.Match(pattern)}, split(want)...)
			}
		},
	},
	{
		name: "select/several", contract: "A key is returned once.",
		rule: "Several selectors select what one of them selects, also if they overlap.",
		body: func(s *suite) {
			b := s.open()
			for _, key := range []string{"a", "a.b", "a.c", "b.b", "c", "d"} {
				b.put(key, "1")
			}
			b.wantKeys([]kv.Selector{kv.Match("a.*"), kv.Match("*.b"), kv.Key("c"), kv.Prefix("a.c"), kv.Key("x")}, "a.b", "a.c", "b.b", "c")
			b.wantList("a=1 d=1", kv.Key("a"), kv.Key("d"), kv.Key("a"))
		},
	},
	{
		name: "select/invalid", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "A bad pattern and a selector that is too long are invalid_argument.",
		body: func(s *suite) {
			b := s.open()
			long := strings.Repeat("k", 769)
			for _, bad := range []kv.Selector{
				kv.Match(""), kv.Match("a..b"), kv.Match(".a"), kv.Match("a."), kv.Match(long),
				kv.Prefix(long), kv.Prefix(strings.Repeat(" ", 700) + "."), kv.Key(""), kv.Key(long),
			} {
				steps := 0
				for _, err := range b.Keys(s.patient(), kv.Key("a"), bad) {
					steps++
					b.wantError("", err, transport.InvalidArgument)
				}
				for _, err := range b.Watch(s.patient(), bad) {
					steps++
					b.wantError("", err, transport.InvalidArgument)
				}
				wantEqual(s, "steps", steps, 2)
			}
		},
	},
}

// fill sets the keys "0" to "n-1", and returns them.
func (b *bucket) fill(n int) []string {
	b.s.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	ctx := b.s.patient()
	b.s.together(8, func(worker int) {
		for i := worker; i < n; i += 8 {
			if _, err := b.Put(ctx, keys[i], keys[i]); err != nil {
				b.s.Error(err)
				return
			}
		}
	})
	if b.s.Failed() {
		b.s.FailNow()
	}
	return keys
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// wantCode is wantCode of the suite, for an error that names the bucket.
func (b *bucket) wantCode(err error, code transport.Code) {
	b.s.Helper()
	b.s.wantCode(err, code)
	if err != nil && !strings.Contains(err.Error(), b.name) {
		b.s.Errorf("got %q, want the name of the bucket in it", err)
	}
}

var historyCases = []testCase{
	{
		name: "history/kept", contract: "History returns the records of a key that are kept, oldest first, with deletions.",
		rule: "The last records of each key are kept, as many as History specifies, with deletions.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, value := range []string{"1", "2", "3"} {
				b.put("a", value)
				b.put("b", value)
			}
			b.wantHistory("a", "a=1 a=2 a=3")
			b.delete("a")
			b.wantHistory("a", "a=2 a=3 a:delete")
			b.put("a", "4")
			b.wantHistory("a", "a=3 a:delete a=4")
			b.wantHistory("b", "b=1 b=2 b=3")
		},
	},
	{
		name: "history/default", contract: "The default is 1.",
		rule: "Without an option one record is kept of each key.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.put("a", "2")
			b.wantHistory("a", "a=2")
		},
	},
	{
		name: "history/none", contract: "A key without records has no entries, and no error.",
		rule: "A key that was never set has no history.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a.b", "1")
			b.wantHistory("a", "")
		},
	},
	{
		name: "history/most", contract: "sets the number of records that are kept of each key, 1 to 64",
		rule: "A History of 64 keeps 64 records; 0 and 65 are refused.",
		body: func(s *suite) {
			b := s.open(kv.History(64))
			for i := range 70 {
				b.put("a", strconv.Itoa(i))
			}
			var want []string
			for i := 6; i < 70; i++ {
				want = append(want, "a="+strconv.Itoa(i))
			}
			b.wantHistory("a", strings.Join(want, " "))
			s.panics("64", func() { kv.NewBucket[string]("a", kv.History(0)) })
			s.panics("64", func() { kv.NewBucket[string]("a", kv.History(65)) })
		},
	},
	{
		name: "history/undecodable", contract: "A value that cannot be decoded is data_loss, with a [DecodeError].",
		rule: "A history with such a value is data_loss; Raw reads it.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1")
			r := b.putRaw("a", "{")
			_, err := b.History(s.patient(), "a")
			b.isDecodeError(err, "a", r)
			entries, err := b.Raw().History(s.patient(), "a")
			s.must(err)
			wantEqual(s, "entries", len(entries), 2)
		},
	},
}

var purgeDeletesCases = []testCase{
	{
		name: "purge-deletes/marks", contract: "with the history of their keys",
		rule: "PurgeDeletes removes the marks and their history, and the values of other keys stay.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, key := range []string{"deleted", "purged", "stays"} {
				b.put(key, "1")
				b.put(key, "2")
			}
			b.delete("deleted")
			b.purge("purged")
			s.must(b.PurgeDeletes(s.patient(), 0))
			b.wantHistory("deleted", "")
			b.wantHistory("purged", "")
			b.wantHistory("stays", "stays=1 stays=2")
			b.gone("deleted")
			s.must(b.PurgeDeletes(s.patient(), 0))
			b.create("deleted", "3")
			b.want("deleted", "3")
			is, err := b.Status(s.patient())
			s.must(err)
			wantEqual(s, "records", is.Records, 3)
		},
	},
	{
		name: "purge-deletes/set-again", contract: "A key that was set again stays.",
		rule: "A key that was set again after its deletion stays, with its history.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1")
			b.delete("a")
			b.put("a", "2")
			s.must(b.PurgeDeletes(s.patient(), 0))
			b.wantHistory("a", "a=1 a:delete a=2")
		},
	},
	{
		name: "purge-deletes/younger", contract: "PurgeDeletes removes the marks of deletions that are older than a duration",
		rule: "A younger mark stays, and so does the history of its key.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1")
			b.delete("a")
			s.must(b.PurgeDeletes(s.patient(), time.Hour))
			b.wantHistory("a", "a=1 a:delete")
			s.lasts(2*time.Hour, func() {
				b.delete("b")
				s.must(b.PurgeDeletes(s.patient(), time.Hour))
				b.wantHistory("a", "")
				b.wantHistory("b", "b:delete")
			})
		},
	},
	{
		name: "purge-deletes/negative", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "A negative duration is invalid_argument.",
		body: func(s *suite) {
			b := s.open()
			b.delete("a")
			b.wantError("", b.PurgeDeletes(s.patient(), -1), transport.InvalidArgument)
			b.wantHistory("a", "a:delete")
		},
	},
	{
		name: "purge-deletes/writers", contract: "A key that was set again stays.",
		rule: "Values that are written beside PurgeDeletes are not lost.",
		body: func(s *suite) {
			b := s.open()
			ctx := s.patient()
			const writers, rounds = 4, 50
			var over = make(chan struct{})
			purged := make(chan struct{})
			go func() {
				defer close(purged)
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Microsecond):
					}
					if err := b.PurgeDeletes(ctx, 0); err != nil {
						s.Error(err)
						return
					}
				}
			}()
			s.together(writers, func(i int) {
				for n := range rounds {
					b.rewrite(ctx, strconv.Itoa(i), strconv.Itoa(n))
				}
			})
			close(over)
			<-purged
			for i := range writers {
				b.want(strconv.Itoa(i), strconv.Itoa(rounds-1))
			}
		},
	},
	{
		name: "purge-deletes/watchers", contract: "or reports a gap with [EventReplay]",
		rule: "A Watch that has got a deletion continues after PurgeDeletes.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			w := b.watch()
			w.want("current")
			b.put("a", "1")
			b.delete("a")
			w.want("a=1", "a:delete")
			s.must(b.PurgeDeletes(s.patient(), 0))
			b.put("a", "2")
			w.want("a=2")
		},
	},
}

// rewrite deletes a key and sets it, which must then keep the value. The time of a bubble passes
// while the key is deleted and while it is set.
func (b *bucket) rewrite(ctx context.Context, key, value string) {
	if err := b.Delete(ctx, key); err != nil {
		b.s.Error(err)
	}
	<-time.After(time.Microsecond)
	if _, err := b.Put(ctx, key, value); err != nil {
		b.s.Error(err)
	}
	<-time.After(time.Microsecond)
	if e, err := b.Get(ctx, key); err != nil || e.Value != value {
		b.s.Errorf("got %q, %v after a Put of %q", e.Value, err, value)
	}
}
