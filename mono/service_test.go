package mono_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/codec"
	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

type question struct {
	Text string         `json:"text"`
	Tags []string       `json:"tags,omitempty"`
	More map[string]int `json:"more,omitempty"`
}

type reply struct {
	Text string   `json:"text"`
	Tags []string `json:"tags,omitempty"`
}

type shortage struct {
	Left int `json:"left"`
}

var (
	ask       = mono.NewService[question, reply]("test.ask")
	askPack   = mono.NewService[question, reply]("test.ask-pack", mono.Codec(codec.MessagePack))
	askRaw    = mono.NewService[[]byte, []byte]("test.ask-raw", mono.Codec(codec.Raw))
	askMinute = mono.NewService[question, reply]("test.ask-minute", mono.Timeout(time.Minute))
	askBrief  = mono.NewService[question, reply]("test.ask-brief", mono.Timeout(4*tick))
	short     = mono.NewFailure[shortage]("test.short", mono.FailedPrecondition)
	other     = mono.NewFailure[shortage]("test.other", mono.FailedPrecondition)
)

// tick is short enough to wait for in real time, over NATS, and long enough to handle a
// message.
const tick = 100 * time.Millisecond

type handler = mono.Func[question, reply]

func provider(fn handler, opts ...mono.ServiceHandlerOption) mono.Module {
	return module("provider", func(s *mono.Scope) { ask.Handle(s, fn, opts...) })
}

func echo(_ context.Context, q question) (reply, error) {
	return reply{Text: q.Text, Tags: q.Tags}, nil
}

// serviceCase is one property of calls, on each path.
type serviceCase struct {
	name    string
	differs difference // the difference of local calls; "" for none
	run     func(s *caseRun)
}

// difference is a permitted difference between a local call and a call over the transport.
// The package documentation lists all of them in these words.
type difference string

const (
	waits     difference = "The caller waits for the handler itself, whose context ends with the caller's. A handler that ignores its context delays its caller, which then gets DeadlineExceeded or Canceled."
	unbounded difference = "The transport's payload limit does not apply."
	exits     difference = "runtime.Goexit in a handler ends its caller"
	reaches   difference = "While a module stops, local calls reach it until its Stop has returned."
)

// serviceTable checks that calls behave the same on each path.
var serviceTable = slices.Concat(
	serviceValueCases,
	serviceErrorCases,
	serviceFailureCases,
	serviceMetadataCases,
	serviceCallInfoCases,
	serviceTimeCases,
	serviceLimitCases,
	serviceMiddlewareCases,
	serviceStopCases,
)

// caseRun is a run of a case on one path.
type caseRun struct {
	testing.TB
	path    path
	differs difference
}

// TestService runs serviceTable. Time is virtual in memory.
func TestService(t *testing.T) {
	t.Parallel()
	rounds := &realtime.Rounds{Stall: tick / 2}
	onPaths(t, func(t *testing.T, p path) {
		for _, c := range serviceTable {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if p.name == "nats" {
					rounds.Run(t, func(t testing.TB) { c.run(&caseRun{t, p, c.differs}) })
					return
				}
				synctest.Test(t, func(t *testing.T) { c.run(&caseRun{t, p, c.differs}) })
			})
		}
	})
}

// The package documentation lists each difference that the table permits.
func TestServiceDifferencesAreDocumented(t *testing.T) {
	t.Parallel()
	doc := docOf(t, "doc.go")
	for _, d := range []difference{waits, unbounded, exits, reaches} {
		if !strings.Contains(doc, string(d)) {
			t.Errorf("doc.go does not contain: %s", d)
		}
	}
}

// docOf returns the text of a file of the package with single spaces.
func docOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(string(text), "//", "")), " ")
}

// local reports whether calls are local. The case must be marked with the difference.
func (s *caseRun) local(d difference) bool {
	if s.differs != d {
		s.Fatalf("the case depends on the path: mark it with the difference %s", d)
	}
	return !s.path.noLocalCalls
}

// virtual reports whether the case runs in virtual time.
func (s *caseRun) virtual() bool { return s.path.name != "nats" }

// app returns an App on the path of the case.
func (s *caseRun) app(opts ...mono.AppOption) *mono.App { return s.path.app(s.TB, opts...) }

// start starts an App with modules on the path of the case.
func (s *caseRun) start(modules ...mono.Module) *mono.App { return s.path.start(s.TB, modules...) }

