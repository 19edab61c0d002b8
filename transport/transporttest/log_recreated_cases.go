package transporttest

import (
	"context"
	"slices"

	"gomono.dev/transport"
)

// Sentences of the transport contract about deleted groups.
const (
	recreates       = "Under InterestRetention the backend recreates a group of these after its deletion, as long as a Transport that declared it is open."
	beginsWithLater = "The new group begins with later messages."
	deletionEnds    = "If the group is deleted while it is consumed, the Receiver ends and c.OnEnd receives the reason."
)

// recreatedCases delete groups that must exist.
var recreatedCases = []conformanceCase{
	{
		name:     "recreated/stored",
		contract: recreates,
		rule:     "Under InterestRetention a deleted group of LogConfig.Groups is recreated: Append stores messages for it.",
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
		name:     "recreated/new",
		contract: beginsWithLater,
		rule:     "A recreated group begins with later messages: it does not get earlier ones.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{
				{Name: "g"}, {Name: "other", Filter: []string{s.subject("a")}},
			}})
			l.put("a", "0", "1")
			l.put("b", "for g alone")
			l.loses("g")
			l.put("a", "2")
			l.consume(of("g", 1)).handlesBeside([]string{probeBody}, "2")
			l.consume(transport.ConsumeConfig{Group: l.config.Groups[1]}).handlesBeside([]string{probeBody}, "0", "1", "2")
		},
	},
	{
		name:     "recreated/member",
		contract: deletionEnds,
		rule:     "The deletion of a group ends its Receivers with NotFound, even if the group is recreated.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 2))
			l.put("a", "0")
			held := m.take("0", 1)
			l.loses("g")
			s.wantCode(await(s, m.ended, "OnEnd"), transport.NotFound)
			_ = held.Ack(context.Background()) // no group waits for it
			l.put("a", "1")
			l.consume(of("g", 1)).handlesBeside([]string{probeBody}, "1")
		},
	},
	{
		name:     "recreated/limits",
		contract: recreates,
		rule:     "Under LimitsRetention a deleted group is not recreated.",
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

var recreatedPartitionCases = []conformanceCase{
	{
		name:     "recreated/partitions",
		contract: recreates,
		rule:     "Under InterestRetention a deleted ordered group of LogConfig.Groups is recreated: Append stores messages for it in every partition.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{
				Subjects: []string{s.subject("*")}, Partitions: partitions, Retention: transport.InterestRetention,
				Groups: []transport.GroupConfig{{Name: "g", Ordered: true}},
			})
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			keys := keysOfPartitions()
			for _, key := range keys {
				l.eventuallyStores(key)
			}
			for _, key := range keys {
				l.put(key, key)
			}
			m := l.consume(ofOrdered(partitions))
			for len(keys) > 0 {
				d := m.next()
				keys = slices.DeleteFunc(keys, func(key string) bool { return key == string(d.Body) })
				s.ack(d)
			}
		},
	},
}

// probeBody is the body of messages that may not be stored.
const probeBody = "probe"

// loses deletes a group, and returns when the backend has recreated it.
func (l *log) loses(group string) {
	l.s.Helper()
	if err := l.DeleteGroup(l.s.patient(), group); err != nil {
		l.s.Fatal(err)
	}
	l.s.eventually("the recreation of group "+group, func() bool {
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
	l.s.eventually("a stored message on "+rest, func() bool {
		before := l.info().Messages
		l.put(rest, probeBody)
		return l.info().Messages > before
	})
}
