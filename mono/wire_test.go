package mono_test

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

var update = flag.Bool("update", false, "rewrite the files in testdata/wire")

// The messages of mono on NATS are a contract with clients in other languages and with older
// binaries. The files in testdata/wire specify it byte by byte: subjects, headers and bodies.
// After an intended change, `go test ./mono -run Wire -update` rewrites them, and the diff
// shows the effect on a client.
func TestWire(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name      string
		exchanges []exchange
	}{
		{"service", serviceExchanges()},
		{"errors", errorExchanges()},
		{"event", eventExchanges()},
		{"queue", queueExchanges()},
		{"stream", streamExchanges()},
		{"dead-letters", deadLetterExchanges()},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			for _, x := range f.exchanges {
				fmt.Fprintf(&text, "# %s\n\n%s", x.name, x.record(t))
			}
			golden(t, filepath.Join("testdata", "wire", f.name+".txt"), text.String())
		})
	}
}

// golden compares a text with a file, or writes the file if -update is set.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from the recorded messages: if the change is intended, run with -update:\n%s", file, firstDifference(string(want), got))
	}
}

// firstDifference returns the lines around the first difference.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	at := 0
	for at < len(w) && at < len(g) && w[at] == g[at] {
		at++
	}
	around := func(lines []string) string {
		return strings.Join(lines[max(0, min(at, len(lines))-5):min(at+5, len(lines))], "\n")
	}
	return fmt.Sprintf("line %d\n--- want\n%s\n--- got\n%s", at+1, around(w), around(g))
}

// exchange is a sequence of messages between modules, alone on a server.
type exchange struct {
	name string
	bind func(*mono.Scope)
	run  func(t *testing.T, app *mono.App)
}

// record runs an exchange and returns the transcript of its messages.
func (x exchange) record(t *testing.T) string {
	t.Helper()
	tr := openNATS(t)
	conn, _ := natsx.Conn(tr)
	tap := listen(t, conn)
	app := mono.New(tr, quiet(t), mono.NoLocalCalls())
	app.Add(module("shop", x.bind))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.run(t, app)
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	received := tap()
	if err := app.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	return transcript(received)
}

// listen subscribes to all subjects of a server. The returned function returns the messages
// so far. It publishes a marker and waits for it: the server delivers the messages of a
// connection in order, so all earlier messages have arrived with the marker.
func listen(t *testing.T, conn *nats.Conn) func() []*nats.Msg {
	t.Helper()
	all := make(chan *nats.Msg, 1000)
	sub, err := conn.ChanSubscribe(">", all)
	if err != nil {
		t.Fatal(err)
	}
	return func() []*nats.Msg {
		const marker = "wire.end"
		if err := conn.Publish(marker, nil); err != nil {
			t.Fatal(err)
		}
		var received []*nats.Msg
		for {
			m := next(t, all)
			if m.Subject == marker {
				_ = sub.Unsubscribe()
				return received
			}
			received = append(received, m)
		}
	}
}

// transcript formats messages. Values that differ between runs are replaced by names, and
// equal values get the same name.
func transcript(received []*nats.Msg) string {
	var b strings.Builder
	names := naming{}
	asked := map[string]bool{}
	for _, m := range received {
		if strings.HasPrefix(m.Subject, "$") || strings.HasPrefix(m.Subject, "_mono.") || strings.HasPrefix(m.Reply, "$JS.ACK.") || answer(m.Subject) && (!asked[m.Subject] || stored(m.Data)) {
			continue // requests, deliveries and acknowledgements of JetStream
		}
		if strings.HasPrefix(m.Subject, "_contracts.") {
			continue // processes compare their contracts
		}
		if m.Header.Get("Status") == "100" {
			continue // an idle heartbeat, which depends on timing
		}
		fmt.Fprintf(&b, "subject: %s\n", names.of(m.Subject))
		if answer(m.Reply) {
			asked[m.Reply] = true
			fmt.Fprintf(&b, "reply: %s\n", names.of(limit.ReplaceAllString(m.Reply, "~<milliseconds>")))
		} else if m.Reply != "" {
			fmt.Fprintf(&b, "reply: %s\n", m.Reply)
		}
		for _, name := range slices.Sorted(maps.Keys(m.Header)) {
			for _, value := range m.Header[name] {
				if name == transport.HeaderTimeout {
					value = "<milliseconds>"
				}
				fmt.Fprintf(&b, "%s: %s\n", name, names.of(value))
			}
		}
		fmt.Fprintf(&b, "\n%s\n", body(m.Data))
	}
	return b.String()
}