// serve starts an App that provides ask by fn.
func (s *caseRun) serve(fn handler, opts ...mono.ServiceHandlerOption) *mono.App {
	return s.start(provider(fn, opts...))
}

// fails provides ask by fn and returns the error of a call.
func (s *caseRun) fails(fn handler) error {
	got, err := ask.Call(s.Context(), s.serve(fn), question{})
	if err == nil || got.Text != "" {
		s.Errorf("got %v, %v, want an error", got, err)
	}
	return err
}

// want checks the code, the outcome and the text of an error.
func (s *caseRun) want(err error, code mono.Code, outcome mono.Outcome, texts ...string) {
	s.Helper()
	if mono.CodeOf(err) != code || mono.OutcomeOf(err) != outcome {
		s.Errorf("got %v, outcome %v; want %v, outcome %v", err, mono.OutcomeOf(err), code, outcome)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			s.Errorf("got %v; want it to contain %q", err, text)
		}
	}
}

// took checks the time since began, exactly if time is virtual. A deadline is sent in whole
// milliseconds, so 2 ms less are accepted.
func (s *caseRun) took(began time.Time, want time.Duration) {
	s.Helper()
	if got := time.Since(began); got < want-2*time.Millisecond || s.virtual() && got != want {
		s.Errorf("took %v, want %v", got, want)
	}
}

// A plain client can call a service with a subject and a body. JSON is accepted for each
// codec, and an invalid request gets an error that names the service.
func TestServicePlainClient(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.start(t, module("provider", func(s *mono.Scope) {
			ask.Handle(s, func(ctx context.Context, q question) (reply, error) {
				mono.CallFrom(ctx).SetReplyHeader("Quote", q.Text)
				if q.Text == "fail" {
					return reply{}, short.With(shortage{Left: 1})
				}
				return echo(ctx, q)
			})
			askPack.Handle(s, echo)
		}))
		raw := mono.Raw(app)
		request := func(subject, contentType, body string, more ...transport.Field) *transport.Message {
			t.Helper()
			m := &transport.Message{Subject: subject, Body: []byte(body), Header: more}
			if contentType != "" {
				m.Header.Add(transport.HeaderContentType, contentType)
			}
			got, err := raw.Request(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := request("services.test.ask", "", `{"text":"x"}`); string(got.Body) != `{"text":"x"}` || got.Header.Get("Quote") != "x" {
			t.Errorf("JSON: %v %s", got.Header, got.Body)
		}
		if got := request("services.test.ask-pack", "", `{"text":"x"}`); string(got.Body) != `{"text":"x"}` {
			t.Errorf("JSON to a MessagePack service: %q", got.Body)
		}
		if got := request("services.test.ask", "Application/JSON; charset=utf-8", `{"text":"x"}`); string(got.Body) != `{"text":"x"}` {
			t.Errorf("JSON with parameters: %s", got.Body)
		}
		failed := request("services.test.ask", "", `{"text":"fail"}`)
		if failed.Header.Get(transport.HeaderCode) != "failed_precondition" || failed.Header.Get(transport.HeaderFailure) != "test.short" || failed.Header.Get("Quote") != "fail" || string(failed.Body) != `{"left":1}` {
			t.Errorf("failure: %v %s", failed.Header, failed.Body)
		}
		for what, got := range map[string]*transport.Message{
			"no JSON":          request("services.test.ask", "", `{"text":`),
			"another type":     request("services.test.ask", "", `{"text":7}`),
			"an empty body":    request("services.test.ask", "", ``),
			"an unknown type":  request("services.test.ask", "image/png", `x`),
			"a bad timeout":    request("services.test.ask", "", `{}`, transport.Field{Name: transport.HeaderTimeout, Value: "-1"}),
			"a zero timeout":   request("services.test.ask", "", `{}`, transport.Field{Name: transport.HeaderTimeout, Value: "0"}),
			"a broken content": request("services.test.ask-pack", "application/msgpack", "\xc1"),
		} {
			if e := transport.ErrorFromHeader(got.Header); e == nil || e.Code != mono.InvalidArgument || !strings.Contains(e.Message, "service test.ask") {
				t.Errorf("%s: %v", what, e)
			}
		}
	})
}

