package transporttest

import (
	"slices"
	"strconv"
	"time"

	"gomono.dev/transport"
)

var retentionCases = []conformanceCase{
	{
		name:     "retention/limits",
		contract: "LimitsRetention keeps a message until a limit or its age removes it.",
		rule:     "LimitsRetention keeps a message until a limit or its age removes it, even if it is settled.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 2))
			l.put("a", "0", "1")
			m.handles("0")
			s.terminate(m.take("1", 1))
			s.drainMember(m)
			s.eventually("the group to have settled all", func() bool { return l.groupInfo("g").Settled == 2 })
			l.holds("0", "1")
		},
	},
	{
		name:     "retention/interest",
		contract: "InterestRetention also removes a message that every group whose filter matches it has settled.",
		rule:     "InterestRetention removes a message that every group whose filter matches it has settled, and no other.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{
				{Name: "all"}, {Name: "a", Filter: []string{s.subject("a")}},
			}})
			all, a := l.consume(of("all", 10)), l.consume(transport.ConsumeConfig{Group: l.config.Groups[1], MaxInFlight: 10})
			l.put("a", "0", "1", "2")
			l.put("b", "3")
			deliveries := all.takes("0", "1", "2", "3")
			s.ack(deliveries[0], deliveries[3])
			s.terminate(deliveries[1])
			l.eventuallyHolds(3) // 3 is for no other group
			l.holds("0", "1", "2")
			held := a.takes("0", "1", "2")
			s.ack(held[1], held[2])
			l.eventuallyHolds(2)
			l.holds("0", "2")
			s.terminate(held[0])
			s.ack(deliveries[2])
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "retention/handed-back",
		contract: "InterestRetention also removes a message that every group whose filter matches it has settled.",
		rule:     "InterestRetention keeps a message that was handed back, because it is not settled.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 2))
			l.put("a", "0", "1")
			deliveries := m.takes("0", "1")
			s.nak(deliveries[0], 0)
			s.ack(deliveries[1])
			l.eventuallyHolds(1)
			l.holds("0")
			s.ack(m.take("0", 2))
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "retention/no-group",
		contract: "A message that matches no group is acknowledged and not stored.",
		rule:     "Under InterestRetention, a message that matches no group is acknowledged and not stored.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "b", Filter: []string{s.subject("b")}}}})
			l.put("a", "for no group")
			l.put("b", "0")
			l.holds("0")
			m := l.consume(transport.ConsumeConfig{Group: l.config.Groups[0]})
			m.handles("0")
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "retention/group-deleted",
		contract: "InterestRetention also removes a message that every group whose filter matches it has settled.",
		rule:     "InterestRetention keeps a message for existing groups, and no longer for a deleted one.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			l.put("a", "0", "1")
			m := l.consume(of("g", 1))
			m.handles("0", "1")
			s.drainMember(m)
			l.holds("0", "1")
			if err := l.DeleteGroup(s.patient(), "h"); err != nil {
				s.Fatal(err)
			}
			l.eventuallyHolds(0)
		},
	},
	{
		name: "retention/max-age",
		rule: "MaxAge is how long a message is kept after it was stored.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxAge: 200 * time.Millisecond})
			begun := time.Now()
			l.put("a", "0")
			if got := l.read(transport.ReadConfig{}); len(got) != 1 && time.Since(begun) < l.config.MaxAge {
				s.Errorf("it was removed after %v", time.Since(begun))
			}
			l.eventuallyHolds(0)
			l.holds()
			if i := l.info(); i.Last != 1 || i.First != 2 {
				s.Errorf("the log is %+v", i)
			}
		},
	},
	{
		name: "retention/ttl",
		rule: "TTL removes this message earlier than MaxAge would. The minimum is 1 s.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxAge: time.Hour, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.refuses("a", transport.AppendOptions{TTL: transport.MinTTL - 1}, transport.InvalidArgument)
			begun := time.Now()
			l.add("a", "soon", transport.AppendOptions{TTL: transport.MinTTL})
			l.add("a", "later", transport.AppendOptions{TTL: time.Hour})
			l.put("a", "never")
			if got := l.read(transport.ReadConfig{}); len(got) != 3 && time.Since(begun) < transport.MinTTL {
				s.Errorf("%d of 3 messages are there after %v", len(got), time.Since(begun))
			}
			l.eventuallyHolds(2)
			l.holds("later", "never")
			l.consume(of("g", 1)).handlesOnly(l, "a", "later", "never") // a removed message is for no group
		},
	},
}

