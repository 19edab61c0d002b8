package transporttest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

const cancels = "Cancel removes the message with an id that no member has received"

// cancelCases cancel messages. Groups without members are the ones that certainly have not
// received a message, because a backend may fetch messages in advance.
var cancelCases = []conformanceCase{
	{
		name:     "cancel/waiting",
		contract: cancels,
		rule:     "Cancel removes the message with an id that waits in all groups. No group gets it, and others stay.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h", Filter: []string{s.subject("a")}}}})
			for _, id := range []string{"0", "1", "2"} {
				l.add("a", id, transport.AppendOptions{ID: id})
			}
			l.add("b", "3", transport.AppendOptions{ID: "3"})
			l.cancel("1")
			l.cancel("3")
			l.holds("0", "2")
			l.consume(of("g", 1)).handlesOnly(l, "a", "0", "2")
			l.consume(of("h", 1)).handles("0", "2")
			if at := l.groupInfo("g").PausedUntil; !at.IsZero() {
				s.Errorf("a group stays paused until %v", at)
			}
		},
	},
	{
		name:     "cancel/received",
		contract: "FailedPrecondition if a member of some group has received it, also if it was only fetched in advance, or handed back since;",
		rule:     "Cancel: FailedPrecondition if a member of some group has received the message, also if it was handed back.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g := l.consume(of("g", 1))
			l.add("a", "0", transport.AppendOptions{ID: "0"})
			d := g.take("0", 1)
			s.wantError(l.Cancel(s.patient(), "0"), transport.FailedPrecondition, transport.OutcomeNotDone)
			s.nak(d, 0)
			d = g.take("0", 2)
			s.wantError(l.Cancel(s.patient(), "0"), transport.FailedPrecondition, transport.OutcomeNotDone)
			s.ack(d)
			s.wantError(l.Cancel(s.patient(), "0"), transport.FailedPrecondition, transport.OutcomeNotDone)
			s.drainMember(g)
			h := l.consume(of("h", 1))
			h.handles("0")
			l.eventuallyHolds(0)
			s.wantError(l.Cancel(s.patient(), "0"), transport.NotFound, transport.OutcomeNotDone)
		},
	},
	{
		name:     "cancel/missing",
		contract: "InvalidArgument for an empty id; NotFound if there is no such message;",
		rule:     "Cancel: InvalidArgument for an empty id, NotFound if there is no such message. A cancelled message is gone.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			s.wantError(l.Cancel(s.patient(), ""), transport.InvalidArgument, transport.OutcomeNotDone)
			s.wantError(l.Cancel(s.patient(), "0"), transport.NotFound, transport.OutcomeNotDone)
			l.add("a", "0", transport.AppendOptions{ID: "0"})
			s.wantError(l.Cancel(s.patient(), "1"), transport.NotFound, transport.OutcomeNotDone)
			l.cancel("0")
			s.wantError(l.Cancel(s.patient(), "0"), transport.NotFound, transport.OutcomeNotDone)
			l.holds()
		},
	},
	{
		name:     "cancel/pause",
		contract: "Deliveries of the groups may stop for a moment.",
		rule:     "Cancel leaves the pause of a group as it is.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g, h := l.consume(of("g", 1)), l.consume(of("h", 1))
			for _, paused := range []time.Duration{time.Hour, aWhile} {
				until := time.Now().Add(paused)
				l.pause("g", until)
				l.pause("h", time.Now().Add(time.Hour))
				id := paused.String()
				l.add("a", id, transport.AppendOptions{ID: id})
				l.put("a", "1")
				before := l.groupInfo("h").PausedUntil
				if err := l.Cancel(s.patient(), id); err != nil && (paused == time.Hour || transport.CodeOf(err) != transport.FailedPrecondition) {
					s.Fatal(err)
				}
				if at := l.groupInfo("h").PausedUntil; !at.Equal(before) {
					s.Errorf("the pause until %v ends at %v", before, at)
				}
				if paused == time.Hour {
					g.idle()
					l.pause("g", time.Time{})
				}
				g.handlesTo("1")
				if early := time.Until(until); paused != time.Hour && early > 0 {
					s.Errorf("a delivery %v before the end of the pause", early)
				}
				l.pause("h", time.Time{})
				h.handlesTo("1")
			}
		},
	},
	{
		name:     "cancel/at-full-speed",
		contract: "Nil means that no group gets it.",
		rule:     "Cancel beside consumers at full speed: each message is either cancelled, with nil, or handled by all groups.",
		body: func(s *suite) {
			const n, cancellers = 120, 4
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			var handled [2][n]atomic.Int32
			for i, group := range []string{"g", "h"} {
				l.handle(of(group, 4), func(d *transport.Delivery) {
					if k, err := strconv.Atoi(string(d.Body)); err == nil {
						handled[i][k].Add(1)
					}
					s.ack(d)
				})
			}
			var cancelled [n]atomic.Bool
			ids := make(chan int, n)
			var wait sync.WaitGroup
			for range cancellers {
				wait.Go(func() {
					for k := range ids {
						err := l.Cancel(s.patient(), strconv.Itoa(k))
						switch transport.CodeOf(err) {
						case transport.NotFound, transport.FailedPrecondition:
						default:
							if err != nil {
								s.Errorf("cancel %d: %v", k, err)
							}
							cancelled[k].Store(err == nil)
						}
					}
				})
			}
			for k := range n {
				l.add("a", strconv.Itoa(k), transport.AppendOptions{ID: strconv.Itoa(k)})
				ids <- k
			}
			close(ids)
			wait.Wait()
			l.eventuallyHolds(0)
			for k := range n {
				want := int32(1)
				if cancelled[k].Load() {
					want = 0
				}
				if g, h := handled[0][k].Load(), handled[1][k].Load(); g != want || h != want {
					s.Errorf("message %d was cancelled: %v, and handled %d and %d times", k, want == 0, g, h)
				}
			}
		},
	},
}

