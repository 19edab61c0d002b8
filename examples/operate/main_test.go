package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"gomono.dev/examples/orders/notifications"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/telemetry/scrape"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

const body = `{"id":"a1","card":"4242 4242 4242 4242","product":"book","quantity":1}`

func TestMain(m *testing.M) { os.Exit(realtime.Main(m)) }

// patiently repeats a test that fails if the machine stood still: an entry of the ledger is handled
// again after its AckWait.
func patiently(t *testing.T, test func(t testing.TB)) {
	rounds := realtime.Rounds{Stall: time.Second / 2}
	rounds.Run(t, test)
}

// onPaths runs a test on every way of messages.
func onPaths(t *testing.T, test func(t testing.TB, tr transport.Transport, opts ...mono.AppOption)) {
	inMemory := func(testing.TB) (transport.Transport, error) { return inproc.New(inproc.Options{}), nil }
	onNATS := func(t testing.TB) (transport.Transport, error) {
		return embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	}
	for _, p := range []struct {
		name string
		open func(testing.TB) (transport.Transport, error)
		opts []mono.AppOption
	}{
		{"inproc", inMemory, nil},
		{"inproc without local calls", inMemory, []mono.AppOption{mono.NoLocalCalls()}},
		{"NATS", onNATS, nil},
		{"NATS without local calls", onNATS, []mono.AppOption{mono.NoLocalCalls()}},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			patiently(t, func(t testing.TB) {
				tr, err := p.open(t)
				if err != nil {
					t.Fatal(err)
				}
				test(t, tr, p.opts...)
			})
		})
	}
}

// system is the example, with a mail server that can be down.
type system struct {
	app     *mono.App
	url     string
	token   signer
	spans   *tracetest.InMemoryExporter
	metrics http.Handler
	log     *output

	mailDown atomic.Bool
	answered chan struct{} // checkouts are settled after it is closed
}

// output is a log for several goroutines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts the example, and stops it at the end of the test.
func start(t testing.TB, tr transport.Transport, opts ...mono.AppOption) *system {
	s := &system{spans: tracetest.NewInMemoryExporter(), log: new(output), answered: make(chan struct{})}
	meters, metrics, err := scrape.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	s.metrics = metrics
	set := settings{
		serve: "127.0.0.1:0", log: slog.NewTextHandler(s.log, nil),
		tracers: sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans)), meters: meters, settleAfter: time.Millisecond,
	}
	set.tokens, s.token = newKey()
	s.app = build(tr, set, opts...)
	s.app.Use(mono.MiddlewareFunc(s.disturb)) // inside of the others
	if err := s.app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	address := regexp.MustCompile(`msg=serving .*address=(\S+)`).FindStringSubmatch(s.log.String())
	if address == nil {
		t.Fatalf("no address of the HTTP server in the log: %s", s.log)
	}
	s.url = "http://" + address[1]
	return s
}

