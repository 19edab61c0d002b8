package transporttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gomono.dev/transport"
)

var requestCases = []conformanceCase{
	{
		name:     "request/reply",
		contract: "Request publishes m and waits for the first reply.",
		rule:     "Request publishes m and waits for the first reply. A reply is a Publish to the Reply subject of the request.",
		body: func(s *suite) {
			s.serve(transport.Subscription{Subject: s.subject("echo")}, "echo ")
			if got := s.request("echo", "x"); got != "echo x" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "request/message",
		contract: "On a received message, it is the subject that the message was sent to.",
		rule:     "Reply is the subject on which the sender waits for replies. On a received message, Subject is the subject that it was sent to.",
		body: func(s *suite) {
			seen := make(chan transport.Message, 1)
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				seen <- *m
				s.reply(m, "")
			})
			m := s.message("a", "body")
			m.Header.Add("Name", "value")
			reply := s.ask(m)
			got := await(s, seen, "the request")
			if got.Subject != m.Subject || string(got.Body) != "body" || got.Header.Get("Name") != "value" {
				s.Errorf("got %+v, want %+v", got, m)
			}
			if err := transport.ValidateSubject(got.Reply); err != nil {
				s.Errorf("the reply subject cannot be published on: %v", err)
			}
			if reply.Subject != got.Reply || len(reply.Header) != 0 {
				s.Errorf("got reply %+v, want subject %q and no header", reply, got.Reply)
			}
		},
	},
	{
		name:     "request/reply-subjects-differ",
		contract: "Reply, unless empty, is the subject on which the sender waits for replies.",
		rule:     "No two requests share a reply subject.",
		body: func(s *suite) {
			l := s.replySubjects("a")
			seen := make(map[string]bool)
			for range 200 {
				s.request("a", "")
				subject := await(s, l, "the request")
				if seen[subject] {
					s.Fatalf("%q comes twice", subject)
				}
				seen[subject] = true
			}
		},
	},
	{
		name:     "request/reply-from-goroutine",
		contract: "Code that takes long, or waits for another message of the same subscription, belongs in the work.",
		rule:     "A reply may be published at any time and from any goroutine.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				go s.reply(m, "later")
			})
			if got := s.request("a", ""); got != "later" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "request/concurrent",
		contract: "Request publishes m and waits for the first reply.",
		rule:     "Each of several concurrent requests gets the reply to it.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				go s.reply(m, "re "+string(m.Body))
			})
			var wg sync.WaitGroup
			ctx := s.patient()
			for g := range 16 {
				wg.Go(func() {
					for i := range 50 {
						body := fmt.Sprintf("%d/%d", g, i)
						reply, err := s.tr.Request(ctx, s.message("a", body))
						if err != nil || string(reply.Body) != "re "+body {
							s.Errorf("request %s got %v, %v", body, reply, err)
							return
						}
					}
				})
			}
			wg.Wait()
		},
	},
	{
		name:     "request/no-subscriber",
		contract: "Unavailable with OutcomeNotDone, at once, if there is no subscriber",
		rule:     "Request: Unavailable with OutcomeNotDone, at once, if there is no subscriber.",
		body: func(s *suite) {
			s.listen("other")
			s.listen("a.b")
			for range 20 {
				_, err := s.tr.Request(s.patient(), s.message("a", ""))
				s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
			}
		},
	},
	{
		name:     "request/subscriber-gone",
		contract: "Unavailable with OutcomeNotDone, at once, if there is no subscriber",
		rule:     "Request: Unavailable with OutcomeNotDone, at once, if there is no subscriber.",
		body: func(s *suite) {
			for range 10 {
				r := s.serve(transport.Subscription{Subject: s.subject("a"), Group: "g"}, "")
				s.request("a", "x")
				r.Close()
				s.wantNoSubscriber("a")
			}
		},
	},
	{
		name:     "request/wildcard-or-group",
		contract: "Unavailable with OutcomeNotDone, at once, if there is no subscriber",
		rule:     "A subscription with a wildcard or a group is a subscriber.",
		body: func(s *suite) {
			s.serve(transport.Subscription{Subject: s.subject("star.*")}, "star ")
			s.serve(transport.Subscription{Subject: s.subject("rest.>")}, "rest ")
			s.serve(transport.Subscription{Subject: s.subject("group"), Group: "g"}, "group ")
			for rest, want := range map[string]string{"star.a": "star x", "rest.a.b": "rest x", "group": "group x"} {
				if got := s.request(rest, "x"); got != want {
					s.Errorf("%s: got %q, want %q", rest, got, want)
				}
			}
		},
	},
	{
		name:     "request/first-reply",
		contract: "Request publishes m and waits for the first reply. m.Reply must be empty. Later replies are dropped.",
		rule:     "Request waits for the first reply. Later replies are dropped.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				for _, reply := range []string{"first ", "second ", "third "} {
					s.reply(m, reply+string(m.Body))
				}
			})
			for _, body := range numbers(50) {
				if got := s.request("a", body); got != "first "+body {
					s.Fatalf("got %q, want %q", got, "first "+body)
				}
			}
		},
	},
	{
		name:     "request/several-responders",
		contract: "Request publishes m and waits for the first reply. m.Reply must be empty. Later replies are dropped.",
		rule:     "Request publishes m to all subscribers, and waits for the first reply of any of them.",
		body: func(s *suite) {
			handled := make(chan string, 10)
			for _, name := range []string{"one", "two", "three"} {
				s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
					s.reply(m, name)
					handled <- name
				})
			}
			if got := s.request("a", ""); got != "one" && got != "two" && got != "three" {
				s.Errorf("got %q", got)
			}
			for range 3 {
				await(s, handled, "all three handlers")
			}
		},
	},
	{
		name: "request/reply-must-be-empty",
		rule: "m.Reply must be empty.",
		body: func(s *suite) {
			l := s.listen("a")
			m := s.message("a", "x")
			m.Reply = s.subject("reply")
			_, err := s.tr.Request(s.patient(), m)
			s.wantError(err, transport.InvalidArgument, transport.OutcomeNotDone)
			l.wantOnly("a")
		},
	},
	{
		name:     "request/leaves-message",
		contract: "The owner of a message may change it as soon as the call that sent it has returned.",
		rule:     "A transport does not change a message that it sends: the same message can be sent again.",
		body: func(s *suite) {
			s.serve(transport.Subscription{Subject: s.subject("a")}, "")
			m := s.message("a", "x")
			for range 3 {
				s.ask(m)
			}
			if m.Subject != s.subject("a") || m.Reply != "" || m.Header != nil || string(m.Body) != "x" {
				s.Errorf("the message became %+v", m)
			}
		},
	},
	{
		name:     "request/reply-subject-of-choice",
		contract: "Reply, unless empty, is the subject on which the sender waits for replies.",
		rule:     "Reply may be any subject, and may receive any number of replies.",
		body: func(s *suite) {
			answers := s.listen("answers.*")
			for _, name := range []string{"one", "two"} {
				s.serve(transport.Subscription{Subject: s.subject("survey")}, name+" ")
			}
			m := s.message("survey", "?")
			m.Reply = s.subject("answers.1")
			s.send(m)
			got := map[string]bool{string(answers.next().Body): true, string(answers.next().Body): true}
			if !got["one ?"] || !got["two ?"] {
				s.Errorf("got %v", got)
			}
		},
	},
	{
		name:     "request/conversation",
		contract: "A reply is a Publish to the Reply subject of the request.",
		rule:     "A reply is a Publish: it may have a Reply subject as well.",
		body: func(s *suite) {
			l := s.listen("back")
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				if err := s.tr.Publish(s.Context(), &transport.Message{Subject: m.Reply, Reply: s.subject("back")}); err != nil {
					s.Error(err)
				}
			})
			reply := s.ask(s.message("a", ""))
			s.send(&transport.Message{Subject: reply.Reply, Body: []byte("and back")})
			l.want("and back")
		},
	},
	{
		name:     "request/error-reply",
		contract: "A reply that carries an error in its header (see [ErrorFromHeader]) is a reply: it is returned with a nil error.",
		rule:     "A reply that carries an error in its header is a reply: it is returned with a nil error.",
		body: func(s *suite) {
			sent := transport.Errorf(transport.NotFound, transport.OutcomeAnswered, "no book \"Grüße\"\r\n100%% gone ")
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				reply := &transport.Message{Subject: m.Reply, Body: []byte("details")}
				reply.Header.SetError(sent)
				if err := s.tr.Publish(s.Context(), reply); err != nil {
					s.Error(err)
				}
			})
			reply := s.ask(s.message("a", ""))
			got := transport.ErrorFromHeader(reply.Header)
			if got == nil || got.Code != sent.Code || got.Outcome != sent.Outcome || got.Message != sent.Message || string(reply.Body) != "details" {
				s.Errorf("got %#v with body %q, want %#v", got, reply.Body, sent)
			}
		},
	},
	{
		name:     "request/empty-reply",
		contract: "An empty body and a nil body are the same.",
		rule:     "An empty message is a valid reply.",
		body: func(s *suite) {
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) { s.reply(m, "") })
			if got := s.request("a", "x"); got != "" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "request/late-reply",
		contract: "Later replies are dropped.",
		rule:     "Later replies are dropped: publishing one returns nil, and no other request gets it.",
		body: func(s *suite) {
			l := s.replySubjects("a")
			s.request("a", "")
			s.send(&transport.Message{Subject: await(s, l, "the request"), Body: []byte("late")})
			if got := s.request("a", "next"); got != "next" {
				s.Errorf("got %q", got)
			}
		},
	},
}

