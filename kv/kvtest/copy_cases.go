package kvtest

import (
	"slices"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

var mirrorCases = []testCase{
	{
		name: "mirror/values", contract: "MirrorOf makes the bucket a read-only copy of another one, by its stored name.", needs: Mirrors,
		rule: "A mirror has the values of its origin, those from before included, and refuses writes.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			mirror := s.open(kv.MirrorOf(b.name, ""))
			mirror.await("a", "1")
			w := mirror.watch()
			w.want("a=1", "current")
			b.put("b", "1")
			w.want("b=1")
			mirror.wantList("a=1 b=1")
			is, err := mirror.Status(s.patient())
			s.must(err)
			if is.MirrorOf != b.name || is.Name != mirror.name || is.KeyTTL || is.Batches {
				s.Errorf("got %+v", is)
			}
			for method, err := range map[string]error{
				"Put":    errorOf(mirror.Put(s.patient(), "a", "2")),
				"Create": errorOf(mirror.Create(s.patient(), "c", "2")),
				"Delete": mirror.Delete(s.patient(), "a"),
				"Purge":  mirror.Purge(s.patient(), "a"),
			} {
				if err == nil {
					s.Errorf("%s on a mirror succeeded", method)
				}
				s.wantError(err, transport.FailedPrecondition, mirror.name, "mirror of "+b.name)
			}
			b.want("a", "1")
			mirror.wantList("a=1 b=1")
		},
	},
	{
		name: "mirror/revisions", contract: "The records keep their revisions and times, so deletions and expiry are copied too; the copy has a History of its own.", needs: Mirrors,
		rule: "A mirror has the records of its origin with their revisions and times, as many as its History.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("c", "1")
			b.purge("c") // so that revision 1 is missing
			b.put("a", "1")
			b.put("b", "1")
			b.put("a", "2")
			b.delete("b")
			all, one := s.open(kv.MirrorOf(b.name, ""), kv.History(3)), s.open(kv.MirrorOf(b.name, ""))
			b.put("a", "3")
			b.delete("c")
			b.put("d", "1")
			all.await("d", "1")
			one.await("d", "1")
			for _, key := range []string{"a", "b", "c", "d"} {
				want, err := b.History(s.patient(), key)
				s.must(err)
				got, err := all.History(s.patient(), key)
				s.must(err)
				if !slices.Equal(got, want) {
					s.Errorf("%s: got %+v, want %+v", key, got, want)
				}
				got, err = one.History(s.patient(), key)
				s.must(err)
				if !slices.Equal(got, want[len(want)-1:]) {
					s.Errorf("%s: got %+v, want the last of %+v", key, got, want)
				}
			}
			is, err := all.Status(s.patient())
			s.must(err)
			wantEqual(s, "the revision", is.Revision, b.get("d").Revision)
		},
	},
	{
		name: "mirror/ends", contract: "The records keep their revisions and times, so deletions and expiry are copied too", needs: Mirrors,
		rule: "A value that is deleted, purged or has expired in the origin is gone in its mirror, and no older one reappears.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for _, key := range []string{"a", "b", "c"} {
				b.put(key, "1")
				b.put(key, "2")
			}
			mirror := s.open(kv.MirrorOf(b.name, ""), kv.History(3))
			mirror.await("c", "2")
			b.delete("a")
			b.purge("b")
			b.put("c", "3", kv.TTL(time.Second))
			for _, key := range []string{"a", "b"} {
				mirror.awaitEnd(key)
			}
			mirror.awaitEnd("c", "2", "3")
			mirror.wantHistory("a", "a=1 a=2 a:delete")
			mirror.wantHistory("b", "b:purge")
		},
	},
	{
		name: "mirror/purge-deletes", contract: "PurgeDeletes of the other bucket leaves the copy as it is.", needs: Mirrors,
		rule: "Marks that PurgeDeletes removes from the origin stay in the mirror, which refuses PurgeDeletes.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1")
			b.delete("a")
			mirror := s.open(kv.MirrorOf(b.name, ""), kv.History(3))
			b.put("b", "1")
			mirror.await("b", "1")
			s.must(b.PurgeDeletes(s.patient(), 0))
			b.wantHistory("a", "")
			b.put("b", "2")
			mirror.await("b", "2")
			mirror.wantHistory("a", "a=1 a:delete")
			s.wantError(mirror.PurgeDeletes(s.patient(), 0), transport.FailedPrecondition, mirror.name, "mirror of "+b.name)
		},
	},
	{
		name: "mirror/later", contract: "The other bucket may be created later. A change arrives after a moment.", needs: Mirrors,
		rule: "A mirror of a bucket that does not exist is empty, and has its values once it is created.",
		body: func(s *suite) {
			origin := s.name()
			mirror := s.open(kv.MirrorOf(origin, ""))
			mirror.wantKeys(nil)
			b := &bucket{connectAs[string](s, s.tr, origin), s, origin}
			r := b.put("a", "1")
			mirror.await("a", "1")
			wantEqual(s, "the revision", mirror.get("a").Revision, r)
		},
	},
	{
		name: "mirror/settings", contract: "Any other bucket cannot become a mirror later.", needs: Mirrors,
		rule: "MirrorOf for a bucket that is none, or one of another bucket, is failed_precondition; without it the bucket stays a mirror.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1")
			other := s.open()
			mirror := s.open(kv.MirrorOf(b.name, ""))
			for _, bad := range []kv.Bucket[string]{
				kv.NewBucket[string](other.name, kv.MirrorOf(b.name, "")),
				kv.NewBucket[string](mirror.name, kv.MirrorOf(other.name, "")),
				kv.NewBucket[string](mirror.name, kv.SourcedFrom(other.name, "")),
			} {
				_, err := kv.Connect(s.patient(), s.tr, bad)
				s.wantError(err, transport.FailedPrecondition, bad.Name())
			}
			again := &bucket{connectAs[string](s, s.tr, mirror.name, kv.Description("again")), s, mirror.name}
			again.await("a", "1")
			is, err := again.Status(s.patient())
			s.must(err)
			if is.MirrorOf != b.name || is.Description != "again" {
				s.Errorf("got %+v", is)
			}
		},
	},
}

