package transporttest

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"gomono.dev/transport"
)

var openCases = []conformanceCase{
	{
		name:     "open/creates",
		contract: "Log opens the log that c describes, and creates it if it does not exist.",
		rule:     "Log opens the log, and creates it if it does not exist. Acknowledged messages are kept.",
		body: func(s *suite) {
			one := s.log(transport.LogConfig{})
			one.put("a", "0", "1")
			two := s.log(transport.LogConfig{})
			two.put("b", "2")
			one.holds("0", "1", "2")
			two.holds("0", "1", "2")
		},
	},
	{
		name:     "open/existing",
		contract: "Existing opens the log only if it exists. Otherwise Log returns NotFound.",
		rule:     "Existing opens the log only if it exists. Otherwise Log returns NotFound, and creates nothing.",
		body: func(s *suite) {
			for range 2 {
				_, err := s.open(transport.LogConfig{Existing: true})
				s.wantError(err, transport.NotFound, transport.OutcomeNotDone)
			}
			s.log(transport.LogConfig{}).put("a", "0")
			s.log(transport.LogConfig{Existing: true}).holds("0")
		},
	},
	{
		name:     "open/at-once",
		contract: "Every method of every type in this package may be called concurrently",
		rule:     "Every method may be called concurrently: several calls of Log create one log.",
		body: func(s *suite) {
			const n = 8
			c := transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}, Update: true}
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					l, err := s.open(c)
					if err == nil {
						err = l.eventuallyAppends("a", strconv.Itoa(i))
					}
					if err != nil {
						s.Error(err)
					}
				})
			}
			s.within("all to open the log", wg.Wait)
			l := s.log(c)
			if got := l.read(transport.ReadConfig{}); len(got) != n {
				s.Errorf("the log has %d messages, want %d", len(got), n)
			}
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 2 {
				s.Errorf("got groups %+v, %v, want g and h", groups, err)
			}
		},
	},
	{
		name:     "open/name",
		contract: `Name identifies the log: letters, digits, "-" and "_".`,
		rule:     "A log's name has 1 to 240 letters, digits, - and _.",
		body: func(s *suite) {
			long := s.root + "_" + strings.Repeat("Z", 239-len(s.root))
			l := s.log(transport.LogConfig{Name: long})
			l.put("a", "0")
			l.holds("0")
		},
	},
	{
		name:     "open/invalid",
		contract: "Validate returns an InvalidArgument for a configuration that no backend can implement. Package driver checks it in Log.",
		rule:     "Every backend calls LogConfig.Validate first in Log: an invalid configuration is InvalidArgument.",
		body: func(s *suite) {
			for _, change := range []func(*transport.LogConfig){
				func(c *transport.LogConfig) { c.Name = "a.b" },
				func(c *transport.LogConfig) { c.Name = "a b" },
				func(c *transport.LogConfig) { c.Name = strings.Repeat("a", 241) },
				func(c *transport.LogConfig) { c.Name += "__later" },
				func(c *transport.LogConfig) { c.Groups = []transport.GroupConfig{{Name: "g_partition_0"}} },
				func(c *transport.LogConfig) { c.Subjects = []string{} },
				func(c *transport.LogConfig) { c.Subjects = []string{s.subject("a..b")} },
				func(c *transport.LogConfig) { c.Subjects = []string{s.subject("*"), s.subject("b")} },
				func(c *transport.LogConfig) { c.MaxAge = time.Millisecond },
				func(c *transport.LogConfig) { c.DedupWindow = time.Millisecond },
				func(c *transport.LogConfig) { c.MaxAge, c.DedupWindow = time.Second, time.Minute },
				func(c *transport.LogConfig) { c.MaxDelayed = 1 },
				func(c *transport.LogConfig) { c.Description = strings.Repeat("a", 4097) },
				func(c *transport.LogConfig) { c.Partitions = 4 },
				func(c *transport.LogConfig) { c.Retention = 9 },
				func(c *transport.LogConfig) { c.Groups = []transport.GroupConfig{{Name: "a.b"}} },
				func(c *transport.LogConfig) { c.Groups = []transport.GroupConfig{{Name: "g"}, {Name: "g"}} },
				func(c *transport.LogConfig) {
					c.Groups = []transport.GroupConfig{{Name: "g", AckWait: time.Millisecond}}
				},
			} {
				c := s.described(transport.LogConfig{})
				change(&c)
				_, err := s.tr.Log(s.patient(), c)
				if err == nil {
					s.Errorf("Log takes %+v", c)
					continue
				}
				s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
			}
		},
	},
	{
		name: "open/subject-of-two",
		rule: "A subject must not belong to two logs.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b")}})
			for _, subjects := range [][]string{{s.subject("b")}, {s.subject("c"), s.subject("a.x")}, {s.subject("*.x")}, {s.subject(">")}} {
				_, err := s.open(transport.LogConfig{Name: s.root + "_2", Subjects: subjects})
				if err == nil {
					s.Fatalf("a second log has %q, where the first has %q", subjects, l.config.Subjects)
				}
				s.wantCode(err, transport.FailedPrecondition)
			}
			s.log(transport.LogConfig{Name: s.root + "_2", Subjects: []string{s.subject("a.*.*")}}).put("a.x.y", "1")
			l.put("a.x", "0")
			l.holds("0")
		},
	},
	{
		name:     "open/subjects",
		contract: "InvalidArgument for a message that cannot be carried or a subject that is not the log's",
		rule:     "Append: InvalidArgument for a subject that is not the log's.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*"), s.subject("b")}})
			for _, rest := range []string{"a", "a.x.y", "b.x", "c"} {
				l.refuses(rest, transport.AppendOptions{}, transport.InvalidArgument)
			}
			l.put("a.x", "0")
			l.put("b", "1")
			l.holds("0", "1")
		},
	},
	{
		name:     "open/info",
		contract: "sequence of the oldest message; Last+1 if there is none",
		rule:     "Info returns the state of the log: First is Last+1 if there is no message, Last the highest sequence ever assigned.",
		body: func(s *suite) {
			c := transport.LogConfig{
				MaxAge: time.Hour, MaxMessages: 10, MaxBytes: 100_000, MaxPerSubject: 5, Full: transport.DropOldest,
				DedupWindow: time.Minute, Generation: 7, Description: "for the conformance suite, größtenteils", Metadata: map[string]string{"owner": "conformance"},
				Retention: transport.LimitsRetention, Storage: transport.MemoryStorage,
			}
			l := s.log(c)
			if i := l.info(); i.First != 1 || i.Last != 0 || i.Messages != 0 || i.Bytes != 0 || i.Delayed != 0 {
				s.Errorf("a new log is %+v", i)
			}
			l.put("a", "0", "1", "2")
			i := l.info()
			if i.First != 1 || i.Last != 3 || i.Messages != 3 || i.Bytes == 0 {
				s.Errorf("a log of three messages is %+v", i)
			}
			is, want := i.Config, l.config
			if is.Name != want.Name || len(is.Subjects) != 1 || is.Subjects[0] != want.Subjects[0] || is.Retention != want.Retention || is.Storage != want.Storage {
				s.Errorf("it is %+v, want %+v", is, want)
			}
			if is.MaxAge != want.MaxAge || is.MaxMessages != want.MaxMessages || is.MaxBytes != want.MaxBytes || is.MaxPerSubject != want.MaxPerSubject || is.Full != want.Full {
				s.Errorf("its bounds are %+v, want %+v", is, want)
			}
			if is.DedupWindow != want.DedupWindow || is.Generation != want.Generation || is.Metadata["owner"] != "conformance" || is.Description != want.Description {
				s.Errorf("it is %+v, want %+v", is, want)
			}
			if err := l.Remove(s.patient(), 1); err != nil {
				s.Fatal(err)
			}
			if i := l.info(); i.First != 2 || i.Last != 3 || i.Messages != 2 {
				s.Errorf("without its first message, the log is %+v", i)
			}
			if _, err := l.Purge(s.patient(), transport.PurgeConfig{}); err != nil {
				s.Fatal(err)
			}
			if i := l.info(); i.First != 4 || i.Last != 3 || i.Messages != 0 || i.Bytes != 0 {
				s.Errorf("purged, the log is %+v", i)
			}
		},
	},
}

