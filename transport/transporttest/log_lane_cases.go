package transporttest

import (
	"strconv"
	"sync"
	"time"

	"gomono.dev/transport"
)

// lanes is the number of lanes of the logs in these cases.
const lanes = 4

var laneCases = []conformanceCase{
	{
		name:     "lanes/order",
		contract: "In an ordered group a message of a lane is delivered when the previous message of that lane is settled, and not earlier.",
		rule:     "In an ordered group a message of a lane is delivered when the previous message of that lane is settled, and not earlier, over all members.",
		body: func(s *suite) {
			const n, keys = 240, 12
			l := s.laned(transport.MemoryStorage)
			o := newOrder(s)
			for range 3 {
				l.handle(ofOrdered(8), func(d *transport.Delivery) {
					o.begin(transport.LaneOf(d.Subject, lanes), d)
					go o.end(transport.LaneOf(d.Subject, lanes), d)
				})
			}
			a := s.appending(l)
			for i, body := range numbers(n) {
				a.begin(s.message(strconv.Itoa(i%keys), body), transport.AppendOptions{})
			}
			a.results()
			for range n {
				await(s, o.handled, "all deliveries")
			}
		},
	},
	{
		name:     "lanes/beside",
		contract: "Ordered groups have at most one unsettled delivery in each of the log's lanes, over all members",
		rule:     "Ordered groups have at most one unsettled delivery in each of the log's lanes. Lanes do not wait for each other.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			keys := keysOfLanes()
			for lane, key := range keys {
				l.put(key, "first of "+strconv.Itoa(lane), "second of "+strconv.Itoa(lane))
			}
			m := l.consume(ofOrdered(10))
			held := make(map[int]*transport.Delivery)
			for range keys {
				d := m.next()
				lane := transport.LaneOf(d.Subject, lanes)
				if held[lane] != nil || string(d.Body) != "first of "+strconv.Itoa(lane) {
					s.Fatalf("lane %d got %q", lane, d.Body)
				}
				held[lane] = d
			}
			m.idle()
			for lane, d := range held {
				s.ack(d)
				s.ack(m.take("second of "+strconv.Itoa(lane), 1))
				m.idle()
			}
		},
	},
	{
		name:     "lanes/lane-of",
		contract: "a message's lane is [LaneOf] its subject.",
		rule:     "A message's lane is LaneOf its subject. Keys that share a lane wait for each other.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			one, other := keysOfOneLane()
			l.put(one, "0")
			l.put(other, "1")
			l.put(one, "2")
			m := l.consume(ofOrdered(10))
			held := m.take("0", 1)
			m.idle()
			s.terminate(held)
			held = m.take("1", 1)
			m.idle()
			s.ack(held)
			m.handles("2")
		},
	},
	{
		name:     "lanes/nak-blocks-its-lane",
		contract: "In an ordered group a message of a lane is delivered when the previous message of that lane is settled, and not earlier.",
		rule:     "A message that waits for its redelivery blocks its lane, and no other.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			keys := keysOfLanes()
			l.put(keys[0], "0", "1")
			m := l.consume(ofOrdered(10))
			again := m.naksBeside(l, keys[1:], m.take("0", 1))
			m.idle()
			s.nak(again, 0)
			again = m.take("0", again.Attempt+1)
			m.idle()
			s.ack(again)
			m.handles("1")
		},
	},
	{
		name:     "lanes/hand-back",
		contract: "In an ordered group a message of a lane is delivered when the previous message of that lane is settled, and not earlier.",
		rule:     "A message that a member hands back comes before later messages of its lane.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			key := keysOfLanes()[1]
			l.put(key, "0", "1", "2")
			m := l.consume(ofOrdered(3))
			held := m.take("0", 1)
			for range 3 {
				m.idle()
				m.Close()
				m = l.consume(ofOrdered(3))
				held = m.handedBack("0")
			}
			s.ack(held)
			m.handles("1", "2")
		},
	},
	{
		name: "lanes/fencing-token",
		rule: "FencingToken increases with every delivery of a lane, whichever member gets it.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			tokens := make(map[int]uint64)
			grows := func(d *transport.Delivery) {
				s.Helper()
				lane := transport.LaneOf(d.Subject, lanes)
				if d.FencingToken <= tokens[lane] {
					s.Errorf("the fencing token of %q in lane %d is %d after %d", d.Body, lane, d.FencingToken, tokens[lane])
				}
				tokens[lane] = d.FencingToken
			}
			for round := range 3 {
				m := l.consume(ofOrdered(10))
				for _, key := range keysOfLanes() {
					body := strconv.Itoa(round) + key
					l.put(key, body)
					d := m.take(body, 1)
					grows(d)
					s.nak(d, 0)
					d = m.take(body, 2)
					grows(d)
					s.ack(d)
				}
				l.put("key", "closed")
				grows(m.take("closed", 1))
				m.Close()
				m = l.consume(ofOrdered(10))
				d := m.handedBack("closed")
				grows(d)
				s.ack(d)
				s.drainMember(m)
			}
		},
	},
	{
		name:     "lanes/subjects",
		contract: "Lanes, if not 0, divides the log, for groups that are Ordered",
		rule:     "Lanes affect only ordered groups: subjects, filters and conditions work as in any other log.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{
				Subjects: []string{s.subject("a.*"), s.subject("b.*.c.*")}, Lanes: lanes, MaxPerSubject: 3, Full: transport.DropOldest,
				Groups: []transport.GroupConfig{{Name: "free"}, {Name: "ordered", Ordered: true}},
			})
			l.put("a.x", "0")
			l.put("b.1.c.x", "1")
			l.put("a.y", "2")
			l.refuses("a.x", l.expecting(2, "a.x"), transport.Aborted)
			l.add("a.x", "3", l.expecting(1, "a.x"))
			l.refuses("b.1.c.x", l.expecting(0, "b.1.c.x"), transport.Aborted)
			l.add("b.1.c.x", "4", l.expecting(3, "a.y"))
			l.refuses("a", transport.AppendOptions{}, transport.InvalidArgument)
			l.refuses("a.x.y", transport.AppendOptions{}, transport.InvalidArgument)
			subjects := []string{"a.x", "b.1.c.x", "a.y", "a.x", "b.1.c.x"}
			for i, d := range l.read(transport.ReadConfig{}) {
				if d.Subject != s.subject(subjects[i]) {
					s.Errorf("%q is read on %q, want %q", d.Body, d.Subject, s.subject(subjects[i]))
				}
			}
			free := l.consume(of("free", 10))
			for i, d := range free.takes(numbers(5)...) {
				if d.Subject != s.subject(subjects[i]) {
					s.Errorf("%q is delivered on %q, want %q", d.Body, d.Subject, s.subject(subjects[i]))
				}
			}
			ordered := l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: "ordered", Ordered: true}, MaxInFlight: 10})
			for range subjects {
				d := ordered.next()
				if i, _ := strconv.Atoi(string(d.Body)); d.Subject != s.subject(subjects[i]) {
					s.Errorf("%q is delivered on %q, want %q", d.Body, d.Subject, s.subject(subjects[i]))
				}
				s.ack(d)
			}
			l.reads(transport.ReadConfig{Filter: []string{s.subject("a.x")}}, "0", "3")
			l.reads(transport.ReadConfig{Filter: []string{s.subject("*.*")}}, "0", "2", "3")
			l.reads(transport.ReadConfig{Filter: []string{s.subject("b.>")}}, "1", "4")
			l.reads(transport.ReadConfig{Filter: []string{s.subject("a")}})
			l.reads(transport.ReadConfig{Start: transport.Start{LastPerSubject: true}}, "2", "3", "4")
			l.put("a.x", "5", "6")
			l.holds("1", "2", "3", "4", "5", "6")
			if n, err := l.Purge(s.patient(), transport.PurgeConfig{Subject: s.subject("b.*.c.x"), Keep: 1}); n != 1 || err != nil {
				s.Errorf("Purge returns %d, %v, want 1", n, err)
			}
			l.holds("2", "3", "4", "5", "6")
			if c := l.info().Config; c.Lanes != lanes || len(c.Subjects) != 2 || c.Subjects[0] != s.subject("a.*") {
				s.Errorf("the log is %+v", c)
			}
		},
	},
	{
		name:     "lanes/filter",
		contract: "Filter limits the group to subjects and patterns, which must not overlap.",
		rule:     "Filter limits an ordered group too, to subjects as they were appended.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b.*")}, Lanes: lanes})
			for _, key := range keysOfLanes() {
				l.put("a."+key, "a "+key)
				l.put("b."+key, "b "+key)
			}
			keys := keysOfLanes()
			c := ofOrdered(10)
			c.Group.Filter = []string{s.subject("b.*"), s.subject("a." + keys[2])}
			m := l.consume(c)
			got := make(map[string]bool)
			for range len(keys) + 1 {
				d := m.next()
				got[string(d.Body)] = true
				s.ack(d)
			}
			for _, key := range keys {
				if !got["b "+key] || got["a "+key] != (key == keys[2]) {
					s.Errorf("got %v", got)
				}
			}
			if g := l.groupInfo("g").Config; len(g.Filter) != 2 || !g.Ordered {
				s.Errorf("the group is %+v", g)
			}
		},
	},
	{
		name:     "lanes/plain-publish",
		contract: "a message's lane is [LaneOf] its subject.",
		rule:     "A message stored by a plain Publish also has the lane of its subject.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			keys := keysOfLanes()
			for i, key := range keys {
				s.publish(key, strconv.Itoa(i))
			}
			s.eventually("all to be stored", func() bool { return l.info().Messages == uint64(len(keys)) })
			m := l.consume(ofOrdered(10))
			got := make(map[string]bool)
			for range keys { // all at once: they are in different lanes
				d := m.next()
				got[d.Subject] = true
			}
			for _, key := range keys {
				if !got[s.subject(key)] {
					s.Errorf("got %v, want %q", got, s.subject(key))
				}
			}
		},
	},
	{
		name:     "lanes/plain-publish-elsewhere",
		contract: "With Lanes this applies only to the first of them.",
		rule:     "A log with Lanes stores plain messages only under the first of its Subjects, and appended messages under all. A lane spans all Subjects.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b.*")}, Lanes: lanes})
			s.publish("b.x", "not stored")
			s.publish("a.x", "0")
			s.eventually("one to be stored", func() bool { return l.info().Messages == 1 })
			l.put("b.x", "1")
			l.put("a.x", "2")
			m := l.consume(ofOrdered(10))
			for i := range 3 {
				s.ack(m.take(strconv.Itoa(i), 1))
			}
			l.eventuallyIs("g", transport.GroupInfo{Settled: 3})
			l.holds("0", "1", "2")
		},
	},
	{
		name:     "lanes/interest",
		contract: "InterestRetention also removes a message that every group whose filter matches it has settled.",
		rule:     "InterestRetention removes messages that ordered groups have settled, in any lane.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{
				Subjects: []string{s.subject("*")}, Lanes: lanes, Retention: transport.InterestRetention,
				Groups: []transport.GroupConfig{{Name: "g", Ordered: true}},
			})
			keys := keysOfLanes()
			for _, key := range keys {
				l.put(key, key)
			}
			m := l.consume(ofOrdered(10))
			l.eventuallyIs("g", transport.GroupInfo{InFlight: lanes})
			for range keys {
				s.ack(m.next())
			}
			l.eventuallyHolds(0)
			l.eventuallyLags("g", 0)
		},
	},
	{
		name:     "lanes/deleted",
		contract: "If the group is deleted while it is consumed, the Receiver ends and c.OnEnd receives the reason.",
		rule:     "If an ordered group is deleted while it is consumed, the Receiver ends and OnEnd is called once.",
		body: func(s *suite) {
			l := s.laned(transport.FileStorage)
			m := l.consume(ofOrdered(10))
			if err := l.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			s.wantCode(await(s, m.ended, "OnEnd"), transport.NotFound)
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 0 {
				s.Errorf("got groups %+v, %v", groups, err)
			}
			l.put("key", "0")
			l.consume(ofOrdered(1)).handles("0")
		},
	},
	{
		name:     "lanes/fixed",
		contract: "Lanes cannot be changed after creation.",
		rule:     "A change of Lanes after creation is FailedPrecondition. The error names the setting and both values.",
		body: func(s *suite) {
			c := transport.LogConfig{Subjects: []string{s.subject("*")}, Lanes: lanes}
			s.log(c)
			c.Lanes = 8
			s.log(c) // a sender accepts it unchanged
			c.Update = true
			_, err := s.open(c)
			s.wantFixed(err, "Lanes", [2]string{"4", "8"})
		},
	},
}

