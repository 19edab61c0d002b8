package kvtest

import (
	"strconv"
	"sync"
	"sync/atomic"

	"gomono.dev/kv"
	"gomono.dev/transport"
)

// together calls f concurrently, with numbers from 0.
func (s *suite) together(goroutines int, f func(i int)) {
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// wantOneWinner fails unless one of many concurrent writes succeeds, and the others return a
// code.
func (s *suite) wantOneWinner(lost transport.Code, write func(i int) error) {
	s.Helper()
	var won atomic.Int32
	s.together(50, func(i int) {
		if err := write(i); err == nil {
			won.Add(1)
		} else {
			s.wantError(err, lost)
		}
	})
	wantEqual(s, "writes that succeeded", won.Load(), 1)
}

const manyCondition = "Of several conditional writes (Create, Update, Modify, conditional deletions) that expect the same revision, one succeeds."

var concurrencyCases = []testCase{
	{
		name: "concurrent/creates", contract: manyCondition,
		rule: "Of 50 concurrent Creates one succeeds, and the others get already_exists.",
		body: func(s *suite) {
			b := s.open()
			other := b.elsewhere()
			ctx := s.patient()
			s.wantOneWinner(transport.AlreadyExists, func(i int) error {
				_, err := []*bucket{b, other}[i%2].Create(ctx, "a", strconv.Itoa(i))
				return err
			})
		},
	},
	{
		name: "concurrent/creates-over-a-mark", contract: manyCondition,
		rule: "Of 50 concurrent Creates of a deleted key one succeeds, also while the mark is removed.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			ctx := s.patient()
			for _, key := range []string{"a", "b", "c"} {
				b.put(key, "1")
				b.delete(key)
				s.wantOneWinner(transport.AlreadyExists, func(i int) error {
					if i == 25 {
						if err := b.PurgeDeletes(ctx, 0); err != nil {
							s.Error(err)
						}
					}
					_, err := b.Create(ctx, key, strconv.Itoa(i))
					return err
				})
			}
		},
	},
	{
		name: "concurrent/updates", contract: manyCondition,
		rule: "Of 50 concurrent Updates of one revision one succeeds, and the others get aborted.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			ctx := s.patient()
			s.wantOneWinner(transport.Aborted, func(i int) error {
				_, err := b.Update(ctx, "a", r, strconv.Itoa(i))
				return err
			})
		},
	},
	{
		name: "concurrent/conditional-deletes", contract: manyCondition,
		rule: "Of 50 concurrent conditional deletions of one revision one succeeds, and the others get aborted.",
		body: func(s *suite) {
			b := s.open()
			r := b.put("a", "1")
			ctx := s.patient()
			s.wantOneWinner(transport.Aborted, func(i int) error {
				if i%2 == 0 {
					return b.Delete(ctx, "a", kv.IfRevision(r))
				}
				return b.Purge(ctx, "a", kv.IfRevision(r))
			})
			b.gone("a")
		},
	},
	{
		name: "concurrent/modifies", contract: "the changes of concurrent calls, also of other programs, all take effect",
		rule: "Many concurrent Modify count exactly.",
		body: func(s *suite) { countTogether(s, 10, 20) },
	},
	{
		name: "concurrent/own-writes", contract: "A process reads what it wrote, or something newer.",
		rule: "Get after a write returns that revision or a newer one, while others write.",
		body: func(s *suite) {
			b := s.open()
			ctx := s.patient()
			s.together(4, func(i int) {
				for range 25 {
					e, err := b.Put(ctx, "a", strconv.Itoa(i))
					if err != nil {
						s.Error(err)
						return
					}
					if got, err := b.Get(ctx, "a"); err != nil || got.Revision < e.Revision {
						s.Errorf("got revision %d, %v after a write of %d", got.Revision, err, e.Revision)
					}
				}
			})
		},
	},
	{
		name: "concurrent/own-writes-listed", contract: "A process reads what it wrote, or something newer.",
		rule: "List after a write has that revision or a newer one, of new and of old keys, while others write.",
		body: func(s *suite) {
			b := s.open()
			ctx := s.patient()
			s.together(4, func(i int) {
				for n := range 10 {
					key := strconv.Itoa(i%2) + "." + strconv.Itoa(n/2)
					e, err := b.Put(ctx, key, strconv.Itoa(i))
					report(s, err)
					var got uint64
					for is, err := range b.List(ctx) {
						report(s, err)
						if is.Key == key {
							got = is.Revision
						}
					}
					if got < e.Revision {
						s.Errorf("listed revision %d after a write of %d", got, e.Revision)
					}
				}
			})
		},
	},
	{
		name: "concurrent/mixed", contract: "All methods may be called concurrently",
		rule: "All methods may be called concurrently, and each key has its last value at the end.",
		body: func(s *suite) {
			b := s.open(kv.History(3))
			ctx := s.patient()
			s.together(8, func(i int) {
				key := strconv.Itoa(i)
				for n := range 10 {
					_, err := b.Put(ctx, key, strconv.Itoa(n))
					report(s, err)
					for _, err := range b.Keys(ctx) {
						report(s, err)
					}
					for e, err := range b.Watch(ctx, kv.Key(key)) {
						report(s, err)
						if e.Kind == kv.EventCurrent {
							break
						}
					}
					_, _, err = b.GetAll(ctx, key, "0", "1")
					report(s, err)
					report(s, b.PurgeDeletes(ctx, 0))
					if n%2 == 0 {
						report(s, b.Delete(ctx, key))
					}
				}
			})
			for i := range 8 {
				b.want(strconv.Itoa(i), "9")
			}
		},
	},
}

func report(s *suite, err error) {
	s.Helper()
	if err != nil {
		s.Error(err)
	}
}
