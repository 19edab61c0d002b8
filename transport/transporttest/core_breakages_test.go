package transporttest_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// rewiring breaks a transport by replacing its methods with functions. Each function gets
// the method that it replaces.
type rewiring struct {
	*inproc.Transport
	publish   func(ctx context.Context, m *transport.Message, then sender) error
	request   func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error)
	subscribe func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error)
	log       func(ctx context.Context, c transport.LogConfig, then opener) (transport.Log, error)
	ping      func(ctx context.Context, then func(context.Context) error) error
	end       func(ctx context.Context, then func(context.Context) error) error
	can       func(*transport.Capabilities)
	denies    bool
}

type (
	sender     func(context.Context, *transport.Message) error
	requester  func(context.Context, *transport.Message) (*transport.Message, error)
	subscriber func(context.Context, transport.Subscription, transport.Handler) (transport.Receiver, error)
	opener     func(context.Context, transport.LogConfig) (transport.Log, error)
)

func (r *rewiring) Publish(ctx context.Context, m *transport.Message) error {
	if r.publish == nil {
		return r.Transport.Publish(ctx, m)
	}
	return r.publish(ctx, m, r.Transport.Publish)
}

func (r *rewiring) Request(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	if r.request == nil {
		return r.Transport.Request(ctx, m)
	}
	return r.request(ctx, m, r.Transport.Request)
}

func (r *rewiring) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	if r.subscribe == nil {
		return r.Transport.Subscribe(ctx, s, h)
	}
	return r.subscribe(ctx, s, h, r.Transport.Subscribe)
}

func (r *rewiring) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if r.log == nil {
		return r.Transport.Log(ctx, c)
	}
	return r.log(ctx, c, r.Transport.Log)
}

func (r *rewiring) Ping(ctx context.Context) error {
	if r.ping == nil {
		return r.Transport.Ping(ctx)
	}
	return r.ping(ctx, r.Transport.Ping)
}

func (r *rewiring) Close(ctx context.Context) error {
	if r.end == nil {
		return r.Transport.Close(ctx)
	}
	return r.end(ctx, r.Transport.Close)
}

func (r *rewiring) Capabilities() transport.Capabilities {
	has := r.Transport.Capabilities()
	if r.can != nil {
		r.can(&has)
	}
	return has
}

func (r *rewiring) Watch(f func(transport.Denial)) (stop func()) {
	if r.denies {
		f(transport.Denial{Subject: "a"})
	}
	return r.Transport.Watch(f)
}

// rewired returns a constructor of a rewired transport.
func rewired(change func(*rewiring)) func(*inproc.Transport) transport.Transport {
	return func(tr *inproc.Transport) transport.Transport {
		r := &rewiring{Transport: tr}
		change(r)
		return r
	}
}

// sends returns a transport that changes published and requested messages.
func sends(change func(*transport.Message)) func(*inproc.Transport) transport.Transport {
	return rewired(func(r *rewiring) {
		r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
			m = m.Clone()
			change(m)
			return then(ctx, m)
		}
		r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
			m = m.Clone()
			change(m)
			return then(ctx, m)
		}
	})
}

// hands returns a transport that replaces its handlers.
func hands(change func(h transport.Handler) transport.Handler) func(*inproc.Transport) transport.Transport {
	return rewired(func(r *rewiring) {
		r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
			return then(ctx, s, change(h))
		}
	})
}

// subscribes returns a transport that changes its subscriptions.
func subscribes(change func(*transport.Subscription)) func(*inproc.Transport) transport.Transport {
	return rewired(func(r *rewiring) {
		r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
			change(&s)
			return then(ctx, s, h)
		}
	})
}

// receiving returns a transport that replaces its receivers.
func receiving(change func(transport.Receiver) transport.Receiver) func(*inproc.Transport) transport.Transport {
	return rewired(func(r *rewiring) {
		r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
			receiver, err := then(ctx, s, h)
			if err != nil {
				return nil, err
			}
			return change(receiver), nil
		}
	})
}

// receiver replaces the methods of a receiver that are set.
type receiver struct {
	transport.Receiver
	drain func(context.Context) error
	end   func()
}

func (r *receiver) Drain(ctx context.Context) error {
	if r.drain == nil {
		return r.Receiver.Drain(ctx)
	}
	return r.drain(ctx)
}

