package transporttest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gomono.dev/transport"
)

var disconnectedLogCases = []conformanceCase{
	{
		name:     "log/unavailable",
		contract: "Unavailable if the backend cannot be reached, with OutcomeNotDone if the message was not sent",
		rule:     "While disconnected, every method of a Log returns Unavailable, and nothing is stored or removed.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			l.put("a", "0")
			s.cut()
			_, err := l.Append(s.patient(), s.message("a", "away"), transport.AppendOptions{ID: "away"})
			s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			results := make(chan error, 1)
			if err := l.AppendAsync(s.patient(), s.message("a", "away"), transport.AppendOptions{}, func(_ transport.Appended, err error) { results <- err }); err != nil {
				results <- err
			}
			s.wantError(await(s, results, "the result"), transport.Unavailable, transport.OutcomeNotDone)
			ctx := s.patient()
			for what, do := range map[string]func() error{
				"Log": func() error { _, err := s.tr.Log(ctx, s.described(transport.LogConfig{})); return err },
				"Consume": func() error {
					_, err := l.Consume(ctx, of("h", 1), transport.Serial(func(*transport.Delivery) {}))
					return err
				},
				"Remove":      func() error { return l.Remove(ctx, 1) },
				"Purge":       func() error { _, err := l.Purge(ctx, transport.PurgeConfig{}); return err },
				"Info":        func() error { _, err := l.Info(ctx); return err },
				"Groups":      func() error { _, err := l.Groups(ctx); return err },
				"DeleteGroup": func() error { return l.DeleteGroup(ctx, "g") },
				"PauseGroup":  func() error { return l.PauseGroup(ctx, "g", time.Now().Add(time.Hour)) },
				"Read": func() (last error) {
					for _, err := range l.Read(ctx, transport.ReadConfig{}) {
						last = err
					}
					return last
				},
			} {
				if err := do(); transport.CodeOf(err) != transport.Unavailable {
					s.Errorf("%s returns %v, want %s", what, err, transport.Unavailable)
				}
			}
			s.mend()
			l.holds("0")
			if groups, err := l.Groups(s.patient()); err != nil || len(groups) != 1 {
				s.Errorf("got groups %+v, %v, want g", groups, err)
			}
		},
	},
	{
		name:     "log/goes-on",
		contract: "A lost connection does not end it: deliveries continue after the reconnect.",
		rule:     "A member gets messages stored while it was disconnected, first deliveries in order. A delivery sent to the lost connection comes again after the AckWait.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			m := l.consume(transport.ConsumeConfig{Group: group})
			for round := range 3 {
				for i := range 5 {
					o.put("a", fmt.Sprint(round, " ", i))
				}
				m.getsInOrder(5*2*round, 5)
				s.settle() // the backend has the settlements
				s.cut()
				for i := range 5 {
					o.put("a", fmt.Sprint(round, " away ", i))
				}
				s.mend()
				m.getsInOrder(5*(2*round+1), 5)
			}
			l.eventuallyIs("g", transport.GroupInfo{Settled: 30})
			if len(m.ended) > 0 {
				s.Errorf("OnEnd was called with %v", <-m.ended)
			}
		},
	},
	{
		name:     "log/held",
		contract: "Messages that a member holds, passed to h or fetched in advance, are not redelivered as long as the member lives.",
		rule:     "A member that is disconnected for less than the AckWait keeps its delivery: it goes to no other member, and can be settled.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g", AckWait: time.Minute}}})
			o := s.another().log(l.config)
			m := l.consume(transport.ConsumeConfig{Group: l.config.Groups[0], MaxInFlight: 2})
			l.put("a", "0", "1")
			held := m.takes("0", "1")
			s.cut()
			other := o.consume(transport.ConsumeConfig{Group: l.config.Groups[0], MaxInFlight: 2})
			o.put("a", "2")
			other.goesOn("2")
			s.mend()
			s.ack(held...)
			s.drainMember(m)
			l.eventuallyHolds(0)
			other.handlesOnly(o, "b")
		},
	},
	{
		name:     "log/settled-while-away",
		contract: "Unavailable, while disconnected, means that the message will be delivered again; for the member it counts as settled.",
		rule:     "A settlement that fails while disconnected makes room at the member, and the message comes again.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{group}})
			l.put("a", "0", "1")
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			held := m.takes("0", "1")
			s.cut()
			s.wantCode(held[0].Ack(s.patient()), transport.Unavailable)
			s.wantCode(held[1].Nak(s.patient(), 0), transport.Unavailable)
			s.wantError(held[0].Ack(s.patient()), transport.FailedPrecondition, transport.OutcomeNotDone)
			s.mend()
			m.gets(2, "0", "1")
			m.handlesOnly(l, "a")
		},
	},
	{
		name:     "log/member-dies",
		contract: "When it dies, others get them after the group's AckWait.",
		rule:     "If a member does not reconnect, its messages go to others, and its deliveries count as attempts.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			l.put("a", "0", "1", "2")
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			held := m.takes("0", "1")
			begun := time.Now()
			s.cut()
			other := o.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 3})
			got := make(map[string]int)
			for range 3 {
				d := other.next()
				got[string(d.Body)] = d.Attempt
				o.s.ack(d)
			}
			if took := time.Since(begun); took < transport.MinAckWait/2 {
				s.Errorf("they came after %v, but the AckWait is %v", took, transport.MinAckWait)
			}
			if got["0"] < 2 || got["1"] < 2 || got["2"] < 1 {
				s.Errorf("got attempts %v, want a second one of 0 and 1", got)
			}
			for _, d := range held {
				s.wantCode(d.Ack(s.patient()), transport.Unavailable)
			}
			other.handlesOnly(o, "a")
		},
	},
	{
		name:     "log/late",
		contract: "A settlement counts even if it comes after the AckWait, or while the message is being delivered again.",
		rule:     "A member that was presumed dead and reconnects can settle its message, which does not come again.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			l.put("a", "0")
			m := l.consume(transport.ConsumeConfig{Group: group})
			held := m.take("0", 1)
			s.cut()
			other := o.consume(transport.ConsumeConfig{Group: group})
			again := other.again("0")
			s.mend()
			s.ack(held)
			s.drainMember(m)
			l.eventuallyHolds(0)
			_ = again.Nak(s.patient(), 0) // of a settled message: it has no effect, whatever it returns
			other.handlesOnly(o, "b")
		},
	},
	{
		name:     "log/append-waiting",
		contract: "After the latter a second Append with the same id stores it once.",
		rule:     "Each append in progress when the connection is lost gets a result. Repeating the failed ones stores each message once.",
		body: func(s *suite) {
			const n = 2000
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			o := s.another().log(l.config)
			type result struct {
				body string
				err  error
			}
			results := make(chan result, 2*n)
			begun := make(chan struct{}, n)
			go func() {
				for _, body := range numbers(n) {
					begun <- struct{}{}
					err := l.AppendAsync(s.Context(), s.message("a", body), transport.AppendOptions{ID: body}, func(_ transport.Appended, err error) { results <- result{body, err} })
					if err != nil {
						results <- result{body, err}
					}
				}
			}()
			for range n / 4 {
				await(s, begun, "appends")
			}
			s.cut()
			count := make(map[string]int)
			var failed []string
			for range n {
				r := await(s, results, "a result")
				count[r.body]++
				if r.err != nil {
					s.wantCode(r.err, transport.Unavailable)
					failed = append(failed, r.body)
				}
			}
			if len(count) != n {
				s.Errorf("%d appends have a result, want %d", len(count), n)
			}
			s.mend()
			for _, body := range failed {
				l.add("a", body, transport.AppendOptions{ID: body})
			}
			stored := make(map[string]int)
			for _, body := range bodiesOf(o.read(transport.ReadConfig{})) {
				stored[body]++
			}
			for _, body := range numbers(n) {
				if stored[body] != 1 {
					s.Errorf("%s is stored %d times", body, stored[body])
				}
			}
			if len(results) > 0 {
				s.Error("an append has a second result")
			}
		},
	},
	{
		name:     "log/follow",
		contract: "It ends at the last message that was stored when it began, or, with r.Follow, when ctx ends.",
		rule:     "A Read with Follow continues after a reconnect: it misses nothing, and yields nothing twice.",
		body: func(s *suite) {
			o := s.another()
			for _, start := range []transport.Start{{}, {New: true}, {LastPerSubject: true}} {
				for _, retention := range []transport.Retention{transport.LimitsRetention, transport.InterestRetention} {
					name := fmt.Sprintf("%s-%t-%t", retention, start.New, start.LastPerSubject)
					l := s.log(transport.LogConfig{
						Name: s.root + "-" + name, Subjects: []string{s.subject(name)}, Retention: retention, Groups: []transport.GroupConfig{{Name: "g"}},
					})
					s.follows(l, o.log(l.config), start)
				}
			}
		},
	},
	{
		name:     "log/deleted-while-away",
		contract: "If the group is deleted while it is consumed, the Receiver ends and c.OnEnd receives the reason.",
		rule:     "A member learns after a reconnect that its group was deleted while it was disconnected.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			o := s.another().log(l.config)
			s.cut()
			if err := o.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			s.mend()
			s.wantCode(await(s, m.ended, "OnEnd"), transport.NotFound)
		},
	},
	{
		name:     "log/recreated-while-away",
		contract: recreates,
		rule:     "A group of LogConfig.Groups that is deleted during a loss of the connection is recreated after it.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{{Name: "g"}}})
			m := l.consume(of("g", 1))
			o := s.another().log(transport.LogConfig{Retention: transport.InterestRetention})
			s.cut()
			if err := o.DeleteGroup(s.patient(), "g"); err != nil {
				s.Fatal(err)
			}
			s.mend()
			l.eventuallyStores("a")
			s.wantCode(await(s, m.ended, "OnEnd"), transport.NotFound)
			l.put("a", "0")
			l.consume(of("g", 1)).handlesBeside([]string{probeBody}, "0")
		},
	},
	{
		name:     "log/drain-while-away",
		contract: "waits until those passed to h are settled, and until the backend has the settlements.",
		rule:     "If a member loses its connection while it drains, messages that it could not settle or hand back go to others.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Retention: transport.InterestRetention, Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			l.put("a", numbers(5)...)
			held := m.takes("0", "1")
			s.cut()
			drained := make(chan error, 1)
			ctx := s.patient()
			go func() { drained <- m.Drain(ctx) }()
			for _, d := range held {
				_ = d.Ack(s.patient())
			}
			s.mend()
			await(s, drained, "Drain") // nil, or an error that the backend does not have the settlements
			other := o.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 5})
			for seen := make(map[string]bool); len(seen) < 5; {
				d := other.next()
				seen[string(d.Body)] = true
				o.s.ack(d)
			}
			l.eventuallyHolds(0)
		},
	},
	{
		name:     "log/close-while-away",
		contract: "Close closes every subscription as [Receiver.Close] does",
		rule:     "A Transport can be closed while disconnected: messages that its members held go to others after the AckWait.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			l.put("a", "0", "1")
			l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2}).takes("0", "1")
			s.cut()
			s.within("Close", func() { _ = s.tr.Close(s.patient()) })
			other := o.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			other.gets(2, "0", "1")
			other.handlesOnly(o, "a")
		},
	},
	{
		name:     "log/dedup",
		contract: "A second Append with an id that was appended within the DedupWindow stores nothing",
		rule:     "An id is remembered across connections.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			at := l.add("a", "0", transport.AppendOptions{ID: "0"})
			s.cut()
			s.mend()
			if again := l.add("a", "0", transport.AppendOptions{ID: "0"}); !again.Duplicate || again.Sequence != at.Sequence {
				s.Errorf("got %+v, want a duplicate of %d", again, at.Sequence)
			}
			l.holds("0")
		},
	},
	{
		name:     "log/expect",
		contract: "Aborted if o.Expect does not hold",
		rule:     "An Expectation applies to the current log, including messages appended by others while disconnected.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			o := s.another().log(l.config)
			at := l.add("a", "0", transport.AppendOptions{})
			s.cut()
			o.put("a", "1")
			s.mend()
			l.refuses("a", transport.AppendOptions{Expect: &transport.Expectation{Sequence: at.Sequence}}, transport.Aborted)
			l.add("a", "2", transport.AppendOptions{Expect: &transport.Expectation{Sequence: at.Sequence + 1}})
			l.holds("0", "1", "2")
		},
	},
	{
		name:     "log/config",
		contract: "Without it a missing log or group is created, and an existing one stays unchanged.",
		rule:     "A Log that was opened before the connection was lost uses the current configuration afterwards.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			l.put("a", "0")
			o := s.another()
			s.cut()
			changed := l.config
			changed.MaxMessages, changed.Update = 2, true
			o.log(changed)
			s.mend()
			l.put("a", "1")
			l.refuses("a", transport.AppendOptions{}, transport.ResourceExhausted)
			if got := l.info().Config.MaxMessages; got != 2 {
				s.Errorf("MaxMessages is %d, want 2", got)
			}
		},
	},
}