// oneLaneCases need no lanes: a log without Lanes is one lane.
var oneLaneCases = []conformanceCase{
	{
		name: "ordered/one-lane",
		rule: "Ordered groups have at most one unsettled delivery in each of the log's lanes, over all members; a log without Lanes is one lane.",
		body: func(s *suite) {
			const n = 60
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			o := newOrder(s)
			for range 2 {
				l.handle(ofOrdered(8), func(d *transport.Delivery) {
					o.begin(0, d)
					go o.end(0, d)
				})
			}
			for i, body := range numbers(n) {
				l.put(strconv.Itoa(i%5), body)
			}
			for range n {
				await(s, o.handled, "all deliveries")
			}
		},
	},
	{
		name:     "ordered/nak",
		contract: "In an ordered group a message of a lane is delivered when the previous message of that lane is settled, and not earlier.",
		rule:     "In an ordered group without lanes, a message that waits for its redelivery blocks all later ones.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			l.put("b", "1", "2")
			m := l.consume(ofOrdered(10))
			begun := time.Now()
			s.nak(m.take("0", 1), aWhile)
			again := m.take("0", 2)
			if took := time.Since(begun); took < aWhile {
				s.Errorf("it was redelivered after %v, want %v", took, aWhile)
			}
			m.idle()
			s.ack(again)
			last := m.take("1", 1)
			m.idle()
			s.terminate(last)
			m.handlesOnly(l, "a", "2")
		},
	},
}

