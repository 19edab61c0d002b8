package transporttest

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
)

// The order of keys while members come and go.

const (
	inOrderOfKey = "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier."
	sharedByAll  = "Members of one group, in this process and others, share its messages."
	handedBack   = "A message that is handed back is delivered again at once, and the delivery does not count as an attempt."
)

var memberCases = []conformanceCase{
	{
		name: "members/join", contract: sharedByAll,
		rule: "A member that joins an ordered group gets keys of its own, and the order of every key is kept.",
		body: func(s *suite) {
			w := s.work()
			first := w.join()
			w.round()
			second := w.join()
			w.until("the member that has joined to get messages", func() bool { return second.began.Load() > 0 })
			w.until("the first member to get messages", func() bool { return first.began.Load() > roundKeys })
		},
	},
	{
		name: "members/leave", contract: inOrderOfKey,
		rule: "The keys of a member that leaves go on at another, in order.",
		body: func(s *suite) {
			w := s.work()
			first, second := w.join(), w.join()
			w.until("both members to get messages", func() bool { return first.began.Load() > 0 && second.began.Load() > 0 })
			w.leave(first)
			before := first.began.Load()
			for range 3 {
				w.round()
			}
			if n := first.began.Load() - before; n != 0 {
				s.Errorf("the member that has left got %d messages", n)
			}
		},
	},
	{
		name: "members/more-than-partitions", contract: sharedByAll,
		rule: "An ordered group may have more members than its log has partitions.",
		body: func(s *suite) {
			w := s.work()
			for range partitions + 2 {
				w.join()
			}
			for range 5 {
				w.round()
			}
		},
	},
	{
		name: "members/come-and-go", contract: inOrderOfKey,
		rule: "Keys keep their order while members come and go.",
		body: func(s *suite) {
			w := s.work()
			members := []*worker{w.join()}
			for range 4 {
				members = append(members, w.join())
				w.round()
				w.leave(members[0])
				members = members[1:]
				w.round()
			}
		},
	},
	{
		name:     "members/counted",
		contract: "Members is the number of members that wait for messages, as far as the backend knows.",
		rule:     "Members is not 0 while an idle member consumes, and 0 after it has left.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			for _, ordered := range []bool{false, true} {
				group := transport.GroupConfig{Name: fmt.Sprint("ordered-", ordered), Ordered: ordered}
				m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 1})
				s.eventually("the member to be counted", func() bool { return l.groupInfo(group.Name).Members > 0 })
				s.drainMember(m)
				s.eventually("no member to be counted", func() bool { return l.groupInfo(group.Name).Members == 0 })
			}
		},
	},
	{
		name: "members/all-leave", contract: "A group is durable",
		rule: "After all members of an ordered group have left, the next one goes on where they stopped.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[2]
			l.put(key, "0", "1")
			m := l.consume(ofOrdered(2))
			m.handles("0")
			s.ack(m.take("1", 1))
			s.drainMember(m)
			l.put(key, "2", "3")
			m = l.consume(ofOrdered(2))
			m.handles("2", "3")
		},
	},
	{
		name: "members/join-beside-handler", contract: inOrderOfKey,
		rule: "A key that is with a handler when a member joins waits for that handler.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			first := l.consume(ofOrdered(partitions))
			held := first.holdsFirst(l)
			second := l.consume(ofOrdered(50))
			s.until("the second member to get messages", func(n int) bool { return second.hasGot(l, n) })
			for _, d := range held {
				l.put(transport.KeyOf(d.Subject), "second")
			}
			s.rest()
			second.noneOf("second")
			for _, d := range held {
				s.ack(d)
			}
			s.handledBy("second", len(held), first, second)
		},
	},
	{
		name: "members/leave-beside-handler", contract: inOrderOfKey,
		rule: "A member that leaves finishes its handlers: their keys wait, and others go on at another member.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[1]
			l.put(key, "0", "1")
			first := l.consume(ofOrdered(50))
			held := first.take("0", 1)
			second := l.consume(ofOrdered(50))
			drained := make(chan error, 1)
			go func() { drained <- first.Drain(s.patient()) }()
			s.until("the second member to get messages", func(n int) bool { return second.hasGot(l, n) })
			first.noneOf("1") // it may have got some of the other keys before
			second.noneOf("1")
			s.ack(held)
			if err := await(s, drained, "the drain"); err != nil {
				s.Errorf("Drain: %v", err)
			}
			s.handledBy("1", 1, second, second)
		},
	},
	{
		name: "members/close-beside-handler", contract: handedBack,
		rule: "A message that a closing member hands back comes to another member before later ones of its key.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[3]
			l.put(key, "0", "1", "2")
			first := l.consume(ofOrdered(4))
			first.take("0", 1)
			second := l.consume(ofOrdered(4))
			first.Close()
			s.ack(second.handedBack("0"))
			second.handles("1", "2")
		},
	},
	{
		name: "members/close-many", contract: handedBack,
		rule: "All keys of a closing member begin again with the messages that it held.",
		body: func(s *suite) {
			const keys = 20
			l := s.keyed(transport.MemoryStorage)
			for i := range keys {
				l.put(strconv.Itoa(i), "first of "+strconv.Itoa(i), "second of "+strconv.Itoa(i))
			}
			first := l.consume(ofOrdered(keys))
			first.inAnyOrder(keys)
			first.Close()
			second := l.consume(ofOrdered(keys))
			held := second.inAnyOrder(keys)
			for i := range keys {
				d := held["first of "+strconv.Itoa(i)]
				if d == nil || d.Attempt != 1 {
					s.Fatalf("the first delivery of key %d is not its first message at attempt 1: %+v", i, held)
				}
				s.ack(d)
			}
			for body, d := range second.inAnyOrder(keys) {
				if body[:6] != "second" {
					s.Errorf("got %q", body)
				}
				s.ack(d)
			}
		},
	},
	{
		name: "members/delay-moves", contract: "A message is never delivered before its NotBefore, and never redelivered before its delay has passed.",
		rule: "When a member leaves while a message waits for its redelivery, another gets it after its delay, and later ones of its key after that.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[0]
			l.put(key, "0", "1")
			first := l.consume(ofOrdered(4))
			begun := time.Now()
			s.nak(first.take("0", 1), 4*aWhile)
			s.drainMember(first)
			second := l.consume(ofOrdered(4))
			again := second.take("0", 2)
			if took := time.Since(begun); took < 4*aWhile {
				s.Errorf("it was redelivered after %v, want %v", took, 4*aWhile)
			}
			second.idle()
			s.ack(again)
			second.handles("1")
		},
	},
	{
		name: "members/two-groups", contract: "Each group gets each message that matches its filter until one delivery is acknowledged or terminated.",
		rule: "A key that waits in one ordered group does not wait in another.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[1]
			l.put(key, "0", "1")
			g := l.consume(ofOrdered(2))
			held := g.take("0", 1)
			other := l.consume(transport.ConsumeConfig{Group: transport.GroupConfig{Name: "other", Ordered: true}, MaxInFlight: 2})
			other.handles("0", "1")
			g.idle()
			s.ack(held)
			g.handles("1")
		},
	},
}

