package transporttest

import (
	"strings"
	"sync"

	"gomono.dev/transport"
)

var dedupCases = []conformanceCase{
	{
		name:     "dedup/once",
		contract: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence, even if that message is gone.",
		rule:     "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			l.appends("a", "1", "x", transport.Appended{Sequence: 2})
			l.appends("a", "2", "y", transport.Appended{Sequence: 3})
			l.appends("a", "again", "x", transport.Appended{Sequence: 2, Duplicate: true})
			l.appends("b", "on another subject", "y", transport.Appended{Sequence: 3, Duplicate: true})
			l.holds("0", "1", "2")
		},
	},
	{
		name:     "dedup/removed",
		contract: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence, even if that message is gone.",
		rule:     "A second Append with an id stores nothing, even if the first message is gone.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 3, Full: transport.DropOldest})
			l.appends("a", "0", "x", transport.Appended{Sequence: 1})
			l.appends("a", "1", "y", transport.Appended{Sequence: 2})
			if err := l.Remove(s.patient(), 2); err != nil {
				s.Fatal(err)
			}
			l.put("a", "2", "3", "4") // the first makes room
			l.appends("a", "again", "x", transport.Appended{Sequence: 1, Duplicate: true})
			l.appends("a", "again", "y", transport.Appended{Sequence: 2, Duplicate: true})
			l.holds("2", "3", "4")
		},
	},
	{
		name:     "dedup/settled",
		contract: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence, even if that message is gone.",
		rule:     "A second Append with an id stores nothing and delivers nothing, even if the first message is settled.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			l.appends("a", "0", "x", transport.Appended{Sequence: 1})
			m.handles("0")
			l.eventuallyHolds(0)
			l.appends("a", "again", "x", transport.Appended{Sequence: 1, Duplicate: true})
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "dedup/window",
		contract: "DedupWindow is how long ids are remembered",
		rule:     "DedupWindow is how long ids are remembered.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{DedupWindow: transport.MinDedupWindow})
			l.appends("a", "0", "x", transport.Appended{Sequence: 1})
			s.eventually("the id to be forgotten", func() bool {
				at := l.add("a", "1", transport.AppendOptions{ID: "x"})
				return at == transport.Appended{Sequence: 2}
			})
			l.holds("0", "1")
		},
	},
	{
		name:     "dedup/in-the-window",
		contract: "0 means DefaultDedupWindow, or MaxAge if that is shorter",
		rule:     "DedupWindow is how long ids are remembered. 0 means 2 minutes.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.appends("a", "0", "x", transport.Appended{Sequence: 1})
			s.pass(3 * transport.MinDedupWindow)
			l.appends("a", "again", "x", transport.Appended{Sequence: 1, Duplicate: true})
		},
	},
	{
		name:     "dedup/no-id",
		contract: "ID identifies the message for deduplication. An empty ID means no deduplication.",
		rule:     "An empty ID means no deduplication.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "same", "same")
			l.holds("same", "same")
		},
	},
	{
		name:     "dedup/each-log",
		contract: "ID identifies the message for deduplication.",
		rule:     "Each log has separate ids.",
		body: func(s *suite) {
			for _, name := range []string{"1", "2"} {
				l := s.log(transport.LogConfig{Name: s.root + name, Subjects: []string{s.subject(name)}})
				l.appends(name, "0", "x", transport.Appended{Sequence: 1})
			}
		},
	},
	{
		name:     "dedup/at-once",
		contract: "A second Append with an id that was appended within the DedupWindow stores nothing",
		rule:     "Of many concurrent Appends with one id, one stores its message.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					_, err := l.Append(s.Context(), s.message("a", "0"), transport.AppendOptions{ID: "x"})
					if err != nil && transport.CodeOf(err) != transport.Unavailable { // another has not been stored yet
						s.Error(err)
					}
				})
			}
			s.within("the appends", wg.Wait)
			l.appends("a", "0", "x", transport.Appended{Sequence: 1, Duplicate: true})
			l.holds("0")
		},
	},
	{
		name:     "dedup/ids",
		contract: "MaxID is the maximum length of an id, in bytes.",
		rule:     "An id has at most 256 bytes, without control characters and white space at the ends.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			for _, id := range []string{strings.Repeat("i", transport.MaxID+1), "a\nb", "a\x00b", " a", "a "} {
				l.refuses("a", transport.AppendOptions{ID: id}, transport.InvalidArgument)
			}
			ids := []string{strings.Repeat("i", transport.MaxID), "with: colon, comma", "grüße", "a\u00a0b"}
			for i, id := range ids {
				l.appends("a", id, id, transport.Appended{Sequence: uint64(i) + 1})
				l.appends("a", id, id, transport.Appended{Sequence: uint64(i) + 1, Duplicate: true})
			}
			for i, d := range l.read(transport.ReadConfig{}) {
				if d.ID != ids[i] {
					s.Errorf("got the id %q, want %q", d.ID, ids[i])
				}
			}
		},
	},
}