// limit matches the time limit of a call without headers, at the end of its reply subject.
var limit = regexp.MustCompile(`~\d+$`)

func answer(subject string) bool { return strings.HasPrefix(subject, "_INBOX.") }

func stored(body []byte) bool { return strings.HasPrefix(string(body), `{"stream":`) }

// body formats printable text unchanged and other bytes in hexadecimal.
func body(data []byte) string {
	text := string(data)
	printable := utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
	switch {
	case text == "":
		return ""
	case printable:
		return text + "\n"
	}
	return hex.Dump(data)
}

// naming assigns names to random values and times.
type naming map[string]string

// drawn matches an inbox, an id, the token of a delayed message, and a time with a fraction.
var drawn = regexp.MustCompile(`_INBOX\.[A-Za-z0-9.]+|\b[0-9a-f]{32}\b|\b[A-Z2-7]{26}\b|\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z`)

func (n naming) of(s string) string {
	return drawn.ReplaceAllStringFunc(s, func(v string) string {
		if n[v] == "" {
			kind := "id"
			switch {
			case answer(v):
				kind = "inbox"
			case strings.HasSuffix(v, "Z") && strings.Contains(v, ":"):
				kind = "time"
			}
			n[v] = fmt.Sprintf("<%s %d>", kind, len(n)+1)
		}
		return n[v]
	})
}

// codecs lists the codecs of mono that encode values.
var codecs = []struct {
	name  string
	codec codec.Codec
}{{"JSON", codec.JSON}, {"MessagePack", codec.MessagePack}}

func serviceExchanges() []exchange {
	raw := mono.NewService[[]byte, []byte]("wire.raw", mono.Codec(codec.Raw))
	limited := mono.NewService[question, reply]("wire.limited", mono.Timeout(time.Hour))
	var client mono.Func[question, reply]
	exchanges := []exchange{{
		"A call of bytes, and another after the provider has confirmed that it needs no headers",
		func(s *mono.Scope) {
			raw.Handle(s, func(_ context.Context, b []byte) ([]byte, error) { return append(b, 0xff), nil })
		},
		func(t *testing.T, app *mono.App) {
			for range 2 {
				if _, err := raw.Call(t.Context(), app, []byte{1, 2, 3}); err != nil {
					t.Error(err)
				}
			}
		},
	}, {
		"Two calls by a module",
		func(s *mono.Scope) {
			client = limited.Client(s)
			limited.Handle(s, echo)
		},
		func(t *testing.T, _ *mono.App) {
			for range 2 {
				if _, err := client(t.Context(), question{Text: "who?"}); err != nil {
					t.Error(err)
				}
			}
		},
	}, {
		"A call by a module, with a custom header and a time limit",
		func(s *mono.Scope) {
			client = limited.With(mono.Header("Tenant", "acme")).Client(s)
			limited.Handle(s, func(ctx context.Context, q question) (reply, error) {
				return reply{Text: mono.CallFrom(ctx).Header("Tenant")}, nil
			})
		},
		func(t *testing.T, _ *mono.App) {
			if _, err := client(t.Context(), question{Text: "who?"}); err != nil {
				t.Error(err)
			}
		},
	}}
	for _, c := range codecs {
		s := mono.NewService[question, reply]("wire.ask", mono.Codec(c.codec))
		exchanges = append(exchanges, exchange{
			"A call in " + c.name,
			func(sc *mono.Scope) { s.Handle(sc, echo) },
			func(t *testing.T, app *mono.App) {
				if _, err := s.Call(t.Context(), app, question{Text: "how?", Tags: []string{"a", "ö"}}); err != nil {
					t.Error(err)
				}
			},
		})
	}
	return exchanges
}

