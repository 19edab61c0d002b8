package transporttest

import (
	"strconv"
	"sync"
	"time"

	"gomono.dev/transport"
)

// partitions is the number of partitions of the logs in these cases.
const partitions = 4

var keyCases = []conformanceCase{
	{
		name:     "keys/order",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier, over all members.",
		body: func(s *suite) {
			const n, keys = 240, 12
			l := s.keyed(transport.MemoryStorage)
			o := newOrder(s)
			for range 3 {
				l.handle(ofOrdered(8), func(d *transport.Delivery) {
					o.begin(d.Subject, d)
					go o.end(d.Subject, d)
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
		name:     "keys/beside",
		contract: "Ordered groups have at most one unsettled delivery of each key, over all members.",
		rule:     "Ordered groups have at most one unsettled delivery of each key. Keys do not wait for each other.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			keys := keysOfPartitions()
			for _, key := range keys {
				l.put(key, "first of "+key, "second of "+key)
			}
			m := l.consume(ofOrdered(10))
			held := make(map[string]*transport.Delivery)
			for range keys {
				d := m.next()
				key := transport.KeyOf(d.Subject)
				if held[key] != nil || string(d.Body) != "first of "+key {
					s.Fatalf("key %s got %q", key, d.Body)
				}
				held[key] = d
			}
			m.idle()
			for key, d := range held {
				s.ack(d)
				s.ack(m.take("second of "+key, 1))
				m.idle()
			}
		},
	},
	{
		name:     "keys/of-one-partition",
		contract: "Keys do not wait for each other; see GroupConfig.Ordered.",
		rule:     "Keys that share a partition do not wait for each other.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			one, other := keysOfOnePartition()
			l.put(one, "0")
			l.put(other, "1")
			l.put(one, "2")
			l.put(other, "3")
			m := l.consume(ofOrdered(10))
			got := m.inAnyOrder(2)
			first := got["0"]
			if first == nil || got["1"] == nil {
				s.Fatalf("got %v, want the first message of each key", got)
			}
			s.terminate(got["1"])
			s.ack(m.take("3", 1))
			m.idle()
			s.ack(first)
			m.handles("2")
		},
	},
	{
		name:     "keys/held",
		contract: "at least MinHeld in each partition.",
		rule:     "MinHeld messages of a key that waits do not delay another key of its partition.",
		body: func(s *suite) {
			l := s.keyed(transport.MemoryStorage)
			one, other := keysOfOnePartition()
			a := s.appending(l)
			for _, body := range numbers(transport.MinHeld) {
				a.begin(s.message(one, body), transport.AppendOptions{})
			}
			a.results()
			l.put(other, "other")
			m := l.consume(ofOrdered(2))
			got := m.inAnyOrder(2)
			if got["0"] == nil || got["other"] == nil {
				s.Fatalf("got %v, want the first message of each key", got)
			}
			m.idle()
			s.ack(got["other"])
			s.ack(got["0"])
			s.ack(m.take("1", 1))
		},
	},
	{
		name:     "keys/nak-blocks-its-key",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "A message that waits for its redelivery blocks its key, and no other, also of its partition.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			keys := keysOfPartitions()
			_, other := keysOfOnePartition()
			l.put(keys[0], "0", "1")
			m := l.consume(ofOrdered(10))
			again := m.naksBeside(l, append(keys[1:], other), m.take("0", 1))
			m.idle()
			s.nak(again, 0)
			again = m.take("0", again.Attempt+1)
			m.idle()
			s.ack(again)
			m.handles("1")
		},
	},
	{
		name:     "keys/hand-back",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "A message that a member hands back comes before later messages of its key.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[1]
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
		name:     "keys/more-than-partitions",
		contract: "Keys do not wait for each other; see GroupConfig.Ordered.",
		rule:     "MaxInFlight bounds the keys with an unsettled delivery, and the number of partitions does not.",
		body: func(s *suite) {
			const keys, limit = 12 * partitions, 10 * partitions
			l := s.keyed(transport.MemoryStorage)
			for i := range keys {
				l.put(strconv.Itoa(i), strconv.Itoa(i))
			}
			m := l.consume(ofOrdered(limit))
			held := m.inAnyOrder(limit)
			m.idle()
			for _, d := range held {
				s.ack(d)
			}
			for _, d := range m.inAnyOrder(keys - limit) {
				s.ack(d)
			}
		},
	},
	{
		name:     "keys/attempts",
		contract: "An attempt is a delivery.",
		rule:     "A message that fails again and again comes each time before the next one of its key, with one more attempt.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[2]
			l.put(key, "0", "1")
			m := l.consume(ofOrdered(4))
			for attempt := 1; attempt <= 5; attempt++ {
				s.nak(m.take("0", attempt), 0)
			}
			s.ack(m.take("0", 6))
			m.handles("1")
		},
	},
	{
		name:     "keys/appended-meanwhile",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "Messages that are appended while an older one of their key waits for its redelivery come after it, in order.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[3]
			l.put(key, "0")
			m := l.consume(ofOrdered(4))
			s.nak(m.take("0", 1), aWhile)
			l.put(key, "1", "2")
			s.ack(m.take("0", 2))
			m.handles("1", "2")
		},
	},
	{
		name:     "keys/terminated",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "A terminated message is settled: its key goes on, and the message does not come again.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[0]
			l.put(key, "0", "1")
			m := l.consume(ofOrdered(4))
			s.nak(m.take("0", 1), 0)
			s.terminate(m.take("0", 2))
			m.handlesOnly(l, key, "1")
		},
	},
	{
		name:     "keys/released",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "A released message comes before later ones of its key, at the same attempt.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[1]
			l.put(key, "0", "1")
			m := l.consume(ofOrdered(4))
			s.nak(m.take("0", 1), 0)
			s.release(m.take("0", 2))
			s.ack(m.take("0", 2))
			m.handles("1")
		},
	},
	{
		name:     "keys/removed",
		contract: "Its key continues; with Partitions, perhaps not before the member that holds it settles it.",
		rule:     "The key of a removed message goes on once its holder has settled it.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key, other := keysOfOnePartition()
			l.put(key, "0", "1")
			m := l.consume(ofOrdered(4))
			held := m.take("0", 1)
			if err := l.Remove(s.patient(), held.Sequence); err != nil {
				s.Fatal(err)
			}
			l.put(other, "other")
			s.ack(held)
			for body, d := range m.inAnyOrder(2) {
				if body != "1" && body != "other" || d.Attempt != 1 {
					s.Errorf("got %q at attempt %d", body, d.Attempt)
				}
				s.ack(d)
			}
		},
	},
	{
		name:     "keys/keep-alive",
		contract: "Messages that a member holds, passed to h or fetched in advance, are not redelivered as long as the member lives.",
		rule:     "A message that is held for longer than the AckWait, and those that wait for it, are not redelivered, and other keys go on.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key, other := keysOfOnePartition()
			l.put(key, "0", "1", "2")
			c := ofOrdered(4)
			c.Group.AckWait = transport.MinAckWait
			m := l.consume(c)
			held := m.take("0", 1)
			s.pass(2 * transport.MinAckWait)
			l.put(other, "other")
			m.handles("other")
			m.idle()
			s.ack(held)
			m.handles("1", "2")
		},
	},
	{
		name:     "keys/start",
		contract: "Start is the position where a new group begins.",
		rule:     "An ordered group with a Start gets no older message of any key.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key, other := keysOfOnePartition()
			l.put(key, "0", "1")
			l.put(other, "2")
			l.put(key, "3")
			c := ofOrdered(4)
			c.Group.Start = transport.Start{Sequence: 2}
			m := l.consume(c)
			got := m.inAnyOrder(2)
			if got["1"] == nil || got["2"] == nil {
				s.Fatalf("got %v, want the first message of each key from sequence 2 on", got)
			}
			s.ack(got["1"], got["2"])
			m.handlesOnly(l, key, "3")
		},
	},
	{
		name:     "keys/state",
		contract: "with InFlight, the group's lag",
		rule:     "Messages that wait for others of their key belong to the lag of the group.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[0]
			l.put(key, "0", "1", "2")
			m := l.consume(ofOrdered(4))
			held := m.take("0", 1)
			s.eventually("the lag to be 3", func() bool { g := l.groupInfo("g"); return g.InFlight+g.Undelivered == 3 && g.InFlight > 0 })
			s.ack(held)
			m.handles("1", "2")
			s.eventually("the lag to be 0", func() bool { g := l.groupInfo("g"); return g.InFlight+g.Undelivered == 0 && g.Settled == 3 })
		},
	},
	{
		name:     "keys/not-ordered",
		contract: "Ordered groups have at most one unsettled delivery of each key, over all members.",
		rule:     "A group that is not Ordered gets several messages of a key at once, also from a log with Partitions.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			key := keysOfPartitions()[1]
			l.put(key, "0", "1", "2")
			m := l.consume(of("g", 3))
			s.ack(m.takes("0", "1", "2")...)
		},
	},
	{
		name: "keys/fencing-token",
		rule: "FencingToken increases with every delivery of a key, whichever member gets it.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			tokens := make(map[string]uint64)
			grows := func(d *transport.Delivery) {
				s.Helper()
				if d.FencingToken <= tokens[d.Subject] {
					s.Errorf("the fencing token of %q on %s is %d after %d", d.Body, d.Subject, d.FencingToken, tokens[d.Subject])
				}
				tokens[d.Subject] = d.FencingToken
			}
			for round := range 3 {
				m := l.consume(ofOrdered(10))
				for _, key := range keysOfPartitions() {
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
		name:     "partitions/subjects",
		contract: "Partitions, if not 0, gives messages keys, for groups that are Ordered",
		rule:     "Partitions affect only ordered groups: subjects, filters and conditions work as in any other log.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{
				Subjects: []string{s.subject("a.*"), s.subject("b.*.c.*")}, Partitions: partitions, MaxPerSubject: 3, Full: transport.DropOldest,
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
			if c := l.info().Config; c.Partitions != partitions || len(c.Subjects) != 2 || c.Subjects[0] != s.subject("a.*") {
				s.Errorf("the log is %+v", c)
			}
		},
	},
	{
		name:     "partitions/filter",
		contract: "Filter limits the group to subjects and patterns, which must not overlap.",
		rule:     "Filter limits an ordered group too, to subjects as they were appended.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b.*")}, Partitions: partitions})
			for _, key := range keysOfPartitions() {
				l.put("a."+key, "a "+key)
				l.put("b."+key, "b "+key)
			}
			keys := keysOfPartitions()
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
		name:     "partitions/plain-publish",
		contract: "the last token of a message's subject is its key.",
		rule:     "A message stored by a plain Publish also has a key.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
			keys := keysOfPartitions()
			for i, key := range keys {
				s.publish(key, strconv.Itoa(i))
			}
			s.eventually("all to be stored", func() bool { return l.info().Messages == uint64(len(keys)) })
			m := l.consume(ofOrdered(10))
			got := make(map[string]bool)
			for range keys { // all at once: they have different keys
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
		name:     "partitions/plain-publish-elsewhere",
		contract: "With Partitions this applies only to the first of them.",
		rule:     "A log with Partitions stores plain messages only under the first of its Subjects, and appended messages under all. A key spans all Subjects.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b.*")}, Partitions: partitions})
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
		name:     "partitions/interest",
		contract: "InterestRetention also removes a message that every group whose filter matches it has settled.",
		rule:     "InterestRetention removes messages that ordered groups have settled, of any key.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{
				Subjects: []string{s.subject("*")}, Partitions: partitions, Retention: transport.InterestRetention,
				Groups: []transport.GroupConfig{{Name: "g", Ordered: true}},
			})
			keys := keysOfPartitions()
			for _, key := range keys {
				l.put(key, key)
			}
			m := l.consume(ofOrdered(10))
			l.eventuallyIs("g", transport.GroupInfo{InFlight: partitions})
			for range keys {
				s.ack(m.next())
			}
			l.eventuallyHolds(0)
			l.eventuallyLags("g", 0)
		},
	},
	{
		name:     "partitions/deleted",
		contract: "If the group is deleted while it is consumed, the Receiver ends and c.OnEnd receives the reason.",
		rule:     "If an ordered group is deleted while it is consumed, the Receiver ends and OnEnd is called once.",
		body: func(s *suite) {
			l := s.keyed(transport.FileStorage)
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
		name:     "partitions/fixed",
		contract: "Partitions cannot be changed after creation.",
		rule:     "A change of Partitions after creation is FailedPrecondition. The error names the setting and both values.",
		body: func(s *suite) {
			c := transport.LogConfig{Subjects: []string{s.subject("*")}, Partitions: partitions}
			s.log(c)
			c.Partitions = 8
			s.log(c) // a sender accepts it unchanged
			c.Update = true
			_, err := s.open(c)
			s.wantFixed(err, "Partitions", [2]string{"4", "8"})
		},
	},
}