// appends fails unless an append with an id has the given result.
func (l *log) appends(rest, body, id string, want transport.Appended) {
	l.s.Helper()
	if at := l.add(rest, body, transport.AppendOptions{ID: id}); at != want {
		l.s.Fatalf("Append of %q with id %q returns %+v, want %+v", body, id, at, want)
	}
}

var expectCases = []conformanceCase{
	{
		name:     "expect/log",
		contract: "Aborted if o.Expect does not hold",
		rule:     "Append: Aborted if Expect does not hold. Expect is a condition on the last sequence of the whole log; 0 means that no message exists.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.refuses("a", l.expecting(1, ""), transport.Aborted)
			l.add("a", "0", l.expecting(0, ""))
			l.refuses("a", l.expecting(0, ""), transport.Aborted)
			l.add("b", "1", l.expecting(1, ""))
			l.refuses("a", l.expecting(1, ""), transport.Aborted)
			l.refuses("b", l.expecting(3, ""), transport.Aborted)
			l.add("a", "2", l.expecting(2, ""))
			l.holds("0", "1", "2")
		},
	},
	{
		name:     "expect/subject",
		contract: "Expectation is a condition on the last sequence of the whole log or of one subject. A Sequence of 0 means that no message exists.",
		rule:     "Expect is a condition on the last sequence of one subject; 0 means that no message exists.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.add("a", "0", l.expecting(0, "a"))
			l.put("b", "1")
			l.refuses("a", l.expecting(0, "a"), transport.Aborted)
			l.refuses("a", l.expecting(2, "a"), transport.Aborted)
			l.add("a", "2", l.expecting(1, "a"))
			l.add("b", "3", l.expecting(2, "b"))
			l.add("c", "4", l.expecting(0, "c"))
			l.holds("0", "1", "2", "3", "4")
		},
	},
	{
		name:     "expect/other-subject",
		contract: "Expectation is a condition on the last sequence of the whole log or of one subject.",
		rule:     "Expect is a condition on the last sequence of one subject, which may differ from the message's.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			l.refuses("b", l.expecting(0, "a"), transport.Aborted)
			l.add("b", "1", l.expecting(1, "a"))
			l.add("b", "2", l.expecting(1, "a"))
			l.holds("0", "1", "2")
		},
	},
	{
		name:     "expect/removed",
		contract: "A Sequence of 0 means that no message exists.",
		rule:     "An Expectation of 0 for a subject means that no message exists, even if there was one.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			l.put("b", "1")
			if err := l.Remove(s.patient(), 1); err != nil {
				s.Fatal(err)
			}
			l.refuses("a", l.expecting(1, "a"), transport.Aborted)
			l.add("a", "2", l.expecting(0, "a"))
			l.holds("1", "2")
		},
	},
	{
		name:     "expect/same-id",
		contract: "If the condition fails because a message with the same id is the last one, the Append succeeds",
		rule:     "If an Expectation fails because a message with the same id is the last one, the Append succeeds: an earlier attempt stored the message.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{DedupWindow: transport.MinDedupWindow})
			ofSubject, ofLog := l.expecting(0, "a"), l.expecting(1, "")
			ofSubject.ID, ofLog.ID = "x", "y"
			l.add("a", "0", ofSubject)
			l.add("b", "1", ofLog)
			for range 2 {
				if at := l.add("a", "0", ofSubject); at != (transport.Appended{Sequence: 1, Duplicate: true}) {
					s.Errorf("the second attempt on the subject's last returns %+v", at)
				}
				if at := l.add("b", "1", ofLog); at != (transport.Appended{Sequence: 2, Duplicate: true}) {
					s.Errorf("the second attempt on the log's last returns %+v", at)
				}
				s.pass(3 * transport.MinDedupWindow) // the id of a message is kept beyond the window
			}
			ofSubject.ID, ofLog.ID = "z", ""
			l.refuses("a", ofSubject, transport.Aborted)
			l.refuses("b", ofLog, transport.Aborted)
			l.holds("0", "1")
		},
	},
	{
		name:     "expect/at-once",
		contract: "Aborted if o.Expect does not hold",
		rule:     "Append: Aborted if Expect does not hold. Of many concurrent Appends with one Expectation, one succeeds.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			const n = 8
			stored := make(chan uint64, n)
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					at, err := l.Append(s.Context(), s.message("a", "0"), l.expecting(0, "a"))
					if err == nil {
						stored <- at.Sequence
						return
					}
					s.wantError(err, transport.Aborted, transport.OutcomeNotDone)
				})
			}
			s.within("the appends", wg.Wait)
			if len(stored) != 1 || <-stored != 1 {
				s.Errorf("%d appends are successes, want 1", len(stored))
			}
			l.holds("0")
		},
	},
}

// expecting returns options with an Expectation, for a subject of the case or for the
// whole log.
func (l *log) expecting(sequence uint64, rest string) transport.AppendOptions {
	e := &transport.Expectation{Sequence: sequence}
	if rest != "" {
		e.Subject = l.s.subject(rest)
	}
	return transport.AppendOptions{Expect: e}
}
