package transporttest

import (
	"time"

	"gomono.dev/transport"
)

var logCloseCases = []conformanceCase{
	{
		name:     "close/use-after",
		contract: "Every method returns [Unavailable] with [OutcomeNotDone]; Close itself returns nil.",
		rule:     "After Close, every method returns Unavailable with OutcomeNotDone.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0")
			m := l.consume(of("g", 1))
			held := m.take("0", 1)
			s.closeNow()
			_, appendErr := l.Append(s.patient(), s.message("a", "x"), transport.AppendOptions{})
			_, consumeErr := l.Consume(s.patient(), of("g", 1), transport.Serial(func(*transport.Delivery) {}))
			_, purgeErr := l.Purge(s.patient(), transport.PurgeConfig{})
			_, infoErr := l.Info(s.patient())
			_, groupsErr := l.Groups(s.patient())
			_, openErr := s.open(transport.LogConfig{})
			for method, err := range map[string]error{
				"Append":      appendErr,
				"AppendAsync": l.AppendAsync(s.patient(), s.message("a", "x"), transport.AppendOptions{}, s.neverDone),
				"Consume":     consumeErr,
				"Remove":      l.Remove(s.patient(), 1),
				"Purge":       purgeErr,
				"Info":        infoErr,
				"Groups":      groupsErr,
				"DeleteGroup": l.DeleteGroup(s.patient(), "g"),
				"Log":         openErr,
			} {
				if err == nil {
					s.Errorf("%s returns nil", method)
					continue
				}
				s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			}
			s.wantReadError(l.Read(s.patient(), transport.ReadConfig{}), transport.Unavailable)
			if err := held.Ack(s.Context()); err == nil {
				s.Error("Ack returns nil")
			}
		},
	},
	{
		name:     "close/appends",
		contract: "It first waits, as long as ctx allows, until all published messages have been sent.",
		rule:     "Close first waits until all published messages have been sent. done is called once for each append, whatever its result.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			a := s.appending(l)
			for _, body := range numbers(200) {
				a.begin(s.message("a", body), transport.AppendOptions{})
			}
			s.closeNow()
			s.within("done to be called for every append", a.wg.Wait)
			a.mu.Lock()
			defer a.mu.Unlock()
			for i, r := range a.all {
				if r.calls != 1 || r.err != nil && transport.CodeOf(r.err) != transport.Unavailable {
					s.Errorf("append %d: done was called %d times, with %+v, %v", i, r.calls, r.Appended, r.err)
				}
			}
		},
	},
	{
		name:     "close/members",
		contract: "Close closes every subscription as [Receiver.Close] does",
		rule:     "Close closes every member as Receiver.Close does. It does not wait for a running handler.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			g := s.newGate()
			r := l.handle(of("g", 1), func(d *transport.Delivery) { g.hold(&d.Message) })
			l.put("a", "0", "1")
			await(s, g.entered, "the handler")
			s.within("Close", s.closeNow)
			g.release()
			s.within("the member to end", func() { s.drainQuietly(r) })
			s.within("Receiver.Close", r.Close)
			if len(g.entered) > 0 {
				s.Errorf("the handler was called again, for %s", <-g.entered)
			}
		},
	},
	{
		name:     "close/followers",
		contract: "Every method returns [Unavailable] with [OutcomeNotDone]; Close itself returns nil.",
		rule:     "After Close, every method returns Unavailable: a Read with Follow in progress ends with it.",
		body: func(s *suite) {
			for name, retention := range map[string]transport.Retention{"limits": transport.LimitsRetention, "interest": transport.InterestRetention} {
				l := s.log(transport.LogConfig{
					Name: s.root + name, Subjects: []string{s.subject(name)}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}},
				})
				l.put(name, "0")
				f := l.follow(transport.ReadConfig{})
				f.want("0")
				defer func() { s.wantCode(await(s, f.ended, "Read to end"), transport.Unavailable) }()
			}
			s.closeNow()
		},
	},
	{
		name:     "close/delayed-and-waiting",
		contract: "releases the resources of the Transport",
		rule:     "Close does not wait for delayed messages in a log.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}, Delays: s.Capabilities().Delays})
			m := l.consume(of("g", 2))
			l.put("a", "0", "1")
			held := m.takes("0", "1")
			s.nak(held[0], time.Hour)
			if l.config.Delays {
				l.add("a", "2", transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)})
			}
			s.within("Close", s.closeNow)
		},
	},
}