var sequenceCases = []conformanceCase{
	{
		name:     "sequence/consecutive",
		contract: "A stored message gets a sequence, one higher than any before it in this log. Sequences begin at 1",
		rule:     "A stored message gets a sequence, one higher than any before it in this log. Sequences begin at 1.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			for want := range uint64(20) {
				subject := strconv.FormatUint(want%3, 10)
				if at := l.add(subject, "x", transport.AppendOptions{}); at.Sequence != want+1 || at.Duplicate {
					s.Fatalf("got %+v, want sequence %d", at, want+1)
				}
			}
			for i, d := range l.read(transport.ReadConfig{}) {
				if d.Sequence != uint64(i)+1 {
					s.Fatalf("message %d has sequence %d", i, d.Sequence)
				}
			}
		},
	},
	{
		name:     "sequence/refused",
		contract: "A rejected Append uses none.",
		rule:     "A rejected Append uses no sequence, and neither does a duplicate.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxPerSubject: 1})
			l.add("a", "0", transport.AppendOptions{ID: "id"})
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			l.refuses("b", transport.AppendOptions{Expect: &transport.Expectation{Sequence: 9}}, transport.Aborted)
			l.refuses("b", transport.AppendOptions{TTL: time.Millisecond}, transport.InvalidArgument)
			l.add("b", "again", transport.AppendOptions{ID: "id"})
			if at := l.add("b", "1", transport.AppendOptions{}); at.Sequence != 2 {
				s.Errorf("got sequence %d after a rejected append, want 2", at.Sequence)
			}
			l.holds("0", "1")
		},
	},
	{
		name:     "sequence/never-back",
		contract: "Sequences begin at 1, are never reused, and never go back, whatever is removed.",
		rule:     "Sequences are never reused, and never go back, whatever is removed.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxMessages: 2, Full: transport.DropOldest})
			l.put("a", "0", "1", "2", "3")
			if err := l.Remove(s.patient(), 4); err != nil {
				s.Fatal(err)
			}
			if at := l.add("a", "4", transport.AppendOptions{}); at.Sequence != 5 {
				s.Errorf("got %d after the last was removed, want 5", at.Sequence)
			}
			if _, err := l.Purge(s.patient(), transport.PurgeConfig{}); err != nil {
				s.Fatal(err)
			}
			l = s.log(transport.LogConfig{})
			if at := l.add("a", "5", transport.AppendOptions{}); at.Sequence != 6 {
				s.Errorf("got %d after all were removed, want 6", at.Sequence)
			}
		},
	},
}

// eventuallyAppends appends to a log that another Transport may have just created: the
// server of this Transport in a cluster may not know it yet.
func (l *log) eventuallyAppends(rest, body string) error {
	for begun := time.Now(); ; l.s.pass(20 * time.Millisecond) {
		_, err := l.Append(l.s.Context(), l.s.message(rest, body), transport.AppendOptions{})
		e, ok := errors.AsType[*transport.Error](err)
		if !ok || e.Code != transport.Unavailable || e.Outcome != transport.OutcomeNotDone || time.Since(begun) > patience {
			return err
		}
	}
}
