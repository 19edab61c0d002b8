package natsx_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var (
	usual  = transport.Header{{Name: transport.HeaderID, Value: "id-1"}, {Name: transport.HeaderSender, Value: "shop.web"}, {Name: transport.HeaderTimeout, Value: "2000"}}
	octets = transport.Header{{Name: transport.HeaderContentType, Value: "application/octet-stream"}}
)

// line is a connection of natsx, with what passes over its server.
type line struct {
	t        *testing.T
	tr       *natsx.Transport
	tap      *nats.Conn
	tapped   *nats.Subscription
	requests chan *nats.Msg // on the subject "s"
	replies  chan *nats.Msg // to all requests on the server
}

func newLine(t *testing.T, url string) *line {
	l := &line{t: t, tr: connect(t, url), tap: plain(t, url), requests: make(chan *nats.Msg, 100), replies: make(chan *nats.Msg, 100)}
	var err error
	if l.tapped, err = l.tap.ChanSubscribe("s", l.requests); err != nil {
		t.Fatal(err)
	}
	if _, err = l.tap.ChanSubscribe("_INBOX.>", l.replies); err != nil {
		t.Fatal(err)
	}
	if err := l.tap.Flush(); err != nil {
		t.Fatal(err)
	}
	return l
}

// plain connects without mono.
func plain(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// ask sends a request on "s". It returns the reply, and the request and its reply as they passed
// the server.
func (l *line) ask(h transport.Header) (reply *transport.Message, request, raw *nats.Msg) {
	l.t.Helper()
	reply, err := l.tr.Request(l.t.Context(), &transport.Message{Subject: "s", Header: h, Body: []byte("x")})
	if err != nil {
		l.t.Fatal(err)
	}
	request = realtime.Receive(l.t, l.requests, "request")
	for raw == nil || raw.Subject != request.Reply {
		raw = realtime.Receive(l.t, l.replies, "reply")
	}
	return reply, request, raw
}

// wantBrief checks whether a request is brief.
func (l *line) wantBrief(what string, request *nats.Msg, want bool) {
	l.t.Helper()
	if is := len(request.Header) == 0; is != want {
		l.t.Errorf("%s: reply subject %s, header %v: brief %t, want %t", what, request.Reply, request.Header, is, want)
	}
}

// serve provides "s" with a newer build. It replies with a header, and passes on what arrives.
func serve(t *testing.T, tr transport.Transport, reply func(*transport.Message) transport.Header) (got chan *transport.Message, r transport.Receiver) {
	t.Helper()
	got = make(chan *transport.Message, 100)
	r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "s", Group: "g"}, transport.Serial(func(m *transport.Message) {
		got <- m
		if err := tr.Publish(context.Background(), &transport.Message{Subject: m.Reply, Header: reply(m), Body: m.Body}); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return got, r
}

// serveOlder provides "s" with an older build, which replies in the header of the request. It
// returns the headers that arrive.
func serveOlder(t *testing.T, nc *nats.Conn) (got chan nats.Header, sub *nats.Subscription) {
	t.Helper()
	got = make(chan nats.Header, 100)
	sub, err := nc.QueueSubscribe("s", "g", func(m *nats.Msg) {
		got <- m.Header
		if err := m.RespondMsg(&nats.Msg{Header: m.Header, Data: m.Data}); err != nil {
			t.Error(err)
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return got, sub
}

func sorted(h transport.Header) transport.Header {
	h = slices.Clone(h)
	slices.SortFunc(h, func(a, b transport.Field) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Value, b.Value))
	})
	return h
}

func wantHeader(t *testing.T, what string, got, want transport.Header) {
	t.Helper()
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%s: header %v, want %v", what, got, want)
	}
}

// Between two newer builds all header fields arrive, of requests and of replies, and the usual
// ones without headers of NATS.
func TestHeadersOfCalls(t *testing.T) {
	t.Parallel()
	field := func(name, value string) transport.Header { return transport.Header{{Name: name, Value: value}} }
	failed := field("Tenant", "acme")
	failed.SetError(&transport.Error{Code: transport.NotFound, Message: "none"})
	for name, c := range map[string]struct {
		request, reply           transport.Header
		briefRequest, briefReply bool
	}{
		"the usual":           {usual, nil, true, true},
		"none":                {nil, nil, true, true},
		"bytes":               {append(slices.Clone(usual), octets...), octets, true, true},
		"bytes, JSON":         {octets, nil, true, true},
		"bytes, named JSON":   {octets, field(transport.HeaderContentType, "application/json"), true, false},
		"JSON, bytes":         {usual, octets, true, true},
		"a version":           {field(transport.HeaderContentType, "application/json; version=2"), octets, false, true},
		"MessagePack":         {field(transport.HeaderContentType, "application/msgpack"), field(transport.HeaderContentType, "application/msgpack"), false, false},
		"a request id":        {append(slices.Clone(usual), transport.Field{Name: "X-Request-Id", Value: "7"}), field("X-Request-Id", "7"), false, false},
		"an id that is long":  {field(transport.HeaderID, strings.Repeat("x", 300)), octets, false, true},
		"an id in two parts":  {field(transport.HeaderID, "a b"), nil, false, true},
		"an error":            {usual, failed, true, false},
		"bytes with an error": {octets, append(slices.Clone(failed), octets...), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startServer(t, nil).ClientURL()
			l := newLine(t, url)
			got, _ := serve(t, connect(t, url), func(*transport.Message) transport.Header { return c.reply })
			for i := range 3 {
				reply, request, raw := l.ask(c.request)
				m := realtime.Receive(t, got, "request")
				wantHeader(t, "request", m.Header, c.request)
				wantHeader(t, "reply", reply.Header, c.reply)
				if m.Reply != request.Reply || reply.Reply != "" || string(m.Body) != "x" || string(reply.Body) != "x" {
					t.Errorf("got %+v and %+v", m, reply)
				}
				l.wantBrief("request", request, len(c.request) == 0 || c.briefRequest && i > 0)
				l.wantBrief("reply", raw, c.briefReply)
			}
		})
	}
}

