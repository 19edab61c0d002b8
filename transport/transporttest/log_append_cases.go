package transporttest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"gomono.dev/transport"
)

var appendCases = []conformanceCase{
	{
		name:     "append/unchanged",
		contract: "A transport carries subjects, headers and bodies unchanged.",
		rule:     "A log stores, reads and delivers subjects, headers and bodies unchanged.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			m := s.message("a.b", "\x00\xff body")
			m.Header = transport.Header{{Name: "A", Value: "1"}, {Name: "a", Value: "2"}, {Name: "A", Value: "3"}, {Name: "Mono-X", Value: "y"}}
			at, err := l.Append(s.patient(), m, transport.AppendOptions{ID: "the id"})
			if err != nil {
				s.Fatal(err)
			}
			empty := &transport.Message{Subject: s.subject("c")}
			if _, err := l.Append(s.patient(), empty, transport.AppendOptions{}); err != nil {
				s.Fatal(err)
			}
			worker := l.consume(of("g", 2))
			for _, got := range [][]*transport.Delivery{l.read(transport.ReadConfig{}), {worker.next(), worker.next()}} {
				s.wantMessage(got[0], m)
				s.wantMessage(got[1], empty)
				if got[0].ID != "the id" || got[0].Sequence != at.Sequence || got[1].ID != "" {
					s.Errorf("got %+v and %+v", got[0], got[1])
				}
				if d := time.Since(got[0].Stored); d < -time.Hour || d > time.Hour {
					s.Errorf("it was stored at %v", got[0].Stored)
				}
			}
		},
	},
	{
		name:     "append/invalid",
		contract: "InvalidArgument for a message that cannot be carried or a subject that is not the log's",
		rule:     "Append: InvalidArgument for a message that cannot be carried. Message.Validate and AppendOptions.Validate come first.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			for _, m := range []*transport.Message{
				{Subject: ""},
				{Subject: s.subject("*")},
				{Subject: s.subject("a..b")},
				{Subject: s.subject("a"), Header: transport.Header{{Name: "Nats-Msg-Id", Value: "x"}}},
				{Subject: s.subject("a"), Header: transport.Header{{Name: "a\nb", Value: "x"}}},
			} {
				_, err := l.Append(s.patient(), m, transport.AppendOptions{})
				s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
				if err := l.AppendAsync(s.patient(), m, transport.AppendOptions{}, s.neverDone); err == nil {
					s.Errorf("AppendAsync takes %+v", m)
				}
			}
			l.refuses("a", transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)}, s.withoutDelays())
			l.holds()
		},
	},
	{
		name:     "append/too-large",
		contract: "InvalidArgument for a message that cannot be carried or a subject that is not the log's",
		rule:     "Append: InvalidArgument for a message that cannot be carried, such as one over the payload limit.",
		missing:  limited,
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			m := s.message("a", "")
			m.Body = make([]byte, s.Capabilities().MaxPayload+1)
			_, err := l.Append(s.patient(), m, transport.AppendOptions{})
			s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
			l.holds()
		},
	},
	{
		name:     "append/ended",
		contract: "with OutcomeNotDone if the message was not sent",
		rule:     "Append: Canceled with OutcomeNotDone if ctx had ended before the message was sent.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			ctx, cancel := context.WithCancel(s.Context())
			cancel()
			_, err := l.Append(ctx, s.message("a", "x"), transport.AppendOptions{})
			s.wantError(err, transport.Canceled, transport.OutcomeNotDone)
			err = l.AppendAsync(ctx, s.message("a", "x"), transport.AppendOptions{}, s.neverDone)
			s.wantError(err, transport.Canceled, transport.OutcomeNotDone)
			l.holds()
		},
	},
	{
		name:     "append/order",
		contract: "Messages are stored in the order of the calls.",
		rule:     "Messages are stored in the order of the calls. done is called once, with the result that Append would have returned.",
		body: func(s *suite) {
			const n = 1000
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			a := s.appending(l)
			for _, body := range numbers(n) {
				a.begin(s.message(strconv.Itoa(len(body)), body), transport.AppendOptions{})
			}
			for i, r := range a.results() {
				if r.err != nil || r.Sequence != uint64(i)+1 || r.Duplicate || r.calls != 1 {
					s.Fatalf("append %d: done was called %d times, with %+v, %v", i, r.calls, r.Appended, r.err)
				}
			}
			l.holds(numbers(n)...)
		},
	},
	{
		name:     "append/order-of-each",
		contract: "Messages are stored in the order of the calls.",
		rule:     "Every method may be called concurrently: the messages of each goroutine are stored in the order of its calls of Append and AppendAsync.",
		body: func(s *suite) {
			const senders, each = 4, 60
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			var wg sync.WaitGroup
			for i := range senders {
				wg.Go(func() {
					subject := strconv.Itoa(i)
					for n, body := range numbers(each) {
						var err error
						if n%3 == 0 {
							_, err = l.Append(s.Context(), s.message(subject, body), transport.AppendOptions{})
						} else {
							err = l.AppendAsync(s.Context(), s.message(subject, body), transport.AppendOptions{}, func(_ transport.Appended, err error) {
								if err != nil {
									s.Error(err)
								}
							})
						}
						if err != nil {
							s.Error(err)
						}
					}
					l.add(subject, "end", transport.AppendOptions{})
				})
			}
			s.within("the senders", wg.Wait)
			for i := range senders {
				l.reads(transport.ReadConfig{Filter: []string{s.subject(strconv.Itoa(i))}}, append(numbers(each), "end")...)
			}
		},
	},
	{
		name:     "append/results",
		contract: "done is called once, with the result that Append would have returned",
		rule:     "done is called with the result of its append.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{MaxPerSubject: 2})
			a := s.appending(l)
			a.begin(s.message("a", "0"), transport.AppendOptions{ID: "x"})
			a.begin(s.message("a", "again"), transport.AppendOptions{ID: "x"})
			a.begin(s.message("b", "aborted"), l.expecting(9, "b"))
			a.begin(s.message("a", "1"), transport.AppendOptions{})
			a.begin(s.message("a", "full"), transport.AppendOptions{})
			a.begin(s.message("b", "2"), l.expecting(0, "b"))
			got := a.results()
			for i, want := range []struct {
				transport.Appended
				code transport.Code
			}{
				{transport.Appended{Sequence: 1}, ""},
				{transport.Appended{Sequence: 1, Duplicate: true}, ""},
				{transport.Appended{}, transport.Aborted},
				{transport.Appended{Sequence: 2}, ""},
				{transport.Appended{}, transport.ResourceExhausted},
				{transport.Appended{Sequence: 3}, ""},
			} {
				if want.Duplicate && transport.CodeOf(got[i].err) == transport.Unavailable && got[i].calls == 1 {
					continue // a cluster had not stored the first one yet
				}
				if got[i].Appended != want.Appended || transport.CodeOf(got[i].err) != want.code || got[i].calls != 1 {
					s.Errorf("append %d: done was called %d times, with %+v, %v, want %+v", i, got[i].calls, got[i].Appended, got[i].err, want)
				}
			}
			l.holds("0", "1", "2")
		},
	},
	{
		name:     "append/back-pressure",
		contract: "AppendAsync blocks while too many messages wait for their acknowledgement, as long as ctx allows. The backend chooses that number, at least 256.",
		rule:     "AppendAsync blocks while too many messages (at least 256) wait for their acknowledgement, as long as ctx allows. If AppendAsync itself returns an error, done is not called.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Storage: transport.MemoryStorage})
			a := s.appending(l)
			held := s.newGate()
			a.hold = held.open
			begun := 0
			for begun < enough {
				ctx, cancel := context.WithTimeout(s.Context(), 500*time.Millisecond)
				err := a.try(ctx, s.message("a", strconv.Itoa(begun)), transport.AppendOptions{})
				cancel()
				if err != nil {
					s.wantError(err, transport.DeadlineExceeded, transport.OutcomeNotDone)
					break
				}
				begun++
			}
			if begun < 256 || begun == enough {
				s.Fatalf("%d appends waited for their acknowledgement, want at least 256, and an end", begun)
			}
			held.release()
			for i, r := range a.results() {
				if r.err != nil || r.calls != 1 {
					s.Fatalf("append %d: done was called %d times, with %v", i, r.calls, r.err)
				}
			}
			a.begin(s.message("a", strconv.Itoa(begun)), transport.AppendOptions{}) // there is room again
			a.results()
			l.holds(numbers(begun + 1)...)
		},
	},
	{
		name: "append/ownership",
		rule: "The owner of a message may change it as soon as the call that sent it has returned. What was sent stays unchanged.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			a := s.appending(l)
			m := s.message("a", "0")
			m.Header.Set("Name", "0")
			for _, body := range numbers(10) {
				m.Body[0], m.Header[0].Value = body[0], body
				a.begin(m, transport.AppendOptions{})
			}
			m.Body[0], m.Header[0].Value, m.Subject = 'x', "x", "x"
			a.results()
			for i, d := range l.read(transport.ReadConfig{}) {
				if want := strconv.Itoa(i); string(d.Body) != want || d.Header.Get("Name") != want || d.Subject != s.subject("a") {
					s.Errorf("got %+v, want %s", d.Message, want)
				}
			}
		},
	},
	{
		name:     "append/ownership-receivers",
		contract: "A message passed to a [Handler] belongs to that handler alone: no two receivers share a header or a body.",
		rule:     "A message passed to a Handler belongs to that handler alone: its changes are not visible to the log, another group or the next attempt.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Groups: []transport.GroupConfig{{Name: "g"}, {Name: "h"}}})
			m := s.message("a", "shared?")
			m.Header = transport.Header{{Name: "A", Value: "1"}}
			if _, err := l.Append(s.patient(), m, transport.AppendOptions{}); err != nil {
				s.Fatal(err)
			}
			spoil := func(d *transport.Delivery) {
				s.wantMessage(d, m)
				clear(d.Body)
				_ = append(d.Body[:0], "!!!!!!!"...)
				d.Header.Set("A", "changed")
				d.Subject = ""
			}
			g, h := l.consume(of("g", 1)), l.consume(of("h", 1))
			first := g.next()
			spoil(first)
			s.nak(first, 0)
			spoil(l.read(transport.ReadConfig{})[0])
			spoil(g.next())
			spoil(h.next())
			spoil(l.read(transport.ReadConfig{})[0])
		},
	},
	{
		name:     "append/plain-publish",
		contract: "On NATS a plain Publish to one of them is stored too, and inproc does the same.",
		rule:     "A plain Publish to one of the log's subjects is stored too.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{Subjects: []string{s.subject("a.*")}, Groups: []transport.GroupConfig{{Name: "g"}}})
			listener := s.listen("a.*")
			m := s.message("a.x", "0")
			m.Header.Set("Name", "value")
			s.send(m)
			s.publish("b", "not stored")
			s.publish("a.y", "1")
			s.eventually("both to be stored", func() bool { return l.info().Messages == 2 })
			l.put("a.x", "2")
			l.holds("0", "1", "2")
			g := l.consume(of("g", 1))
			got := g.take("0", 1)
			s.wantMessage(got, m)
			s.ack(got)
			g.handles("1", "2")
			listener.want("0", "1")
		},
	},
	{
		name:     "append/reaches-subscribers",
		contract: "Publish hands m to every subscription without a group whose pattern matches",
		rule:     "An appended message reaches the plain subscriptions to its subject, as with Publish.",
		body: func(s *suite) {
			l := s.log(transport.LogConfig{})
			listener := s.listen("a")
			l.put("a", "0", "1")
			l.put("b", "2")
			listener.wantOnly("a", "0", "1")
		},
	},
}