var sourceCases = []testCase{
	{
		name: "sources/values", contract: "SourcedFrom copies the records of another bucket, by its stored name, into this one.", needs: Mirrors,
		rule: "A bucket has the values of all its sources and its own, which can be written.",
		body: func(s *suite) {
			first, second := s.open(), s.open()
			first.put("a", "1")
			b := s.open(kv.SourcedFrom(first.name, ""), kv.SourcedFrom(second.name, ""))
			b.put("own", "1")
			second.put("b", "1")
			b.await("a", "1")
			b.await("b", "1")
			b.wantList("a=1 b=1 own=1")
			second.wantList("b=1")
			b.put("a", "own")
			first.put("c", "1")
			b.await("c", "1")
			b.want("a", "own")
			first.put("a", "2")
			b.await("a", "2")
		},
	},
	{
		name: "sources/revisions", contract: "They get revisions of this bucket, and a TTL begins anew.", needs: Mirrors,
		rule: "The records of a source come in their order, with new revisions, also to a watcher.",
		body: func(s *suite) {
			from := s.open(kv.History(3))
			from.put("a", "1")
			from.delete("a")
			from.put("a", "2")
			b := s.open(kv.SourcedFrom(from.name, ""), kv.History(5))
			b.await("a", "2")
			b.wantHistory("a", "a=1 a:delete a=2")
			w := b.watch()
			w.want("a=2", "current")
			own := b.put("own", "1")
			from.put("b", "1")
			w.want("own=1", "b=1")
			wantEqual(s, "the revision", b.get("b").Revision, own+1)
			b.update("b", own+1, "2")
			w.want("b=2")
		},
	},
	{
		name: "sources/ends", contract: "Deletions and the ends of values are copied too, whoever wrote the value here.", needs: Mirrors,
		rule: "A value that is deleted, purged or has expired in a source is gone, and no older one reappears.",
		body: func(s *suite) {
			from := s.open(kv.History(3))
			b := s.open(kv.SourcedFrom(from.name, ""), kv.History(3))
			for _, key := range []string{"a", "b", "c"} {
				b.put(key, "own")
				from.put(key, "1")
				b.await(key, "1")
			}
			from.delete("a")
			from.purge("b")
			from.put("c", "2", kv.TTL(time.Second))
			b.awaitEnd("a")
			b.awaitEnd("b")
			b.awaitEnd("c", "1", "2")
			b.wantHistory("a", "a=own a=1 a:delete")
			b.wantHistory("b", "b:purge")
		},
	},
	{
		name: "sources/later", contract: "The bucket can also be written, and have several sources.", needs: Mirrors,
		rule: "Sources may be created later, and added to a bucket that has values. Those without the option stay.",
		body: func(s *suite) {
			late := s.name()
			b := s.open(kv.SourcedFrom(late, ""))
			b.put("own", "1")
			first := &bucket{connectAs[string](s, s.tr, late), s, late}
			first.put("a", "1")
			b.await("a", "1")
			second := s.open()
			second.put("b", "1")
			both := kv.NewBucket[string](b.name, kv.SourcedFrom(late, ""), kv.SourcedFrom(second.name, ""))
			_, err := kv.Connect(s.patient(), s.tr, both)
			s.must(err)
			b.await("b", "1")
			_, err = kv.Connect(s.patient(), s.tr, kv.NewBucket[string](b.name))
			s.must(err)
			first.put("a", "2")
			second.put("b", "2")
			b.await("a", "2")
			b.await("b", "2")
			b.wantList("a=2 b=2 own=1")
		},
	},
	{
		name: "sources/keys", contract: "SourcedFrom copies the records of another bucket", needs: Mirrors,
		rule: "A driver copies only the keys that the pattern of a source matches.",
		body: func(s *suite) {
			from := s.open()
			from.put("a.1.x", "1")
			from.put("b.1", "1")
			name := s.name()
			config := &driver.Config{Name: name, Sources: []driver.Source{{Bucket: from.name, Keys: "a.*.x"}}}
			_, err := s.tr.(driver.Backend).Buckets().Open(s.patient(), config)
			s.must(err)
			b := &bucket{connectAs[string](s, s.tr, name, kv.Existing()), s, name}
			from.put("a.2", "1")
			from.put("a.2.x", "1")
			b.await("a.1.x", "1")
			b.await("a.2.x", "1")
			b.wantList("a.1.x=1 a.2.x=1")
		},
	},
	{
		name: "sources/cycle", contract: "It cannot copy itself, directly or through others.", needs: Mirrors,
		rule: "A bucket that would copy itself is failed_precondition, and nothing is created or changed.",
		body: func(s *suite) {
			first, second, third := s.name(), s.name(), s.name()
			b := &bucket{connectAs[string](s, s.tr, first, kv.SourcedFrom(second, "")), s, first}
			s.must(errorOf(kv.Connect(s.patient(), s.tr, kv.NewBucket[string](second, kv.SourcedFrom(third, "")))))
			for _, from := range []string{first, second, third} {
				_, err := kv.Connect(s.patient(), s.tr, kv.NewBucket[string](third, kv.SourcedFrom(from, "")))
				s.wantError(err, transport.FailedPrecondition, third)
			}
			_, err := kv.Connect(s.patient(), s.tr, kv.NewBucket[string](third, kv.MirrorOf(second, "")))
			s.wantError(err, transport.FailedPrecondition, third)
			if _, ok := s.list()[third]; ok {
				s.Error("a bucket that copies itself was created")
			}
			b.put("a", "1")
			b.wantList("a=1")
		},
	},
}

// errorOf returns the error of a write.
func errorOf[T any](_ T, err error) error { return err }

// await waits until a key has a value.
func (b *bucket) await(key, value string) {
	b.s.Helper()
	realtime.Until(b.s, key+" is "+value, func() bool {
		e, err := b.Get(b.s.patient(), key)
		if err != nil && transport.CodeOf(err) != transport.NotFound {
			b.s.Fatal(err)
		}
		return err == nil && e.Value == value
	})
}

// awaitEnd waits until a key has no value, and fails if it has another one than these, in their
// order, first.
func (b *bucket) awaitEnd(key string, values ...string) {
	b.s.Helper()
	realtime.Until(b.s, key+" has no value", func() bool {
		e, err := b.Get(b.s.patient(), key)
		if err != nil && transport.CodeOf(err) != transport.NotFound {
			b.s.Fatal(err)
		}
		i := slices.Index(values, e.Value)
		if err == nil && len(values) > 0 && i < 0 {
			b.s.Fatalf("%s is %q, want one of %q, or no value", key, e.Value, values)
		}
		values = values[max(i, 0):]
		return err != nil
	})
	b.gone(key)
}