func (r *receiver) Close() {
	if r.end == nil {
		r.Receiver.Close()
		return
	}
	r.end()
}

// everyNth returns a function that reports true once in n calls.
func everyNth(n int64) func() bool {
	var calls atomic.Int64
	return func() bool { return calls.Add(1)%n == 0 }
}

var brokenCore = map[string]breakage{
	"begins messages concurrently": {
		hands(func(h transport.Handler) transport.Handler {
			return func(m *transport.Message) transport.Work {
				return transport.WorkFunc(func() {
					if w := h(m); w != nil {
						w.Run()
					}
				})
			}
		}),
		"begin/order", "The handler is called for one message after another",
	},
	"finishes a message before the next": {
		hands(func(h transport.Handler) transport.Handler {
			return func(m *transport.Message) transport.Work {
				if w := h(m); w != nil {
					w.Run()
				}
				return nil
			}
		}),
		"begin/beside", "The work that the handler returns runs concurrently",
	},
	"runs work twice": {
		hands(func(h transport.Handler) transport.Handler {
			return func(m *transport.Message) transport.Work {
				w := h(m)
				if w == nil {
					return nil
				}
				return transport.WorkFunc(func() {
					w.Run()
					w.Run()
				})
			}
		}),
		"begin/once", "The work that the handler returns runs once for every message",
	},
	"waits for work when it drains": {
		rewired(func(r *rewiring) {
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				var left sync.WaitGroup
				inner, err := then(ctx, s, func(m *transport.Message) transport.Work {
					w := h(m)
					if w == nil {
						return nil
					}
					left.Add(1)
					return transport.WorkFunc(func() {
						defer left.Done()
						w.Run()
					})
				})
				return &receiver{Receiver: inner, drain: func(ctx context.Context) error {
					err := inner.Drain(ctx)
					left.Wait()
					return err
				}}, err
			}
		}),
		"begin/drain", "Drain waits for the last call of the handler",
	},
	"delivers twice": {
		hands(func(h transport.Handler) transport.Handler {
			return func(m *transport.Message) transport.Work {
				h(m.Clone())
				return h(m)
			}
		}),
		"publish/once", "Publish delivers a message to a subscription once",
	},
	"reorders": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			var late *transport.Message
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				mu.Lock()
				defer mu.Unlock()
				if held := late; held != nil {
					late = nil
					return errors.Join(then(ctx, m), then(ctx, held))
				}
				if bytes.HasSuffix(m.Body, []byte("3")) {
					late = m.Clone()
					return nil
				}
				return then(ctx, m)
			}
		}),
		"publish/order", "Messages published by one goroutine on one Transport",
	},
	"hands a message to one subscription only": {
		subscribes(func(s *transport.Subscription) { s.Group = cmp.Or(s.Group, "everybody") }),
		"publish/fan-out", "Publish hands the message to every subscription",
	},
	"mixes up groups": {
		subscribes(func(s *transport.Subscription) {
			if s.Group != "" {
				s.Group = "g"
			}
		}),
		"group/several", "Publish hands the message to one member of each group.",
	},
	"hands to the first member": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			taken := make(map[string]bool)
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				mu.Lock()
				defer mu.Unlock()
				if s.Group != "" && taken[s.Group] {
					s.Subject += ".unused"
				}
				taken[s.Group] = true
				return then(ctx, s, h)
			}
		}),
		"group/random", "Members are picked at random.",
	},
	"calls a handler concurrently with itself": {
		hands(func(h transport.Handler) transport.Handler {
			return transport.Serial(func(m *transport.Message) { go h(m) })
		}),
		"subscribe/serial", "h is called for one message after another",
	},
	"calls one handler at a time": {
		rewired(func(r *rewiring) {
			turn := make(chan struct{}, 1)
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					turn <- struct{}{}
					defer func() { <-turn }()
					return h(m)
				})
			}
		}),
		"pending/slow-delays-only-itself", "A slow h delays only its own subscription.",
	},
	"blocks while a handler runs": {
		rewired(func(r *rewiring) {
			turn := make(chan struct{}, 1)
			alone := func() func() {
				turn <- struct{}{}
				return func() { <-turn }
			}
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				defer alone()()
				receiver, err := then(ctx, s, func(m *transport.Message) transport.Work {
					defer alone()()
					return h(m)
				})
				if err != nil {
					return nil, err
				}
				return &receiverAlone{receiver, alone}, nil
			}
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				defer alone()()
				return then(ctx, m)
			}
			r.end = func(ctx context.Context, then func(context.Context) error) error {
				defer alone()()
				return then(ctx)
			}
		}),
		"handler/publishes", "A handler may use its Transport to publish",
	},
	"subscribes later": {
		rewired(func(r *rewiring) {
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				if err := s.Validate(); err != nil {
					return nil, err
				}
				later := make(chan transport.Receiver, 1)
				time.AfterFunc(time.Millisecond, func() {
					receiver, err := then(context.Background(), s, h)
					if err == nil {
						later <- receiver
					}
					close(later)
				})
				return &receiver{end: func() {
					if r := <-later; r != nil {
						r.Close()
					}
				}, drain: func(context.Context) error { return nil }}, nil
			}
		}),
		"subscribe/in-force", "When Subscribe returns",
	},
	"delivers earlier messages": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			var last *transport.Message
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				mu.Lock()
				last = m.Clone()
				mu.Unlock()
				return then(ctx, m)
			}
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				mu.Lock()
				before := last
				mu.Unlock()
				var once sync.Once
				return then(ctx, s, func(m *transport.Message) transport.Work {
					once.Do(func() {
						if before != nil && transport.Match(s.Subject, before.Subject) {
							h(before.Clone())
						}
					})
					return h(m)
				})
			}
		}),
		"subscribe/not-before", "Messages published afterwards reach the subscription",
	},
	"reports a missing subscriber": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				_, err := r.Transport.Request(ctx, &transport.Message{Subject: m.Subject})
				if transport.CodeOf(err) == transport.Unavailable {
					return err
				}
				return then(ctx, m)
			}
		}),
		"publish/no-subscriber", "Without subscribers, Publish returns nil.",
	},
	"changes bodies": {
		sends(func(m *transport.Message) {
			if len(m.Body) > 2 {
				m.Body = bytes.ReplaceAll(m.Body, []byte("\r\n"), []byte("\n"))
			}
		}),
		"body/binary", "A transport does not interpret or change a body.",
	},
	"cuts long bodies": {
		sends(func(m *transport.Message) { m.Body = m.Body[:min(len(m.Body), 1<<10)] }),
		"body/largest", "MaxPayload is the maximum size of a message in bytes",
	},
	"writes something into empty bodies": {
		sends(func(m *transport.Message) {
			if len(m.Body) == 0 {
				m.Body = []byte("null")
			}
		}),
		"body/empty", "An empty body and a nil body are the same.",
	},
	"carries less than MaxPayload": {
		rewired(func(r *rewiring) { r.can = func(has *transport.Capabilities) { has.MaxPayload /= 2 } }),
		"body/too-large", "InvalidArgument for a message over the payload limit",
	},
	"counts bodies only": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				if limit := r.Capabilities().MaxPayload; m.Size() > limit && len(m.Body) <= limit || strings.HasPrefix(m.Subject, "_") {
					return nil
				}
				return then(ctx, m)
			}
		}),
		"body/too-large", "InvalidArgument for a message over the payload limit",
	},
	"takes replies of any size": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				if err := then(ctx, m); transport.CodeOf(err) != transport.InvalidArgument {
					return err
				}
				return nil
			}
		}),
		"body/largest-reply", "The payload limit of a Publish applies to replies too.",
	},
	"folds the names of headers": {
		sends(func(m *transport.Message) {
			for i, f := range m.Header {
				if f.Name != "" {
					m.Header[i].Name = strings.ToUpper(f.Name[:1]) + strings.ToLower(f.Name[1:])
				}
			}
		}),
		"header/case", "Header names are case-sensitive.",
	},
	"keeps the last value of a header": {
		sends(func(m *transport.Message) {
			m.Header = slices.Collect(func(yield func(transport.Field) bool) {
				for i, f := range m.Header {
					if !m.Header[i+1:].Has(f.Name) && !yield(f) {
						return
					}
				}
			})
		}),
		"header/repeated", "The values of one header name keep their order.",
	},
	"cuts the values of headers": {
		sends(func(m *transport.Message) {
			for i, f := range m.Header {
				m.Header[i].Value = f.Value[:min(len(f.Value), 5)]
			}
		}),
		"header/values", "A transport carries header values unchanged, except",
	},
	"adds a header": {
		sends(func(m *transport.Message) { m.Header.Add("Via", "broken") }),
		"header/none", "Header may be nil",
	},
	"loses headers": {
		sends(func(m *transport.Message) { m.Header = nil }),
		"header/names", "A header name is an HTTP token (RFC 9110, section 5.1).",
	},
	"mends headers": {
		sends(func(m *transport.Message) {
			m.Header = slices.DeleteFunc(m.Header, func(f transport.Field) bool { return transport.Header{f}.Validate() != nil })
		}),
		"header/bad-value", "A header value with a control character or",
	},
	"carries any reply subject": {
		sends(func(m *transport.Message) {
			if m.Reply != "" && transport.ValidateSubject(m.Reply) != nil {
				m.Reply = ""
			}
		}),
		"subject/bad-reply", "Publish: InvalidArgument for a reply",
	},
	"folds subjects": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				m = m.Clone()
				if !strings.HasPrefix(m.Subject, "_") {
					m.Subject = strings.ToLower(m.Subject)
				}
				return then(ctx, m)
			}
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				s.Subject = strings.ToLower(s.Subject)
				return then(ctx, s, h)
			}
		}),
		"subject/literal", "Without a wildcard, a pattern matches exactly",
	},
	"accepts only ASCII": {
		sends(func(m *transport.Message) {
			if strings.ContainsFunc(m.Subject, func(c rune) bool { return c > 127 }) {
				m.Subject = "a..b"
			}
		}),
		"subject/characters", "A token contains no white space, no control characters",
	},
	"accepts only short subjects": {
		sends(func(m *transport.Message) {
			if len(m.Subject) > 100 {
				m.Subject = "a..b"
			}
		}),
		"subject/longest", "A subject is at most MaxSubject bytes long.",
	},
	"matches any number of tokens with a star": {
		subscribes(func(s *transport.Subscription) {
			if before, _, ok := strings.Cut(s.Subject, "*"); ok {
				s.Subject = before + ">"
			}
		}),
		"subject/star", `A pattern may use "*" for exactly one token.`,
	},
	"matches one token with a full wildcard": {
		subscribes(func(s *transport.Subscription) {
			if before, ok := strings.CutSuffix(s.Subject, ">"); ok {
				s.Subject = before + "*"
			}
		}),
		"subject/rest", `A pattern may use ">" as the last token`,
	},
	"subscribes to anything": {
		rewired(func(r *rewiring) {
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				receiver, err := then(ctx, s, h)
				if transport.CodeOf(err) == transport.InvalidArgument {
					s = transport.Subscription{Subject: "nothing"}
					return then(ctx, s, h)
				}
				return receiver, err
			}
		}),
		"subject/bad-pattern", "Subscribe: InvalidArgument for a bad subject.",
	},
	"has no name": {
		rewired(func(r *rewiring) { r.can = func(has *transport.Capabilities) { has.Name = "" } }),
		"capabilities", "Capabilities.Name is the backend's name in errors",
	},
	"reports denials without any": {
		rewired(func(r *rewiring) { r.denies = true }),
		"watch", "Watch calls f for denials, and for nothing else.",
	},
	"has no logs, but claims to": {
		rewired(func(r *rewiring) {
			r.log = func(context.Context, transport.LogConfig, opener) (transport.Log, error) {
				return nil, transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "no logs")
			}
		}),
		"logs-as-claimed", "A backend with Capabilities.Logs opens logs",
	},
	"is never reached": {
		rewired(func(r *rewiring) {
			r.ping = func(ctx context.Context, then func(context.Context) error) error {
				if err := then(ctx); err != nil {
					return err
				}
				return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "not there")
			}
		}),
		"ping", "Ping returns nil after a round trip to the backend.",
	},
	"refuses endpoints": {
		rewired(func(r *rewiring) {
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				if s.Endpoint != nil {
					return nil, transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "no discovery")
				}
				return then(ctx, s, h)
			}
		}),
		"endpoint", "A backend without discovery ignores Endpoint",
	},
	"returns plain errors": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error { return plain(then(ctx, m)) }
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				reply, err := then(ctx, m)
				return reply, plain(err)
			}
		}),
		"context/ended-publish", "ctx limits the hand-over",
	},
	"ignores contexts": {
		rewired(func(r *rewiring) {
			r.publish = func(_ context.Context, m *transport.Message, then sender) error { return then(context.Background(), m) }
			r.request = func(_ context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				return then(ctx, m)
			}
		}),
		"context/deadline", "DeadlineExceeded with OutcomeUnknown",
	},
	"reports every outcome as not done": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				reply, err := then(ctx, m)
				if e, ok := errors.AsType[*transport.Error](err); ok {
					e.Outcome = transport.OutcomeNotDone
				}
				return reply, err
			}
		}),
		"context/cancel", "Canceled with OutcomeUnknown",
	},
	"subscribes for as long as the context lives": {
		rewired(func(r *rewiring) {
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				receiver, err := then(ctx, s, h)
				if err == nil {
					context.AfterFunc(ctx, receiver.Close)
				}
				return receiver, err
			}
		}),
		"context/of-subscribe", "ctx applies only to the call of Subscribe.",
	},
	"delivers for as long as the context lives": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				if err := m.Validate(); err != nil || ctx.Done() == nil {
					return cmp.Or(err, then(ctx, m))
				}
				m = m.Clone()
				go func() { _ = then(ctx, m) }()
				return nil
			}
		}),
		"context/of-publish", "ctx limits the hand-over, not the delivery.",
	},
	"passes late replies to the next request": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			var late *transport.Message
			open := make(map[string]bool)
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				mu.Lock()
				if asked, known := open[m.Subject]; known && !asked {
					late = m.Clone()
				}
				mu.Unlock()
				return then(ctx, m)
			}
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					mu.Lock()
					if m.Reply != "" {
						open[m.Reply] = true
					}
					mu.Unlock()
					return h(m)
				})
			}
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				mu.Lock()
				before := late
				late = nil
				mu.Unlock()
				if before != nil {
					return before, nil
				}
				reply, err := then(ctx, m)
				mu.Lock()
				clear(open)
				if reply != nil {
					open[reply.Subject] = false
				}
				mu.Unlock()
				return reply, err
			}
		}),
		"request/late-reply", "Later replies are dropped",
	},
	"mixes up replies": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			var before *transport.Message
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				reply, err := then(ctx, m)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && before != nil {
					before, reply = reply, before
				} else if err == nil {
					before = reply
				}
				return reply, err
			}
		}),
		"request/concurrent", "Each of several concurrent requests gets the reply",
	},
	"waits for the last reply": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				if m.Validate() != nil || m.Reply != "" || ctx.Err() != nil {
					return then(ctx, m)
				}
				asked := m.Clone()
				asked.Reply = "last." + asked.Subject
				replies := make(chan *transport.Message, 100)
				receiver, err := r.Transport.Subscribe(ctx, transport.Subscription{Subject: asked.Reply}, transport.Serial(func(m *transport.Message) { replies <- m }))
				if err != nil {
					return nil, err
				}
				defer receiver.Close()
				if err := r.Transport.Publish(ctx, asked); err != nil {
					return nil, err
				}
				timer := time.NewTimer(time.Second)
				defer timer.Stop()
				<-timer.C
				for len(replies) > 1 {
					<-replies
				}
				if len(replies) == 0 {
					return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "no subscriber")
				}
				return <-replies, nil
			}
		}),
		"request/first-reply", "Request waits for the first reply.",
	},
	"requests from one subscriber only": {
		rewired(func(r *rewiring) {
			var asks sync.Map
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					if m.Reply != "" && s.Group == "" {
						if _, asked := asks.LoadOrStore(m.Reply, true); asked {
							return nil
						}
					}
					return h(m)
				})
			}
		}),
		"request/several-responders", "Request publishes m to all subscribers, and waits",
	},
	"requests from groups only": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				if strings.Contains(m.Subject, ".star.") || strings.Contains(m.Subject, ".rest.") {
					return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "no subscriber")
				}
				return then(ctx, m)
			}
		}),
		"request/wildcard-or-group", "A subscription with a wildcard or a group is",
	},
	"accepts a request with a reply subject": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				m = m.Clone()
				m.Reply = ""
				return then(ctx, m)
			}
		}),
		"request/reply-must-be-empty", "m.Reply must be empty.",
	},
	"changes the messages that it sends": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				reply, err := then(ctx, m)
				if err == nil {
					m.Reply = reply.Subject
				}
				return reply, err
			}
		}),
		"request/leaves-message", "A transport does not change a message that it sends",
	},
	"answers once": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				m = m.Clone()
				if strings.HasPrefix(m.Subject, "_") {
					m.Reply = ""
				}
				return then(ctx, m)
			}
		}),
		"request/conversation", "A reply is a Publish",
	},
	"hides reply subjects": {
		hands(func(h transport.Handler) transport.Handler {
			return func(m *transport.Message) transport.Work {
				m.Reply = ""
				return h(m)
			}
		}),
		"request/reply", "Request publishes m and waits for the first reply.",
	},
	"accepts replies from the handler's goroutine only": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			running := make(map[string]bool)
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					reply := m.Reply
					mu.Lock()
					running[reply] = true
					mu.Unlock()
					w := h(m)
					mu.Lock()
					delete(running, reply)
					mu.Unlock()
					return w
				})
			}
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				mu.Lock()
				late := strings.HasPrefix(m.Subject, "_") && !running[m.Subject]
				mu.Unlock()
				if late {
					return nil
				}
				return then(ctx, m)
			}
		}),
		"request/reply-from-goroutine", "A reply may be published at any time",
	},
	"returns the errors that replies carry": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				reply, err := then(ctx, m)
				if err == nil {
					if carried := transport.ErrorFromHeader(reply.Header); carried != nil {
						return nil, carried
					}
				}
				return reply, err
			}
		}),
		"request/error-reply", "A reply that carries an error in its header is a reply",
	},
	"has one reply subject": {
		rewired(func(r *rewiring) {
			real := make(chan string, 1000)
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					if m.Reply != "" {
						real <- m.Reply
						m.Reply = "the.reply.subject"
					}
					return h(m)
				})
			}
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				if m.Subject == "the.reply.subject" && len(real) > 0 {
					m = m.Clone()
					m.Subject = <-real
				}
				return then(ctx, m)
			}
		}),
		"request/reply-subjects-differ", "No two requests share a reply subject.",
	},
	"keeps messages without a copy": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				if m.Validate() != nil || ctx.Err() != nil || m.CheckSize(r.Capabilities().MaxPayload) != nil {
					return then(ctx, m)
				}
				kept := *m
				time.AfterFunc(time.Millisecond, func() { _ = then(context.Background(), &kept) })
				return nil
			}
		}),
		"ownership/sender", "The owner of a message may change it as soon",
	},
	"passes requests on without a copy": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			bodies := make(map[string]*transport.Message)
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				mu.Lock()
				bodies[m.Subject] = m
				mu.Unlock()
				return then(ctx, m)
			}
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					mu.Lock()
					if asked := bodies[m.Subject]; asked != nil {
						m.Body, m.Header = asked.Body, asked.Header
					}
					mu.Unlock()
					return h(m)
				})
			}
		}),
		"ownership/requester", "The owner of a message may change it as soon as Request",
	},
	"cuts bodies from one array": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			array := make([]byte, 0, 1<<20)
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					mu.Lock()
					if cap(array)-len(array) > len(m.Body) {
						begin := len(array)
						array = append(array, m.Body...)
						m.Body = array[begin:]
					}
					mu.Unlock()
					return h(m)
				})
			}
		}),
		"ownership/append", "A message passed to a Handler belongs to that handler",
	},
	"queues any number of messages": {
		subscribes(func(s *transport.Subscription) { s.PendingLimit = 0 }),
		"pending/newest-dropped", "Up to PendingLimit messages are queued, then the newest are",
	},
	"queues one message too many": {
		subscribes(func(s *transport.Subscription) {
			if s.PendingLimit > 0 {
				s.PendingLimit++
			}
		}),
		"pending/exactly", "Up to PendingLimit messages are queued: exactly as many are",
	},
	"queues few messages": {
		subscribes(func(s *transport.Subscription) {
			if s.PendingLimit == 0 {
				s.PendingLimit = 1000
			}
		}),
		"pending/waits", "Up to PendingLimit messages are queued; the default is 65536.",
	},
	"drops without OnDrop": {
		subscribes(func(s *transport.Subscription) { s.OnDrop = nil }),
		"pending/episodes", "OnDrop is called once per episode, with the number",
	},
	"calls OnDrop twice": {
		subscribes(func(s *transport.Subscription) {
			if onDrop := s.OnDrop; onDrop != nil {
				s.OnDrop = func(total uint64) {
					onDrop(total)
					onDrop(total + 1)
				}
			}
		}),
		"pending/episodes", "OnDrop is called once per episode, with the number",
	},
	"rejects requests that are dropped": {
		rewired(func(r *rewiring) {
			r.request = func(ctx context.Context, m *transport.Message, then requester) (*transport.Message, error) {
				reply, err := then(ctx, m)
				if transport.CodeOf(err) == transport.DeadlineExceeded {
					return nil, transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "dropped")
				}
				return reply, err
			}
		}),
		"pending/request-dropped", "A request that was dropped was not rejected: there is",
	},
	"calls OnDrop while it publishes": {
		rewired(func(r *rewiring) {
			turn := make(chan struct{}, 1)
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				turn <- struct{}{}
				defer func() { <-turn }()
				return then(ctx, m)
			}
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				if onDrop := s.OnDrop; onDrop != nil {
					s.OnDrop = func(total uint64) {
						turn <- struct{}{}
						onDrop(total)
						<-turn
					}
				}
				return then(ctx, s, h)
			}
		}),
		"pending/on-drop-may-publish", "OnDrop is called on a goroutine of the transport",
	},
	"closes receivers later": {
		receiving(func(r transport.Receiver) transport.Receiver {
			return &receiver{Receiver: r, end: func() { time.AfterFunc(time.Millisecond, r.Close) }}
		}),
		"close-receiver/resubscribe", "A closed subscription leaves nothing behind: another one",
	},
	"drains instead of closing": {
		receiving(func(r transport.Receiver) transport.Receiver {
			return &receiver{Receiver: r, end: func() { go func() { _ = r.Drain(context.Background()) }() }}
		}),
		"close-receiver/drops-queued", "Close drops the queued messages. It does not wait",
	},
	"waits for the handler in Close": {
		receiving(func(r transport.Receiver) transport.Receiver {
			return &receiver{Receiver: r, end: func() { _ = r.Drain(context.Background()) }}
		}),
		"close-receiver/drops-queued", "Close drops the queued messages. It does not wait",
	},
	"never closes a receiver": {
		receiving(func(r transport.Receiver) transport.Receiver { return &receiver{Receiver: r, end: func() {}} }),
		"close-receiver/ends", "Close ends the subscription.",
	},
	"breaks when a receiver is closed twice": {
		receiving(func(r transport.Receiver) transport.Receiver {
			closed := make(chan struct{})
			return &receiver{Receiver: r, end: func() {
				close(closed)
				r.Close()
			}}
		}),
		"close-receiver/twice", "panic: close of closed channel",
	},
	"drains without a limit": {
		receiving(func(r transport.Receiver) transport.Receiver {
			return &receiver{Receiver: r, drain: func(context.Context) error { return r.Drain(context.Background()) }}
		}),
		"drain/deadline", "panic: deadlock: all goroutines in bubble are blocked",
	},
	"drops queued messages when it drains": {
		receiving(func(r transport.Receiver) transport.Receiver {
			return &receiver{Receiver: r, drain: func(context.Context) error {
				r.Close()
				return nil
			}}
		}),
		"drain/handles-arrived", "Drain lets the handler process the messages that had",
	},
	"hides what a drain has lost": {
		receiving(func(r transport.Receiver) transport.Receiver {
			return &receiver{Receiver: r, drain: func(ctx context.Context) error {
				if err := r.Drain(ctx); err != nil {
					return transport.ContextError(ctx, transport.OutcomeUnknown, "drain: %w", ctx.Err())
				}
				return nil
			}}
		}),
		"drain/cancel", "If ctx ends first, Drain does what Close does",
	},
	"drains once": {
		receiving(func(r transport.Receiver) transport.Receiver {
			drained := make(chan struct{}, 1)
			return &receiver{Receiver: r, drain: func(ctx context.Context) error {
				select {
				case drained <- struct{}{}:
					return r.Drain(ctx)
				default:
					return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "drained before")
				}
			}}
		}),
		"drain/twice", "Every method may be called concurrently, and Drain may",
	},
	"drains everything": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			var all []transport.Receiver
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				made, err := then(ctx, s, h)
				if err != nil {
					return nil, err
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, made)
				return &receiver{Receiver: made, drain: func(ctx context.Context) error {
					mu.Lock()
					others := slices.Clone(all)
					mu.Unlock()
					for _, other := range others {
						if other != made {
							other.Close()
						}
					}
					return made.Drain(ctx)
				}}, nil
			}
		}),
		"drain/others-go-on", "Drain affects only its subscription.",
	},
	"can be closed only once": {
		rewired(func(r *rewiring) {
			var closed atomic.Bool
			r.end = func(ctx context.Context, then func(context.Context) error) error {
				if closed.Swap(true) {
					return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "closed before")
				}
				return then(ctx)
			}
		}),
		"close/twice", "Every later call of Close returns nil, once the first",
	},
	"continues after Close": {
		rewired(func(r *rewiring) {
			var calls atomic.Int64
			r.end = func(ctx context.Context, then func(context.Context) error) error {
				if calls.Add(1) == 1 {
					time.AfterFunc(time.Second, func() { _ = then(context.Background()) })
				}
				return nil
			}
		}),
		"close/ends-subscriptions", "Close closes every subscription as Receiver.Close does",
	},
	"waits for handlers when it is closed": {
		rewired(func(r *rewiring) {
			var mu sync.Mutex
			var all []transport.Receiver
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				made, err := then(ctx, s, h)
				if err == nil {
					mu.Lock()
					all = append(all, made)
					mu.Unlock()
				}
				return made, err
			}
			r.end = func(ctx context.Context, then func(context.Context) error) error {
				mu.Lock()
				ending := all
				all = nil
				mu.Unlock()
				for _, made := range ending {
					_ = made.Drain(ctx)
				}
				return then(ctx)
			}
		}),
		"handler/closes-transport", "Close closes every subscription as Receiver.Close does",
	},
	"breaks if a receiver outlives it": {
		rewired(func(r *rewiring) {
			var closed atomic.Bool
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				made, err := then(ctx, s, h)
				if err != nil {
					return nil, err
				}
				end := func() {
					if closed.Load() {
						<-make(chan struct{})
					}
					made.Close()
				}
				return &receiver{Receiver: made, end: end}, nil
			}
			r.end = func(ctx context.Context, then func(context.Context) error) error {
				closed.Store(true)
				return then(ctx)
			}
		}),
		"close/receivers-after", "Closing a Receiver after its Transport does nothing.",
	},
	"sends messages during Close": {
		rewired(func(r *rewiring) {
			r.publish = func(ctx context.Context, m *transport.Message, then sender) error {
				err := then(ctx, m)
				if e, ok := errors.AsType[*transport.Error](err); ok && e.Code == transport.Unavailable {
					e.Outcome = transport.OutcomeUnknown
				}
				return err
			}
		}),
		"close/publishers", "Every method may be called concurrently: each Publish",
	},
	"leaks a goroutine": {
		hands(func(h transport.Handler) transport.Handler {
			go func() { <-make(chan struct{}) }()
			return h
		}),
		"publish/arrives", "panic: deadlock: main bubble goroutine has exited but blocked goroutines remain",
	},
	"forgets some of many receivers": {
		rewired(func(r *rewiring) {
			var made atomic.Int64
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				if made.Add(1) > 100 {
					h = func(*transport.Message) transport.Work { return nil }
				}
				return then(ctx, s, h)
			}
		}),
		"concurrency/many-receivers", "Publish hands the message to every subscription",
	},
	"loses one in a hundred": {
		rewired(func(r *rewiring) {
			lose := everyNth(100)
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				return then(ctx, s, func(m *transport.Message) transport.Work {
					if !lose() {
						return h(m)
					}
					return nil
				})
			}
		}),
		"concurrency/everything-at-once", "Every method of every type may be called",
	},
	"hands a group's message to all when it drains": {
		rewired(func(r *rewiring) {
			r.subscribe = func(ctx context.Context, s transport.Subscription, h transport.Handler, then subscriber) (transport.Receiver, error) {
				made, err := then(ctx, s, h)
				if err != nil || s.Group == "" {
					return made, err
				}
				return &receiver{Receiver: made, end: func() {}, drain: func(ctx context.Context) error {
					made.Close()
					return nil
				}}, nil
			}
		}),
		"group/member-closes", "A member that has ended receives nothing.",
	},
}

// receiverAlone shares one lock with all receivers of the transport.
type receiverAlone struct {
	transport.Receiver
	alone func() func()
}

func (r *receiverAlone) Drain(ctx context.Context) error {
	defer r.alone()()
	return r.Receiver.Drain(ctx)
}

func (r *receiverAlone) Close() {
	defer r.alone()()
	r.Receiver.Close()
}

func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}
