package transporttest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"gomono.dev/transport"
)

var readCases = []conformanceCase{
	{
		name:     "read/all",
		contract: "A Delivery from Read has no Settler, no FencingToken and Attempt 0.",
		rule:     "Read returns stored messages in order, with no Settler, no FencingToken and Attempt 0.",
		body: func(s *suite) {
			const n = 600
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			l.holds()
			a := s.appending(l)
			for i, body := range numbers(n) {
				a.begin(s.message(strconv.Itoa(i%5), body), transport.AppendOptions{ID: "id " + body})
			}
			a.results()
			all := l.read(transport.ReadConfig{})
			if !slices.Equal(bodiesOf(all), numbers(n)) {
				s.Fatalf("got %q", bodiesOf(all))
			}
			for i, d := range all {
				if d.Sequence != uint64(i)+1 || d.Subject != s.subject(strconv.Itoa(i%5)) || d.ID != "id "+strconv.Itoa(i) || d.Stored.IsZero() {
					s.Errorf("message %d is %+v", i, d)
				}
				if d.Settler != nil || d.FencingToken != 0 || d.Attempt != 0 {
					s.Errorf("message %d has settler %v, fencing token %d, attempt %d", i, d.Settler, d.FencingToken, d.Attempt)
				}
			}
		},
	},
	{
		name:     "read/present",
		contract: "It ends at the last message that was stored when it began, or, with r.Follow, when ctx ends.",
		rule:     "Read ends at the last message that was stored when it began.",
		body: func(s *suite) {
			for name, retention := range map[string]transport.Retention{"limits": transport.LimitsRetention, "interest": transport.InterestRetention} {
				l := s.log(transport.LogConfig{
					Name: s.root + name, Subjects: []string{s.subject(name)}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}},
				})
				l.put(name, "0", "1", "2")
				var got []string
				for d, err := range l.Read(s.patient(), transport.ReadConfig{}) {
					if err != nil {
						s.Fatal(err)
					}
					got = append(got, string(d.Body))
					l.put(name, "later")
				}
				if !slices.Equal(got, numbers(3)) {
					s.Errorf("%s: got %q, want 0 to 2", name, got)
				}
			}
		},
	},
	{
		name:     "read/changes-nothing",
		contract: "It does not belong to a group and changes nothing.",
		rule:     "Read does not belong to a group and changes nothing.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			l.put("a", "0", "1")
			m := l.consume(of("g", 2))
			held := m.takes("0", "1")
			l.holds("0", "1")
			l.holds("0", "1")
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 2 {
				s.Errorf("got groups %+v, %v", groups, err)
			}
			s.ack(held...)
			l.consume(of("h", 1)).handles("0", "1")
			l.eventuallyHolds(0)
			l.holds()
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "read/starts",
		contract: "At most one is set. The zero value is the beginning.",
		rule:     "A Start is a sequence or the first after it, the first message stored at or after a time, or (New) messages stored from now on.",
		body: func(s *suite) {
			for name, retention := range map[string]transport.Retention{"limits": transport.LimitsRetention, "interest": transport.InterestRetention} {
				l := s.log(transport.LogConfig{
					Name: s.root + name, Subjects: []string{s.subject(name)}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}},
				})
				for _, body := range numbers(4) {
					l.put(name, body)
					s.pass(5 * time.Millisecond)
				}
				at := l.read(transport.ReadConfig{})[2].Stored
				if err := l.Remove(s.patient(), 2); err != nil {
					s.Fatal(err)
				}
				l.holds("0", "2", "3")
				l.reads(transport.ReadConfig{Start: transport.Start{Sequence: 1}}, "0", "2", "3")
				l.reads(transport.ReadConfig{Start: transport.Start{Sequence: 2}}, "2", "3")
				l.reads(transport.ReadConfig{Start: transport.Start{Sequence: 4}}, "3")
				l.reads(transport.ReadConfig{Start: transport.Start{Sequence: 5}})
				l.reads(transport.ReadConfig{Start: transport.Start{Sequence: 99}})
				l.reads(transport.ReadConfig{Start: transport.Start{Time: at}}, "2", "3")
				l.reads(transport.ReadConfig{Start: transport.Start{Time: at.Add(-time.Hour)}}, "0", "2", "3")
				l.reads(transport.ReadConfig{Start: transport.Start{Time: at.Add(time.Hour)}})
				l.reads(transport.ReadConfig{Start: transport.Start{New: true}})
			}
		},
	},
	{
		name:     "read/last-per-subject",
		contract: "the last message of each subject, then all later ones",
		rule:     "LastPerSubject reads the last message of each subject, then all later ones.",
		body: func(s *suite) {
			for name, retention := range map[string]transport.Retention{"limits": transport.LimitsRetention, "interest": transport.InterestRetention} {
				l := s.log(transport.LogConfig{
					Name: s.root + name, Subjects: []string{s.subject(name + ".*")}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}},
				})
				l.put(name+".a", "0")
				l.put(name+".b", "1", "2")
				l.put(name+".c", "3")
				l.put(name+".a", "4")
				last := transport.Start{LastPerSubject: true}
				l.reads(transport.ReadConfig{Start: last}, "2", "3", "4")
				l.reads(transport.ReadConfig{Start: last, Filter: []string{s.subject(name + ".a"), s.subject(name + ".c")}}, "3", "4")
			}
		},
	},
	{
		name:     "read/filter",
		contract: "Read returns stored messages in order.",
		rule:     "Read returns only messages that match the filter, in order.",
		body: func(s *suite) {
			for name, retention := range map[string]transport.Retention{"limits": transport.LimitsRetention, "interest": transport.InterestRetention} {
				l := s.log(transport.LogConfig{
					Name: s.root + name, Subjects: []string{s.subject(name + ".>")}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}},
				})
				for i, rest := range []string{"a", "b.x", "c", "b.y", "a", "c"} {
					l.put(name+"."+rest, strconv.Itoa(i))
				}
				filtered := func(rests ...string) (c transport.ReadConfig) {
					for _, rest := range rests {
						c.Filter = append(c.Filter, s.subject(name+"."+rest))
					}
					return c
				}
				l.reads(filtered("a"), "0", "4")
				l.reads(filtered("b.*"), "1", "3")
				l.reads(filtered("c", "b.>"), "1", "2", "3", "5")
				l.reads(filtered("b.>", "a", "c"), numbers(6)...)
				l.reads(filtered("nothing"))
			}
		},
	},
	{
		name:     "read/follow",
		contract: "A Follow that ctx ended ends without an error.",
		rule:     "With Follow, Read continues with messages stored later, until ctx ends; then it ends without an error.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			l.put("b", "1")
			all := l.follow(transport.ReadConfig{})
			later := l.follow(transport.ReadConfig{Start: transport.Start{New: true}, Filter: []string{s.subject("a")}})
			last := l.follow(transport.ReadConfig{Start: transport.Start{LastPerSubject: true}, Filter: []string{s.subject("a")}})
			all.want("0", "1")
			last.want("0")
			l.put("b", "2")
			s.eventually("the follower of new messages to follow", func() bool {
				l.put("a", "probe")
				return len(later.got) > 0
			})
			l.put("a", "end")
			for _, f := range []*follower{later, last} {
				for f.next() != "end" {
				}
			}
			all.want("2", "probe")
			for _, f := range []*follower{all, later, last} {
				f.stop()
				if err := await(s, f.ended, "Read to end"); err != nil {
					s.Errorf("a Follow that ctx ended ends with %v", err)
				}
			}
		},
	},
	{
		name:     "read/follow-interest",
		contract: "or, with r.Follow, when ctx ends.",
		rule:     "With Follow, Read continues with messages stored later, if they still exist.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0")
			f := l.follow(transport.ReadConfig{})
			f.want("0")
			l.put("a", "1", "2")
			f.want("1", "2")
			f.stop()
			if err := await(s, f.ended, "Read to end"); err != nil {
				s.Error(err)
			}
		},
	},
	{
		name: "read/gap",
		rule: "A gap (messages that retention removed in the meantime) is skipped.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", numbers(6)...)
			for _, sequence := range []uint64{1, 3, 4, 6} {
				if err := l.Remove(s.patient(), sequence); err != nil {
					s.Fatal(err)
				}
			}
			l.holds("1", "4")
			f := l.follow(transport.ReadConfig{})
			f.want("1", "4")
			if _, err := l.Purge(s.patient(), transport.PurgeConfig{}); err != nil {
				s.Fatal(err)
			}
			l.put("a", "6")
			f.want("6")
			f.stop()
		},
	},
	{
		name:     "read/break",
		contract: "Read returns stored messages in order.",
		rule:     "Read can be stopped at any message and repeated: each time it reads from its start.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", numbers(20)...)
			for _, follow := range []bool{false, true} {
				read := l.Read(s.patient(), transport.ReadConfig{Follow: follow})
				for n := range 10 {
					var got []string
					for d, err := range read {
						if err != nil {
							s.Fatal(err)
						}
						if got = append(got, string(d.Body)); len(got) > n {
							break
						}
					}
					if !slices.Equal(got, numbers(n+1)) {
						s.Fatalf("got %q, want 0 to %d", got, n)
					}
				}
			}
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 0 {
				s.Errorf("reading left groups %+v, %v", groups, err)
			}
		},
	},
	{
		name:     "read/errors",
		contract: "The last element may carry an error, with a nil Delivery",
		rule:     "The last element of Read may carry an error, with a nil Delivery: InvalidArgument for an invalid ReadConfig, Canceled if ctx ended first.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1")
			for _, c := range []transport.ReadConfig{
				{Filter: []string{"a..b"}},
				{Filter: []string{"a.*", "a.b"}},
				{Start: transport.Start{New: true, Sequence: 1}},
			} {
				s.wantReadError(l.Read(s.patient(), c), transport.InvalidArgument)
			}
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			s.wantReadError(l.Read(ctx, transport.ReadConfig{}), transport.Canceled)
		},
	},
	{
		name:     "read/at-once",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method may be called concurrently: each Read has a separate position.",
		body: func(s *suite) {
			const n = 100
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			a := s.appending(l)
			for _, body := range numbers(n) {
				a.begin(s.message("a", body), transport.AppendOptions{})
			}
			a.results()
			read := l.Read(s.patient(), transport.ReadConfig{})
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					var got []string
					for d, err := range read {
						if err != nil {
							s.Error(err)
							return
						}
						got = append(got, string(d.Body))
					}
					if !slices.Equal(got, numbers(n)) {
						s.Errorf("got %q", got)
					}
				})
			}
			s.within("the readers", wg.Wait)
		},
	},
}

