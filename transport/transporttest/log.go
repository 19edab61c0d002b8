package transporttest

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

// log is a log of a case.
type log struct {
	transport.Log
	s      *suite
	config transport.LogConfig
}

// described returns c with a unique name and unique subjects if it has none: everything
// under the case's subjects.
func (s *suite) described(c transport.LogConfig) transport.LogConfig {
	c.Name = cmp.Or(c.Name, s.root)
	if c.Subjects == nil {
		c.Subjects = []string{s.subject(">")}
	}
	return c
}

// log opens the log that c describes.
func (s *suite) log(c transport.LogConfig) *log {
	s.Helper()
	l, err := s.open(c)
	if err != nil {
		s.Fatalf("Log %q: %v", l.config.Name, err)
	}
	s.eventually("the log to be known at the server of this Transport", l.answers)
	return l
}

// answers reports whether appends reach the log: other servers of a cluster learn of a
// new one shortly after. It tests that with an Append that is rejected.
func (l *log) answers() bool {
	subject := strings.NewReplacer("*", probe, ">", probe).Replace(l.config.Subjects[0])
	_, err := l.Append(l.s.patient(), &transport.Message{Subject: subject}, transport.AppendOptions{Expect: &transport.Expectation{Sequence: math.MaxInt64}})
	return transport.CodeOf(err) != transport.Unavailable
}

func (s *suite) open(c transport.LogConfig) (*log, error) {
	c = s.described(c)
	l, err := s.tr.Log(s.patient(), c)
	return &log{Log: l, s: s, config: c}, err
}

// add appends a message.
func (l *log) add(rest, body string, o transport.AppendOptions) transport.Appended {
	l.s.Helper()
	at, err := l.Append(l.s.patient(), l.s.message(rest, body), o)
	if err != nil {
		l.s.Fatalf("Append of %q on %q: %v", body, rest, err)
	}
	return at
}

// put appends messages without options.
func (l *log) put(rest string, bodies ...string) {
	l.s.Helper()
	for _, body := range bodies {
		l.add(rest, body, transport.AppendOptions{})
	}
}

// refuses fails unless an append is rejected.
func (l *log) refuses(rest string, o transport.AppendOptions, code transport.Code) {
	l.s.Helper()
	at, err := l.Append(l.s.patient(), l.s.message(rest, "refused"), o)
	if err == nil {
		l.s.Fatalf("Append on %q was stored as %d, want %s", rest, at.Sequence, code)
	}
	l.s.wantError(err, code, transport.OutcomeNotDone)
}

// read returns all messages of a Read.
func (l *log) read(c transport.ReadConfig) []*transport.Delivery {
	l.s.Helper()
	var all []*transport.Delivery
	for d, err := range l.Read(l.s.patient(), c) {
		if err != nil {
			l.s.Fatalf("Read %+v: %v", c, err)
		}
		all = append(all, d)
	}
	return all
}

// holds fails unless a Read of everything returns the given bodies.
func (l *log) holds(bodies ...string) {
	l.s.Helper()
	l.reads(transport.ReadConfig{}, bodies...)
}

// reads fails unless a Read returns the given bodies. A server of a cluster may lag in
// removed messages, so additional ones may still disappear.
func (l *log) reads(c transport.ReadConfig, bodies ...string) {
	l.s.Helper()
	for begun := time.Now(); ; l.s.pass(20 * time.Millisecond) {
		got := bodiesOf(l.read(c))
		if slices.Equal(got, bodies) {
			return
		}
		if !holdsAll(got, bodies) || time.Since(begun) > patience {
			l.s.Fatalf("Read %+v yields %q, want %q", c, got, bodies)
		}
	}
}

// holdsAll reports whether got has the given bodies, in order, perhaps among others.
func holdsAll(got, bodies []string) bool {
	for _, body := range got {
		if len(bodies) > 0 && body == bodies[0] {
			bodies = bodies[1:]
		}
	}
	return len(bodies) == 0
}

func bodiesOf(deliveries []*transport.Delivery) []string {
	var bodies []string
	for _, d := range deliveries {
		bodies = append(bodies, string(d.Body))
	}
	return bodies
}

