package transporttest

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

var consumeCases = []conformanceCase{
	{
		name:     "consume/each-group",
		contract: "delivers every message to every group of consumers.",
		rule:     "A log delivers every message to every group of consumers.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g, h := l.consume(of("g", 1)), l.consume(of("h", 1))
			l.put("a", "0", "1", "2")
			later := l.consume(of("later", 1))
			for _, m := range []*member{g, h, later} {
				m.handles("0", "1", "2")
			}
			l.put("a", "that was all")
			for _, m := range []*member{g, h, later} {
				m.handles("that was all")
			}
		},
	},
	{
		name:     "consume/order",
		contract: "Within a group, first deliveries happen in the order of sequences",
		rule:     "Within a group, first deliveries happen in the order of sequences.",
		body: func(s *suite) {
			const n = 300
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage, Groups: []transport.GroupConfig{{Name: "g"}}})
			a := s.appending(l)
			for i, body := range numbers(n) {
				a.begin(s.message(strconv.Itoa(i%7), body), transport.AppendOptions{})
			}
			m := l.consume(of("g", 16))
			for i, body := range numbers(n) {
				d := m.take(body, 1)
				if d.Sequence != uint64(i)+1 {
					s.Fatalf("got sequence %d, want %d", d.Sequence, i+1)
				}
				s.ack(d)
			}
			a.results()
		},
	},
	{
		name:     "consume/begin-order",
		contract: "DeliveryHandler handles one delivery and returns the remaining work on it, or nil.",
		rule:     "The handler is called for one delivery after another, in order, never concurrently, and the work that it returns runs once.",
		body: func(s *suite) {
			const n = 200
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			for _, body := range numbers(n) {
				l.put("a", body)
			}
			var inside atomic.Int32
			begun, done := make(chan string, n), make(chan string, 2*n)
			l.begin(of("g", 16), func(d *transport.Delivery) transport.Work {
				if inside.Add(1) > 1 {
					s.Error("the handler is called concurrently with itself")
				}
				defer inside.Add(-1)
				runtime.Gosched() // so that a premature call meets this one
				begun <- string(d.Body)
				finish := transport.WorkFunc(func() {
					done <- string(d.Body)
					s.ack(d)
				})
				if d.Sequence%3 == 0 {
					finish.Run()
					return nil
				}
				return finish
			})
			for _, body := range numbers(n) {
				if got := await(s, begun, "the handler"); got != body {
					s.Fatalf("the handler got %q, want %q", got, body)
				}
			}
			l.eventuallyLags("g", 0)
			if len(done) != n {
				s.Errorf("%d deliveries were done, want %d", len(done), n)
			}
		},
	},
	{
		name:     "consume/begin-beside",
		contract: "The work runs concurrently with the calls for later deliveries",
		rule:     "The work that the handler returns runs concurrently with the calls for later deliveries, up to MaxInFlight, and a drain waits until those are settled.",
		body: func(s *suite) {
			const n, inFlight = 10, 4
			l := s.log(transport.LogConfig{})
			for _, body := range numbers(n) {
				l.put("a", body)
			}
			all := make(chan struct{})
			held := make(chan string, n)
			r := l.begin(of("g", inFlight), func(d *transport.Delivery) transport.Work {
				return transport.WorkFunc(func() {
					held <- string(d.Body)
					<-all
					s.ack(d)
				})
			})
			got := make([]string, inFlight)
			for i := range got {
				got[i] = await(s, held, "the work on a delivery")
			}
			if slices.Sort(got); !slices.Equal(got, numbers(inFlight)) {
				s.Errorf("%q run concurrently", got)
			}
			l.eventuallyIs("g", transport.GroupInfo{InFlight: inFlight, Undelivered: n - inFlight})
			close(all)
			l.eventuallyLags("g", 0)
			s.drain(r)
		},
	},
	{
		name:     "consume/serial",
		contract: "h is called for one delivery after another, never concurrently",
		rule:     "h is called for one delivery after another, never concurrently.",
		body: func(s *suite) {
			const n = 50
			l := s.log(transport.LogConfig{})
			l.put("a", numbers(n)...)
			var inside atomic.Int32
			var acks sync.WaitGroup
			calls := 0 // observed by the race detector
			done := make(chan struct{})
			l.handle(of("g", 32), func(d *transport.Delivery) {
				if others := inside.Add(1) - 1; others > 0 {
					s.Errorf("%d calls at once", others+1)
				}
				acks.Go(func() { s.ack(d) })
				s.pass(time.Millisecond) // in which another call could come
				inside.Add(-1)
				if calls++; calls == n {
					close(done)
				}
			})
			await(s, done, "all deliveries")
			s.within("all to be settled", acks.Wait)
		},
	},
	{
		name:     "consume/members",
		contract: "Members of one group, in this process and others, share its messages.",
		rule:     "Members of one group share its messages: each goes to one of them.",
		body: func(s *suite) {
			const n = 100
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage, Groups: []transport.GroupConfig{{Name: "g"}}})
			got := make(chan string, 2*n)
			for range 4 {
				l.handle(of("g", 3), func(d *transport.Delivery) {
					go func() {
						s.ack(d)
						got <- string(d.Body)
					}()
				})
			}
			a := s.appending(l)
			for _, body := range numbers(n) {
				a.begin(s.message("a", body), transport.AppendOptions{})
			}
			a.results()
			seen := make(map[string]bool)
			for range n {
				body := await(s, got, "all deliveries")
				if seen[body] {
					s.Fatalf("%s was delivered twice", body)
				}
				seen[body] = true
			}
			l.put("a", "end")
			if body := await(s, got, "the end"); body != "end" {
				s.Errorf("got %s once more", body)
			}
		},
	},
	{
		name:     "consume/idle-member",
		contract: "Members of one group, in this process and others, share its messages.",
		rule:     "Members of one group share its messages: an idle member gets those for which another has no room.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			busy := l.consume(of("g", 1))
			l.put("a", "0")
			held := busy.take("0", 1)
			free := l.consume(of("g", 1))
			l.put("a", "1", "2", "3")
			free.handles("1", "2", "3")
			s.ack(held)
		},
	},
	{
		name:     "consume/in-flight",
		contract: "It is called while fewer than c.MaxInFlight of the deliveries passed to it are unsettled.",
		rule:     "h is called while fewer than MaxInFlight of the deliveries passed to it are unsettled. 0 means 1.",
		body: func(s *suite) {
			for _, limit := range []int{0, 1, 3} {
				group := "g" + strconv.Itoa(limit)
				l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: group, Start: transport.Start{New: true}}}})
				m := l.consume(of(group, limit))
				room := max(limit, 1)
				bodies := numbers(4 * room)
				l.put("a", bodies...)
				for len(bodies) > 0 {
					held := m.takes(bodies[:room]...)
					bodies = bodies[room:]
					m.idle()
					s.settleOneByOne(m, held, bodies)
					bodies = bodies[min(room, len(bodies)):]
				}
				s.drainMember(m)
			}
		},
	},
	{
		name:     "consume/waiting-blocks-nothing",
		contract: "redeliveries that are due come before them.",
		rule:     "In a group that is not Ordered, messages that wait for their redelivery do not block new ones.",
		body: func(s *suite) {
			const n = 50
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 2))
			for _, body := range numbers(n) {
				l.put("a", body)
				s.nak(m.take(body, 1), time.Hour)
			}
			m.handlesOnly(l, "a")
			s.eventually("all to wait", func() bool { return l.groupInfo("g").InFlight == n })
		},
	},
	{
		name:     "consume/keep-alive",
		contract: "Messages that a member holds, passed to h or fetched in advance, are not redelivered as long as the member lives.",
		rule:     "Messages that a member holds are not redelivered as long as the member lives.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			group := transport.GroupConfig{Name: "g", AckWait: 2 * transport.MinAckWait}
			holder := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			l.put("a", "0", "1")
			held := holder.takes("0", "1")
			other := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 4})
			s.pass(group.AckWait * 8 / 5)
			other.handlesOnly(l, "a")
			s.ack(held...) // which counts, however late
			l.eventuallyIs("g", transport.GroupInfo{Settled: 3})
		},
	},
	{
		name: "consume/remaining",
		rule: "Remaining is the number of messages for this group that came after this one when it was delivered.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0", "1")
			l.put("b", "for others")
			l.put("a", "2", "3")
			m := l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", Filter: []string{s.subject("a")}}})
			for i, body := range numbers(4) {
				d := m.take(body, 1)
				if d.Remaining != uint64(3-i) {
					s.Errorf("%d remain after %s, want %d", d.Remaining, body, 3-i)
				}
				s.ack(d)
			}
		},
	},
	{
		name:     "consume/fencing-token",
		contract: "In a group that is not Ordered it increases with every delivery of the group.",
		rule:     "In a group that is not Ordered, FencingToken increases with every delivery of the group, whichever member gets it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			var last uint64
			grows := func(d *transport.Delivery) {
				s.Helper()
				if d.FencingToken <= last {
					s.Errorf("the fencing token of %q is %d after %d", d.Body, d.FencingToken, last)
				}
				last = d.FencingToken
			}
			m := l.consume(of("g", 1))
			for _, body := range numbers(4) {
				l.put("a", body)
				d := m.take(body, 1)
				grows(d)
				s.nak(d, 0)
				d = m.take(body, 2)
				grows(d)
				s.ack(d)
			}
			l.put("a", "4")
			grows(m.take("4", 1))
			m.Close()
			m = l.consume(of("g", 1))
			grows(m.handedBack("4"))
		},
	},
	{
		name:     "consume/groups-info",
		contract: "Groups returns the state of the log's groups, sorted by name.",
		rule:     "Groups returns the state of the log's groups, sorted by name. Every sequence up to Settled is settled; InFlight and Undelivered are the lag.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{
				{Name: "z"}, {Name: "g", Filter: []string{s.subject("a")}, AckWait: 20 * time.Second}, {Name: "a", Ordered: true},
			}})
			l.put("a", "0", "1", "2")
			groups, err := l.Groups(s.patient())
			if err != nil {
				s.Fatal(err)
			}
			var names []string
			for _, g := range groups {
				names = append(names, g.Config.Name)
			}
			if !slices.Equal(names, []string{"a", "g", "z"}) {
				s.Fatalf("the groups are %q, want a, g, z", names)
			}
			if c := groups[1].Config; !slices.Equal(c.Filter, []string{s.subject("a")}) || c.AckWait != 20*time.Second || c.Ordered || !groups[0].Config.Ordered {
				s.Errorf("g is %+v, a is %+v", c, groups[0].Config)
			}
			l.eventuallyIs("g", transport.GroupInfo{Undelivered: 3})
			m := l.consume(transport.ConsumeConfig{Group: l.config.Groups[1], MaxInFlight: 3})
			held := m.takes("0", "1", "2")
			s.nak(held[1], 0)
			again := m.take("1", 2)
			l.put("a", "3", "4", "5")
			s.ack(held[0], held[2])
			more := m.takes("3", "4")
			l.eventuallyIs("g", transport.GroupInfo{Settled: 1, InFlight: 3, Undelivered: 1, Redelivered: 1})
			s.ack(again)
			s.ack(more...)
			s.ack(m.take("5", 1))
			l.eventuallyIs("g", transport.GroupInfo{Settled: 6})
		},
	},
	{
		name:     "consume/invalid",
		contract: "Errors: InvalidArgument for an invalid configuration",
		rule:     "Consume: InvalidArgument for an invalid configuration.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			for _, c := range []transport.ConsumeConfig{
				{},
				of("a.b", 1),
				of("g", -1),
				{Group: transport.GroupConfig{Name: "g", AckWait: time.Millisecond}},
				{Group: transport.GroupConfig{Name: "g", Filter: []string{"a..b"}}},
				{Group: transport.GroupConfig{Name: "g", Filter: []string{s.subject("*"), s.subject("a")}}},
				{Group: transport.GroupConfig{Name: "g", Start: transport.Start{New: true, Sequence: 4}}},
			} {
				_, err := l.Consume(s.patient(), c, transport.Serial(func(*transport.Delivery) {}))
				s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
			}
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 0 {
				s.Errorf("got groups %+v, %v", groups, err)
			}
		},
	},
	{
		name:     "consume/at-once",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method may be called concurrently: members come and go while messages are stored, and each message is settled.",
		body: func(s *suite) {
			const n = 200
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage, Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for range 10 {
						r, err := l.Consume(s.Context(), of("g", 4), transport.Serial(func(d *transport.Delivery) { go func() { _ = d.Ack(s.Context()) }() }))
						if err != nil {
							s.Error(err)
							return
						}
						if i%2 == 0 {
							r.Close()
						} else if err := r.Drain(s.Context()); err != nil {
							s.Error(err)
						}
					}
				})
			}
			a := s.appending(l)
			for _, body := range numbers(n) {
				a.begin(s.message("a", body), transport.AppendOptions{})
			}
			a.results()
			s.within("the members to end", wg.Wait)
			l.handle(of("g", 4), func(d *transport.Delivery) { s.ack(d) })
			l.eventuallyHolds(0)
		},
	},
}

// settleOneByOne settles the deliveries of a member, and fails unless each makes room for
// one of the bodies that follow. It settles those too.
func (s *suite) settleOneByOne(m *member, held []*transport.Delivery, follow []string) {
	s.Helper()
	var next []*transport.Delivery
	for i, d := range held {
		s.ack(d)
		if i < len(follow) {
			next = append(next, m.take(follow[i], 1))
			m.idle()
		}
	}
	s.ack(next...)
}

// eventuallyIs waits until a group has the given state.
func (l *log) eventuallyIs(group string, want transport.GroupInfo) {
	l.s.Helper()
	l.s.eventually(fmt.Sprintf("group %s to be %+v", group, want), func() bool {
		is := l.groupInfo(group)
		return is.Settled == want.Settled && is.InFlight == want.InFlight && is.Undelivered == want.Undelivered && is.Redelivered == want.Redelivered
	})
}