// A provider that does not confirm gets headers in every request: an older build, and a service
// of nats.go.
func TestHeadersForOtherProviders(t *testing.T) {
	t.Parallel()
	t.Run("older build", func(t *testing.T) {
		t.Parallel()
		url := startServer(t, nil).ClientURL()
		l := newLine(t, url)
		got, _ := serveOlder(t, plain(t, url))
		for range 3 {
			reply, request, _ := l.ask(usual)
			l.wantBrief("request", request, false)
			wantHeader(t, "reply", reply.Header, usual)
			if h := <-got; h.Get(transport.HeaderTimeout) != "2000" {
				t.Errorf("got %v", h)
			}
		}
	})
	t.Run("micro", func(t *testing.T) {
		t.Parallel()
		url := startServer(t, nil).ClientURL()
		tr, nc := connect(t, url), plain(t, url)
		s, err := micro.AddService(nc, micro.Config{Name: "s", Version: "1.0.0", Endpoint: &micro.EndpointConfig{
			Subject: "s", Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Respond([]byte(r.Headers().Get(transport.HeaderTimeout))) }),
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Stop() }()
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if reply, err := tr.Request(t.Context(), &transport.Message{Subject: "s", Header: usual}); err != nil || string(reply.Body) != "2000" || len(reply.Header) > 0 {
				t.Errorf("%+v, %v", reply, err)
			}
		}
	})
}

// A requester that does not use natsx of this build gets headers, and no reply field.
func TestRepliesToOtherRequesters(t *testing.T) {
	t.Parallel()
	url := startServer(t, nil).ClientURL()
	_, _ = serve(t, connect(t, url), func(*transport.Message) transport.Header { return octets })
	nc := plain(t, url)
	for _, inbox := range []string{nats.NewInbox(), "_INBOX.x~b~id~sender~2000", "a~", nats.NewInbox() + ".~", "answers._k.1~b~id~sender~2000"} {
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest("s", inbox, nil); err != nil {
			t.Fatal(err)
		}
		reply, err := sub.NextMsg(realtime.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Reply != "" || reply.Header.Get(transport.HeaderContentType) == "" {
			t.Errorf("%s: reply %q, header %v", inbox, reply.Reply, reply.Header)
		}
	}
}

// A reply subject that another client has made is passed on unchanged, whatever it is, and adds
// no header.
func TestForeignReplySubjects(t *testing.T) {
	t.Parallel()
	url := startServer(t, nil).ClientURL()
	tr := connect(t, url)
	got := make(chan *transport.Message, 1)
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "s"}, transport.Serial(func(m *transport.Message) { got <- m })); err != nil {
		t.Fatal(err)
	}
	nc := plain(t, url)
	for _, reply := range []string{
		"~", "~~~~", "b~", "1~b~id~sender~2000", "_INBOX.1~b~id~sender~2000", nats.NewInbox() + ".1~", nats.NewInbox() + ".1~b~~", nats.NewInbox() + ".1~x~id~sender~1",
		nats.NewInbox() + ".1~b~\x01~\x7f~1", nats.NewInbox() + ".1~b~id~sender~1~", nats.NewInbox() + ".zzzzzzzzzzzzzzzz~b~id~sender~1", nats.NewInbox() + ".1~b~" + strings.Repeat("x", 400) + "~~",
	} {
		if err := nc.PublishRequest("s", reply, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if m := realtime.Receive(t, got, "message"); m.Reply != reply || len(m.Header) > 0 || string(m.Body) != "x" {
			t.Errorf("%q: %+v", reply, m)
		}
	}
}