func (l *log) info() transport.LogInfo {
	l.s.Helper()
	info, err := l.Info(l.s.patient())
	if err != nil {
		l.s.Fatalf("Info: %v", err)
	}
	return info
}

// groupInfo returns the state of a group that must exist.
func (l *log) groupInfo(name string) transport.GroupInfo {
	l.s.Helper()
	groups, err := l.Groups(l.s.patient())
	if err != nil {
		l.s.Fatalf("Groups: %v", err)
	}
	for _, g := range groups {
		if g.Config.Name == name {
			return g
		}
	}
	l.s.Fatalf("Groups does not list %q", name)
	panic("unreachable")
}

// eventuallyHolds waits until the log has the given number of messages: nothing signals
// that a backend has handled a settlement.
func (l *log) eventuallyHolds(messages uint64) {
	l.s.Helper()
	l.s.eventually("the number of messages to be right", func() bool { return l.info().Messages == messages })
}

// eventually waits until a condition holds.
func (s *suite) eventually(what string, holds func() bool) {
	s.Helper()
	begun := time.Now()
	for !holds() {
		if time.Since(begun) > patience {
			s.Fatalf("gave up waiting for %s", what)
		}
		s.pass(5 * time.Millisecond)
	}
}

// pass lets time pass. A case is shown right by what comes after it, never by how long
// something took.
func (s *suite) pass(d time.Duration) { <-time.After(d) }

// rest waits until published messages have arrived, and a moment longer. In a bubble
// nothing happens by itself after it. Elsewhere only a backend that breaks a rule does
// anything more, and is usually done by then.
func (s *suite) rest() {
	s.Helper()
	s.settle()
	s.pass(5 * time.Millisecond)
}

// member consumes from a group, and keeps its deliveries for a case.
type member struct {
	transport.Receiver
	s     *suite
	group string
	got   chan *transport.Delivery
	ended chan error
}

// of returns the configuration of a plain member of a group.
func of(group string, inFlight int) transport.ConsumeConfig {
	return transport.ConsumeConfig{Group: transport.GroupConfig{Name: group}, MaxInFlight: inFlight}
}

// consume adds a member. Its handler never blocks as long as no more is delivered than
// MaxInFlight allows.
func (l *log) consume(c transport.ConsumeConfig) *member {
	l.s.Helper()
	m := &member{s: l.s, group: c.Group.Name, got: make(chan *transport.Delivery, max(c.MaxInFlight, 1)), ended: make(chan error, 4)}
	stop := l.s.Context().Done()
	c.OnEnd = func(err error) { m.ended <- err }
	m.Receiver = l.handle(c, func(d *transport.Delivery) {
		select {
		case m.got <- d:
		case <-stop:
		}
	})
	return m
}

// handle is like consume, with a function that is called for each delivery.
func (l *log) handle(c transport.ConsumeConfig, h func(*transport.Delivery)) transport.Receiver {
	l.s.Helper()
	return l.begin(c, transport.Serial(h))
}

// begin is like handle, with a handler that may leave work.
func (l *log) begin(c transport.ConsumeConfig, h transport.DeliveryHandler) transport.Receiver {
	l.s.Helper()
	r, err := l.Consume(l.s.patient(), c, h)
	if err != nil {
		l.s.Fatalf("Consume from group %q: %v", c.Group.Name, err)
	}
	return r
}

// next returns the next delivery, unsettled.
func (m *member) next() *transport.Delivery {
	m.s.Helper()
	return await(m.s, m.got, "a delivery to group "+m.group)
}

// take fails unless the next delivery is the given message at the given attempt.
func (m *member) take(body string, attempt int) *transport.Delivery {
	m.s.Helper()
	d := m.next()
	if string(d.Body) != body || d.Attempt != attempt {
		m.s.Fatalf("group %s got %q at attempt %d, want %q at %d", m.group, d.Body, d.Attempt, body, attempt)
	}
	return d
}