var disconnectedPartitionCases = []conformanceCase{
	{
		name:     "partitions/take-over",
		contract: "FencingToken increases with every delivery of a key, whichever member gets it.",
		rule:     "When a member dies, its keys continue in order at another member, with a higher FencingToken.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait, Ordered: true}
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("*")}, Partitions: 4, Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			l.put("a", "0", "1", "2")
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 4})
			held := m.take("0", 1)
			s.cut()
			other := o.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 4})
			again := other.again("0")
			if again.FencingToken <= held.FencingToken {
				s.Errorf("the fencing token is %d, and was %d at the member that died", again.FencingToken, held.FencingToken)
			}
			other.idle()
			o.s.ack(again)
			other.goesOn("1", "2")
		},
	},
	{
		name: "partitions/dead-beside", contract: "Keys do not wait for each other; see GroupConfig.Ordered.",
		rule: "Keys that a dead member does not hold go on at another before those that it holds.",
		body: func(s *suite) {
			const wait = 8 * transport.MinAckWait
			l, o, group := s.ordered(wait)
			key, other := keysOfOnePartition()
			l.put(key, "0", "1")
			begun := time.Now()
			l.consume(group(4)).take("0", 1)
			s.cut()
			o.put(other, "other")
			m := o.consume(group(4))
			d := m.next()
			if time.Since(begun) >= wait && string(d.Body) == "0" {
				s.Logf("the machine was too slow: the AckWait of %v was over first", wait)
				o.s.ack(d)
				m.next()
				m.next()
				return
			}
			if string(d.Body) != "other" {
				s.Fatalf("group g got %q after %v, want the other key first", d.Body, time.Since(begun))
			}
			o.s.ack(d)
			o.s.ack(m.again("0"))
			m.goesOn("1")
		},
	},
	{
		name: "partitions/dead-waiting", contract: inOrderOfKey,
		rule: "A message that waited for its redelivery at a member that died comes before later ones of its key.",
		body: func(s *suite) {
			l, o, group := s.ordered(transport.MinAckWait)
			key := keysOfPartitions()[2]
			l.put(key, "0", "1", "2")
			s.nak(l.consume(group(4)).take("0", 1), 10*aWhile)
			s.cut()
			m := o.consume(group(4))
			o.s.ack(m.again("0"))
			m.goesOn("1", "2")
		},
	},
	{
		name: "partitions/dead-fetched", contract: inOrderOfKey,
		rule: "Messages that a dead member held behind others of their keys keep their order at the next member.",
		body: func(s *suite) {
			const keys, each = 6, 5
			l, o, group := s.ordered(transport.MinAckWait)
			bodies := numbers(each)
			for _, body := range bodies {
				for i := range keys {
					l.put(strconv.Itoa(i), body)
				}
			}
			for m := l.consume(group(keys)); len(m.got) < keys; {
				s.rest()
			}
			s.cut()
			m := o.consume(group(keys))
			next := make(map[string]int)
			for range keys * each {
				d := m.next()
				key := transport.KeyOf(d.Subject)
				if want := bodies[next[key]]; string(d.Body) != want {
					s.Fatalf("key %s got %q, want %q", key, d.Body, want)
				}
				next[key]++
				o.s.ack(d)
			}
		},
	},
	{
		name: "partitions/return", contract: inOrderOfKey,
		rule: "A member that returns after others have taken over its keys gets keys again, in order.",
		body: func(s *suite) {
			l, o, group := s.ordered(transport.MinAckWait)
			first := l.consume(group(8))
			second := o.consume(group(8))
			key := keysOfPartitions()[0]
			n := 0
			goesOn := func() { // the acknowledgement of an older one may have been lost
				o.put(key, strconv.Itoa(n), strconv.Itoa(n+1))
				for last := n + 1; n <= last; {
					d := o.s.either(first, second)
					switch got, err := strconv.Atoi(string(d.Body)); {
					case err != nil || got > n:
						s.Fatalf("got %q, want %d", d.Body, n)
					case got == n:
						n++
					}
					_ = d.Ack(o.s.patient())
				}
			}
			for range 3 {
				s.cut()
				goesOn()
				s.mend()
				goesOn()
			}
		},
	},
	{
		name:     "partitions/go-on",
		contract: "In an ordered group a message of a key is delivered when the previous message of that key is settled, and not earlier.",
		rule:     "A key keeps its order while the connection comes and goes.",
		body: func(s *suite) {
			group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait, Ordered: true}
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("*")}, Partitions: 2, Groups: []transport.GroupConfig{group}})
			o := s.another().log(l.config)
			m := l.consume(transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			n := 0
			for range 3 {
				for i := range 4 {
					o.put("a", strconv.Itoa(n+i))
				}
				held := m.next()
				s.cut()
				_ = held.Ack(s.patient()) // a failed Ack lets it come again
				s.mend()
				for last := n + 3; n <= last; {
					d := m.next()
					switch got, err := strconv.Atoi(string(d.Body)); {
					case err != nil || got > n:
						s.Fatalf("got %q, want %d", d.Body, n)
					case got == n:
						n++
					}
					_ = d.Ack(s.patient())
				}
			}
		},
	},
}

