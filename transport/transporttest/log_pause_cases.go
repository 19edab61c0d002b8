package transporttest

import (
	"time"

	"gomono.dev/transport"
)

const pauses = "PauseGroup stops the deliveries of a group until a time of the backend's clock."

// pauseCases pause groups, which have waiting members.
var pauseCases = []conformanceCase{
	{
		name:     "pause/resumes",
		contract: pauses,
		rule:     "PauseGroup stops the deliveries of one group, with members and without, until it resumes them. They come in their order.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g, h := l.consume(of("g", 2)), l.consume(of("h", 1))
			for range 2 {
				l.pause("g", time.Now().Add(time.Hour))
				l.put("a", "0", "1")
				h.handles("0", "1")
				g.idle()
				other := l.consume(of("g", 1))
				other.idle()
				s.drainMember(other)
				if at := l.groupInfo("g").PausedUntil; time.Until(at) < time.Minute {
					s.Errorf("PausedUntil is %v", at)
				}
				l.pause("g", time.Time{})
				g.handles("0", "1")
				if at := l.groupInfo("g").PausedUntil; !at.IsZero() {
					s.Errorf("after the pause, PausedUntil is %v", at)
				}
			}
		},
	},
	{
		name:     "pause/ends",
		contract: pauses,
		rule:     "A pause ends by itself, not earlier than its time. A time that has passed pauses nothing.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			g := l.consume(of("g", 1))
			l.pause("g", time.Now().Add(-time.Hour))
			l.put("a", "0")
			g.handles("0")
			until := time.Now().Add(aWhile)
			l.pause("g", until)
			l.put("a", "1")
			d := g.take("1", 1)
			if early := time.Until(until); early > 0 {
				s.Errorf("a delivery %v before the end of the pause", early)
			}
			s.ack(d)
		},
	},
	{
		name:     "pause/in-hand",
		contract: "Members stay, and settle what they hold;",
		rule:     "During a pause members settle what they hold. What they hand back is delivered again after it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			g := l.consume(of("g", 2))
			l.put("a", "0", "1")
			all := g.takes("0", "1")
			l.pause("g", time.Now().Add(time.Hour))
			s.ack(all[0])
			s.nak(all[1], 0)
			g.idle()
			l.pause("g", time.Time{})
			s.ack(g.take("1", 2))
		},
	},
	{
		name:     "pause/missing",
		contract: "It returns NotFound if the group does not exist, and Unimplemented on a backend without pauses.",
		rule:     "PauseGroup: NotFound if the group does not exist. A deleted group takes its pause with it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			s.wantError(l.PauseGroup(s.patient(), "g", time.Now().Add(time.Hour)), transport.NotFound, transport.OutcomeNotDone)
			m := l.consume(of("g", 1))
			l.pause("g", time.Now().Add(time.Hour))
			s.drainMember(m)
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			l.put("a", "0")
			l.consume(of("g", 1)).handles("0")
		},
	},
}

var pausedPartitionCases = []conformanceCase{
	{
		name:     "pause/partitions",
		contract: pauses,
		rule:     "PauseGroup stops the deliveries of all keys of an ordered group. Afterwards each key goes on in its order.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("*")}, Partitions: partitions, Groups: []transport.GroupConfig{{Name: "g", Ordered: true}, {Name: "h"}}})
			g, h := l.consume(ofOrdered(partitions)), l.consume(of("h", 1))
			keys := keysOfPartitions()
			for _, key := range keys {
				l.put(key, key+"-before")
			}
			for range keys {
				s.ack(g.next())
				s.ack(h.next())
			}
			l.pause("g", time.Now().Add(time.Hour))
			for _, key := range keys {
				l.put(key, key+"-0", key+"-1")
			}
			for range 2 * len(keys) {
				s.ack(h.next())
			}
			g.idle()
			l.pause("g", time.Time{})
			last := make(map[string]string)
			for range 2 * len(keys) {
				d := g.next()
				key := transport.KeyOf(d.Subject)
				if body := string(d.Body); body != key+"-0" && (body != key+"-1" || last[key] != key+"-0") {
					s.Errorf("key %s got %q after %q", key, body, last[key])
				}
				last[key] = string(d.Body)
				s.ack(d)
			}
		},
	},
}

// pause pauses a group.
func (l *log) pause(group string, until time.Time) {
	l.s.Helper()
	if err := l.PauseGroup(l.s.patient(), group, until); err != nil {
		l.s.Fatal(err)
	}
}