var fullCases = []conformanceCase{
	{
		name:     "full/refuse-messages",
		contract: "Refuse rejects the message with ResourceExhausted and stores nothing.",
		rule:     "At MaxMessages, Refuse rejects messages with ResourceExhausted and stores nothing, until there is room.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 3})
			l.put("a", "0", "1", "2")
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			l.refuses("b", transport.AppendOptions{ID: "x"}, transport.ResourceExhausted)
			l.holds("0", "1", "2")
			if err := l.Remove(s.patient(), 2); err != nil {
				s.Fatal(err)
			}
			l.appends("b", "3", "x", transport.Appended{Sequence: 4}) // a rejected message was not appended
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			l.holds("0", "2", "3")
		},
	},
	{
		name:     "full/refuse-bytes",
		contract: "Refuse rejects the message with ResourceExhausted and stores nothing.",
		rule:     "At MaxBytes, Refuse rejects messages with ResourceExhausted and stores nothing.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxBytes: 10_000})
			stored := l.fill()
			if stored < 5 || stored > 10 {
				s.Errorf("%d messages of 1000 bytes are stored, want 5 to 10", stored)
			}
			if i := l.info(); i.Bytes > 10_000 || i.Messages != uint64(stored) || i.First != 1 {
				s.Errorf("the log is %+v", i)
			}
		},
	},
	{
		name:     "full/refuse-per-subject",
		contract: "Refuse rejects the message with ResourceExhausted and stores nothing.",
		rule:     "At MaxPerSubject, Refuse rejects messages of that subject with ResourceExhausted and stores nothing.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxPerSubject: 2})
			l.put("a", "0", "1")
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			l.put("b", "2", "3")
			l.refuses("b", transport.AppendOptions{}, transport.ResourceExhausted)
			l.holds("0", "1", "2", "3")
		},
	},
	{
		name:     "full/refuse-interest",
		contract: "No stored message is dropped to make room unless the log is configured to do so (Full).",
		rule:     "A full log has room once its groups have settled messages. No acknowledged message is dropped.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 2, Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0", "1")
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			m := l.consume(of("g", 1))
			m.handles("0")
			l.eventuallyHolds(1)
			l.put("a", "2")
			m.handles("1", "2")
		},
	},
	{
		name:     "full/drop-oldest",
		contract: "DropOldest removes the oldest message, of the subject for MaxPerSubject and of the log otherwise.",
		rule:     "DropOldest removes the oldest message of the log, at MaxMessages.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 3, Full: transport.DropOldest})
			l.put("a", "0", "1")
			l.put("b", "2", "3", "4")
			l.holds("2", "3", "4")
			if i := l.info(); i.First != 3 || i.Last != 5 {
				s.Errorf("the log is %+v", i)
			}
		},
	},
	{
		name:     "full/drop-oldest-bytes",
		contract: "DropOldest removes the oldest message, of the subject for MaxPerSubject and of the log otherwise.",
		rule:     "DropOldest removes the oldest message of the log, at MaxBytes.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxBytes: 10_000, Full: transport.DropOldest})
			for i := range 20 {
				l.put("a", string(big(i)))
			}
			i := l.info()
			if i.Bytes > 10_000 || i.Messages < 5 || i.Messages > 10 || i.Last != 20 || i.First != 21-i.Messages {
				s.Errorf("the log is %+v", i)
			}
		},
	},
	{
		name:     "full/drop-oldest-per-subject",
		contract: "DropOldest removes the oldest message, of the subject for MaxPerSubject and of the log otherwise.",
		rule:     "DropOldest removes the oldest message of the subject, for MaxPerSubject.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxPerSubject: 2, Full: transport.DropOldest})
			l.put("a", "0", "1")
			l.put("b", "2", "3", "4")
			l.put("a", "5")
			l.holds("1", "3", "4", "5")
		},
	},
	{
		name: "full/max-size",
		rule: "A larger message is InvalidArgument. A larger message of a plain client is not stored",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxSize: 1000})
			fits, large := s.message("a", string(big(0))), s.message("a", string(big(1))+"x")
			if _, err := l.Append(s.patient(), fits, transport.AppendOptions{ID: "x"}); err != nil {
				s.Error(err)
			}
			_, err := l.Append(s.patient(), large, transport.AppendOptions{})
			s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
			large.Body = append(large.Body, make([]byte, 2<<10)...)
			if err := s.tr.Publish(s.patient(), large); err != nil {
				s.Error(err)
			}
			l.put("a", "2")
			l.holds(string(big(0)), "2")
			if is := l.info().Config.MaxSize; is != 1000 {
				s.Errorf("MaxSize is %d", is)
			}
			s.log(transport.LogConfig{MaxSize: 2000, Update: true})
			if is := l.info().Config.MaxSize; is != 2000 {
				s.Errorf("MaxSize is %d after an update", is)
			}
		},
	},
}

// fill appends messages of 1000 bytes until one is rejected, and returns how many were
// accepted.
func (l *log) fill() int {
	l.s.Helper()
	for n := range 100 {
		m := l.s.message("a", "")
		m.Body = big(n)
		if _, err := l.Append(l.s.patient(), m, transport.AppendOptions{}); err != nil {
			l.s.wantError(err, transport.ResourceExhausted, transport.OutcomeNotDone)
			return n
		}
	}
	l.s.Fatalf("100 messages of 1000 bytes are stored although MaxBytes is %d", l.config.MaxBytes)
	panic("unreachable")
}