var disconnectedDelayedCases = []conformanceCase{
	{
		name:     "delayed/while-away",
		contract: "The message gets its sequence when it is due.",
		rule:     "A delayed message arrives even if its sender is disconnected.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Delays: true, Groups: []transport.GroupConfig{{Name: "g"}}})
			o := s.another().log(l.config)
			m := o.consume(of("g", 1))
			due := time.Now().Add(aWhile)
			l.add("a", "0", transport.AppendOptions{NotBefore: due})
			s.cut()
			o.s.ack(m.take("0", 1))
			if now := time.Now(); now.Before(due) {
				s.Errorf("it came %v too early", due.Sub(now))
			}
			_, err := l.Append(s.patient(), s.message("a", "1"), transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)})
			s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			s.mend()
			l.add("a", "2", transport.AppendOptions{NotBefore: time.Now().Add(aWhile)})
			m.handles("2")
		},
	},
}

// getsInOrder acknowledges the n messages after a sequence, whose first deliveries are in
// order.
func (m *member) getsInOrder(after, n int) {
	m.s.Helper()
	first, seen := uint64(0), make(map[uint64]bool)
	for len(seen) < n {
		d := m.next()
		if d.Attempt == 1 {
			if d.Sequence <= first {
				m.s.Fatalf("message %d came after %d", d.Sequence, first)
			}
			first = d.Sequence
		}
		if d.Sequence > uint64(after) {
			seen[d.Sequence] = true
		}
		m.s.ack(d)
	}
}

