package objtest

import (
	"io"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport"
)

const hour = time.Hour

// realtimeSweep sweeps until it has removed uploads.
func realtimeSweep(st *store, uploads int) {
	st.s.Helper()
	realtime.Until(st.s, "uploads are swept", func() bool {
		swept, err := st.Sweep(st.s.patient(), 0)
		st.s.must(err)
		uploads -= swept.Uploads
		return uploads <= 0
	})
}

// wantGone waits until an object has expired, with its chunks. Meanwhile it is whole.
func (st *store) wantGone(name, all string) {
	st.s.Helper()
	realtime.Until(st.s, name+" has expired", func() bool {
		got, _, err := st.ReadAll(st.s.patient(), name)
		switch transport.CodeOf(err) {
		case transport.NotFound, transport.Aborted:
			_, err := st.Stat(st.s.patient(), name)
			return transport.CodeOf(err) == transport.NotFound
		}
		st.s.must(err)
		if string(got) != all {
			st.s.Errorf("got %s, want %s", brief(string(got)), brief(all))
		}
		return false
	})
	realtime.Until(st.s, "the chunks have expired", func() bool { return len(st.uploads()) == 0 })
	st.gone(name)
	st.wantList("")
}

var expiryCases = []testCase{
	{
		name: "expiry/object", contract: "TTL limits the life of all objects, or of one as an option of Put.",
		rule: "An object with a TTL expires as a whole, and another one stays.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(95), objstore.TTL(time.Second))
			if is := st.want("a", content(95)); is.Expires.IsZero() || is.Expires.Before(is.Modified) {
				s.Errorf("got %+v, want a time of expiry", is)
			}
			st.wantGone("a", content(95))
			is := st.put("a", content(35))
			if !is.Expires.IsZero() {
				s.Errorf("got %+v, want no expiry", is)
			}
			s.pass(hour)
			st.want("a", content(35))
		},
	},
	{
		name: "expiry/store", contract: "TTL limits the life of all objects, or of one as an option of Put. The shorter of both counts.",
		rule: "All objects of a store with a TTL expire, unless they have a shorter one.",
		body: func(s *suite) {
			st := s.open(objstore.TTL(2 * time.Second))
			st.put("a", content(95), objstore.TTL(hour))
			st.put("b", content(95))
			if a, b := st.stat("a"), st.stat("b"); a.Expires.Sub(a.Modified) > 2*time.Second || b.Expires.Sub(b.Modified) > 2*time.Second {
				s.Errorf("got %+v and %+v, want 2s", a, b)
			}
			st.delete("a")
			st.wantGone("b", content(95))
		},
	},
	{
		name: "expiry/every-reader", contract: "an object is gone for every reader, whichever server answers",
		rule: "An object that one reader has found to be gone is gone for all others, before the servers have removed it.",
		body: func(s *suite) {
			for _, options := range [][]objstore.StoreOption{nil, {objstore.TTL(time.Second)}} {
				st := s.open(options...)
				other := &store{s.connectAs(s.connect(), st.name), s, st.name}
				st.put("a", content(35), objstore.TTL(time.Second))
				realtime.Until(s, "a has expired", func() bool {
					_, err := st.Stat(s.patient(), "a")
					return transport.CodeOf(err) == transport.NotFound
				})
				for range 20 {
					st.gone("a")
					other.gone("a")
					wantEqual(s, "List", len(st.list())+len(other.list()), 0)
				}
			}
		},
	},
	{
		name: "expiry/absent", contract: "A Put with [IfAbsent] succeeds already before that.",
		rule: "From the expiry of an object on, a Put with IfAbsent succeeds, and a Delete is not_found.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35), objstore.TTL(time.Second))
			st.put("b", content(35), objstore.TTL(time.Second))
			realtime.Until(s, "b has expired", func() bool {
				_, err := st.Stat(s.patient(), "b")
				return transport.CodeOf(err) == transport.NotFound
			})
			st.wantError("b", st.Delete(s.patient(), "b"), transport.NotFound)
			st.put("a", content(36), objstore.IfAbsent())
			st.want("a", content(36))
			s.pass(hour)
			st.want("a", content(36))
			realtime.Until(s, "the old chunks have expired", func() bool { return len(st.uploads()) == 1 })
			st.wantClean()
		},
	},
	{
		name: "expiry/reader", contract: "it never returns a mixture.",
		rule: "A reader whose object expires meanwhile is aborted, or gets not_found, and never data_loss.",
		body: func(s *suite) {
			st := s.open()
			for ttl := 3 * time.Second; ; ttl *= 2 {
				_, err := st.PutBytes(s.patient(), "a", []byte(content(ahead)), objstore.TTL(ttl))
				if transport.CodeOf(err) != transport.FailedPrecondition { // the first chunks had expired
					s.must(err)
					break
				}
			}
			begun, fresh := st.file("a"), st.file("a")
			_, err := begun.Read(make([]byte, 5))
			s.must(err)
			st.wantGone("a", content(ahead))
			_, err = readAll(begun)
			st.wantError("a", err, transport.Aborted)
			_, err = readAll(fresh)
			st.wantError("a", err, transport.NotFound)
		},
	},
	{
		name: "expiry/update", contract: "An object with a TTL may lose up to a second of its life.",
		rule: "An object that is described anew, or renamed, still expires.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35), objstore.TTL(3*time.Second))
			before := st.stat("a").Expires
			_, err := st.Update(s.patient(), "a", func(is *objstore.Info) error { is.Description = "d"; return nil })
			s.must(err)
			_, err = st.Rename(s.patient(), "a", "b")
			s.must(err)
			if after := st.stat("b").Expires; after.IsZero() || after.After(before.Add(time.Second)) {
				s.Errorf("it expires at %v, before at %v", after, before)
			}
			st.wantGone("b", content(35))
		},
	},
	{
		name: "expiry/updates", contract: "An object with a TTL may lose up to a second of its life.",
		rule: "An object that is described again and again does not outlive its chunks.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35), objstore.TTL(10*time.Second))
			for range 200 {
				_, err := st.Update(s.patient(), "a", func(is *objstore.Info) error { is.Description += "x"; return nil })
				switch transport.CodeOf(err) {
				case transport.NotFound, transport.FailedPrecondition:
					st.wantGone("a", content(35))
					return
				}
				s.must(err)
				st.want("a", content(35))
				s.pass(300 * time.Millisecond)
			}
			if s.target.Virtual {
				s.Error("it lives forever")
			}
		},
	},
	{
		name: "expiry/replaced", contract: "Put stores an object with the content of r, and replaces the one with the same name.",
		rule: "An object that replaces one with a TTL stays.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35), objstore.TTL(time.Second))
			st.put("b", "1", objstore.TTL(time.Second))
			st.put("a", content(36))
			realtime.Until(s, "b has expired", func() bool {
				_, err := st.Stat(s.patient(), "b")
				return err != nil && len(st.uploads()) == 1
			})
			s.pass(hour)
			st.want("a", content(36))
			st.wantClean()
		},
	},
	{
		name: "expiry/slow-put", contract: "TTL limits the life of all objects, or of one as an option of Put.",
		rule: "An object whose content comes slowly is whole as long as it exists.",
		body: func(s *suite) {
			for _, options := range [][]objstore.StoreOption{nil, {objstore.TTL(10 * time.Second)}} {
				st := s.open(options...)
				p := st.begin(s.patient(), "a", content(55), objstore.TTL(10*time.Second))
				s.pass(7500 * time.Millisecond)
				s.must(p.end(io.EOF))
				if !s.target.Virtual {
					continue
				}
				for range 40 {
					got, _, err := st.ReadAll(s.patient(), "a")
					if transport.CodeOf(err) == transport.NotFound {
						break
					}
					if s.must(err); string(got) != content(55) {
						s.Errorf("got %s", brief(string(got)))
					}
					s.pass(100 * time.Millisecond)
				}
				st.wantGone("a", content(55))
			}
		},
	},
	{
		name: "expiry/slower-than-ttl", contract: "It begins with the first byte: a Put that takes longer than its TTL is failed_precondition.",
		rule: "A Put whose first chunks expire before its end stores nothing, and leaves the object as it was.",
		body: func(s *suite) {
			for _, options := range [][]objstore.StoreOption{nil, {objstore.TTL(time.Second)}} {
				st := s.open(options...)
				p := st.begin(s.patient(), "a", content(55), objstore.TTL(time.Second))
				begun := time.Now() // the chunks may still be on their way
				realtime.Until(s, "the chunks have expired", func() bool {
					return time.Since(begun) > time.Second && len(st.uploads()) == 0
				})
				st.wantError("a", p.end(io.EOF), transport.FailedPrecondition, "TTL")
				st.gone("a")
				st.wantClean()
			}
		},
	},
	{
		name: "expiry/rounded-up", contract: "The server counts whole seconds: the life is rounded up, and at least a second.",
		rule: "A TTL under a second is invalid, and a store with one panics.",
		body: func(s *suite) {
			st := s.open()
			_, err := st.PutBytes(s.patient(), "a", nil, objstore.TTL(time.Second-1))
			st.wantError("a", err, transport.InvalidArgument, "TTL")
			s.panics("TTL", func() { objstore.NewStore("a", objstore.TTL(0)) })
			st.put("a", "1", objstore.TTL(1500*time.Millisecond))
			if is := st.stat("a"); is.Expires.Sub(is.Modified) != 2*time.Second {
				s.Errorf("got %+v, want 2s", is)
			}
		},
	},
}