// disturb is a middleware.
func (s *system) disturb(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		switch {
		case c.Side() == mono.SideSender:
		case c.Handle().Name() == notifications.Receipts.Name() && s.mailDown.Load():
			return errors.New("the mail server is down")
		case c.Handle().Name() == orders.Checkouts.Name():
			select {
			case <-s.answered:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return next(ctx, c)
	}
}

// forged is an id of a trace, and the name of a host.
const forged = "4bf92f3577b34da6a3ce929d0e0e4736"

// request makes a request with a token, if it is not empty.
func (s *system) request(t testing.TB, method, path, body, token string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("traceparent", "00-"+forged+"-00f067aa0ba902b7-01")
	r.Host = forged
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(read)
}

// moduleOf returns the module of a span, "" for the span of a request.
func moduleOf(s tracetest.SpanStub) string {
	for _, a := range s.Attributes {
		if a.Key == "mono.module" {
			return a.Value.AsString()
		}
	}
	return ""
}

// tree returns a line for each span, below that of its parent: its module, its name, its kind, and
// whether it failed.
func tree(spans tracetest.SpanStubs) string {
	var b strings.Builder
	var below func(parent trace.SpanID, indent string)
	below = func(parent trace.SpanID, indent string) {
		var children []tracetest.SpanStub
		for _, s := range spans {
			known := slices.ContainsFunc(spans, func(o tracetest.SpanStub) bool { return o.SpanContext.SpanID() == s.Parent.SpanID() })
			if known && s.Parent.SpanID() == parent || !known && !parent.IsValid() {
				children = append(children, s)
			}
		}
		// Sends have a fixed order. Receivers run at the same time.
		slices.SortFunc(children, func(a, b tracetest.SpanStub) int {
			if a.SpanKind == trace.SpanKindConsumer {
				if c := cmp.Compare(moduleOf(a), moduleOf(b)); c != 0 {
					return c
				}
			}
			return a.StartTime.Compare(b.StartTime)
		})
		for _, s := range children {
			line := strings.TrimPrefix(fmt.Sprintf("%s: %s %s", moduleOf(s), s.Name, s.SpanKind), ": ")
			if s.Status.Code == codes.Error {
				line += " failed"
			}
			fmt.Fprintln(&b, indent+line)
			below(s.SpanContext.SpanID(), indent+" ")
		}
	}
	below(trace.SpanID{}, "")
	return b.String()
}

// await waits for the spans of a tree, and returns them.
func (s *system) await(t testing.TB, want string) tracetest.SpanStubs {
	t.Helper()
	realtime.Until(t, "the last span", func() bool { return len(s.spans.GetSpans()) >= strings.Count(want, "\n") })
	spans := s.spans.GetSpans()
	if got := tree(spans); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	return spans
}

// The trace of one order whose receipt becomes a dead letter and is replayed.
const (
	local = `POST /orders server
 shop: shop.place internal
  orders: orders.place internal
   inventory: inventory.check internal
   orders: send orders.checkouts producer
    orders: process orders.checkouts consumer
   inventory: inventory.reserve internal
   payments: payments.charge internal
    payments: send payments.movements producer
   orders: send ledger.entries producer
    notifications: process ledger.entries consumer
     notifications: send notifications.receipts producer
      notifications: process notifications.receipts consumer failed
      notifications: process notifications.receipts consumer failed
      notifications: process notifications.receipts consumer failed
      notifications: process notifications.receipts consumer
    orders: process ledger.entries consumer
     orders: send orders.placed producer
      analytics: process orders.placed consumer
      notifications: process orders.placed consumer
`
	overTransport = `POST /orders server
 web: shop.place client
  shop: shop.place server
   shop: orders.place client
    orders: orders.place server
     orders: inventory.check client
      inventory: inventory.check server
     orders: send orders.checkouts producer
      orders: process orders.checkouts consumer
     orders: inventory.reserve client
      inventory: inventory.reserve server
     orders: payments.charge client
      payments: payments.charge server
       payments: send payments.movements producer
     orders: send ledger.entries producer
      notifications: process ledger.entries consumer
       notifications: send notifications.receipts producer
        notifications: process notifications.receipts consumer failed
        notifications: process notifications.receipts consumer failed
        notifications: process notifications.receipts consumer failed
        notifications: process notifications.receipts consumer
      orders: process ledger.entries consumer
       orders: send orders.placed producer
        analytics: process orders.placed consumer
        notifications: process orders.placed consumer
`
)

// placeAndReplay places an order, and replays its receipt once it is a dead letter.
func (s *system) placeAndReplay(t testing.TB, token string) {
	t.Helper()
	s.mailDown.Store(true)
	if status, text := s.request(t, "POST", "/orders", body, token); status != http.StatusCreated || !strings.Contains(text, `"customer":"ada"`) {
		t.Fatalf("the order got %d %s", status, text)
	}
	close(s.answered)
	letters := notifications.Receipts.DeadLetters(s.app)
	realtime.Until(t, "the dead letter", func() bool {
		for l, err := range letters.List(t.Context(), mono.DeadLetterFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			s.mailDown.Store(false)
			if err := letters.Replay(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			return true
		}
		return false
	})
}

// One order is one trace: the request, the calls, the entry of the ledger, the event and the jobs, the
// attempts until the receipt is a dead letter, and its replay. Each log line of it has its id and
// that of the request.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t testing.TB, tr transport.Transport, opts ...mono.AppOption) {
		s, want := start(t, tr, opts...), local
		if opts != nil {
			want = overTransport
		}
		token := s.token("ada", "orders:write", time.Hour)
		s.placeAndReplay(t, token)
		spans := s.await(t, want)
		id := spans[0].SpanContext.TraceID()
		if id.String() == forged {
			t.Error("the client has chosen the trace")
		}
		for _, span := range spans {
			if got := span.SpanContext.TraceID(); got != id || len(span.Links) > 0 {
				t.Errorf("%s is in the trace %s with %d links, want %s and none", span.Name, got, len(span.Links), id)
			}
		}
		handled := strings.Count(want, "internal") + strings.Count(want, "consumer")
		if opts != nil {
			handled += strings.Count(want, "server") - 1 // without the request
		}
		ids := regexp.MustCompile(`msg=handled .*request_id=(\S+) .*trace_id=` + id.String() + ` span_id=`)
		var lines [][]string
		realtime.Until(t, "the log line of each message", func() bool {
			lines = ids.FindAllStringSubmatch(s.log.String(), -1)
			return len(lines) == handled
		})
		for _, line := range lines {
			if line[1] != lines[0][1] {
				t.Errorf("the request has the ids %s and %s", lines[0][1], line[1])
			}
		}
		checkSecrets(t, s, token)
	})
}

// checkSecrets checks that neither the log nor a span has a token or the number of a card.
func checkSecrets(t testing.TB, s *system, token string) {
	t.Helper()
	signature := token[strings.LastIndex(token, ".")+1:]
	text := s.log.String() + fmt.Sprintf("%+v", s.spans.GetSpans())
	for _, secret := range []string{token, signature, "4242 4242 4242"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log or a span has %q", secret)
		}
	}
}

