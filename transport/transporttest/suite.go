package transporttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
)

// patience is how long a case waits for an event that must happen. It exceeds
// DefaultAckWait, because a message that a server of a cluster had sent to a member comes
// after that time if another server saw the member leave. In a bubble it passes at once
// if nothing else can happen.
const patience = realtime.Patience

// suite is a running case: a Transport, and subjects that no other case has.
//
// Handlers and goroutines of a case report with Error and Errorf. On a failing backend
// they may do so after the case has ended. That is ignored, because testing.T would end
// the process.
type suite struct {
	testing.TB            // of the round
	test       *testing.T // for creating Transports
	tr         transport.Transport
	root       string

	// line is set if the test can cut the connection, see Line.
	line    *Line
	newLine func(*testing.T) *Line

	host *Host // set if the test can end the backend

	mu   sync.Mutex
	over bool
}

func newSuite(test *testing.T, t testing.TB, tr transport.Transport) *suite {
	s := &suite{TB: t, test: test, tr: tr, root: newRoot()}
	t.Cleanup(s.end)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := tr.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func newRoot() string { return "conformance-" + strconv.FormatUint(rand.Uint64(), 36) }

func (s *suite) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

func (s *suite) Errorf(format string, args ...any) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.TB.Errorf(format, args...)
	}
}

func (s *suite) Error(args ...any) {
	s.Helper()
	s.Errorf("%s", fmt.Sprint(args...))
}

func (s *suite) Capabilities() transport.Capabilities { return s.tr.Capabilities() }

// subject returns a subject, or a pattern, of this case.
func (s *suite) subject(rest string) string { return s.root + "." + rest }

// patient returns a context for events that must happen.
func (s *suite) patient() context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	s.Cleanup(cancel)
	return ctx
}

func (s *suite) message(rest, body string) *transport.Message {
	return &transport.Message{Subject: s.subject(rest), Body: []byte(body)}
}

func (s *suite) send(m *transport.Message) {
	s.Helper()
	if err := s.tr.Publish(s.Context(), m); err != nil {
		s.Fatalf("Publish on %q: %v", m.Subject, err)
	}
}

func (s *suite) publish(rest, body string) {
	s.Helper()
	s.send(s.message(rest, body))
}

func (s *suite) ask(m *transport.Message) *transport.Message {
	s.Helper()
	reply, err := s.tr.Request(s.patient(), m)
	if err != nil {
		s.Fatalf("Request on %q: %v", m.Subject, err)
	}
	return reply
}

func (s *suite) request(rest, body string) string {
	s.Helper()
	return string(s.ask(s.message(rest, body)).Body)
}

func (s *suite) subscribe(sub transport.Subscription, h func(*transport.Message)) transport.Receiver {
	s.Helper()
	return s.handle(sub, transport.Serial(h))
}

// handle is like subscribe, with a handler that may leave work.
func (s *suite) handle(sub transport.Subscription, h transport.Handler) transport.Receiver {
	s.Helper()
	r, err := s.tr.Subscribe(s.patient(), sub, h)
	if err != nil {
		s.Fatalf("Subscribe to %q: %v", sub.Subject, err)
	}
	return r
}

// serve replies to requests with a prefix before their body.
func (s *suite) serve(sub transport.Subscription, prefix string) transport.Receiver {
	s.Helper()
	return s.subscribe(sub, func(m *transport.Message) { s.reply(m, prefix+string(m.Body)) })
}

// reply replies from a handler. Its message may have no reply subject.
func (s *suite) reply(m *transport.Message, body string) {
	if m.Reply == "" {
		return
	}
	err := s.tr.Publish(context.Background(), &transport.Message{Subject: m.Reply, Body: []byte(body)})
	if err != nil && transport.CodeOf(err) != transport.Unavailable {
		s.Errorf("reply to %q: %v", m.Subject, err)
	}
}

func (s *suite) drain(r transport.Receiver) {
	s.Helper()
	if err := r.Drain(s.patient()); err != nil {
		s.Fatalf("Drain: %v", err)
	}
}