var cancelDelayedCases = []conformanceCase{
	{
		name:     "cancel/delayed",
		contract: cancels,
		rule:     "Cancel removes a message that waits for its NotBefore. Its id stays known.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{MaxDelayed: 2, Groups: []transport.GroupConfig{{Name: "g"}}})
			at := time.Now().Add(time.Hour)
			l.add("a", "0", transport.AppendOptions{ID: "0", NotBefore: at})
			l.add("a", "1", transport.AppendOptions{ID: "1", NotBefore: at})
			l.cancel("0")
			s.wantError(l.Cancel(s.patient(), "0"), transport.NotFound, transport.OutcomeNotDone)
			if n := l.info().Delayed; n != 1 {
				s.Errorf("%d messages are delayed, want 1", n)
			}
			if again := l.add("a", "0", transport.AppendOptions{ID: "0", NotBefore: at}); !again.Duplicate {
				s.Errorf("its id is forgotten: %+v", again)
			}
			l.add("a", "2", transport.AppendOptions{ID: "2", NotBefore: at})
		},
	},
	{
		name:     "cancel/due",
		contract: cancels,
		rule:     "Cancel of a message that becomes due meanwhile: no group gets it if Cancel returns nil.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			g := l.consume(of("g", 1))
			const n = 12
			var errs [n]error
			var wait sync.WaitGroup
			soon := time.Now().Add(aWhile)
			for i := range n {
				id := strconv.Itoa(i)
				l.add("a", id, transport.AppendOptions{ID: id, NotBefore: soon})
				wait.Go(func() {
					s.pass(time.Duration(i) * 2 * aWhile / n)
					errs[i] = l.Cancel(s.patient(), id)
				})
			}
			wait.Wait()
			var remain []string
			for i, err := range errs {
				if err != nil {
					remain = append(remain, strconv.Itoa(i))
				}
				if code := transport.CodeOf(err); err != nil && code != transport.FailedPrecondition {
					s.Errorf("cancel %d: %v", i, err)
				}
			}
			got := make(map[string]bool)
			for range remain {
				d := g.next()
				got[string(d.Body)] = true
				s.ack(d)
			}
			for _, body := range remain {
				if !got[body] {
					s.Errorf("%s was neither cancelled nor handled", body)
				}
			}
			g.idle()
		},
	},
}

// handlesTo acknowledges deliveries up to that of a message.
func (m *member) handlesTo(body string) {
	m.s.Helper()
	for {
		d := m.next()
		if m.s.ack(d); string(d.Body) == body {
			return
		}
	}
}

// cancel cancels a message.
func (l *log) cancel(id string) {
	l.s.Helper()
	if err := l.Cancel(l.s.patient(), id); err != nil {
		l.s.Fatal(errors.Join(fmt.Errorf("cancel %s", id), err))
	}
}
