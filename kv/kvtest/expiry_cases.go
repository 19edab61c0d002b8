package kvtest

import (
	"fmt"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// life is how long values live in most cases.
const life = time.Second

// wantLife fails unless a value expires a time after it was created.
func (b *bucket) wantLife(key string, want time.Duration) {
	b.s.Helper()
	e := b.get(key)
	if got := e.Expires.Sub(e.Created); e.Expires.IsZero() || got != want {
		b.s.Errorf("%s: got created %v and expires %v, want %v later", key, e.Created, e.Expires, want)
	}
}

func (b *bucket) wantNoLife(key string) {
	b.s.Helper()
	if e := b.get(key); !e.Expires.IsZero() {
		b.s.Errorf("%s expires at %v, want never", key, e.Expires)
	}
}

var expiryCases = []testCase{
	{
		name: "expiry/bucket", contract: "TTL limits the life of values",
		rule: "The TTL of a bucket ends each value, and not before its time.",
		body: func(s *suite) {
			b := s.open(kv.TTL(life))
			b.put("a", "1")
			b.wantLife("a", life)
			s.lasts(life-time.Millisecond, func() { b.want("a", "1") })
			b.wantGone("a")
		},
	},
	{
		name: "expiry/bucket-history", contract: "An expired or deleted key has no value, and no older revision of it reappears.",
		rule: "With a History, the TTL of a bucket ends the newest value, and no older one reappears.",
		body: func(s *suite) {
			b := s.open(kv.TTL(life), kv.History(5))
			r := b.put("a", "1")
			b.put("a", "2")
			b.wantGone("a")
			_, err := b.GetRevision(s.patient(), "a", r)
			b.wantError("a", err, transport.NotFound)
			b.wantList("")
		},
	},
	{
		name: "expiry/key", contract: "and of one value as an option of a write", needs: KeyTTL,
		rule: "A TTL of Put, Create, Update and Modify ends the value, and not before its time.",
		body: func(s *suite) {
			b := s.open()
			b.put("put", "1", kv.TTL(life))
			b.create("create", "1", kv.TTL(life))
			b.update("update", b.put("update", "0"), "1", kv.TTL(life))
			_, err := b.Modify(s.patient(), "modify", appendText("1"), kv.TTL(life))
			s.must(err)
			b.put("stays", "1")
			keys := []string{"put", "create", "update", "modify"}
			for _, key := range keys {
				b.wantLife(key, life)
			}
			s.lasts(life-time.Millisecond, func() { b.want("modify", "1") })
			for _, key := range keys {
				b.wantGone(key)
			}
			b.want("stays", "1")
			b.wantNoLife("stays")
		},
	},
	{
		name: "expiry/every-reader", contract: "the value is gone for every reader, whichever server answers", needs: KeyTTL,
		rule: "A value that one reader has found to be gone is gone for all others, before the server has removed it.",
		body: func(s *suite) {
			b := s.open()
			all := []*bucket{b, b.elsewhere(), b.elsewhere()}
			b.put("a", "1", kv.TTL(life))
			realtime.Until(s, "a has expired", func() bool {
				_, err := b.Get(s.patient(), "a")
				return transport.CodeOf(err) == transport.NotFound
			})
			for range 20 {
				for _, b := range all {
					b.gone("a")
				}
			}
		},
	},
	{
		name: "expiry/shorter", contract: "The shorter of both counts.", needs: KeyTTL,
		rule: "The shorter of the TTLs of bucket and key counts.",
		body: func(s *suite) {
			b := s.open(kv.TTL(2 * life))
			b.put("short", "1", kv.TTL(life))
			b.put("long", "1", kv.TTL(time.Hour))
			b.wantLife("short", life)
			b.wantLife("long", 2*life)
			b.wantGone("short")
			b.wantGone("long")
		},
	},
	{
		name: "expiry/rounded-up", contract: "the life is rounded up, and at least a second", needs: KeyTTL,
		rule: "A fraction of a second makes the life longer, never shorter, of a key and of a bucket.",
		body: func(s *suite) {
			b := s.open(kv.TTL(2001 * time.Millisecond))
			b.put("bucket", "1")
			b.wantLife("bucket", 3*time.Second)
			b.put("a", "1", kv.TTL(1900*time.Millisecond))
			b.wantLife("a", 2*time.Second)
			s.lasts(1950*time.Millisecond, func() { b.want("a", "1") })
			b.wantGone("a")
		},
	},
	{
		name: "expiry/limits", contract: "A TTL that the bucket cannot keep is refused.",
		rule: "A TTL below a second, a negative one and one of centuries are refused, and write nothing.",
		body: func(s *suite) {
			b := s.open()
			for _, ttl := range []time.Duration{-time.Second, 0, time.Millisecond, time.Second - 1, 1<<63 - 1} {
				_, err := b.Put(s.patient(), "a", "1", kv.TTL(ttl))
				b.wantError("a", err, transport.InvalidArgument, "1s")
				_, err = b.Touch(s.patient(), "a", kv.TTL(ttl))
				b.wantError("a", err, transport.InvalidArgument)
				s.panics("1s", func() { kv.NewBucket[string]("a", kv.TTL(ttl)) })
			}
			b.wantHistory("a", "")
		},
	},
	{
		name: "expiry/replaces-history", contract: "a write with a TTL replaces the history of its key", needs: KeyTTL,
		rule: "History returns one entry after a write with a TTL, and older revisions are not_found.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			r := b.put("a", "1")
			b.put("a", "2")
			b.put("b", "1")
			b.put("a", "3", kv.TTL(time.Hour))
			b.wantHistory("a", "a=3")
			b.wantHistory("b", "b=1")
			_, err := b.GetRevision(s.patient(), "a", r)
			b.wantError("a", err, transport.NotFound)
		},
	},
	{
		name: "expiry/older-never-reappears", contract: "A value that has expired is gone, and no older one reappears", needs: KeyTTL,
		rule: "With a History, an expired value uncovers none of the values before it.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("a", "2", kv.TTL(life))
			b.put("b", "1")
			b.wantGone("a")
			b.wantList("b=1")
			s.lasts(time.Hour, func() { b.gone("a") })
		},
	},
	{
		name: "expiry/next-write", contract: "Each write sets the life anew: one without the option has only the bucket's.", needs: KeyTTL,
		rule: "A value without a TTL does not expire with the one before, and one with a TTL starts anew.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1", kv.TTL(life))
			b.put("a", "2")
			b.put("b", "1", kv.TTL(life))
			b.put("b", "2", kv.TTL(time.Hour))
			b.put("c", "1", kv.TTL(life))
			b.wantGone("c")
			b.want("a", "2")
			b.wantNoLife("a")
			b.want("b", "2")
			b.wantLife("b", time.Hour)
		},
	},
	{
		name: "expiry/create", contract: "because it was never set, was deleted, or has expired", needs: KeyTTL,
		rule: "Create sets the value of a key that has expired; before, it is already_exists.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.create("a", "1", kv.TTL(life))
			_, err := b.Create(s.patient(), "a", "2")
			b.wantError("a", err, transport.AlreadyExists)
			b.wantGone("a")
			b.create("a", "2")
			b.want("a", "2")
			b.wantNoLife("a")
		},
	},
	{
		name: "expiry/create-at-once", contract: "It replaces an expired value that the server has not removed yet", needs: Batches,
		rule: "From the expiry of a value on, Create and a Batch succeed, before the server has removed the value.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			for i, options := range [][]kv.WriteOption{nil, {kv.TTL(time.Hour)}} {
				key, other := fmt.Sprint("a", i), fmt.Sprint("b", i)
				b.put(key, "1", kv.TTL(life))
				b.put(other, "1", kv.TTL(life))
				realtime.Until(s, "the values have expired", func() bool {
					_, err := b.Get(s.patient(), other)
					return transport.CodeOf(err) == transport.NotFound
				})
				b.create(key, "2", options...)
				b.batch(func(tx *kv.Tx[string]) { tx.Create(other, "2", options...) })
				b.want(key, "2")
				b.want(other, "2")
				s.lasts(time.Minute, func() { b.want(key, "2") })
			}
		},
	},
	{
		name: "expiry/not-listed", contract: "An expired or deleted key has no value", needs: KeyTTL,
		rule: "No method returns the mark of an expiry as a value.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1", kv.TTL(life))
			b.put("b", "1")
			b.wantGone("a")
			b.wantKeys(nil, "b")
			b.wantList("b=1")
			_, err := b.Touch(s.patient(), "a")
			b.wantError("a", err, transport.NotFound)
			_, err = b.Modify(s.patient(), "a", appendText("2"))
			s.must(err)
			b.want("a", "2")
		},
	},
	{
		name: "expiry/watch", contract: "the value has expired", needs: KeyTTL,
		rule: "A Watch reports an expiry as OpExpire, and never as a value.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "0")
			w := b.watch()
			w.want("a=0", "current")
			b.put("a", "1", kv.TTL(life))
			w.want("a=1", "a:expire")
			b.put("a", "2")
			w.want("a=2")
		},
	},
	{
		name: "expiry/purge-deletes", contract: "PurgeDeletes removes the marks of deletions", needs: KeyTTL,
		rule: "PurgeDeletes removes the mark of an expiry, and the key stays without a value.",
		body: func(s *suite) {
			b := s.open()
			b.put("a", "1", kv.TTL(life))
			b.wantGone("a")
			s.must(b.PurgeDeletes(s.patient(), 0))
			b.wantHistory("a", "")
			b.gone("a")
			b.create("a", "2")
		},
	},
	{
		name: "expiry/delete", contract: "A mark of the deletion remains", needs: KeyTTL,
		rule: "A key that was deleted or purged before its time stays without a value after it.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("deleted", "1", kv.TTL(life))
			b.put("purged", "1", kv.TTL(life))
			b.delete("deleted")
			b.purge("purged")
			b.put("c", "1", kv.TTL(life))
			b.wantGone("c")
			s.pass(time.Minute)
			b.gone("deleted")
			b.gone("purged")
		},
	},
	{
		name: "expiry/marks", contract: "An expired or deleted key has no value",
		rule: "A key that was deleted in a bucket with a TTL has no value when its mark has expired.",
		body: func(s *suite) {
			b := s.open(kv.TTL(life), kv.History(3))
			b.put("a", "1")
			b.delete("a")
			b.put("b", "1")
			b.wantGone("b")
			b.gone("a")
			b.create("a", "2")
			b.want("a", "2")
		},
	},
	{
		name: "expiry/touch", contract: "so that its life starts again: with the TTL of the option [TTL], the value, or the bucket, in this order", needs: KeyTTL,
		rule: "Touch renews the TTL of a value, sets another one, and keeps none.",
		body: func(s *suite) {
			b := s.open(kv.TTL(time.Hour))
			b.put("own", "1", kv.TTL(2*life))
			b.put("other", "1", kv.TTL(5*life))
			b.put("none", "1")
			before := b.get("own").Expires
			s.pass(time.Second)
			for key, options := range map[string][]kv.WriteOption{"own": nil, "other": {kv.TTL(time.Minute)}, "none": nil} {
				_, err := b.Touch(s.patient(), key, options...)
				s.must(err)
			}
			b.wantLife("own", 2*life)
			b.wantLife("other", time.Minute)
			b.wantLife("none", time.Hour)
			if after := b.get("own").Expires; !after.After(before) {
				s.Errorf("Touch renews the life from %v to %v", before, after)
			}
			s.lasts(1500*time.Millisecond, func() { b.want("own", "1") })
			b.wantGone("own")
			b.want("other", "1")
		},
	},
	{
		name: "expiry/touch-history", contract: "a write with a TTL replaces the history of its key", needs: KeyTTL,
		rule: "A Touch that sets a TTL replaces the history, and one that keeps a TTL stays alone.",
		body: func(s *suite) {
			b := s.open(kv.History(5))
			b.put("a", "1")
			b.put("a", "2")
			for range 2 {
				_, err := b.Touch(s.patient(), "a", kv.TTL(life))
				s.must(err)
				b.wantHistory("a", "a=2")
			}
			b.wantGone("a")
		},
	},
	{
		name: "expiry/purged-stays-gone", contract: "An expired or deleted key has no value, and no older revision of it reappears.", needs: KeyTTL,
		rule: "A key that another program purged with a TTL stays gone when the mark has expired (defect 7).",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "1")
			b.put("a", "2")
			_, err := s.foreign(b.name).Put(s.patient(), driver.Write{Key: "a", Op: driver.Purge, TTL: life})
			s.must(err)
			b.gone("a")
			realtime.Until(s, "the mark has expired", func() bool { return b.last("a") == 0 })
			b.gone("a")
			other := b.elsewhere()
			other.gone("a")
			other.wantList("")
			b.wantHistory("a", "")
			b.create("a", "3")
			b.want("a", "3")
		},
	},
	{
		name: "expiry/mark-is-no-value", contract: "An expired or deleted key has no value", needs: KeyTTL,
		rule: "The mark that a backend writes for an expired value is OpExpire for every reader, and no empty value (defect 8).",
		body: func(s *suite) {
			b := s.open()
			w := b.watch()
			w.want("current")
			b.put("a", "1", kv.TTL(life))
			w.want("a=1", "a:expire")
			b.gone("a")
			b.wantList("")
			entries, err := b.Raw().History(s.patient(), "a")
			s.must(err)
			for _, e := range entries {
				if e.Op != kv.OpExpire || len(e.Value) > 0 {
					s.Errorf("got %+v, want only the mark of the expiry", e)
				}
			}
			_, err = b.elsewhere().Raw().Get(s.patient(), "a")
			b.wantError("a", err, transport.NotFound)
		},
	},
	{
		name: "expiry/batch", contract: "and of one value as an option of a write", needs: Batches,
		rule: "Writes of a Batch can have a TTL each.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			b.put("a", "0")
			b.batch(func(tx *kv.Tx[string]) {
				tx.Put("a", "1", kv.TTL(life))
				tx.Create("b", "1")
				tx.Create("c", "1", kv.TTL(time.Hour))
			})
			b.wantLife("a", life)
			b.wantNoLife("b")
			b.wantLife("c", time.Hour)
			b.wantHistory("a", "a=1")
			b.wantGone("a")
			b.wantList("b=1 c=1")
		},
	},
}