// neverDone is the done function of an append that must be rejected at once.
func (s *suite) neverDone(at transport.Appended, err error) {
	s.Errorf("done was called with %+v, %v", at, err)
}

// withoutDelays returns the code for a NotBefore in a log that was created without
// Delays.
func (s *suite) withoutDelays() transport.Code {
	if s.Capabilities().Delays {
		return transport.InvalidArgument
	}
	return transport.Unimplemented
}

// wantMessage fails unless d is m. The order among different names is not kept.
func (s *suite) wantMessage(d *transport.Delivery, m *transport.Message) {
	s.Helper()
	same := d.Subject == m.Subject && d.Reply == "" && string(d.Body) == string(m.Body) && len(d.Header) == len(m.Header)
	for _, f := range m.Header {
		same = same && slices.Equal(d.Header.Values(f.Name), m.Header.Values(f.Name))
	}
	if !same {
		s.Errorf("got %+v, want %+v", d.Message, m)
	}
}

// appending is a number of appends in progress.
type appending struct {
	s    *suite
	l    *log
	hold <-chan struct{} // done waits for it, unless it is nil
	wg   sync.WaitGroup

	mu  sync.Mutex
	all []*result
}

// result is the result of one append.
type result struct {
	transport.Appended
	err   error
	calls int
}

func (s *suite) appending(l *log) *appending { return &appending{s: s, l: l} }

// begin appends a message. An error that AppendAsync itself returns is a result too.
func (a *appending) begin(m *transport.Message, o transport.AppendOptions) {
	if err := a.try(a.s.patient(), m, o); err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.all = append(a.all, &result{err: err, calls: 1})
	}
}

func (a *appending) try(ctx context.Context, m *transport.Message, o transport.AppendOptions) error {
	r := new(result)
	a.wg.Add(1)
	err := a.l.AppendAsync(ctx, m, o, func(at transport.Appended, err error) {
		if a.hold != nil {
			<-a.hold
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		r.Appended, r.err = at, err
		if r.calls++; r.calls == 1 {
			a.wg.Done()
		}
	})
	if err != nil {
		a.wg.Done()
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, r)
	return nil
}

// results waits until all are done, and one more full round of the backend, so that a
// second call of done shows.
func (a *appending) results() []result {
	a.s.Helper()
	a.s.within("done to be called for every append", a.wg.Wait)
	a.s.settle()
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []result
	for _, r := range a.all {
		all = append(all, *r)
	}
	return all
}
