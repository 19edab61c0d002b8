package objtest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

var concurrencyCases = []testCase{
	{
		name: "concurrent/creates", contract: "IfAbsent lets a Put create an object only.",
		rule: "Of 20 concurrent Puts with IfAbsent one succeeds, and the others leave nothing.",
		body: func(s *suite) {
			st := s.open()
			ctx := s.patient()
			for _, n := range []int{5, 25} { // one chunk, and several
				name := fmt.Sprint(n)
				var won atomic.Int32
				s.together(20, func(i int) {
					_, err := st.PutBytes(ctx, name, []byte(strings.Repeat(string(rune('a'+i)), n)), objstore.IfAbsent())
					if err == nil {
						won.Add(1)
					} else {
						st.wantError(name, err, transport.AlreadyExists)
					}
				})
				wantEqual(s, "Puts that succeeded", won.Load(), 1)
				wantEqual(s, "the size", st.stat(name).Size, int64(n))
			}
			st.wantClean()
		},
	},
	{
		name: "concurrent/replace", contract: "of several concurrent Puts one succeeds.",
		rule: "Of 20 concurrent Puts that expect one revision one succeeds, and the others leave nothing.",
		body: func(s *suite) {
			st := s.open()
			is := st.put("a", content(35))
			ctx := s.patient()
			var won atomic.Int32
			s.together(20, func(i int) {
				_, err := st.PutBytes(ctx, "a", []byte(strings.Repeat(string(rune('a'+i)), 25)), objstore.IfRevision(is.Revision))
				if err == nil {
					won.Add(1)
				} else {
					st.wantError("a", err, transport.Aborted)
				}
			})
			wantEqual(s, "Puts that succeeded", won.Load(), 1)
			st.wantClean()
		},
	},
	{
		name: "concurrent/renames", contract: "If either changes meanwhile, Rename is aborted.",
		rule: "Of 10 concurrent Renames of one object one succeeds.",
		body: func(s *suite) {
			st := s.open()
			st.put("a", content(35))
			ctx := s.patient()
			var won atomic.Int32
			s.together(10, func(i int) {
				_, err := st.Rename(ctx, "a", fmt.Sprint(i))
				switch code := transport.CodeOf(err); {
				case err == nil:
					won.Add(1)
				case code != transport.Aborted && code != transport.NotFound:
					s.Errorf("got %v, want aborted or not_found", err)
				}
			})
			wantEqual(s, "Renames that succeeded", won.Load(), 1)
			s.settle(func() bool { return len(st.list()) == 1 })
			wantEqual(s, "the objects", len(st.list()), 1)
			st.wantClean()
		},
	},
	{
		name: "concurrent/no-mixture", contract: "it never returns a mixture.",
		rule: "Readers of an object that is replaced all the time get one version, or are aborted.",
		body: func(s *suite) {
			st := s.open()
			version := func(i int) string { return strings.Repeat(string(rune('a'+i%26)), 100+i%3*10) }
			st.put("a", version(0))
			ctx := s.patient()
			var done atomic.Bool
			s.together(4, func(i int) {
				if i == 0 {
					defer done.Store(true)
					for n := 1; n < 40; n++ {
						if _, err := st.PutBytes(ctx, "a", []byte(version(n))); err != nil {
							s.Error(err)
						}
					}
					return
				}
				for !done.Load() {
					got, _, err := st.ReadAll(ctx, "a")
					text := string(got)
					switch {
					case transport.CodeOf(err) == transport.Aborted:
					case err != nil:
						s.Error(err)
						return
					case text == "" || text != version(int(text[0]-'a')+(26*(len(text)/10))) && strings.Trim(text, text[:1]) != "":
						s.Errorf("got the mixture %s", brief(text))
					}
				}
			})
			st.want("a", version(39))
			st.wantClean()
		},
	},
	{
		name: "concurrent/own-writes", contract: "A process reads what it wrote, or something newer.",
		rule: "Stat and List after a Put have that revision or a newer one, while others put.",
		body: func(s *suite) {
			st := s.open()
			ctx := s.patient()
			s.together(4, func(i int) {
				for n := range 5 {
					name := fmt.Sprint(i/2, n)
					put, err := st.PutBytes(ctx, name, []byte(content(i)))
					if transport.CodeOf(err) == transport.Aborted {
						continue // another one has put it
					}
					s.must(err)
					is, err := st.Stat(ctx, name)
					var listed objstore.Info
					for o, failed := range st.List(ctx) {
						err = errors.Join(err, failed)
						if o.Name == name {
							listed = o
						}
					}
					if err != nil || is.Revision < put.Revision || listed.Revision < put.Revision {
						s.Errorf("read the revision %d and listed %d after a Put of %d, %v", is.Revision, listed.Revision, put.Revision, err)
					}
				}
			})
		},
	},
	{
		name: "concurrent/everything", contract: "Its methods may be called concurrently.",
		rule: "After concurrent Puts, Deletes, Renames and Copies every object is whole, and nothing is left behind.",
		body: func(s *suite) {
			st := s.open()
			ctx := s.patient()
			s.together(6, func(i int) {
				for n := range 15 {
					a, b := fmt.Sprint(n%3), fmt.Sprint((n+i)%3)
					var err error
					switch (i + n) % 4 {
					case 0, 1:
						_, err = st.PutBytes(ctx, a, []byte(content(10*i+n)))
					case 2:
						err = st.Delete(ctx, a)
					case 3:
						_, err = st.Rename(ctx, a, b)
					}
					switch transport.CodeOf(err) {
					case "", transport.Aborted, transport.NotFound, transport.AlreadyExists:
					default:
						s.Error(err)
					}
				}
			})
			for _, name := range st.list() {
				if got, is, err := st.ReadAll(ctx, name); err != nil || string(got) != content(len(got)) || int64(len(got)) != is.Size {
					s.Errorf("%s: got %s, %v", name, brief(string(got)), err)
				}
			}
			st.wantClean()
		},
	},
}