// wantReadError fails unless a Read yields an error and nothing else.
func (s *suite) wantReadError(read func(func(*transport.Delivery, error) bool), code transport.Code) {
	s.Helper()
	elements := 0
	for d, err := range read {
		elements++
		if d != nil || elements > 1 {
			s.Errorf("element %d is %+v, %v", elements, d, err)
		}
		s.wantCode(err, code)
	}
	if elements != 1 {
		s.Errorf("Read yields %d elements, want an error", elements)
	}
}

// follower is a Read with Follow in progress.
type follower struct {
	s     *suite
	got   chan string
	ended chan error
	stop  context.CancelFunc
}

func (l *log) follow(c transport.ReadConfig) *follower {
	c.Follow = true
	ctx, stop := context.WithCancel(l.s.Context())
	f := &follower{s: l.s, got: make(chan string, 1000), ended: make(chan error, 1), stop: stop}
	l.s.Cleanup(stop)
	go func() {
		var last error
		for d, err := range l.Read(ctx, c) {
			if last = err; err == nil {
				f.got <- string(d.Body)
			}
		}
		f.ended <- last
	}()
	return f
}

func (f *follower) next() string {
	f.s.Helper()
	return await(f.s, f.got, "a followed message")
}

func (f *follower) want(bodies ...string) {
	f.s.Helper()
	for _, body := range bodies {
		if got := f.next(); got != body {
			f.s.Fatalf("the follower got %q, want %q", got, body)
		}
	}
}