// laned opens a log with lanes whose keys are the subjects of the case.
func (s *suite) laned(storage transport.Storage) *log {
	s.Helper()
	return s.log(transport.LogConfig{Subjects: []string{s.subject("*")}, Lanes: lanes, Storage: storage})
}

// ofOrdered returns the configuration of a member of the ordered group "g".
func ofOrdered(inFlight int) transport.ConsumeConfig {
	return transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", Ordered: true}, MaxInFlight: inFlight}
}

// keysOfLanes returns a key of each lane.
func keysOfLanes() []string {
	keys := make([]string, lanes)
	for i, found := 0, 0; found < lanes; i++ {
		key := "key-" + strconv.Itoa(i)
		if lane := transport.LaneOf(key, lanes); keys[lane] == "" {
			keys[lane] = key
			found++
		}
	}
	return keys
}

// keysOfOneLane returns two keys that share a lane.
func keysOfOneLane() (one, other string) {
	one = keysOfLanes()[0]
	for i := 0; ; i++ {
		other = "other-" + strconv.Itoa(i)
		if transport.LaneOf(other, lanes) == transport.LaneOf(one, lanes) {
			return one, other
		}
	}
}

// order detects two concurrent deliveries of one lane, and a delivery before that of an
// older message.
type order struct {
	s       *suite
	handled chan struct{}

	mu   sync.Mutex
	held map[int]string
	last map[int]uint64
}

