package kvtest

import (
	"fmt"
	"strconv"
	"sync"

	"gomono.dev/kv"
)

const (
	watching = "Watch returns the present values of the selected keys, or of all, then EventCurrent, and then the changes, in the order of revisions"
	eachOnce = "A Watch gives each change once and in order, or reports a gap with [EventReplay]."
)

var watchCases = []testCase{
	{
		name: "watch/present", contract: watching,
		rule: "The present values come first, then the mark with the revision, then the changes.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			last := b.put("b", "1")
			w := b.watch()
			w.want("a=1", "b=1")
			mark := w.next()
			s.must(mark.err)
			if mark.Kind != kv.EventCurrent || mark.Revision != last || mark.Key != "" {
				s.Errorf("got %+v, want EventCurrent at %d", mark.Event, last)
			}
			b.put("a", "2")
			b.put("c", "1")
			b.delete("b")
			w.want("a=2", "c=1", "b:delete")
			b.purge("a")
			w.want("a:purge")
		},
	},
	{
		name: "watch/empty", contract: watching,
		rule: "In an empty bucket the mark comes first.",
		body: func(s *suite) {
			b := s.open()
			w := b.watch()
			w.want("current")
			b.put("a", "1")
			w.want("a=1")
		},
	},
	{
		name: "watch/newest", contract: "Watch returns the present values of the selected keys",
		rule: "With a History only the newest value of each key is present, and no deleted key.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("a", "2")
			b.put("b", "1")
			b.delete("b")
			b.put("c", "1")
			b.purge("c")
			w := b.watch()
			w.want("a=2", "current")
			b.put("b", "2")
			w.want("b=2")
		},
	},
	{
		name: "watch/all-deleted", contract: watching,
		rule: "The mark comes if all keys were deleted, and if they are deleted meanwhile.",
		body: func(s *suite) {
			b := s.open()
			keys := b.fill(50)
			var all sync.WaitGroup
			ctx := s.patient()
			all.Go(func() {
				for _, key := range keys {
					if err := b.Purge(ctx, key); err != nil {
						s.Error(err)
					}
				}
			})
			for range 10 {
				for e, err := range b.Watch(ctx) {
					s.must(err)
					if e.Kind == kv.EventCurrent {
						break
					}
				}
			}
			all.Wait()
			b.watch().want("current")
		},
	},
	{
		name: "watch/entry", contract: eachOnce,
		rule: "An event has the revision, the time and the operation of the record, as Get has.",
		body: func(s *suite) {
			b := s.open()
			w := b.watch()
			w.want("current")
			b.put("a", "1")
			got := w.next()
			s.must(got.err)
			want := b.get("a")
			if !got.Created.Equal(want.Created) || !got.Expires.IsZero() || got.Kind != kv.EventEntry {
				s.Errorf("got %+v, want %+v", got.Event, want)
			}
			wantEqual(s, "the event", entryText(got.Entry), entryText(want))
			wantEqual(s, "the revision", got.Revision, want.Revision)
		},
	},
	{
		name: "watch/order", contract: "in the order of revisions",
		rule: "The changes of concurrent writers come in the order of revisions, and the last of each key comes.",
		body: func(s *suite) {
			b := s.open(kv.History(64))
			w := b.watch()
			w.want("current")
			ctx := s.patient()
			const writers, rounds = 5, 40
			written := make(chan struct{})
			go func() {
				defer close(written)
				s.together(writers, func(i int) {
					for n := range rounds {
						_, err := b.Put(ctx, strconv.Itoa(i), strconv.Itoa(n))
						report(s, err)
					}
				})
			}()
			last := uint64(0)
			for left := writers; left > 0; {
				e := w.next()
				s.must(e.err)
				if e.Revision <= last {
					s.Fatalf("revision %d follows %d", e.Revision, last)
				}
				if last = e.Revision; e.Value == strconv.Itoa(rounds-1) {
					left--
				}
			}
			<-written
		},
	},
	{
		name: "watch/selected", contract: "Watch returns the present values of the selected keys",
		rule: "Only changes of the selected keys come.",
		body: func(s *suite) {
			b := s.open()
			for _, key := range []string{"a.1", "b.1", "ab"} {
				b.put(key, "1")
			}
			w := b.watch(kv.Prefix("a."), kv.Key("b.2"))
			w.want("a.1=1", "current")
			for _, key := range []string{"b.1", "ab", "a.2", "a", "b.2", "b.22"} {
				b.put(key, "2")
			}
			b.delete("ab")
			b.delete("a.1")
			w.want("a.2=2", "b.2=2", "a.1:delete")
		},
	},
	{
		name: "watch/many-selectors", contract: "Watch returns the present values of the selected keys",
		rule: "A Watch of 700 single keys gets their values and their changes.",
		body: func(s *suite) {
			b := s.open()
			keys := b.fill(700)
			b.put("other", "1")
			var options []kv.WatchOption
			for _, key := range keys {
				options = append(options, kv.Key(key))
			}
			w := b.watch(options...)
			seen := make(map[string]bool)
			for e := w.next(); e.Kind != kv.EventCurrent; e = w.next() {
				s.must(e.err)
				seen[e.Key] = true
			}
			if len(seen) != len(keys) || seen["other"] {
				s.Errorf("got %d keys, want %d", len(seen), len(keys))
			}
			b.put("other", "2")
			b.put("699", "2")
			w.want("699=2")
		},
	},
	{
		name: "watch/several", contract: "All watchers of a bucket in a process share one subscription.",
		rule: "Watchers of different keys get their own, also those that join and leave later.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("b", "1")
			first := b.watch(kv.Key("a"))
			first.want("a=1", "current")
			second := b.watch(kv.Key("b"))
			second.want("b=1", "current")
			b.put("a", "2")
			b.put("b", "2")
			all := b.watch()
			all.want("a=2", "b=2", "current")
			b.put("b", "3")
			b.put("a", "3")
			b.put("c", "3")
			first.want("a=2", "a=3")
			second.want("b=2", "b=3")
			all.want("b=3", "a=3", "c=3")
		},
	},
	{
		name: "watch/joins", contract: eachOnce,
		rule: "Nothing is lost or repeated while other watchers with other keys come and go.",
		body: func(s *suite) {
			b := s.open(kv.History(64))
			w := b.watch(kv.Key("n"))
			w.want("current")
			ctx := s.patient()
			var all sync.WaitGroup
			all.Go(func() {
				for i := range 60 {
					if _, err := b.Put(ctx, "n", strconv.Itoa(i)); err != nil {
						s.Error(err)
					}
					for e, err := range b.Watch(ctx, kv.Key("k"+strconv.Itoa(i%7)), kv.Key("n")) {
						if err != nil {
							s.Error(err)
						}
						if e.Kind == kv.EventCurrent {
							break
						}
					}
				}
			})
			for i := range 60 {
				w.want("n=" + strconv.Itoa(i))
			}
			all.Wait()
		},
	},
	{
		name: "watch/begins", contract: eachOnce,
		rule: "A Watch that begins while values change gets each key's last value.",
		body: func(s *suite) {
			b := s.open()
			b.fill(20)
			ctx := s.patient()
			const rounds = 30
			var all sync.WaitGroup
			all.Go(func() {
				for n := range rounds {
					for i := range 20 {
						if _, err := b.Put(ctx, strconv.Itoa(i), fmt.Sprint("n", n)); err != nil {
							s.Error(err)
						}
					}
				}
			})
			for range 8 {
				all.Go(func() { followToEnd(s, b, 20, fmt.Sprint("n", rounds-1)) })
			}
			all.Wait()
		},
	},
	{
		name: "watch/restarted", contract: watching,
		rule: "A Watch after the last one was left gets everything again.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			for range 20 {
				n := 0
				for e, err := range b.Watch(s.patient()) {
					s.must(err)
					if n++; e.Kind == kv.EventCurrent {
						break
					}
				}
				wantEqual(s, "steps", n, 2)
			}
			w := b.watch()
			w.want("a=1", "current")
			b.put("a", "2")
			w.want("a=2")
		},
	},
	{
		name: "watch/thousand", contract: "All watchers of a bucket in a process share one subscription.",
		rule: "1,100 watchers of a bucket each get a change.",
		body: func(s *suite) {
			b := s.open()
			var all []*watcher
			for i := range 1100 {
				w := b.watch(kv.Key("a"), kv.Key(fmt.Sprint("b", i%3)))
				w.want("current")
				all = append(all, w)
			}
			b.put("a", "1")
			for _, w := range all {
				w.want("a=1")
			}
		},
	},
	{
		name: "watch/undecodable", contract: "the Watch continues",
		rule: "A value that cannot be decoded is an error with key and revision, present or new, and the Watch continues.",
		body: func(s *suite) {
			b := s.open()
			r := b.putRaw("a", "{")
			w := b.watch()
			wantBad := func(r uint64) {
				s.Helper()
				bad := w.next()
				b.isDecodeError(bad.err, "a", r)
				if bad.Key != "a" || bad.Revision != r {
					s.Errorf("got %+v, want a at %d", bad.Event, r)
				}
			}
			wantBad(r)
			w.want("current")
			r = b.putRaw("a", "}")
			wantBad(r)
			b.put("a", "1")
			w.want("a=1")
		},
	},
	{
		name: "watch/slow", contract: "EventReplay marks that changes after the Revision may be missing, because the watcher read too slowly",
		rule: "A watcher that reads too slowly gets EventReplay, the present values and the mark, and then changes.",
		body: func(s *suite) {
			b := s.open()
			b.put("gone", "1")
			b.put("stays", "1")
			w := b.watch()
			w.want("gone=1", "stays=1", "current")
			b.put("change", "1")
			w.want("change=1") // until then it collects any number of changes
			b.purge("gone")
			last := b.flood()
			replay := w.until(kv.EventReplay)
			if replay.Revision >= last {
				s.Errorf("got EventReplay at %d, want it before %d", replay.Revision, last)
			}
			got := map[string]bool{}
			for e := w.next(); e.Kind != kv.EventCurrent; e = w.next() {
				s.must(e.err)
				got[e.Key] = true
			}
			if len(got) != flood+3 || !got["stays"] || !got["change"] || !got["last"] || got["gone"] {
				s.Errorf("got %d keys after EventReplay, want %d: %v", len(got), flood+3, got)
			}
			b.put("a", "2")
			w.want("a=2")
		},
	},
	{
		name: "watch/slow-updates", contract: "A watcher with [UpdatesOnly] gets those set since the Revision.",
		rule: "After EventReplay a watcher with UpdatesOnly gets the values that were set since, and no others.",
		body: func(s *suite) {
			b := s.open()
			b.put("before", "1")
			w := b.watch(kv.UpdatesOnly())
			w.begun("probe")
			b.flood()
			since := w.until(kv.EventReplay).Revision
			got := map[string]bool{}
			for e := w.next(); e.Kind != kv.EventCurrent; e = w.next() {
				s.must(e.err)
				if got[e.Key] = true; e.Revision <= since {
					s.Fatalf("got %s at %d after EventReplay at %d", e.Key, e.Revision, since)
				}
			}
			if got["before"] || !got["last"] {
				s.Errorf("got %v after EventReplay", got)
			}
		},
	},
}