// A request without a sufficient token places no order. A user sees their own orders only.
func TestTokens(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t testing.TB, tr transport.Transport, opts ...mono.AppOption) {
		s := start(t, tr, opts...)
		defer close(s.answered)
		_, other := newKey()
		for name, c := range map[string]struct {
			token  string
			status int
			text   string
		}{
			"no token":      {"", 401, `"code":"unauthenticated"`},
			"another scope": {s.token("ada", "orders:read", time.Hour), 403, `"code":"permission_denied"`},
			"expired":       {s.token("ada", "orders:write", -time.Hour), 401, "the token has expired"},
			"another key":   {other("ada", "orders:write", time.Hour), 401, "signature"},
			"no JWT":        {"hunter2", 401, "token"},
		} {
			if status, text := s.request(t, "POST", "/orders", body, c.token); status != c.status || !strings.Contains(text, c.text) {
				t.Errorf("%s: %d %s, want %d %s", name, status, text, c.status, c.text)
			}
			if c.token != "" {
				checkSecrets(t, s, c.token)
			}
		}
		ada, bob := s.token("ada", "orders:read orders:write", time.Hour), s.token("bob", "orders:read", time.Hour)
		if status, text := s.request(t, "GET", "/orders/a1", "", ada); status != http.StatusNotFound {
			t.Errorf("a refused order: %d %s", status, text)
		}
		for _, span := range s.spans.GetSpans() {
			if strings.HasPrefix(span.Name, "send ") || span.Name == orders.Place.Name() {
				t.Errorf("a refused order has the span %s", span.Name)
			}
		}
		if status, text := s.request(t, "POST", "/orders", body, ada); status != http.StatusCreated {
			t.Errorf("a good token: %d %s", status, text)
		}
		for token, want := range map[string]int{ada: http.StatusOK, bob: http.StatusNotFound, "": http.StatusUnauthorized} {
			if status, text := s.request(t, "GET", "/orders/a1", "", token); status != want {
				t.Errorf("got %d %s, want %d", status, text, want)
			}
		}
	})
}

// A scrape has what happened to the order.
func TestScrape(t *testing.T) {
	t.Parallel()
	patiently(t, scrapeOneOrder)
}

func scrapeOneOrder(t testing.TB) {
	s := start(t, inproc.New(inproc.Options{}))
	s.placeAndReplay(t, s.token("ada", "orders:write", time.Hour))
	s.await(t, local)
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	response := httptest.NewRecorder()
	s.metrics.ServeHTTP(response, request)
	text := response.Body.String()
	if strings.Contains(text, forged) {
		t.Errorf("the client has chosen an attribute:\n%s", text)
	}
	for _, want := range []string{
		`http_server_request_duration_seconds_count\{.*http_route="/orders".*\} 1`,
		`rpc_server_call_duration_seconds_count\{.*rpc_method="shop.place",rpc_response_status_code="ok".*\} 1`,
		`rpc_server_call_duration_seconds_bucket\{.*rpc_method="orders.place".*\} 1 # \{.*trace_id="` + s.spans.GetSpans()[0].SpanContext.TraceID().String(),
		`messaging_client_operation_duration_seconds_count\{.*messaging_destination_name="ledger.entries".*\} 1`,
		`messaging_client_sent_messages_total\{.*messaging_destination_name="orders.placed".*\} 1`,
		`messaging_client_consumed_messages_total\{.*messaging_destination_name="notifications.receipts".*\} 1`,
		`messaging_process_duration_seconds_count\{error_type="unknown",.*messaging_destination_name="notifications.receipts".*\} 3`,
		`mono_handle_dead_letters\{.*messaging_destination_name="notifications.receipts".*\} 0`,
		`mono_group_lag\{messaging_consumer_group_name="notifications",messaging_destination_name="ledger.entries".*\} 0`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the scrape has no %s:\n%s", want, text)
		}
	}
}

// The program sends its traces to a collector.
func TestProgram(t *testing.T) {
	t.Parallel()
	exported := make(chan string, 100)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { exported <- r.URL.Path }))
	defer collector.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	serve, metrics, ended := loopback.Free(t), loopback.Free(t), make(chan error, 1)
	go func() { ended <- run(ctx, serve, metrics, "", collector.URL+"/v1/traces", "", "") }()
	answers := func(url string, want int) func() bool {
		return func() bool {
			answer, err := http.Get(url)
			if err != nil {
				return false
			}
			answer.Body.Close()
			return answer.StatusCode == want
		}
	}
	realtime.Until(t, "the metrics", answers("http://"+metrics+"/metrics", http.StatusOK))
	realtime.Until(t, "the refusal", answers("http://"+serve+"/orders/a1", http.StatusUnauthorized))
	cancel()
	if err := realtime.Receive(t, ended, "the end"); err != nil {
		t.Error(err)
	}
	if path := realtime.Receive(t, exported, "the traces"); path != "/v1/traces" {
		t.Errorf("the traces went to %s", path)
	}
}