// oneKeyCases need no Partitions: all messages have the same key.
var oneKeyCases = []conformanceCase{
	{
		name: "ordered/one-key",
		rule: "In a log without Partitions all messages have the same key.",
		body: func(s *suite) {
			const n = 60
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			o := newOrder(s)
			for range 2 {
				l.handle(ofOrdered(8), func(d *transport.Delivery) {
					o.begin("", d)
					go o.end("", d)
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
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "In an ordered group of a log without Partitions, a message that waits for its redelivery blocks all later ones.",
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

// keyed opens a log with Partitions whose keys are the subjects of the case.
func (s *suite) keyed(storage transport.Storage) *log {
	s.Helper()
	return s.log(transport.LogConfig{Subjects: []string{s.subject("*")}, Partitions: partitions, Storage: storage})
}

// inAnyOrder returns the next n deliveries by their bodies.
func (m *member) inAnyOrder(n int) map[string]*transport.Delivery {
	m.s.Helper()
	got := make(map[string]*transport.Delivery)
	for range n {
		d := m.next()
		got[string(d.Body)] = d
	}
	return got
}

// ofOrdered returns the configuration of a member of the ordered group "g".
func ofOrdered(inFlight int) transport.ConsumeConfig {
	return transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g", Ordered: true}, MaxInFlight: inFlight}
}

// keysOfPartitions returns a key of each partition.
func keysOfPartitions() []string {
	keys := make([]string, partitions)
	for i, found := 0, 0; found < partitions; i++ {
		key := "key-" + strconv.Itoa(i)
		if partition := transport.PartitionOf(key, partitions); keys[partition] == "" {
			keys[partition] = key
			found++
		}
	}
	return keys
}

// keysOfOnePartition returns two keys that share a partition.
func keysOfOnePartition() (one, other string) {
	one = keysOfPartitions()[0]
	for i := 0; ; i++ {
		other = "other-" + strconv.Itoa(i)
		if transport.PartitionOf(other, partitions) == transport.PartitionOf(one, partitions) {
			return one, other
		}
	}
}

// order detects two concurrent deliveries of one key, and a delivery before that of an older
// message.
type order struct {
	s       *suite
	handled chan struct{}

	mu   sync.Mutex
	held map[string]string
	last map[string]uint64
}

func newOrder(s *suite) *order {
	return &order{s: s, handled: make(chan struct{}, 1000), held: make(map[string]string), last: make(map[string]uint64)}
}

func (o *order) begin(key string, d *transport.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if other, ok := o.held[key]; ok {
		o.s.Errorf("%q is delivered while %q is unsettled, of the key %s", d.Body, other, key)
	}
	if d.Sequence <= o.last[key] {
		o.s.Errorf("%q is delivered at %d, after %d", d.Body, d.Sequence, o.last[key])
	}
	o.held[key], o.last[key] = string(d.Body), d.Sequence
}

// end settles a delivery, after a moment in which another could come.
func (o *order) end(key string, d *transport.Delivery) {
	o.s.pass(time.Millisecond)
	o.mu.Lock()
	delete(o.held, key)
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
