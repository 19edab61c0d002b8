package transporttest

import (
	"time"

	"gomono.dev/transport"
)

var positionCases = []conformanceCase{
	{
		name: "position/durable",
		rule: "A group is durable: it keeps its position until it is deleted.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1", "2", "3")
			m := l.consume(of("g", 1))
			m.handles("0", "1")
			m.Close()
			l.put("a", "4")
			m = s.log(transport.LogConfig{}).consume(of("g", 1))
			m.goesOn("2", "3", "4")
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "position/from-first",
		contract: "Groups are created with the log, before any message is stored, and receive every message from the first.",
		rule:     "Groups are created with the log and receive every message from the first, consumed or not.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0", "1")
			l.holds("0", "1")
			l.consume(of("g", 1)).handles("0", "1")
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "position/later-interest",
		contract: "under InterestRetention that is at the earliest its creation.",
		rule:     "Under InterestRetention, a group that is created later begins at the earliest at its creation.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0", "1")
			s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "h", Start: transport.Start{Sequence: 1}}}})
			later := l.consume(of("i", 1))
			l.put("a", "2")
			later.handlesOnly(l, "a", "2")
			h := l.consume(of("h", 1))
			h.handles("2", "that was all")
			g := l.consume(of("g", 1))
			g.handles("0", "1")
			l.eventuallyHolds(2)
			g.handles("2", "that was all")
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "position/filter",
		contract: "Filter limits the group to subjects and patterns, which must not overlap. An empty Filter matches all messages.",
		rule:     "Filter limits the group to subjects and patterns. An empty Filter matches all messages.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			for i, rest := range []string{"a", "b.x", "c", "b.y", "a", "b.x.y", "d"} {
				l.put(rest, numbers(7)[i])
			}
			for _, c := range []struct {
				name   string
				filter []string
				want   []string
			}{
				{"one", []string{s.subject("a")}, []string{"0", "4"}},
				{"pattern", []string{s.subject("b.*")}, []string{"1", "3"}},
				{"two", []string{s.subject("b.>"), s.subject("c")}, []string{"1", "2", "3", "5"}},
				{"all", nil, numbers(7)},
			} {
				m := l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: c.name, Filter: c.filter}})
				m.handles(c.want...)
				s.drainMember(m)
				l.eventuallyLags(c.name, 0)
			}
		},
	},
	{
		name:     "position/start-new",
		contract: "messages stored from now on",
		rule:     "Start.New begins with messages stored from now on.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1")
			m := l.startAt(transport.Start{New: true})
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "position/start-sequence",
		contract: "this sequence, or the first after it",
		rule:     "Start.Sequence begins at this sequence, or the first after it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1", "2", "3")
			if err := l.Remove(s.patient(), 3); err != nil {
				s.Fatal(err)
			}
			for i, want := range [][]string{{"0", "1", "3"}, {"1", "3"}, {"3"}, {"3"}} {
				name := "g" + numbers(4)[i]
				m := l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: name, Start: transport.Start{Sequence: uint64(i) + 1}}})
				m.handlesBeside([]string{"2"}, want...) // the group may learn late of its removal
				l.eventuallyLags(name, 0)
			}
			later := l.startAt(transport.Start{Sequence: 6})
			l.put("a", "4")
			later.handlesOnly(l, "a")
		},
	},
	{
		name:     "position/start-time",
		contract: "the first message stored at or after it",
		rule:     "Start.Time begins with the first message stored at or after it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.putApart("0", "1", "2")
			at := l.read(transport.ReadConfig{})[1].Stored
			l.startAt(transport.Start{Time: at}).handlesOnly(l, "a", "1", "2")
		},
	},
	{
		name:     "position/start-last-per-subject",
		contract: "the last message of each subject, then all later ones",
		rule:     "Start.LastPerSubject begins with the last message of each subject, then all later ones.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			l.put("b", "1", "2")
			l.put("c", "3")
			l.put("a", "4")
			l.put("d", "5")
			m := l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{
				Name: "g", Start: transport.Start{LastPerSubject: true}, Filter: []string{s.subject("a"), s.subject("b"), s.subject("c")},
			}})
			m.handlesBeside([]string{"0", "1"}, "2", "3", "4")
			l.put("b", "6", "7")
			m.handles("6", "7")
			m = l.startAt(transport.Start{LastPerSubject: true})
			l.put("a", "that was all")
			m.handlesBeside([]string{"0", "1", "2", "6"}, "3", "4", "5", "7", "that was all")
		},
	},
	{
		name: "position/start-once",
		rule: "Start is the position where a new group begins. It is ignored for an existing group.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "start"}}})
			l.put("a", "0", "1")
			m := l.startAt(transport.Start{New: true})
			m.handles("0")
			m.Close()
			m = l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: "start", Start: transport.Start{Sequence: 1}, Update: true, Generation: 3}})
			m.goesOn("1")
			m.handlesOnly(l, "a")
		},
	},
}

// startAt adds a member of the group "start".
func (l *log) startAt(start transport.Start) *member {
	l.s.Helper()
	return l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: "start", Start: start}})
}

// putApart appends messages at different times.
func (l *log) putApart(bodies ...string) {
	l.s.Helper()
	for _, body := range bodies {
		l.put("a", body)
		l.s.pass(5 * time.Millisecond)
	}
}

// eventuallyLags waits until a group has the given number of messages to settle.
func (l *log) eventuallyLags(group string, messages uint64) {
	l.s.Helper()
	l.s.eventually("the lag of "+group+" to be right", func() bool {
		g := l.groupInfo(group)
		return g.InFlight+g.Undelivered == messages
	})
}