// flood is more than twice the number of changes that a watcher collects: it may have taken
// some out already.
const flood = 8500

// flood sets that many keys, and then the key "last", whose revision it returns. All of these
// changes have then been queued at the watchers.
func (b *bucket) flood() uint64 {
	b.s.Helper()
	end := b.watch(kv.Key("last"))
	end.want("current")
	b.fill(flood)
	last := b.put("last", "1")
	end.want("last=1")
	return last
}

// until returns the next step of a kind.
func (w *watcher) until(kind kv.EventKind) step {
	w.s.Helper()
	for {
		e := w.next()
		w.s.must(e.err)
		if e.Kind == kind {
			return e
		}
	}
}

// followToEnd watches until each of n keys has a value.
func followToEnd(s *suite, b *bucket, n int, value string) {
	last := uint64(0)
	current := false
	done := make(map[string]bool)
	for e, err := range b.Watch(s.patient()) {
		switch {
		case err != nil:
			s.Error(err)
			return
		case e.Kind == kv.EventCurrent:
			current = true
		case current && e.Revision <= last:
			s.Errorf("revision %d follows %d", e.Revision, last)
		}
		last = max(last, e.Revision)
		if e.Value == value {
			done[e.Key] = true
		}
		if current && len(done) == n {
			return
		}
	}
}