// big returns a body of 1000 bytes.
func big(n int) []byte {
	return append([]byte(strconv.Itoa(n)+" "), slices.Repeat([]byte{'x'}, 1000)...)[:1000]
}

var removeCases = []conformanceCase{
	{
		name: "remove/one",
		rule: "Remove deletes one message permanently. It returns NotFound if the message does not exist.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1", "2")
			if err := l.Remove(s.patient(), 2); err != nil {
				s.Fatal(err)
			}
			l.holds("0", "2")
			for _, sequence := range []uint64{2, 4, 1000} {
				s.wantError(l.Remove(s.patient(), sequence), transport.NotFound, transport.OutcomeNotDone)
			}
			l.holds("0", "2")
		},
	},
	{
		name:     "remove/undelivered",
		contract: "Remove deletes one message permanently.",
		rule:     "A removed message is not delivered to groups.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0", "1", "2", "3")
			for _, sequence := range []uint64{1, 3} {
				if err := l.Remove(s.patient(), sequence); err != nil {
					s.Fatal(err)
				}
			}
			s.eventually("the group to learn of the removals", func() bool { return l.groupInfo("g").Undelivered == 2 })
			l.consume(of("g", 1)).handlesOnly(l, "a", "1", "3")
		},
	},
	{
		name:     "remove/in-flight",
		contract: "Remove deletes one message permanently.",
		rule:     "A removed message is not delivered to groups again.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			l.put("a", "0")
			held := m.take("0", 1)
			if err := l.Remove(s.patient(), 1); err != nil {
				s.Fatal(err)
			}
			s.eventually("the group to learn of the removal", func() bool { return l.groupInfo("g").InFlight == 0 })
			s.nak(held, 0)
			l.put("a", "1")
			m.handlesOnly(l, "a", "1")
		},
	},
	{
		name:     "purge",
		contract: "Purge deletes all messages that p matches and returns their number.",
		rule:     "Purge deletes the messages that match Subject and lie below Before, except the last Keep, and returns their number.",
		body: func(s *suite) {
			for i, c := range []struct {
				purge transport.PurgeConfig
				left  []string
			}{
				{transport.PurgeConfig{}, nil},
				{transport.PurgeConfig{Subject: s.subject("*.a")}, []string{"1", "3", "5"}},
				{transport.PurgeConfig{Before: 3}, []string{"2", "3", "4", "5"}},
				{transport.PurgeConfig{Before: 100}, nil},
				{transport.PurgeConfig{Keep: 2}, []string{"4", "5"}},
				{transport.PurgeConfig{Keep: 6}, numbers(6)},
				{transport.PurgeConfig{Subject: s.subject("*.b"), Before: 4}, []string{"0", "2", "3", "4", "5"}},
				{transport.PurgeConfig{Subject: s.subject("*.a"), Keep: 1}, []string{"1", "3", "4", "5"}},
				{transport.PurgeConfig{Before: 5, Keep: 1}, []string{"3", "4", "5"}},
				{transport.PurgeConfig{Subject: s.subject("*.a"), Before: 5, Keep: 1}, []string{"1", "2", "3", "4", "5"}},
				{transport.PurgeConfig{Subject: s.subject("*.c")}, numbers(6)},
			} {
				at := strconv.Itoa(i)
				l := s.log(transport.LogConfig{Name: s.root + at, Subjects: []string{s.subject(at + ".*")}})
				for n, body := range numbers(6) {
					l.put(at+"."+string("ab"[n%2]), body)
				}
				n, err := l.Purge(s.patient(), c.purge)
				if err != nil || n != 6-uint64(len(c.left)) {
					s.Errorf("Purge %+v returns %d, %v, want %d", c.purge, n, err, 6-len(c.left))
				}
				l.holds(c.left...)
			}
		},
	},
	{
		name:     "purge/groups",
		contract: "Purge deletes all messages that p matches and returns their number.",
		rule:     "Groups skip purged messages and continue after them.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0", "1")
			l.put("b", "2")
			if _, err := l.Purge(s.patient(), transport.PurgeConfig{Subject: s.subject("a")}); err != nil {
				s.Fatal(err)
			}
			s.eventually("the group to learn of the purge", func() bool { return l.groupInfo("g").Undelivered == 1 })
			m := l.consume(of("g", 1))
			m.handlesOnly(l, "a", "2")
		},
	},
	{
		name:     "purge/invalid",
		contract: "those that match Subject (a pattern; empty means all) and lie below Before (0 means no limit), except the last Keep.",
		rule:     "PurgeConfig.Subject is a pattern; empty means all. An invalid pattern is InvalidArgument.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			_, err := l.Purge(s.patient(), transport.PurgeConfig{Subject: "a..b"})
			s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
			l.holds("0")
		},
	},
}
