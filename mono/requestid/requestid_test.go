package requestid_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/slogtest"

	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

type order struct {
	ID      string
	Request string // the request id at the handler
}

var (
	place  = mono.NewService[order, order]("orders.place")
	stored = mono.NewQueue[order]("orders.stored")
)

// start starts an App whose handlers report their request ids.
func start(t *testing.T, opts ...mono.AppOption) (app *mono.App, jobs <-chan string) {
	t.Helper()
	got := make(chan string, 10)
	app = mono.New(inproc.New(inproc.Options{}), append([]mono.AppOption{requestid.Propagate(), mono.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
	app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
		enqueue := stored.Enqueuer(s)
		place.Handle(s, func(ctx context.Context, o order) (order, error) {
			o.Request = requestid.From(ctx)
			return o, enqueue(ctx, o)
		})
		stored.Handle(s, func(ctx context.Context, _ order) error {
			got <- requestid.From(ctx)
			return nil
		})
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return app, got
}

// serve returns the request id of a handler and that of the response, for a request with id.
func serve(t *testing.T, app *mono.App, header, id string, opts ...requestid.HandlerOption) (handler, response string) {
	t.Helper()
	h := requestid.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := place.Call(r.Context(), app, order{})
		if err != nil {
			t.Error(err)
		}
		handler = o.Request
	}), opts...)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if id != "" {
		r.Header[http.CanonicalHeaderKey(header)] = []string{id}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return handler, w.Header().Get(header)
}

// The id of an HTTP request reaches the job that follows from it, and the response has it.
func TestHTTPRequest(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]mono.AppOption{nil, {mono.NoLocalCalls()}} {
		app, jobs := start(t, opts...)
		if handler, response := serve(t, app, requestid.Header, "abc-1"); handler != "abc-1" || response != "abc-1" || <-jobs != "abc-1" {
			t.Errorf("got %q and %q", handler, response)
		}
		if handler, response := serve(t, app, "X-Correlation-ID", "abc-2", requestid.HTTPHeader("X-Correlation-ID")); handler != "abc-2" || response != "abc-2" || <-jobs != "abc-2" {
			t.Errorf("got %q and %q", handler, response)
		}
		handler, response := serve(t, app, requestid.Header, "")
		if job := <-jobs; !isUUID(handler) || response != handler || job != handler {
			t.Errorf("got %q, %q and %q", handler, response, job)
		}
	}
}

// An id that is too long or has other characters is replaced, of an HTTP request as of a message.
func TestBadIDs(t *testing.T) {
	t.Parallel()
	app, jobs := start(t)
	for _, bad := range []string{strings.Repeat("a", 1<<20), strings.Repeat("a", 129), "a\x00b", "a\nb: c", "a b", "ä", "\x7f", "\xff"} {
		handler, response := serve(t, app, requestid.Header, bad)
		if job := <-jobs; !isUUID(handler) || response != handler || job != handler {
			t.Errorf("%.20q: got %q, %q and %q", bad, handler, response, job)
		}
		if got := requestid.From(requestid.With(t.Context(), bad)); !isUUID(got) {
			t.Errorf("%.20q: got %q", bad, got)
		}
	}
	for id, want := range map[string]string{
		"client-7":                 "client-7",
		"":                         "message-1",
		"a b":                      "message-1",
		strings.Repeat("a", 129):   "message-1",
		strings.Repeat("a", 1<<19): "message-1",
	} {
		m := &transport.Message{Subject: "services.orders.place", Body: []byte(`{}`)}
		m.Header.Add(transport.HeaderID, "message-1")
		if id != "" {
			m.Header.Add(requestid.Header, id)
		}
		reply, err := mono.Raw(app).Request(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		var o order
		if err := json.Unmarshal(reply.Body, &o); err != nil {
			t.Fatal(err)
		}
		if job := <-jobs; o.Request != want || job != want {
			t.Errorf("%.20q: got %q and %q, want %q", id, o.Request, job, want)
		}
	}
}

// A message that follows from no request has its own id, a DedupID in any form.
func TestMessageWithoutARequest(t *testing.T) {
	t.Parallel()
	app, jobs := start(t)
	for id, want := range map[string]string{
		"order-1": "^order-1$",
		"order 1": "^[0-9a-f]{32}$",
		"":        "^[0-9a-f]{32}$",
	} {
		if err := stored.With(mono.DedupID(id)).Enqueue(t.Context(), app, order{}); err != nil {
			t.Fatal(err)
		}
		if got := <-jobs; !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%q: got %q", id, got)
		}
	}
	if got := requestid.From(t.Context()); got != "" {
		t.Errorf("got %q", got)
	}
}

// Middleware sees the id on both sides, also if it runs before everything else.
func TestMiddlewareSeesTheID(t *testing.T) {
	t.Parallel()
	var ids []string
	seen := make(chan string, 10)
	app := mono.New(inproc.New(inproc.Options{}), requestid.Propagate(), mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
		return func(ctx context.Context, c *mono.Call) error {
			seen <- c.Header(requestid.Header)
			return next(ctx, c)
		}
	}))
	app.Add(mono.NewModule("orders", func(s *mono.Scope) error {
		place.Handle(s, func(ctx context.Context, o order) (order, error) {
			seen <- requestid.From(ctx)
			return o, nil
		})
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(context.Background())
	for _, ctx := range []context.Context{t.Context(), requestid.With(t.Context(), "abc")} {
		if _, err := place.Call(ctx, app, order{}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, <-seen, <-seen, <-seen)
	}
	if ids[0] == "" || ids[1] != ids[0] || ids[2] != ids[0] || strings.Join(ids[3:], " ") != "abc abc abc" {
		t.Errorf("got %q", ids)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		id := requestid.New()
		if !isUUID(id) || seen[id] {
			t.Fatalf("got %q", id)
		}
		seen[id] = true
	}
}

// The log handler behaves as slog asks, and adds the id outside all groups.
func TestLogHandler(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		log.Reset()
		return requestid.LogHandler(slog.NewJSONHandler(&log, nil))
	}, func(t *testing.T) map[string]any {
		line := make(map[string]any)
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
	log.Reset()
	l := slog.New(requestid.LogHandler(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}})))
	ctx := requestid.With(t.Context(), "abc")
	l.InfoContext(ctx, "one", "a", 1)
	l.With("b", 2).WithGroup("g").With("c", 3).WithGroup("h").InfoContext(ctx, "two", "d", 4)
	l.Info("three")
	want := `level=INFO msg=one a=1 request_id=abc
level=INFO msg=two b=2 request_id=abc g.c=3 g.h.d=4
level=INFO msg=three
`
	if got := log.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func isUUID(id string) bool {
	return regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id)
}