// roundKeys is the number of keys of a workload.
const roundKeys = 12

// workload appends messages of several keys in rounds. Its workers handle them, and their order is
// checked.
type workload struct {
	s     *suite
	l     *log
	order *order
}

// worker is a member of the group of a workload.
type worker struct {
	transport.Receiver
	began atomic.Int64 // deliveries
}

func (s *suite) work() *workload {
	s.Helper()
	return &workload{s, s.keyed(transport.MemoryStorage), newOrder(s)}
}

func (w *workload) join() *worker {
	w.s.Helper()
	k := new(worker)
	k.Receiver = w.l.handle(ofOrdered(8), func(d *transport.Delivery) {
		k.began.Add(1)
		w.order.begin(d.Subject, d)
		go w.order.end(d.Subject, d)
	})
	return k
}

func (w *workload) leave(k *worker) {
	w.s.Helper()
	ctx, cancel := context.WithTimeout(w.s.Context(), patience)
	defer cancel()
	if err := k.Drain(ctx); err != nil {
		w.s.Errorf("Drain: %v", err)
	}
}

// round appends a message of each key, and waits until all are handled.
func (w *workload) round() {
	w.s.Helper()
	for i := range roundKeys {
		w.l.put(strconv.Itoa(i), "a")
	}
	for range roundKeys {
		await(w.s, w.order.handled, "all deliveries of a round")
	}
}

// until has rounds until a condition holds.
func (w *workload) until(what string, holds func() bool) {
	w.s.Helper()
	w.s.until(what, func(int) bool {
		if holds() {
			return true
		}
		w.round()
		return false
	})
}

// until calls step, with the number of the call, until it returns true.
func (s *suite) until(what string, step func(n int) bool) {
	s.Helper()
	n := 0
	s.eventually(what, func() bool { n++; return step(n) })
}

// holdsFirst appends a message of a key of each partition, and returns their deliveries.
func (m *member) holdsFirst(l *log) (held []*transport.Delivery) {
	m.s.Helper()
	for _, key := range keysOfPartitions() {
		l.put(key, "first")
		held = append(held, m.take("first", 1))
	}
	return held
}

// hasGot appends a message of the n-th other key, and reports whether the member has got one.
func (m *member) hasGot(l *log, n int) bool {
	m.s.Helper()
	l.put("free-"+strconv.Itoa(n), "free")
	select {
	case d := <-m.got:
		m.s.ack(d)
		return true
	default:
		return false
	}
}

// noneOf fails if a message has arrived that has this body. It acknowledges others.
func (m *member) noneOf(body string) {
	m.s.Helper()
	for {
		select {
		case d := <-m.got:
			if string(d.Body) == body {
				m.s.Fatalf("group %s got %q on %s, want it to wait", m.group, d.Body, d.Subject)
			}
			m.s.ack(d)
		default:
			return
		}
	}
}

// handledBy acknowledges deliveries at two members until n of them had this body.
func (s *suite) handledBy(body string, n int, one, other *member) {
	s.Helper()
	for n > 0 {
		d := s.either(one, other)
		if string(d.Body) == body {
			n--
		}
		s.ack(d)
	}
}
