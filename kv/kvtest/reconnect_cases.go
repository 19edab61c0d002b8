package kvtest

import (
	"errors"
	"strconv"
	"sync"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/transport"
)

// near opens a bucket over the line that the case cuts.
func (b *bucket) near() *bucket {
	b.s.Helper()
	return b.on(b.s.line.Transport)
}

var reconnectCases = []testCase{
	{
		name: "reconnect/watch", contract: "Each change comes once, also over lost connections, servers and leaders.",
		rule: "Each change that was made while the connection was lost comes once, in order.",
		body: func(s *suite) {
			b := s.open()
			b.put("before", "1")
			w := b.near().watch()
			w.want("before=1", "current")
			for i := range 5 {
				n := strconv.Itoa(i)
				s.line.Cut()
				b.put("a"+n, n)
				b.delete("b" + n)
				s.line.Mend()
				b.put("c"+n, n)
				w.want("a"+n+"="+n, "b"+n+":delete", "c"+n+"="+n)
			}
		},
	},
	{
		name: "reconnect/updates-only", contract: "UpdatesOnly leaves out the values that are present at the beginning",
		rule: "A watcher whose connection is lost before its first change gets no value that was there before.",
		body: func(s *suite) {
			b := s.open()
			near := b.near()
			b.fill(20)
			last := b.put("a", "3")
			w := near.watch(kv.FromRevision(last + 1))
			w.want("current")
			s.line.Cut()
			s.line.Mend()
			b.put("a", "4")
			w.want("a=4")
		},
	},
	{
		name: "reconnect/writes", contract: "unavailable for a lost connection",
		rule: "Without a connection a write is unavailable, in the end with no effect; afterwards it works.",
		body: func(s *suite) {
			b := s.open()
			near := b.near()
			s.line.Cut()
			realtime.Until(s, "a write is refused", func() bool {
				_, err := near.Put(s.patient(), "a", "1")
				near.wantCode(err, transport.Unavailable)
				e, ok := errors.AsType[*transport.Error](err)
				return ok && e.Outcome == transport.OutcomeNotDone
			})
			s.line.Mend()
			realtime.Until(s, "a write succeeds", func() bool {
				_, err := near.Put(s.patient(), "a", "2")
				return err == nil
			})
			b.want("a", "2")
		},
	},
	{
		name: "reconnect/listing", contract: listing,
		rule: "A listing whose connection is lost is complete, or ends with an error.",
		body: func(s *suite) {
			b := s.open()
			keys := b.fill(3000)
			near := b.near()
			for _, at := range []int{0, 1, 500, 2000} {
				seen := make(map[string]bool)
				var last error
				for key, err := range near.Keys(s.patient()) {
					if seen[key], last = true, err; len(seen) == at+1 {
						s.line.Cut()
						s.line.Mend()
					}
				}
				if last == nil && len(seen) != len(keys) {
					s.Errorf("a listing has %d of %d keys and no error", len(seen), len(keys))
				}
			}
		},
	},
	{
		name: "reconnect/modify", contract: "also of other programs, all take effect, one after the other",
		rule: "Each Modify that returned no error counts once, each with an unknown outcome at most once, and each with another one never.",
		body: func(s *suite) {
			b := s.open()
			near := b.near()
			ctx := s.patient()
			var mu sync.Mutex
			done, unknown := 0, 0
			s.together(3, func(i int) {
				for n := range 30 {
					if i == 0 && n%5 == 0 {
						s.line.Cut()
						s.line.Mend()
					}
					var err error
					realtime.Within(realtime.Patience, func() bool {
						_, err = near.Modify(ctx, "n", appendText("x"))
						e, ok := errors.AsType[*transport.Error](err)
						return !ok || e.Outcome == transport.OutcomeUnknown
					})
					mu.Lock()
					if err == nil {
						done++
					} else {
						unknown++
					}
					mu.Unlock()
				}
			})
			n := 0 // near has written the last revision, so it reads no older one
			realtime.Until(s, "the value is read", func() bool {
				e, err := near.Get(ctx, "n")
				n = len(e.Value)
				return err == nil
			})
			if done == 0 || n < done || n > done+unknown {
				s.Errorf("%d changes took effect, want %d and up to %d more", n, done, unknown)
			}
		},
	},
}