// An older build that begins to share a subject loses the header of one request, or of those
// under way at once. After its reply the requests have headers again.
func TestOlderBuildJoins(t *testing.T) {
	t.Parallel()
	url := startServer(t, nil).ClientURL()
	l := newLine(t, url)
	newer := connect(t, url)
	nothing := func(*transport.Message) transport.Header { return nil }
	_, receiver := serve(t, newer, nothing)
	l.ask(usual)
	_, request, _ := l.ask(usual)
	l.wantBrief("to the newer build", request, true)

	if err := receiver.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, older := serveOlder(t, plain(t, url))
	for i := range 3 {
		_, request, _ := l.ask(usual)
		l.wantBrief("to the older build", request, i == 0)
		if h := <-got; i > 0 && h.Get(transport.HeaderID) == "" {
			t.Errorf("got %v", h)
		}
	}

	if err := older.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	serve(t, newer, nothing)
	for range 3 {
		_, request, _ := l.ask(usual)
		l.wantBrief("to the newer build, soon after the older one", request, false)
	}
}

// Older and newer builds share the requests of several callers. A newer build gets every header. An
// older build misses at most those of the requests that are under way when it first replies.
func TestMixedBuilds(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 50
	url := startServer(t, nil).ClientURL()
	tr, newer := connect(t, url), connect(t, url)
	if _, err := newer.Subscribe(t.Context(), transport.Subscription{Subject: "s", Group: "g"}, transport.Serial(func(m *transport.Message) {
		wantHeader(t, "request", m.Header, usual)
		if err := newer.Publish(context.Background(), &transport.Message{Subject: m.Reply, Header: octets, Body: m.Body}); err != nil {
			t.Error(err)
		}
	})); err != nil {
		t.Fatal(err)
	}
	var older, brief atomic.Int64
	nc := plain(t, url)
	if _, err := nc.QueueSubscribe("s", "g", func(m *nats.Msg) {
		if older.Add(1); len(m.Header) == 0 {
			brief.Add(1)
		}
		if err := m.RespondMsg(&nats.Msg{Header: nats.Header{transport.HeaderContentType: {"application/octet-stream"}}, Data: m.Data}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for i := range each {
				body := fmt.Sprint(caller, i)
				reply, err := tr.Request(t.Context(), &transport.Message{Subject: "s", Header: usual, Body: []byte(body)})
				if err != nil {
					t.Error(err)
					return
				}
				if wantHeader(t, "reply", reply.Header, octets); string(reply.Body) != body {
					t.Errorf("got the reply %q, want %q", reply.Body, body)
				}
			}
		})
	}
	wait.Wait()
	most := callers * int64(1+time.Since(began)/(10*time.Second)) // again after each 10 seconds
	if older.Load() == 0 || brief.Load() > most {
		t.Errorf("the older build got %d requests, %d of them without a header: want at most %d", older.Load(), brief.Load(), most)
	}
}

// A request that nobody answers ends brief requests, since another provider may come.
func TestNoProvider(t *testing.T) {
	t.Parallel()
	url := startServer(t, nil).ClientURL()
	l := newLine(t, url)
	_, receiver := serve(t, connect(t, url), func(*transport.Message) transport.Header { return nil })
	l.ask(usual)
	_, request, _ := l.ask(usual)
	l.wantBrief("while there is a provider", request, true)
	if err := receiver.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.tapped.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := l.tap.Flush(); err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, err := l.tr.Request(t.Context(), &transport.Message{Subject: "s", Header: usual})
		return err
	}
	if err := ask(); transport.CodeOf(err) != transport.Unavailable {
		t.Errorf("without a provider: %v", err)
	}
	got, _ := serveOlder(t, plain(t, url))
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if h := <-got; h.Get(transport.HeaderTimeout) != "2000" {
		t.Errorf("got %v", h)
	}
}

// A service import replaces the reply subject. The header of a request arrives nevertheless.
func TestServiceImport(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *embedded.Options) {
		o.Account = "provider"
		o.ConfigFile = configFile(t, `accounts {
	provider: { users: [{ user: provider, password: p }], exports: [{ service: "s" }] }
	caller: { users: [{ user: caller, password: c }], imports: [{ service: { account: provider, subject: "s" } }] }
}`)
	})
	as := func(user, password string) *natsx.Transport {
		tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, User: user, Password: password, Logger: testLog(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tr.Close(context.Background()) })
		return tr
	}
	got, _ := serve(t, as("provider", "p"), func(*transport.Message) transport.Header { return octets })
	caller := as("caller", "c")
	for range 3 {
		reply, err := caller.Request(t.Context(), &transport.Message{Subject: "s", Header: usual})
		if err != nil {
			t.Fatal(err)
		}
		m := realtime.Receive(t, got, "request")
		if !strings.HasPrefix(m.Reply, "_R_.") {
			t.Errorf("reply subject %s: want one of the server", m.Reply)
		}
		wantHeader(t, "request", m.Header, usual)
		wantHeader(t, "reply", reply.Header, octets)
	}
}
