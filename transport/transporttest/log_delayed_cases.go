package transporttest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

var delayedCases = []conformanceCase{
	{
		name:     "delayed/arrives",
		contract: "NotBefore delays delivery.",
		rule:     "NotBefore delays delivery. The message gets its sequence when it is due, and is never delivered before.",
		body: func(s *suite) {
			var m *transport.Message
			l, at := s.inTime(s.delayedLog(transport.LogConfig{}), func(l *log, at time.Time) error {
				m = s.message("a", "later")
				m.Header = transport.Header{{Name: "A", Value: "1"}, {Name: "A", Value: "2"}}
				appended, err := l.Append(s.patient(), m, transport.AppendOptions{NotBefore: at, ID: "the id"})
				if err != nil || appended != (transport.Appended{}) {
					return fmt.Errorf("it returns %+v, %v, want sequence 0", appended, err)
				}
				return l.tries("a", "now", transport.AppendOptions{})
			})
			worker := l.consume(of("g", 1))
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
		name:     "delayed/past",
		contract: "A time in the past means no delay.",
		rule:     "A NotBefore in the past means no delay.",
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
		name:     "delayed/order",
		contract: "A message is never delivered before its NotBefore",
		rule:     "NotBefore delays the delivery of each message separately.",
		body: func(s *suite) {
			l, first := s.inTime(s.delayedLog(transport.LogConfig{}), func(l *log, at time.Time) (err error) {
				for _, body := range []string{"2", "0", "1"} {
					after := aWhile * time.Duration(body[0]-'0')
					err = errors.Join(err, l.tries("a", body, transport.AppendOptions{NotBefore: at.Add(after)}))
				}
				return err
			})
			m := l.consume(of("g", 1))
			for i, body := range numbers(3) {
				d := m.take(body, 1)
				if at := first.Add(aWhile * time.Duration(i)); d.Stored.Before(at) {
					s.Errorf("%s was stored at %v, want %v or later", body, d.Stored, at)
				}
				s.ack(d)
			}
		},
	},
	{
		name:     "delayed/info",
		contract: "waiting for their NotBefore",
		rule:     "Delayed is the number of messages that wait for their NotBefore. They do not count as stored or undelivered yet.",
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
		name:     "delayed/dedup",
		contract: "Ids of delayed messages are remembered separately from others.",
		rule:     "Ids of delayed messages are remembered separately from others: a second Append stores nothing.",
		body: func(s *suite) {
			l, at := s.inTime(s.delayedLog(transport.LogConfig{}), func(l *log, at time.Time) error {
				for _, c := range []struct {
					body      string
					notBefore time.Time
					want      transport.Appended
				}{
					{"0", at, transport.Appended{}},
					{"again", at, transport.Appended{Duplicate: true}},
					{"at once", time.Time{}, transport.Appended{Sequence: 1}},
				} {
					got, err := l.Append(s.patient(), s.message("a", c.body), transport.AppendOptions{NotBefore: c.notBefore, ID: "x"})
					if err != nil || got != c.want {
						return fmt.Errorf("appending %q returns %+v, %v, want %+v", c.body, got, err, c.want)
					}
				}
				return nil
			})
			m := l.consume(of("g", 1))
			m.handles("at once", "0")
			third := l.add("a", "again", transport.AppendOptions{NotBefore: at.Add(aWhile), ID: "x"})
			if third != (transport.Appended{Duplicate: true}) {
				s.Errorf("the third is %+v", third)
			}
			s.pass(2 * aWhile)
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "delayed/max",
		contract: "MaxDelayed, if not 0, limits the number of messages that wait for their time. Further messages are ResourceExhausted.",
		rule:     "MaxDelayed limits the number of messages that wait for their time. Further messages are ResourceExhausted.",
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
		name:     "delayed/full",
		contract: "No stored message is dropped to make room unless the log is configured to do so (Full).",
		rule:     "A delayed message that becomes due while the log is full and refuses messages arrives when there is room.",
		body: func(s *suite) {
			l, at := s.inTime(s.delayedLog(transport.LogConfig{MaxMessages: 2}), func(l *log, at time.Time) error {
				return errors.Join(l.tries("a", "2", transport.AppendOptions{NotBefore: at}),
					l.tries("a", "0", transport.AppendOptions{}), l.tries("a", "1", transport.AppendOptions{}))
			})
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			s.pass(time.Until(at) + aWhile)
			l.holds("0", "1")
			m := l.consume(of("g", 1))
			m.handles("0", "1", "2")
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "delayed/many",
		contract: "The message gets its sequence when it is due.",
		rule:     "Of many delayed messages that are due at once, none is lost and none is delivered twice.",
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
		name:     "delayed/invalid",
		contract: "options that a log of this configuration does not support",
		rule:     "NotBefore combined with Expect or TTL is InvalidArgument: the position of the message is not known before its time.",
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
		name:     "delayed/partitions",
		contract: "The message gets its sequence when it is due.",
		rule:     "A delayed message gets a place in its key, and keeps its subject.",
		missing:  partitioned,
		body: func(s *suite) {
			keys := keysOfPartitions()
			l, _ := s.inTime(func() *log {
				return s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b.*")}, Partitions: partitions, Delays: true})
			}, func(l *log, at time.Time) error {
				err := l.tries("a."+keys[0], "0", transport.AppendOptions{})
				for _, key := range keys {
					err = errors.Join(err, l.tries("a."+key, "delayed", transport.AppendOptions{NotBefore: at}),
						l.tries("b."+key, "delayed", transport.AppendOptions{NotBefore: at.Add(aWhile)}))
				}
				return err
			})
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
					s.Errorf("key %s: got %q, want %q", key, got[key], want)
				}
			}
		},
	},
}

func partitioned(has transport.Capabilities) string {
	if !has.Partitions {
		return "Partitions"
	}
	return ""
}

// delayed opens a queue that supports delayed messages.
func (s *suite) delayed(c transport.LogConfig) *log {
	s.Helper()
	c.Retention, c.Delays = transport.InterestRetention, true
	c.Groups = []transport.GroupConfig{{Name: "g"}}
	return s.log(c)
}

func (s *suite) delayedLog(c transport.LogConfig) func() *log {
	return func() *log { return s.delayed(c) }
}

// inTime runs f, which must finish before a time that is soon, or later if f takes
// longer: each time with a new log. The result of f counts when it finished in time.
func (s *suite) inTime(open func() *log, f func(*log, time.Time) error) (*log, time.Time) {
	s.Helper()
	for delay := aWhile; ; delay *= 4 {
		l := open()
		at := time.Now().Add(delay)
		err := f(l, at)
		switch inTime := time.Now().Before(at); {
		case inTime && err == nil:
			return l, at
		case inTime || delay > patience:
			s.Fatalf("within %v: %v", delay, err)
		}
		s.root = newRoot()
	}
}

// tries appends a message, and returns the error.
func (l *log) tries(rest, body string, o transport.AppendOptions) error {
	_, err := l.Append(l.s.patient(), l.s.message(rest, body), o)
	return err
}
