package transporttest

import (
	"context"
	"slices"

	"gomono.dev/transport"
)

const (
	madeAgain     = "Under InterestRetention a group of these that is deleted is made again, as long as a Transport is open that has named it."
	beginsFromNow = "It begins with what is appended from then on"
)

// remadeCases are about groups that somebody deletes although they must be there.
var remadeCases = []conformanceCase{
	{
		name: "remade/stored",
		seam: madeAgain,
		rule: "Under InterestRetention a group that LogConfig.Groups names and somebody deletes is made again: Append stores for it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			for range 2 {
				l.loses("g")
				l.loses("h")
			}
			l.put("a", "0", "1")
			l.consume(of("g", 1)).handlesBeside([]string{probeBody}, "0", "1")
			l.consume(of("h", 1)).handlesBeside([]string{probeBody}, "0", "1")
		},
	},
	{
		name: "remade/new",
		seam: beginsFromNow,
		rule: "A group that is made again begins with what is appended from then on: it is not owed what was stored before.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{
				{Name: "g"}, {Name: "other", Filter: []string{s.subject("a")}},
			}})
			l.put("a", "0", "1")
			l.put("b", "of nobody else")
			l.loses("g")
			l.put("a", "2")
			l.consume(of("g", 1)).handlesBeside([]string{probeBody}, "2")
			l.consume(transport.ConsumeConfig{Group: l.config.Groups[1]}).handlesBeside([]string{probeBody}, "0", "1", "2")
		},
	},
	{
		name: "remade/member",
		seam: "A group that is deleted while it is consumed ends the Receiver; c.OnEnd tells why.",
		rule: "A group that is deleted while it is consumed ends the Receiver, also where it is made again: OnEnd tells NotFound.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 2))
			l.put("a", "0")
			held := m.take("0", 1)
			l.loses("g")
			s.wantCode(await(s, m.ended, "OnEnd"), transport.NotFound)
			_ = held.Ack(context.Background()) // the message is nobody's any more
			l.put("a", "1")
			l.consume(of("g", 1)).handlesBeside([]string{probeBody}, "1")
		},
	},
	{
		name: "remade/limits",
		seam: madeAgain,
		rule: "Under LimitsRetention, where Append stores without a group, one that is deleted is not made again.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			l.put("a", "0")
			s.rest()
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 0 {
				s.Errorf("got groups %+v, %v, want none", groups, err)
			}
		},
	},
}

var remadeLaneCases = []conformanceCase{
	{
		name: "remade/lanes",
		seam: madeAgain,
		rule: "Under InterestRetention an ordered group that LogConfig.Groups names and somebody deletes is made again: Append stores for it in every lane.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{
				Subjects: []string{s.subject("*")}, Lanes: lanes, Retention: transport.InterestRetention,
				Groups: []transport.GroupConfig{{Name: "g", Ordered: true}},
			})
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			keys := keysOfLanes()
			for _, key := range keys {
				l.eventuallyStores(key)
			}
			for _, key := range keys {
				l.put(key, key)
			}
			m := l.consume(ofOrdered(lanes))
			for stored := l.info().Messages; stored > 0; stored-- {
				s.ack(m.next())
			}
			l.eventuallyHolds(0)
		},
	},
}

// probeBody is that of messages which may not be stored.
const probeBody = "probe"

// loses deletes a group that must be there, and returns when it is there again.
func (l *log) loses(group string) {
	l.s.Helper()
	if err := l.DeleteGroup(l.s.patient(), group); err != nil {
		l.s.Fatal(err)
	}
	l.s.eventually("the group "+group+" to be made again", func() bool {
		l.put("b", probeBody)
		groups, err := l.Groups(l.s.patient())
		if err != nil {
			l.s.Fatal(err)
		}
		return slices.ContainsFunc(groups, func(g transport.GroupInfo) bool { return g.Config.Name == group && g.Undelivered > 0 })
	})
}

// eventuallyStores appends until a message is stored.
func (l *log) eventuallyStores(rest string) {
	l.s.Helper()
	l.s.eventually("what is appended on "+rest+" to be stored", func() bool {
		before := l.info().Messages
		l.put(rest, probeBody)
		return l.info().Messages > before
	})
}
