package transporttest

import (
	"time"

	"gomono.dev/transport"
)

var durableCases = []conformanceCase{
	{
		name:     "messages",
		contract: "FileStorage survives the end of the process",
		rule:     "Acknowledged messages survive a restart of the backend, and sequences continue.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 100, Metadata: map[string]string{"a": "1"}})
			l.put("a", numbers(50)...)
			if err := l.Remove(s.patient(), 50); err != nil {
				s.Fatal(err)
			}
			l = s.crash().log(l.config)
			l.holds(numbers(49)...)
			if at := l.add("a", "more", transport.AppendOptions{}); at.Sequence != 51 {
				l.s.Errorf("the next message is stored as %d, want 51", at.Sequence)
			}
			if c := l.info().Config; c.MaxMessages != 100 || c.Metadata["a"] != "1" {
				l.s.Errorf("the log became %+v", c)
			}
		},
	},
	{
		name:     "memory",
		contract: "MemoryStorage is lost with the backend.",
		rule:     "A log with MemoryStorage is empty after a restart of the backend.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			l.put("a", "0")
			l = s.crash().log(l.config)
			l.holds()
			if at := l.add("a", "1", transport.AppendOptions{}); at.Sequence != 1 {
				l.s.Errorf("the first message is stored as %d", at.Sequence)
			}
		},
	},
	{
		name:     "ids",
		contract: "A second Append with an id that was appended within the DedupWindow stores nothing",
		rule:     "The ids of kept messages survive a restart of the backend.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			at := l.add("a", "0", transport.AppendOptions{ID: "x"})
			l = s.crash().log(l.config)
			l.appends("a", "0", "x", transport.Appended{Sequence: at.Sequence, Duplicate: true})
			l.holds("0")
		},
	},
	{
		name:     "expect",
		contract: "Expectation is a condition on the last sequence of the whole log or of one subject.",
		rule:     "The last sequence survives a restart of the backend.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1")
			l.put("b", "2")
			l = s.crash().log(l.config)
			l.refuses("a", l.expecting(1, "a"), transport.Aborted)
			l.add("a", "3", l.expecting(2, "a"))
			l.holds("0", "1", "2", "3")
		},
	},
	{
		name:     "positions",
		contract: "A group is durable: it keeps its position until it is deleted.",
		rule:     "A group keeps its position over a restart of the backend; messages in flight come again.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{group}})
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			l.put("a", numbers(5)...)
			m.handles("0", "1")
			m.takes("2")
			s.pass(4 * aWhile) // positions of groups are written asynchronously
			l = s.crash().log(l.config)
			m = l.consume(transport.ConsumeConfig{Group: group})
			for seen := make(map[string]bool); len(seen) < 3; {
				d := m.next()
				if body := string(d.Body); body >= "2" {
					seen[body] = true
				} else {
					l.s.Errorf("%q, which was acknowledged, came again", body)
				}
				l.s.ack(d)
			}
		},
	},
	{
		name:     "delayed",
		contract: "NotBefore delays delivery.",
		rule:     "A delayed message survives a restart of the backend, and does not arrive early.",
		missing:  delaying,
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Delays: true, Groups: []transport.GroupConfig{{Name: "g"}}})
			due := time.Now().Add(2 * time.Second)
			l.add("a", "0", transport.AppendOptions{NotBefore: due})
			l = s.crash().log(l.config)
			l.s.ack(l.consume(of("g", 1)).take("0", 1))
			if now := time.Now(); now.Before(due) {
				l.s.Errorf("it came %v too early", due.Sub(now))
			}
		},
	},
}

func delaying(has transport.Capabilities) string {
	if !has.Delays {
		return "Delays"
	}
	return ""
}
