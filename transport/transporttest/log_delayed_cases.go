package transporttest

import (
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

var delayedCases = []conformanceCase{
	{
		name: "delayed/arrives",
		seam: "NotBefore delays delivery.",
		rule: "NotBefore delays delivery. The message takes its sequence when its time has come, and is never delivered before.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{})
			m := s.message("a", "later")
			m.Header = transport.Header{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}
			at := time.Now().Add(aWhile)
			appended, err := l.Append(s.patient(), m, transport.AppendOptions{NotBefore: at, ID: "the id"})
			if err != nil || appended != (transport.Appended{}) {
				s.Fatalf("Append returns %+v, %v, want sequence 0", appended, err)
			}
			worker := l.consume(of("g", 1))
			l.put("a", "now")
			worker.handles("now")
			d := worker.next()
			s.wantMessage(d, m)
			if d.ID != "the id" || d.Sequence != 2 || d.Attempt != 1 || d.Stored.Before(at) {
				s.Errorf("got %+v, want sequence 2, stored at %v or later", d, at)
			}
			s.ack(d)
			worker.handlesOnly(l, "a")
		},
	},
	{
		name: "delayed/past",
		seam: "A time in the past is now.",
		rule: "A NotBefore in the past is now.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{})
			m := l.consume(of("g", 1))
			for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Unix(1, 0), time.Now()} {
				l.add("a", at.String(), transport.AppendOptions{NotBefore: at})
				m.handles(at.String())
			}
		},
	},
	{
		name: "delayed/order",
		seam: "A message is never delivered before its NotBefore",
		rule: "NotBefore delays delivery, of each message to its own time.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{})
			now := time.Now()
			for _, body := range []string{"2", "0", "1"} {
				l.add("a", body, transport.AppendOptions{NotBefore: now.Add(aWhile * time.Duration(1+body[0]-'0'))})
			}
			m := l.consume(of("g", 1))
			for i, body := range numbers(3) {
				d := m.take(body, 1)
				if at := now.Add(aWhile * time.Duration(1+i)); d.Stored.Before(at) {
					s.Errorf("%s was stored at %v, want %v or later", body, d.Stored, at)
				}
				s.ack(d)
			}
		},
	},
	{
		name: "delayed/info",
		seam: "waiting for their NotBefore",
		rule: "Delayed is how many messages wait for their NotBefore: they are not among the others, nor owed to a group, yet.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{})
			l.add("a", "0", transport.AppendOptions{NotBefore: time.Now().Add(aWhile)})
			l.add("a", "1", transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)})
			if i := l.info(); i.Delayed == 0 || i.Delayed > 2 || i.Messages > 1 {
				s.Errorf("the log is %+v, want 2 that wait", i)
			}
			s.eventually("the first to be stored, and the other to wait", func() bool {
				i := l.info()
				return i.Messages == 1 && i.Delayed == 1
			})
			l.holds("0")
		},
	},
	{
		name: "delayed/dedup",
		seam: "DedupWindow is how long ids are remembered, those of delayed messages apart from those of others.",
		rule: "Ids are remembered of delayed messages too, apart from those of others: a second Append stores nothing.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{})
			at := time.Now().Add(aWhile)
			o := transport.AppendOptions{NotBefore: at, ID: "x"}
			if first := l.add("a", "0", o); first != (transport.Appended{}) {
				s.Errorf("the first is %+v", first)
			}
			if second := l.add("a", "again", o); second != (transport.Appended{Duplicate: true}) {
				s.Errorf("the second is %+v", second)
			}
			l.appends("a", "at once", "x", transport.Appended{Sequence: 1})
			m := l.consume(of("g", 1))
			m.handles("at once", "0")
			o.NotBefore = at.Add(aWhile)
			if third := l.add("a", "again", o); third != (transport.Appended{Duplicate: true}) {
				s.Errorf("the third is %+v", third)
			}
			s.pass(2 * aWhile)
			m.handlesOnly(l, "a")
		},
	},
	{
		name: "delayed/max",
		seam: "MaxDelayed, if not 0, bounds how many messages may wait for their time; more are ResourceExhausted.",
		rule: "MaxDelayed bounds how many messages may wait for their time; more are ResourceExhausted.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{MaxDelayed: 2})
			later := transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)}
			l.add("a", "0", transport.AppendOptions{NotBefore: time.Now().Add(aWhile)})
			l.add("a", "1", later)
			l.consume(of("g", 1)).handles("0")
			s.eventually("the first not to wait any more", func() bool { return l.info().Delayed == 1 })
			l.add("a", "2", later)
			l.refuses("a", later, transport.ResourceExhausted)
			l.put("a", "at once") // those are not counted
			if i := l.info(); i.Delayed != 2 {
				s.Errorf("the log is %+v, want 2 that wait", i)
			}
		},
	},
	{
		name: "delayed/full",
		seam: "Nothing stored is dropped to make room unless the log was told to (Full).",
		rule: "Nothing stored is dropped to make room: a delayed message whose time comes while a log is full that refuses arrives when there is room.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{MaxMessages: 2})
			l.add("a", "2", transport.AppendOptions{NotBefore: time.Now().Add(aWhile)})
			l.put("a", "0", "1")
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			s.pass(2 * aWhile)
			l.holds("0", "1")
			m := l.consume(of("g", 1))
			m.handles("0", "1", "2")
			l.eventuallyHolds(0)
		},
	},
	{
		name: "delayed/many",
		seam: "The message takes its sequence when its time has come.",
		rule: "NotBefore delays delivery: of many at once, none is lost, and none comes twice.",
		body: func(s *suite) {
			const n = 100
			l := s.delayed(transport.LogConfig{Storage: transport.MemoryStorage})
			a := s.appending(l)
			at := time.Now().Add(aWhile)
			for _, body := range numbers(n) {
				a.begin(s.message("a", body), transport.AppendOptions{NotBefore: at, ID: body})
			}
			for i, r := range a.results() {
				if r.err != nil {
					s.Fatalf("append %d: %v", i, r.err)
				}
			}
			m := l.consume(of("g", 10))
			seen := make(map[string]bool)
			for range n {
				d := m.next()
				if seen[string(d.Body)] || d.ID != string(d.Body) || d.Stored.Before(at) {
					s.Errorf("got %+v, seen before: %t", d, seen[string(d.Body)])
				}
				seen[string(d.Body)] = true
				s.ack(d)
			}
			m.handlesOnly(l, "a")
		},
	},
	{
		name: "delayed/invalid",
		seam: "options that do not go with a log of this configuration",
		rule: "NotBefore goes with neither Expect nor TTL: its position is not known before its time. InvalidArgument.",
		body: func(s *suite) {
			l := s.delayed(transport.LogConfig{})
			later := time.Now().Add(time.Hour)
			l.refuses("a", transport.AppendOptions{NotBefore: later, TTL: time.Hour}, transport.InvalidArgument)
			l.refuses("a", transport.AppendOptions{NotBefore: later, Expect: &transport.Expectation{}}, transport.InvalidArgument)
			if i := l.info(); i.Delayed != 0 {
				s.Errorf("the log is %+v", i)
			}
		},
	},
	{
		name:    "delayed/lanes",
		seam:    "The message takes its sequence when its time has come.",
		rule:    "A delayed message takes its place in its lane, and its subject is the one that was appended.",
		missing: laned,
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b.*")}, Lanes: lanes, Delays: true})
			keys := keysOfLanes()
			l.put("a."+keys[0], "0")
			at := time.Now().Add(aWhile)
			for _, key := range keys {
				l.add("a."+key, "delayed", transport.AppendOptions{NotBefore: at})
				l.add("b."+key, "delayed", transport.AppendOptions{NotBefore: at.Add(aWhile)})
			}
			m := l.consume(ofOrdered(10))
			got := make(map[string][]string) // by key
			for range 1 + 2*len(keys) {
				d := m.next()
				prefix, key, _ := strings.Cut(strings.TrimPrefix(d.Subject, s.subject("")), ".")
				got[key] = append(got[key], prefix+" "+string(d.Body))
				s.ack(d)
			}
			for i, key := range keys {
				want := []string{"a 0", "a delayed", "b delayed"}[min(i, 1):]
				if !slices.Equal(got[key], want) {
					s.Errorf("of key %s came %q, want %q", key, got[key], want)
				}
			}
		},
	},
}

func laned(has transport.Capabilities) string {
	if !has.Lanes {
		return "Lanes"
	}
	return ""
}

// delayed opens a queue in which messages can wait for their time.
func (s *suite) delayed(c transport.LogConfig) *log {
	s.Helper()
	c.Retention, c.Delays = transport.InterestRetention, true
	c.Groups = []transport.GroupConfig{{Name: "g"}}
	return s.log(c)
}