// follows fails unless a Read with Follow returns the messages stored before, during and
// after the disconnection.
func (s *suite) follows(l, o *log, start transport.Start) {
	s.Helper()
	rest := strings.TrimPrefix(l.config.Subjects[0], s.root+".")
	f := l.follow(transport.ReadConfig{Start: start})
	defer f.stop()
	if begun := "begun"; start.New {
		for len(f.got) == 0 { // beginning with any message
			o.put(rest, begun)
			s.pass(5 * time.Millisecond)
		}
		o.put(rest, "first")
		for begun == "begun" {
			begun = f.next()
		}
		if begun != "first" {
			s.Errorf("got %q, want first", begun)
		}
	} else {
		o.put(rest, "first")
		f.want("first")
	}
	for _, round := range numbers(2) {
		s.cut()
		o.put(rest, "away "+round)
		s.mend()
		o.put(rest, "back "+round)
		f.want("away "+round, "back "+round)
	}
	f.stop()
	if err := await(s, f.ended, "the end of a Read whose ctx ended"); err != nil {
		s.Error(err)
	}
}

// ordered opens a log with Partitions at both Transports of a case, and returns the configurations
// of members of its ordered group.
func (s *suite) ordered(ackWait time.Duration) (l, o *log, of func(inFlight int) transport.ConsumeConfig) {
	s.Helper()
	group := transport.GroupConfig{Name: "g", AckWait: ackWait, Ordered: true}
	l = s.log(transport.LogConfig{Subjects: []string{s.subject("*")}, Partitions: partitions, Groups: []transport.GroupConfig{group}})
	return l, s.another().log(l.config), func(inFlight int) transport.ConsumeConfig {
		return transport.ConsumeConfig{Group: group, MaxInFlight: inFlight}
	}
}

// either returns the next delivery to one of two members.
func (s *suite) either(one, other *member) *transport.Delivery {
	s.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case d := <-one.got:
		return d
	case d := <-other.got:
		return d
	case <-timer.C:
		s.Fatalf("gave up waiting for a delivery to one of two members of group %s", one.group)
		panic("unreachable")
	}
}