// takes is like take, for the first deliveries of several messages.
func (m *member) takes(bodies ...string) (all []*transport.Delivery) {
	m.s.Helper()
	for _, body := range bodies {
		all = append(all, m.take(body, 1))
	}
	return all
}

// handles acknowledges the first deliveries of several messages, one by one.
func (m *member) handles(bodies ...string) {
	m.s.Helper()
	for _, body := range bodies {
		m.s.ack(m.take(body, 1))
	}
}

// handlesBeside is like handles, but allows other messages in between. A server of a
// cluster that lags may deliver them.
func (m *member) handlesBeside(others []string, bodies ...string) {
	m.s.Helper()
	for _, body := range bodies {
		d := m.next()
		for slices.Contains(others, string(d.Body)) {
			m.s.ack(d)
			d = m.next()
		}
		if string(d.Body) != body || d.Attempt != 1 {
			m.s.Fatalf("group %s got %q at attempt %d, want %q at 1", m.group, d.Body, d.Attempt, body)
		}
		m.s.ack(d)
	}
}

// handedBack fails unless the next delivery is the given message, whose earlier
// deliveries did not count as attempts.
func (m *member) handedBack(body string) *transport.Delivery {
	m.s.Helper()
	return m.take(body, 1)
}

// again fails unless the next delivery is the given message, and not at its first
// attempt.
func (m *member) again(body string) *transport.Delivery {
	m.s.Helper()
	d := m.next()
	if string(d.Body) != body || d.Attempt < 2 {
		m.s.Fatalf("group %s got %q at attempt %d, want %q again", m.group, d.Body, d.Attempt, body)
	}
	return d
}

// goesOn acknowledges the next deliveries at any attempt: another member may have fetched
// them.
func (m *member) goesOn(bodies ...string) {
	m.s.Helper()
	for _, body := range bodies {
		d := m.next()
		if string(d.Body) != body {
			m.s.Fatalf("group %s got %q, want %q", m.group, d.Body, body)
		}
		m.s.ack(d)
	}
}

// handlesOnly is like handles, and fails unless that is all. Messages that do not come
// before one that is appended now never come.
func (m *member) handlesOnly(l *log, rest string, bodies ...string) {
	m.s.Helper()
	l.put(rest, "that was all")
	m.handles(append(bodies, "that was all")...)
}

// idle fails if there was an unexpected delivery.
func (m *member) idle() {
	m.s.Helper()
	m.s.rest()
	select {
	case d := <-m.got:
		m.s.Fatalf("group %s got %q at attempt %d, want nothing", m.group, d.Body, d.Attempt)
	default:
	}
}

func (s *suite) ack(deliveries ...*transport.Delivery) {
	s.Helper()
	for _, d := range deliveries {
		if err := d.Ack(context.Background()); err != nil {
			s.Errorf("Ack of %q: %v", d.Body, err)
		}
	}
}

func (s *suite) nak(d *transport.Delivery, delay time.Duration) {
	s.Helper()
	if err := d.Nak(context.Background(), delay); err != nil {
		s.Errorf("Nak of %q: %v", d.Body, err)
	}
}

func (s *suite) release(d *transport.Delivery) {
	s.Helper()
	if err := d.Release(context.Background()); err != nil {
		s.Errorf("Release of %q: %v", d.Body, err)
	}
}

// drainOf lets a member drain that releases its last delivery. The message may come back before
// the drain begins.
func (s *suite) drainOf(m *member, d *transport.Delivery) {
	s.Helper()
	drained := make(chan struct{})
	defer close(drained)
	go func() {
		for {
			_ = d.Release(context.Background())
			select {
			case d = <-m.got:
			case <-drained:
				return
			}
		}
	}()
	s.drainMember(m)
}

func (s *suite) terminate(d *transport.Delivery) {
	s.Helper()
	if err := d.Terminate(context.Background(), "because"); err != nil {
		s.Errorf("Terminate of %q: %v", d.Body, err)
	}
}

// drainMember drains a member whose deliveries are settled, and which gets no more.
func (s *suite) drainMember(m *member) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	if err := m.Drain(ctx); err != nil {
		s.Fatalf("Drain of a member of group %s: %v", m.group, err)
	}
}