func errorExchanges() []exchange {
	var exchanges []exchange
	fails := func(name string, s mono.Service[question, reply], fail func() error) {
		exchanges = append(exchanges, exchange{
			name,
			func(sc *mono.Scope) {
				s.Handle(sc, func(context.Context, question) (reply, error) { return reply{}, fail() })
			},
			func(t *testing.T, app *mono.App) {
				if _, err := s.Call(t.Context(), app, question{}); err == nil {
					t.Error("no error")
				}
			},
		})
	}
	s := mono.NewService[question, reply]("wire.ask")
	for _, code := range []mono.Code{
		mono.Canceled, mono.Unknown, mono.InvalidArgument, mono.DeadlineExceeded, mono.NotFound, mono.AlreadyExists, mono.PermissionDenied, mono.ResourceExhausted,
		mono.FailedPrecondition, mono.Aborted, mono.OutOfRange, mono.Unimplemented, mono.Internal, mono.Unavailable, mono.DataLoss, mono.Unauthenticated, "teapot",
	} {
		fails("An error with the code "+string(code), s, func() error { return mono.Errorf(code, "it is so") })
	}
	fails("An error without a code, with a text that no header can carry", s, func() error { return errors.New("100% gone\nöl ") })
	fails("A panic", s, func() error { panic("a secret") })
	for _, c := range codecs {
		packed := mono.NewService[question, reply]("wire.ask", mono.Codec(c.codec))
		fails("A typed failure in "+c.name, packed, func() error { return fmt.Errorf("while asking: %w", short.With(shortage{Left: 3})) })
	}
	fails("A typed failure with an HTTP status", s, func() error { return unpaid.With(bill{Cents: 1990}) })
	fails("A typed failure whose value is too large", s, func() error { return heavy.With(reply{Text: strings.Repeat("x", 1<<20)}) })
	fails("An error with the time to wait", s, func() error {
		return mono.RetryAfter(1500*time.Millisecond, mono.Errorf(mono.ResourceExhausted, "busy"))
	})
	refused := func(name string, m *transport.Message) exchange {
		m.Subject = "services.wire.ask"
		return exchange{
			name,
			func(sc *mono.Scope) { s.Handle(sc, echo) },
			func(t *testing.T, app *mono.App) {
				if _, err := mono.Raw(app).Request(t.Context(), m); err != nil {
					t.Error(err)
				}
			},
		}
	}
	poetry := transport.Header{{Name: transport.HeaderContentType, Value: "text/poetry"}}
	return append(exchanges,
		refused("A request that cannot be decoded", &transport.Message{Body: []byte(`{"text":7}`)}),
		refused("A request of an unknown content type", &transport.Message{Body: []byte(`{}`), Header: poetry}),
	)
}

func eventExchanges() []exchange {
	keyed := mono.NewEvent[job]("wire.keyed").KeyedBy(job.key)
	durable := mono.NewEvent[job]("wire.durable", mono.Durable())
	raw := mono.NewEvent[[]byte]("wire.raw", mono.Codec(codec.Raw))
	exchanges := []exchange{
		eventExchange("An event of bytes", raw, []byte{0, 1}),
		eventExchange("An event with a key", keyed, job{N: 1, Key: "acme"}),
		eventExchange("A durable event", durable, job{N: 1}),
		eventExchange("An event with a header", mono.NewEvent[job]("wire.plain").With(mono.Header("Tenant", "acme")), job{N: 1}),
	}
	for _, c := range codecs {
		exchanges = append(exchanges, eventExchange("An event in "+c.name, mono.NewEvent[job]("wire.plain", mono.Codec(c.codec)), job{N: 1}))
	}
	return exchanges
}

func eventExchange[T any](name string, e mono.Event[T], v T) exchange {
	done := make(chan struct{}, 1)
	return exchange{
		name,
		func(s *mono.Scope) {
			e.Handle(s, func(context.Context, T) error { done <- struct{}{}; return nil })
		},
		func(t *testing.T, app *mono.App) {
			if err := e.Publish(t.Context(), app, v); err != nil {
				t.Error(err)
			}
			next(t, done)
		},
	}
}

func queueExchanges() []exchange {
	raw := mono.NewQueue[[]byte]("wire.raw", mono.Codec(codec.Raw))
	plain := mono.NewQueue[job]("wire.plain")
	nonPersistent := mono.NewQueue[job]("wire.non-persistent", mono.NonPersistent())
	second := mono.NewQueue[job]("wire.plain", mono.Upcasts(codec.Upcast("1", func(n int) (job, error) { return job{N: n}, nil })))
	exchanges := []exchange{
		queueExchange("A job of bytes", raw, []byte{0, 1}),
		queueExchange("A job with a header and a dedup id", plain.With(mono.Header("Tenant", "acme"), mono.DedupID("order-7")), job{N: 1}),
		queueExchange("A delayed job", plain.With(mono.At(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)), mono.DedupID("order-7")), job{N: 1}),
		queueExchange("A job of a non-persistent queue", nonPersistent, job{N: 1}),
		queueExchange("A job of a queue with an upcast", second, job{N: 1}),
	}
	for _, c := range codecs {
		exchanges = append(exchanges, queueExchange("A job in "+c.name, mono.NewQueue[job]("wire.plain", mono.Codec(c.codec)), job{N: 1}))
	}
	return exchanges
}