// listener keeps the messages of a subscription for a case. Its channel is short on
// purpose: most messages are queued in the transport.
type listener struct {
	transport.Receiver
	s        *suite
	pattern  string
	messages chan *transport.Message
}

func (s *suite) listen(rest string) *listener {
	s.Helper()
	return s.join(rest, "")
}

// join is like listen, as a member of a group.
func (s *suite) join(rest, group string) *listener {
	s.Helper()
	l := &listener{s: s, pattern: s.subject(rest), messages: make(chan *transport.Message, 16)}
	stop := s.Context().Done()
	l.Receiver = s.subscribe(transport.Subscription{Subject: l.pattern, Group: group}, func(m *transport.Message) {
		select {
		case l.messages <- m:
		case <-stop:
		}
	})
	return l
}

func (l *listener) next() *transport.Message {
	l.s.Helper()
	return await(l.s, l.messages, "a message for "+l.pattern)
}

// want fails unless the given bodies come next.
func (l *listener) want(bodies ...string) {
	l.s.Helper()
	for _, body := range bodies {
		if got := l.next(); string(got.Body) != body {
			l.s.Fatalf("%s got %q, want %q", l.pattern, got.Body, body)
		}
	}
}

// wantOnly fails unless exactly the given bodies come before one that it publishes now on
// a subject of the listener. Later messages cannot overtake it.
func (l *listener) wantOnly(rest string, bodies ...string) {
	l.s.Helper()
	l.s.publish(rest, "that was all")
	l.want(append(bodies, "that was all")...)
}

// await waits for a value from a channel.
func await[T any](s *suite, from <-chan T, what string) T {
	s.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		s.Fatalf("gave up waiting for %s", what)
		panic("unreachable")
	}
}

// settle waits until the messages that this Transport has published are queued at its
// subscriptions, or were dropped there. See the package documentation.
func (s *suite) settle() {
	s.Helper()
	if err := s.tr.Ping(s.patient()); err != nil {
		s.Fatalf("Ping: %v", err)
	}
}

// within fails unless f returns in time.
func (s *suite) within(what string, f func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	await(s, done, what)
}

// wantError fails unless err is an Error with this code and outcome.
func (s *suite) wantError(err error, code transport.Code, outcome transport.Outcome) {
	s.Helper()
	s.wantCode(err, code)
	if e, ok := errors.AsType[*transport.Error](err); ok && e.Outcome != outcome {
		s.Errorf("got %q with outcome %q, want %q", err, e.Outcome, outcome)
	}
}

// wantCode is like wantError if the transport contract does not specify the outcome.
func (s *suite) wantCode(err error, code transport.Code) {
	s.Helper()
	e, ok := errors.AsType[*transport.Error](err)
	switch {
	case !ok:
		s.Errorf("got error %v (%T), want an Error with code %s", err, err, code)
	case e.Code != code:
		s.Errorf("got %q, want code %s", err, code)
	}
}

// wantIs fails unless err matches the error of ctx.
func (s *suite) wantIs(err error, ctx context.Context) {
	s.Helper()
	if !errors.Is(err, ctx.Err()) {
		s.Errorf("errors.Is(%v, %v) is false", err, ctx.Err())
	}
}

// gate blocks a handler until it is opened.
type gate struct {
	entered chan string
	open    chan struct{}
}

// newGate returns a gate that opens at the latest at the end of the case.
func (s *suite) newGate() *gate {
	g := &gate{entered: make(chan string, 1), open: make(chan struct{})}
	s.Cleanup(g.release)
	return g
}

// hold reports that the handler has started, and returns when the gate is open.
func (g *gate) hold(m *transport.Message) {
	select {
	case <-g.open:
	case g.entered <- string(m.Body):
		<-g.open
	}
}

func (g *gate) release() {
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// numbers returns the decimal numbers from 0 to n-1, as bodies.
func numbers(n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = strconv.Itoa(i)
	}
	return bodies
}