// replySubjects serves requests and passes on their reply subjects.
func (s *suite) replySubjects(rest string) <-chan string {
	s.Helper()
	subjects := make(chan string, 1024)
	s.subscribe(transport.Subscription{Subject: s.subject(rest)}, func(m *transport.Message) {
		subjects <- m.Reply
		s.reply(m, string(m.Body))
	})
	return subjects
}

// wantNoSubscriber fails unless a request finds no subscriber.
func (s *suite) wantNoSubscriber(rest string) {
	s.Helper()
	_, err := s.tr.Request(s.patient(), s.message(rest, probe))
	s.wantError(err, transport.Unavailable, transport.OutcomeNotDone)
}

var contextCases = []conformanceCase{
	{
		name:     "context/ended-request",
		contract: "with OutcomeNotDone if it had ended before the message was sent",
		rule:     "DeadlineExceeded or Canceled with OutcomeNotDone if ctx had ended before the message was sent.",
		body: func(s *suite) {
			l := s.listen("a")
			for code, ctx := range s.endedContexts() {
				_, err := s.tr.Request(ctx, s.message("a", "too late"))
				s.wantError(err, code, transport.OutcomeNotDone)
				s.wantIs(err, ctx)
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "context/ended-publish",
		contract: "ctx limits the hand-over, if the backend's client supports that, and not the delivery.",
		rule:     "ctx limits the hand-over: a message whose ctx had ended is not sent.",
		body: func(s *suite) {
			l := s.listen("a")
			for code, ctx := range s.endedContexts() {
				err := s.tr.Publish(ctx, s.message("a", "too late"))
				s.wantError(err, code, transport.OutcomeNotDone)
				s.wantIs(err, ctx)
			}
			l.wantOnly("a")
		},
	},
	{
		name:     "context/ended-call",
		contract: "ctx applies only to the call.",
		rule:     "Subscribe and Ping with a ctx that has ended do nothing.",
		body: func(s *suite) {
			for code, ctx := range s.endedContexts() {
				_, err := s.tr.Subscribe(ctx, transport.Subscription{Subject: s.subject("a")}, transport.Serial(func(*transport.Message) {}))
				s.wantCode(err, code)
				s.wantCode(s.tr.Ping(ctx), code)
			}
			s.wantNoSubscriber("a")
		},
	},
	{
		name:     "context/deadline",
		contract: "DeadlineExceeded or Canceled with OutcomeUnknown if ctx ends first",
		rule:     "DeadlineExceeded with OutcomeUnknown if ctx ends first.",
		body: func(s *suite) {
			l := s.listen("a")
			s.wantError(s.expires(s.message("a", "x")), transport.DeadlineExceeded, transport.OutcomeUnknown)
			l.wantOnly("a", "x")
		},
	},
	{
		name:     "context/cancel",
		contract: "DeadlineExceeded or Canceled with OutcomeUnknown if ctx ends first",
		rule:     "Canceled with OutcomeUnknown if ctx ends first.",
		body: func(s *suite) {
			ctx, cancel := context.WithCancel(s.Context())
			s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(*transport.Message) { cancel() })
			s.within("Request", func() {
				_, err := s.tr.Request(ctx, s.message("a", "x"))
				s.wantError(err, transport.Canceled, transport.OutcomeUnknown)
				s.wantIs(err, ctx)
			})
		},
	},
	{
		name:     "context/late-reply",
		contract: "Later replies are dropped.",
		rule:     "A reply that comes after its request has ended is dropped.",
		body: func(s *suite) {
			ctx, cancel := context.WithCancel(s.Context())
			requests := make(chan *transport.Message, 1)
			r := s.subscribe(transport.Subscription{Subject: s.subject("a")}, func(m *transport.Message) {
				requests <- m
				cancel()
			})
			_, err := s.tr.Request(ctx, s.message("a", "x"))
			s.wantError(err, transport.Canceled, transport.OutcomeUnknown)
			s.reply(await(s, requests, "the request"), "late")
			r.Close()
			s.serve(transport.Subscription{Subject: s.subject("a")}, "")
			if got := s.request("a", "next"); got != "next" {
				s.Errorf("got %q", got)
			}
		},
	},
	{
		name:     "context/of-subscribe",
		contract: "ctx applies only to the call.",
		rule:     "ctx applies only to the call of Subscribe.",
		body: func(s *suite) {
			ctx, cancel := context.WithCancel(s.patient())
			received := make(chan string, 1)
			r, err := s.tr.Subscribe(ctx, transport.Subscription{Subject: s.subject("a")}, transport.Serial(func(m *transport.Message) { received <- string(m.Body) }))
			if err != nil {
				s.Fatal(err)
			}
			defer r.Close()
			cancel()
			s.rest()
			s.publish("a", "after")
			await(s, received, "a message after the context of Subscribe had ended")
		},
	},
	{
		name:     "context/of-publish",
		contract: "ctx limits the hand-over, if the backend's client supports that, and not the delivery.",
		rule:     "ctx limits the hand-over, not the delivery.",
		body: func(s *suite) {
			l := s.listen("a")
			bodies := numbers(100)
			for _, body := range bodies {
				ctx, cancel := context.WithCancel(s.patient())
				if err := s.tr.Publish(ctx, s.message("a", body)); err != nil {
					s.Fatal(err)
				}
				cancel()
			}
			l.want(bodies...)
		},
	},
}

// expires sends a request without a reply, and returns the error at its deadline. It
// allows more time until the request was sent, for slow machines.
func (s *suite) expires(m *transport.Message) (err error) {
	s.Helper()
	for wait := soon; wait < patience; wait *= 5 {
		ctx, cancel := context.WithTimeout(s.Context(), wait)
		defer cancel()
		s.within("Request", func() { _, err = s.tr.Request(ctx, m) })
		s.wantIs(err, ctx)
		if e, ok := errors.AsType[*transport.Error](err); !ok || e.Outcome != transport.OutcomeNotDone {
			break
		}
	}
	return err
}

// endedContexts returns contexts that have ended, by the code of their error.
func (s *suite) endedContexts() map[transport.Code]context.Context {
	canceled, cancel := context.WithCancel(s.Context())
	cancel()
	late, cancel := context.WithDeadline(s.Context(), time.Now().Add(-time.Second))
	cancel()
	return map[transport.Code]context.Context{transport.Canceled: canceled, transport.DeadlineExceeded: late}
}