func queueExchange[T any](name string, q mono.Queue[T], v T) exchange {
	return exchange{
		name,
		func(s *mono.Scope) { q.Handle(s, func(context.Context, T) error { return nil }) },
		func(t *testing.T, app *mono.App) {
			if err := q.Enqueue(t.Context(), app, v); err != nil {
				t.Error(err)
			}
		},
	}
}

func streamExchanges() []exchange {
	raw := mono.NewStream[[]byte]("wire.raw", mono.Codec(codec.Raw))
	plain := mono.NewStream[job]("wire.plain")
	keyed := mono.NewStream[job]("wire.keyed").KeyedBy(job.key)
	exchanges := []exchange{
		streamExchange("A message of bytes", raw, func(t *testing.T, app *mono.App) error { return raw.Append(t.Context(), app, []byte{0, 1}) }),
		streamExchange("A message with a key, a header and a dedup id", keyed, func(t *testing.T, app *mono.App) error {
			return keyed.With(mono.Header("Tenant", "acme"), mono.DedupID("entry-7")).Append(t.Context(), app, job{N: 1, Key: "acme"})
		}),
		streamExchange("A message that is appended after another", plain, func(t *testing.T, app *mono.App) error {
			_, err := plain.AppendAfter(t.Context(), app, 0, job{N: 1})
			return err
		}),
		streamExchange("A message that is appended after another of its key", keyed, func(t *testing.T, app *mono.App) error {
			_, err := keyed.AppendAfter(t.Context(), app, 0, job{N: 1, Key: "acme"})
			return err
		}),
		streamExchange("A message that is appended asynchronously", plain, func(t *testing.T, app *mono.App) error {
			done := make(chan error, 1)
			if err := plain.AppendAsync(t.Context(), app, job{N: 1}, func(err error) { done <- err }); err != nil {
				return err
			}
			return next(t, done)
		}),
	}
	for _, c := range codecs {
		s := mono.NewStream[job]("wire.plain", mono.Codec(c.codec))
		exchanges = append(exchanges, streamExchange("A message in "+c.name, s, func(t *testing.T, app *mono.App) error { return s.Append(t.Context(), app, job{N: 1}) }))
	}
	return exchanges
}

func streamExchange[T any](name string, s mono.Stream[T], run func(*testing.T, *mono.App) error) exchange {
	return exchange{
		name,
		func(sc *mono.Scope) { s.Appender(sc) },
		func(t *testing.T, app *mono.App) {
			if err := run(t, app); err != nil {
				t.Error(err)
			}
		},
	}
}

func deadLetterExchanges() []exchange {
	q := mono.NewQueue[job]("wire.jobs", mono.MaxAttempts(1))
	fail := func(ret error) func(*mono.Scope) {
		return func(s *mono.Scope) { q.Handle(s, func(context.Context, job) error { return ret }) }
	}
	enqueue := func(t *testing.T, app *mono.App) {
		if err := q.With(mono.Header("Tenant", "acme"), mono.DedupID("order-7")).Enqueue(t.Context(), app, job{N: 1}); err != nil {
			t.Error(err)
		}
	}
	await := func(t *testing.T, app *mono.App) mono.DeadLetter[job] {
		return awaitDeadLetters(t, q.DeadLetters(app), 1)[0]
	}
	return []exchange{
		{"A job that has failed", fail(mono.Errorf(mono.NotFound, "no such öl")), func(t *testing.T, app *mono.App) { enqueue(t, app); await(t, app) }},
		{"A job that has failed permanently", fail(mono.Permanent(errors.New("not mine"))), func(t *testing.T, app *mono.App) { enqueue(t, app); await(t, app) }},
		{"A plain publish that cannot be decoded", fail(nil), func(t *testing.T, app *mono.App) {
			if err := mono.Raw(app).Publish(t.Context(), &transport.Message{Subject: "queues.wire.jobs", Body: []byte(`{"n":`)}); err != nil {
				t.Error(err)
			}
			await(t, app)
		}},
		{"A dead letter that is edited and replayed", func(s *mono.Scope) {
			q.Handle(s, func(_ context.Context, j job) error {
				if j.N == 1 {
					return mono.Permanent(errors.New("not mine"))
				}
				return nil
			})
		}, func(t *testing.T, app *mono.App) {
			enqueue(t, app)
			edited, err := q.DeadLetters(app).Edit(t.Context(), await(t, app), job{N: 2})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.DeadLetters(app).Replay(t.Context(), edited); err != nil {
				t.Error(err)
			}
		}},
	}
}
