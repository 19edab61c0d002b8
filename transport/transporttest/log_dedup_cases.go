package transporttest

import (
	"strings"
	"sync"

	"gomono.dev/transport"
)

var dedupCases = []conformanceCase{
	{
		name: "dedup/once",
		seam: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence, whatever has become of that message since.",
		rule: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence.",
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
		name: "dedup/removed",
		seam: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence, whatever has become of that message since.",
		rule: "A second Append with an id stores nothing, whatever has become of the first one's message since.",
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
		name: "dedup/settled",
		seam: "A second Append with an id that was appended within the DedupWindow stores nothing and returns the first one's sequence, whatever has become of that message since.",
		rule: "A second Append with an id stores nothing, and is delivered to nobody, when the first one's message is settled.",
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
		name: "dedup/window",
		seam: "DedupWindow is how long ids are remembered",
		rule: "DedupWindow is how long ids are remembered.",
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
		name: "dedup/in-the-window",
		seam: "0 is DefaultDedupWindow, or MaxAge where that is shorter",
		rule: "DedupWindow is how long ids are remembered: 0 is 2 minutes.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.appends("a", "0", "x", transport.Appended{Sequence: 1})
			s.pass(3 * transport.MinDedupWindow)
			l.appends("a", "again", "x", transport.Appended{Sequence: 1, Duplicate: true})
		},
	},
	{
		name: "dedup/no-id",
		seam: "ID is the message's identity for deduplication. Empty is none.",
		rule: "An empty ID is none.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "same", "same")
			l.holds("same", "same")
		},
	},
	{
		name: "dedup/each-log",
		seam: "ID is the message's identity for deduplication.",
		rule: "An id is one of its log: another log has not seen it.",
		body: func(s *suite) {
			for _, name := range []string{"1", "2"} {
				l := s.log(transport.LogConfig{Name: s.root + name, Subjects: []string{s.subject(name)}})
				l.appends(name, "0", "x", transport.Appended{Sequence: 1})
			}
		},
	},
	{
		name: "dedup/at-once",
		seam: "A second Append with an id that was appended within the DedupWindow stores nothing",
		rule: "A second Append with an id stores nothing: one of many at once does.",
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
		name: "dedup/ids",
		seam: "MaxID bounds an id, in bytes.",
		rule: "An id has at most 256 bytes, without control characters and white space at the ends.",
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

// appends fails unless an append with an id says that.
func (l *log) appends(rest, body, id string, want transport.Appended) {
	l.s.Helper()
	if at := l.add(rest, body, transport.AppendOptions{ID: id}); at != want {
		l.s.Fatalf("Append of %q with id %q returns %+v, want %+v", body, id, at, want)
	}
}

var expectCases = []conformanceCase{
	{
		name: "expect/log",
		seam: "Aborted when o.Expect does not hold",
		rule: "Append: Aborted when Expect does not hold. Expect is a condition on the last sequence of the whole log; 0 means that there is none.",
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
		name: "expect/subject",
		seam: "Expectation is a condition on the last sequence, of the whole log or of one subject. A Sequence of 0 means that there is none.",
		rule: "Expect is a condition on the last sequence of one subject; 0 means that there is none.",
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
		name: "expect/other-subject",
		seam: "Expectation is a condition on the last sequence, of the whole log or of one subject.",
		rule: "Expect is a condition on the last sequence of one subject, which need not be the message's.",
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
		name: "expect/removed",
		seam: "A Sequence of 0 means that there is none.",
		rule: "An Expectation of 0 for a subject means that there is none: also when there was one.",
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
		name: "expect/same-id",
		seam: "An Append that fails on it although the message with the same id is the last one is a success",
		rule: "An Append that fails on its Expectation although the message with the same id is the last one is a success: an earlier attempt stored it.",
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
				s.pass(3 * transport.MinDedupWindow) // the id of a message is its own for ever
			}
			ofSubject.ID, ofLog.ID = "z", ""
			l.refuses("a", ofSubject, transport.Aborted)
			l.refuses("b", ofLog, transport.Aborted)
			l.holds("0", "1")
		},
	},
	{
		name: "expect/at-once",
		seam: "Aborted when o.Expect does not hold",
		rule: "Append: Aborted when Expect does not hold. Of many with one Expectation at once, one is stored.",
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

// expecting returns options with an Expectation, of a subject of the case's or of
// the whole log.
func (l *log) expecting(sequence uint64, rest string) transport.AppendOptions {
	e := &transport.Expectation{Sequence: sequence}
	if rest != "" {
		e.Subject = l.s.subject(rest)
	}
	return transport.AppendOptions{Expect: e}
}
