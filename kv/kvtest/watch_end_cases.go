package kvtest

import (
	"context"
	"errors"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

var watchOptionCases = []testCase{
	{
		name: "watch/updates-only", contract: "UpdatesOnly leaves out the values that are present at the beginning, and their EventCurrent.",
		rule: "A watcher with UpdatesOnly gets changes only, also if the bucket has a history.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("a", "2")
			b.delete("b")
			w := b.watch(kv.UpdatesOnly())
			w.begun("c")
			b.put("a", "3")
			b.delete("a")
			w.want("a=3", "a:delete")
		},
	},
	{
		name: "watch/from-revision", contract: "FromRevision begins with all stored records from a revision on, instead of the present values.",
		rule: "All records from the revision on come, with history and deletions, then the mark and the changes.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			r := b.put("a", "2")
			b.put("b", "1")
			b.put("a", "3")
			b.delete("b")
			w := b.watch(kv.FromRevision(r))
			w.want("a=2", "b=1", "a=3", "b:delete", "current")
			b.put("b", "2")
			w.want("b=2")
			all := b.watch(kv.FromRevision(1), kv.Key("a"))
			all.want("a=1", "a=2", "a=3", "current")
		},
	},
	{
		name: "watch/from-next-revision", contract: "A revision that the bucket has not reached is out_of_range, except the next one.",
		rule: "FromRevision of the next revision gives the mark and the changes.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			empty := b.watch(kv.FromRevision(1))
			empty.want("current")
			r := b.put("a", "1")
			w := b.watch(kv.FromRevision(r + 1))
			w.want("current")
			b.put("a", "2")
			w.want("a=2")
			empty.want("a=1", "a=2")
		},
	},
	{
		name: "watch/from-future", contract: "A revision that the bucket has not reached is out_of_range, except the next one.",
		rule: "FromRevision after the next revision is out_of_range, and 0 is invalid_argument.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			b.watch(kv.FromRevision(r + 2)).wantEnd(transport.OutOfRange)
			b.watch(kv.FromRevision(0)).wantEnd(transport.InvalidArgument)
		},
	},
	{
		name: "watch/metadata", contract: "MetadataOnly leaves out the values.",
		rule: "With MetadataOnly events have no value, but all else; undecodable ones are no errors.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			w := b.watch(kv.MetadataOnly())
			e := w.next()
			s.must(e.err)
			if e.Key != "a" || e.Value != "" || e.Revision != r || e.Created.IsZero() || e.Op != kv.OpPut {
				s.Errorf("got %+v", e.Event)
			}
			w.want("current")
			values := b.watch()
			values.want("a=1", "current")
			b.putRaw("b", "{")
			b.delete("a")
			w.want("b=", "a:delete")
			values.next()
			values.want("a:delete")
		},
	},
	{
		name: "watch/ignore-deletes", contract: "IgnoreDeletes leaves out the ends of values.",
		rule: "With IgnoreDeletes no deletion comes, neither present nor new.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1")
			b.delete("a")
			w := b.watch(kv.IgnoreDeletes(), kv.FromRevision(1))
			w.want("a=1", "current")
			b.purge("a")
			b.delete("b")
			b.put("a", "2")
			w.want("a=2")
		},
	},
	{
		name: "watch/nil-option", contract: "Bad arguments are invalid_argument before anything is sent.",
		rule: "A nil option is invalid_argument, for all methods with options.",
		body: func(s *suite) {
			b := s.open()
			b.watch(nil).wantEnd(transport.InvalidArgument)
			_, err := b.Put(s.patient(), "a", "1", nil)
			b.wantError("a", err, transport.InvalidArgument)
			b.wantError("a", b.Delete(s.patient(), "a", nil), transport.InvalidArgument)
			s.panics("nil", func() { kv.NewBucket[string]("a", nil) })
		},
	},
}

var watchEndCases = []testCase{
	{
		name: "watch/context", contract: "until ctx ends or the loop is left",
		rule: "A Watch ends with the error of its context.",
		body: func(s *suite) {
			b := s.open()
			ctx, cancel := context.WithCancel(s.Context())
			w := b.watchIn(ctx)
			other := b.watch()
			w.want("current")
			other.want("current")
			cancel()
			last := w.next()
			b.wantError("", last.err, transport.Canceled)
			if !errors.Is(last.err, context.Canceled) {
				s.Errorf("errors.Is(%v, context.Canceled) is false", last.err)
			}
			b.put("a", "1")
			other.want("a=1")
		},
	},
	{
		name: "watch/left", contract: "until ctx ends or the loop is left",
		rule: "A loop that is left at any step ends without another step.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.put("b", "1")
			for leave := range 3 {
				n := 0
				for range b.Watch(s.patient()) {
					if n == leave {
						break
					}
					n++
				}
				wantEqual(s, "steps", n, leave)
			}
			for range b.Watch(s.patient(), kv.FromRevision(1)) {
				break
			}
		},
	},
	{
		name: "watch/deleted-bucket", contract: "not_found if the bucket was deleted, or unavailable if it was closed",
		rule: "All watchers of a deleted bucket end with not_found.",
		body: func(s *suite) {
			b := s.open()
			watchers := []*watcher{b.watch(), b.watch(kv.Key("a")), b.elsewhere().watch()}
			for _, w := range watchers {
				w.want("current")
			}
			s.must(kv.DeleteBucket(s.patient(), s.tr, b.name))
			for _, w := range watchers {
				w.wantEnd(transport.NotFound)
			}
			b.watch().wantEnd(transport.NotFound)
		},
	},
	{
		name: "watch/closed", contract: "not_found if the bucket was deleted, or unavailable if it was closed",
		rule: "All watchers on a closed Transport end with unavailable, and those on another one continue.",
		body: func(s *suite) {
			b := s.open()
			tr := s.connect()
			closed := b.on(tr)
			watchers := []*watcher{closed.watch(), closed.watch(kv.UpdatesOnly(), kv.Key("probe"))}
			watchers[0].want("current")
			watchers[1].begun("probe")
			other := b.watch(kv.Key("a"))
			other.want("current")
			s.close(tr)
			for _, w := range watchers {
				for last := w.next(); ; last = w.next() {
					if last.err != nil {
						closed.wantError("", last.err, transport.Unavailable)
						break
					}
				}
			}
			b.put("a", "1")
			other.want("a=1")
		},
	},
	{
		name: "watch/recreated-bucket", contract: watching,
		rule: "A bucket that was deleted and created again is watched from its beginning.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			b.put("a", "2")
			w := b.watch()
			w.want("a=2", "current")
			s.must(kv.DeleteBucket(s.patient(), s.tr, b.name))
			w.wantEnd(transport.NotFound)
			again := &bucket{connectAs[string](s, s.tr, b.name), s, b.name}
			again.put("b", "1")
			w = again.watch()
			w.want("b=1", "current")
			again.put("b", "2")
			w.want("b=2")
		},
	},
}