// A call outside modules uses the codec of the handle, even if no module of the App
// declares the handle.
func TestCallOutsideModulesUsesTheHandlesCodec(t *testing.T) {
	t.Parallel()
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	serving := mono.New(borrowed{tr}, quiet(t))
	serving.Add(module("provider", func(s *mono.Scope) {
		askPack.Handle(s, func(_ context.Context, q question) (reply, error) {
			if q.Text == "fail" {
				return reply{}, short.With(shortage{Left: 7})
			}
			return reply{Text: q.Text}, nil
		})
	}))
	begin(t, serving)
	calling := mono.New(borrowed{tr}, quiet(t))
	begin(t, calling)
	if got, err := askPack.Call(t.Context(), calling, question{Text: "x"}); err != nil || got.Text != "x" {
		t.Errorf("got %v, %v", got, err)
	}
	_, err := askPack.Call(t.Context(), calling, question{Text: "fail"})
	if got, ok := short.Match(err); !ok || got.Left != 7 {
		t.Errorf("got %v, %v, %v", got, ok, err)
	}
}

// A reply with an unknown content type is an error that names it and the expected one.
func TestReplyInAnUnknownCodec(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	app.Remote(ask)
	begin(t, app)
	sub, err := mono.Raw(app).Subscribe(t.Context(), transport.Subscription{Subject: "services.test.ask"}, transport.Serial(func(m *transport.Message) {
		r := &transport.Message{Subject: m.Reply, Header: transport.Header{{Name: transport.HeaderContentType, Value: "image/png"}}}
		if err := mono.Raw(app).Publish(context.Background(), r); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	_, err = ask.Call(t.Context(), app, question{})
	if mono.CodeOf(err) != mono.Internal || mono.OutcomeOf(err) != mono.OutcomeUnknown || mono.IsHandlerError(err) || !strings.Contains(err.Error(), "image/png") || !strings.Contains(err.Error(), codec.JSON.ContentType()) {
		t.Errorf("got %v, handler error %v", err, mono.IsHandlerError(err))
	}
}

// ReplyHeader returns all headers of a reply by a plain client, except those that belong to
// mono or to the transport.
func TestReplyHeaderOfAPlainClient(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t)
		app.Remote(ask)
		begin(t, app)
		sub, err := mono.Raw(app).Subscribe(t.Context(), transport.Subscription{Subject: "services.test.ask"}, transport.Serial(func(m *transport.Message) {
			header := transport.Header{{Name: "Quote", Value: "1"}, {Name: "Mono-Other", Value: "x"}, {Name: "quote", Value: "2"}, {Name: "Quote", Value: "3"}, {Name: transport.HeaderContentType, Value: "application/json"}}
			if err := mono.Raw(app).Publish(context.Background(), &transport.Message{Subject: m.Reply, Header: header, Body: []byte("{}")}); err != nil {
				t.Error(err)
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		ctx, info := mono.NewCallInfo(t.Context())
		if _, err := ask.Call(ctx, app, question{}); err != nil {
			t.Fatal(err)
		}
		if got := info.ReplyHeader(); len(got) != 3 || toText(got.Values("Quote")) != "[1 3]" || got.Get("quote") != "2" {
			t.Errorf("got %v", got)
		}
	})
}

// A handler of another kind may set headers of a reply, without effect. A send of another
// kind ignores a CallInfo, which stays for a call.
func TestCallInfoOfOtherKinds(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for _, k := range everyKind {
			received := make(chan string, 10)
			app := p.start(t, provider(quoting(quoteTenant, nil)), module("listener", func(s *mono.Scope) {
				k.handle(s, func(ctx context.Context, _ fact) error {
					c := mono.CallFrom(ctx)
					c.SetReplyHeader("Mono-Id", "no reply")
					received <- c.Header("Tenant")
					return nil
				})
			}))
			ctx, info := mono.NewCallInfo(t.Context())
			info.SetHeader("Tenant", "t1")
			if err := k.send(ctx, app, fact{}); err != nil {
				t.Fatal(err)
			}
			if got := next(t, received); got != "" {
				t.Errorf("%s: got %q", k.name, got)
			}
			if _, err := ask.Call(ctx, app, question{}); err != nil || info.ReplyHeader().Get("Quote") != "[t1]" {
				t.Errorf("%s: got %v, %v", k.name, info.ReplyHeader(), err)
			}
		}
	})
}

// An empty Call takes a header of a reply without effect: a handler can be called directly.
func TestSetReplyHeaderOfAnEmptyCall(t *testing.T) {
	t.Parallel()
	mono.CallFrom(t.Context()).SetReplyHeader("Quote", "1")
}