func newOrder(s *suite) *order {
	return &order{s: s, handled: make(chan struct{}, 1000), held: make(map[int]string), last: make(map[int]uint64)}
}

func (o *order) begin(lane int, d *transport.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if other, ok := o.held[lane]; ok {
		o.s.Errorf("%q is delivered while %q is unsettled, in lane %d", d.Body, other, lane)
	}
	if d.Sequence <= o.last[lane] {
		o.s.Errorf("%q is delivered at %d, after %d", d.Body, d.Sequence, o.last[lane])
	}
	o.held[lane], o.last[lane] = string(d.Body), d.Sequence
}

// end settles a delivery, after a moment in which another could come.
func (o *order) end(lane int, d *transport.Delivery) {
	o.s.pass(time.Millisecond)
	o.mu.Lock()
	delete(o.held, lane)
	o.mu.Unlock()
	o.s.ack(d)
	o.handled <- struct{}{}
}

// naksBeside naks a delivery with a delay and appends other messages, until all of those
// come before the delay is over. The delay grows, because a backend may be slow. It
// returns the last delivery, unsettled.
func (m *member) naksBeside(l *log, keys []string, d *transport.Delivery) *transport.Delivery {
	m.s.Helper()
	for delay := aWhile; ; delay *= 4 {
		behind, again := m.waitsBeside(l, keys, d, delay)
		if d = again; behind {
			return d
		}
	}
}

// waitsBeside naks a delivery and handles two messages of each of the keys. It returns
// the redelivery, and whether it came after all others.
func (m *member) waitsBeside(l *log, keys []string, waiting *transport.Delivery, delay time.Duration) (behind bool, again *transport.Delivery) {
	m.s.Helper()
	begun := time.Now()
	comes := func(d *transport.Delivery) bool {
		if d.Sequence != waiting.Sequence {
			return false
		}
		if took := time.Since(begun); again != nil || took < delay || d.Attempt != waiting.Attempt+1 {
			m.s.Fatalf("%q was redelivered after %v at attempt %d, want %v", d.Body, took, d.Attempt, delay)
		}
		again = d
		return true
	}
	m.s.nak(waiting, delay)
	for _, key := range keys {
		l.put(key, "beside", "it")
		for _, body := range []string{"beside", "it"} {
			d := m.next()
			if comes(d) {
				d = m.next()
			}
			if string(d.Body) != body || d.Attempt != 1 {
				m.s.Fatalf("group %s got %q at attempt %d, want %q at 1", m.group, d.Body, d.Attempt, body)
			}
			m.s.ack(d)
		}
	}
	if again != nil {
		return false, again
	}
	if d := m.next(); !comes(d) {
		m.s.Fatalf("group %s got %q, want %q again", m.group, d.Body, waiting.Body)
	}
	return true, again
}
