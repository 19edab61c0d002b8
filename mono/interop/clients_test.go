//go:build interop

package interop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/objstore"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// tools is the folder of the installed packages, with client.mjs and client.py.
var tools = os.Getenv("INTEROP_TOOLS")

// clients are the commands of the clients.
var clients = map[string][]string{
	"Node":   {"node", filepath.Join(tools, "client.mjs")},
	"Python": {os.Getenv("INTEROP_PYTHON"), filepath.Join(tools, "client.py")},
}

type (
	product struct {
		Product string `json:"product"`
	}
	left struct {
		Left int `json:"left"`
	}
	country struct {
		Country string `json:"country"`
	}
	price struct {
		Cents int `json:"cents"`
	}
	order struct {
		Order string `json:"order"`
	}
	entry struct {
		Account string `json:"account"`
		Cents   int    `json:"cents"`
	}
)

func (o order) key() string { return o.Order }
func (e entry) key() string { return e.Account }

var (
	check      = mono.NewService[product, left]("stock.check")
	unknown    = mono.NewFailure[product]("stock.unknown", mono.NotFound, mono.HTTPStatus(410))
	quote      = mono.NewService[country, price]("shipping.quote")
	noCourier  = mono.NewFailure[country]("shipping.no-courier", mono.NotFound)
	placed     = mono.NewEvent[order]("orders.placed")
	moved      = mono.NewEvent[order]("orders.moved").KeyedBy(order.key)
	paid       = mono.NewEvent[order]("orders.paid", mono.Durable())
	receipts   = mono.NewQueue[order]("mail.receipts", mono.MaxAttempts(3))
	ledger     = mono.NewStream[entry]("bank.ledger").KeyedBy(entry.key)
	thumbnails = mono.NewQueue[order]("images.thumbnails", mono.NonPersistent())
	prices     = kv.NewBucket[price]("prices")
	uploads    = objstore.NewStore("uploads")
)

// system is an App on a server, with a client.
type system struct {
	*mono.App
	t      *testing.T
	client string
	url    string
	tr     *natsx.Transport
}

// each runs a test with each client.
func each(t *testing.T, test func(t *testing.T, client string)) {
	for client := range clients {
		t.Run(client, func(t *testing.T) { test(t, client) })
	}
}

// start starts an App of one module.
func start(t *testing.T, client string, bind func(*mono.Scope)) *system {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	tr, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error { bind(s); return nil }))
	app.Remote(quote)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Stop(context.Background()) })
	return &system{app, t, client, server.ClientURL(), tr}
}

// run runs a task of the client to its end, and returns the lines that it has printed.
func (s *system) run(task string, args ...string) (lines []string) {
	s.t.Helper()
	for line := range s.begin(task, args...) {
		lines = append(lines, line)
	}
	return lines
}

// begin runs a task of the client, until the test ends at the latest.
func (s *system) begin(task string, args ...string) <-chan string {
	s.t.Helper()
	var failure strings.Builder
	args = slices.Concat(clients[s.client], []string{s.url, task}, args)
	c := exec.CommandContext(s.t.Context(), args[0], args[1:]...)
	c.Stderr = &failure
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
		if err := c.Wait(); err != nil && s.t.Context().Err() == nil {
			s.t.Errorf("%s: %v\n%s", task, err, &failure)
		}
		close(lines)
	}()
	s.t.Cleanup(func() { <-ended })
	return lines
}

// await calls try until it reports success: a client that runs may not have subscribed yet.
func (s *system) await(what string, try func() bool) {
	s.t.Helper()
	realtime.Until(s.t, what, try)
}

func (s *system) want(what string, got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	return realtime.Receive(t, c, "something from the client")
}

func TestCall(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		s := start(t, client, func(s *mono.Scope) {
			check.Handle(s, func(ctx context.Context, p product) (left, error) {
				if limit, ok := ctx.Deadline(); !ok || time.Until(limit) > 2*time.Second || mono.CallFrom(ctx).ID() == "" {
					t.Errorf("the call has the deadline %v and the id %q", limit, mono.CallFrom(ctx).ID())
				}
				switch p.Product {
				case "book":
					return left{3}, nil
				case "pen":
					return left{}, unknown.With(p)
				case "huge":
					return left{}, unknown.With(product{strings.Repeat("x", 1<<20)})
				case "slow":
					<-ctx.Done()
					return left{}, ctx.Err()
				}
				return left{}, mono.Errorf(mono.InvalidArgument, "100%% kein Öl\n\xff")
			})
		})
		s.want("a reply", s.run("call", "book"), `{"left":3}`)
		s.want("a failure", s.run("call", "pen"),
			`{"code":"not_found","text":"stock.unknown","outcome":"","failure":"stock.unknown","status":"410","value":{"product":"pen"}}`)
		s.want("an error", s.run("call", "oil"), `{"code":"invalid_argument","text":"100% kein Öl\n�","outcome":""}`)
		s.want("a failure whose value is too large", s.run("call", "huge"), `{"code":"not_found","text":"stock.unknown","outcome":"","failure":"stock.unknown","status":"410"}`)
		if slow := s.run("call", "slow"); len(slow) != 1 || !strings.Contains(slow[0], `"code":"deadline_exceeded"`) || !strings.Contains(slow[0], `"outcome":"unknown"`) {
			t.Errorf("an exceeded deadline: got %q", slow)
		}
	})
}

func TestProvide(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		s := start(t, client, func(s *mono.Scope) { quote.Client(s) })
		s.begin("provide")
		s.await("the client provides", func() bool {
			got, err := quote.Call(t.Context(), s, country{"de"})
			if err != nil && mono.CodeOf(err) != mono.Unavailable {
				t.Fatal(err)
			}
			return got.Cents == 490
		})
		_, err := quote.Call(t.Context(), s, country{"xx"})
		value, ok := noCourier.Match(err)
		if !ok || value.Country != "xx" || mono.CodeOf(err) != mono.NotFound || !mono.IsHandlerError(err) || err.Error() != "not_found: no courier" {
			t.Errorf("got %v with %v", err, value)
		}
		if f, ok := mono.FailureOf(err); !ok || f.Status != 404 || strings.ReplaceAll(string(f.Value), " ", "") != `{"country":"xx"}` {
			t.Errorf("got %+v", f)
		}
	})
}

func TestPublish(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		got := make(chan string, 2)
		s := start(t, client, func(s *mono.Scope) {
			placed.Handle(s, func(_ context.Context, o order) error { got <- "placed " + o.Order; return nil })
			moved.Handle(s, func(_ context.Context, o order) error { got <- "moved " + o.Order; return nil }, mono.Keys("o1"))
		})
		s.run("publish", "o2")
		s.run("publish", "o1")
		all := []string{next(t, got), next(t, got), next(t, got)}
		slices.Sort(all)
		s.want("events", all, "moved o1", "placed o1", "placed o2")
	})
}

func TestSubscribe(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		s := start(t, client, func(s *mono.Scope) { placed.Publisher(s) })
		lines := s.begin("subscribe")
		s.await("the client gets an event", func() bool {
			if err := placed.With(mono.Header("Tenant", "Zürich")).Publish(t.Context(), s, order{"o1"}); err != nil {
				t.Fatal(err)
			}
			return len(lines) > 0
		})
		if line := next(t, lines); !strings.Contains(line, `"event":{"order":"o1"}`) || strings.Contains(line, `"tenant":""`) {
			t.Errorf("got %s", line)
		}
	})
}

func TestEnqueue(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		type job struct {
			order, id string
		}
		got := make(chan job, 10)
		s := start(t, client, func(s *mono.Scope) {
			receipts.Handle(s, func(ctx context.Context, o order) error {
				got <- job{o.Order, mono.CallFrom(ctx).ID()}
				return nil
			})
		})
		s.want("the first", s.run("enqueue", "o1"), `{"sequence":1,"duplicate":false}`)
		s.want("the second", s.run("enqueue", "o1"), `{"sequence":1,"duplicate":true}`)
		if err := receipts.With(mono.DedupID("receipt-o1")).Enqueue(t.Context(), s, order{"o1"}); err != nil {
			t.Fatal(err)
		}
		s.run("enqueueLater", "o2", time.Now().Add(300*time.Millisecond).UTC().Format(time.RFC3339Nano))
		if first, second := next(t, got), next(t, got); first != (job{"o1", "receipt-o1"}) || second != (job{"o2", "receipt-o2"}) {
			t.Errorf("got %v, %v", first, second)
		}
	})
}

// A worker does the jobs, skips those for another group, and stores dead letters as mono does.
func TestWork(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		s := start(t, client, func(s *mono.Scope) { receipts.Enqueuer(s) })
		dead := receipts.DeadLetters(s)
		letters := func() (all []mono.DeadLetter[order]) {
			for l, err := range dead.List(t.Context(), mono.DeadLetterFilter{}) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, l)
			}
			return all
		}
		letters() // the log of dead letters exists from now on
		js, err := jetstream.New(s.tr.Conn())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "queues.mail.receipts._to.others", []byte(`{"order":"not-ours"}`)); err != nil {
			t.Fatal(err)
		}
		for _, o := range []string{"o1", "bad"} {
			if err := receipts.With(mono.DedupID(o), mono.Header("Tenant", "Zürich")).Enqueue(t.Context(), s, order{o}); err != nil {
				t.Fatal(err)
			}
		}
		lines := s.begin("work")
		var done []string
		for range 4 {
			done = append(done, next(t, lines))
		}
		s.want("jobs", done, `{"job":{"order":"o1"},"attempt":1}`,
			`{"job":{"order":"bad"},"attempt":1}`, `{"job":{"order":"bad"},"attempt":2}`, `{"job":{"order":"bad"},"attempt":3}`)
		s.await("the dead letter", func() bool { return len(letters()) == 1 })
		l := letters()[0]
		if v, err := l.Value(); err != nil || v.Order != "bad" || l.ID != "bad" || l.Group != "workers" || l.Reason != mono.ReasonAttempts ||
			l.Error != "no such mailbox: ö" || l.Attempts != 3 || l.Sequence != 3 || l.Stored.IsZero() || l.Header.Get("Tenant") != "Zürich" {
			t.Errorf("got %+v, %v", l, err)
		}
		l, err = dead.Edit(t.Context(), l, order{"good"})
		if err == nil {
			err = dead.Replay(t.Context(), l)
		}
		if err != nil {
			t.Fatal(err)
		}
		if line := next(t, lines); line != `{"job":{"order":"good"},"attempt":1}` {
			t.Errorf("after the replay: got %s", line)
		}
		s.await("the queue is empty", func() bool {
			stats, err := receipts.Stats(t.Context(), s)
			return err == nil && stats.Messages == 0
		})
	})
}

func TestAppendAndRead(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		got := make(chan entry, 10)
		s := start(t, client, func(s *mono.Scope) {
			ledger.Handle(s, func(_ context.Context, e entry) error { got <- e; return nil })
		})
		s.want("nothing to read", s.run("read"))
		if err := ledger.Append(t.Context(), s, entry{"bob", 100}); err != nil {
			t.Fatal(err)
		}
		s.want("an append", s.run("append", "ann", "200"), `{"sequence":2}`)
		s.want("an append after another", s.run("append", "ann", "300", "2"), `{"sequence":3}`)
		seen := []entry{next(t, got), next(t, got), next(t, got)}
		for _, want := range []entry{{"bob", 100}, {"ann", 200}, {"ann", 300}} {
			if !slices.Contains(seen, want) {
				t.Errorf("mono got %v without %v", seen, want)
			}
		}
		s.want("one key", s.run("read", "ann"), `{"sequence":2,"entry":{"account":"ann","cents":200}}`, `{"sequence":3,"entry":{"account":"ann","cents":300}}`)
		s.want("all keys", s.run("read")[:1], `{"sequence":1,"entry":{"account":"bob","cents":100}}`)
		if _, err := ledger.AppendAfter(t.Context(), s, 3, entry{"ann", 400}); err != nil {
			t.Errorf("an append of mono after that of a client: %v", err)
		}
	})
}

// A client has a group of its own on a durable event. It gets what was published while it did
// not run.
func TestFollow(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		got := make(chan order, 10)
		s := start(t, client, func(s *mono.Scope) {
			paid.Publisher(s)
			paid.Handle(s, func(_ context.Context, o order) error { got <- o; return nil })
		})
		lines := s.begin("follow")
		s.await("the group exists", func() bool {
			stats, err := paid.Stats(t.Context(), s)
			return err == nil && slices.ContainsFunc(stats.Groups, func(g mono.GroupStats) bool { return g.Name == "billing" && g.Members == 1 })
		})
		if err := paid.Publish(t.Context(), s, order{"o1"}); err != nil {
			t.Fatal(err)
		}
		if line, o := next(t, lines), next(t, got); line != `{"sequence":1,"event":{"order":"o1"}}` || o.Order != "o1" {
			t.Errorf("got %s and %v", line, o)
		}
		s.await("the event is settled", func() bool {
			stats, err := paid.Stats(t.Context(), s)
			return err == nil && stats.Messages == 0
		})
	})
}

func TestBucket(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		var open *kv.KeyValue[price]
		s := start(t, client, func(s *mono.Scope) { open = prices.Open(s) })
		if _, err := open.Put(t.Context(), "book", price{1990}); err != nil {
			t.Fatal(err)
		}
		lines := s.run("bucket")
		slices.Sort(lines)
		s.want("values", lines, `{"key":"book","value":{"cents":2090}}`, `{"key":"pen","value":{"cents":250}}`)
		for key, want := range map[string]int{"book": 2090, "pen": 250} {
			if e, err := open.Get(t.Context(), key); err != nil || e.Value.Cents != want {
				t.Errorf("%s: got %v, %v", key, e, err)
			}
		}
	})
}

func TestObjects(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		var open *objstore.Objects
		s := start(t, client, func(s *mono.Scope) { open = uploads.Open(s) })
		if _, err := open.PutBytes(t.Context(), "ours.txt", []byte("from Go")); err != nil {
			t.Fatal(err)
		}
		s.want("an object", s.run("objects"), `"from Go"`)
		if got, _, err := open.ReadAll(t.Context(), "theirs.txt"); err != nil || string(got) != "from "+client {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestNonPersistentQueue(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		s := start(t, client, func(s *mono.Scope) { thumbnails.Enqueuer(s) })
		lines := s.begin("thumbnails")
		s.await("a worker accepts", func() bool { return thumbnails.Enqueue(t.Context(), s, order{"o1"}) == nil })
		if line := next(t, lines); line != `{"order":"o1"}` {
			t.Errorf("got %s", line)
		}
	})
}

func TestSendToNonPersistentQueue(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		got := make(chan order, 10)
		s := start(t, client, func(s *mono.Scope) {
			thumbnails.Handle(s, func(_ context.Context, o order) error { got <- o; return nil })
		})
		s.run("thumbnail", "o1")
		if o := next(t, got); o.Order != "o1" {
			t.Errorf("got %v", o)
		}
	})
}

func TestDiscovery(t *testing.T) {
	each(t, func(t *testing.T, client string) {
		s := start(t, client, func(s *mono.Scope) {
			check.Handle(s, func(context.Context, product) (left, error) { return left{}, nil })
		})
		var found struct {
			Module, Subject, Request string
			Schema                   struct {
				Ref string `json:"$ref"`
			}
		}
		lines := s.run("discover")
		if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &found) != nil || found.Module != "shop" || found.Subject != "services.stock.check" || found.Request == "" || found.Schema.Ref != "#/$defs/interop_test.product" {
			t.Errorf("got %s", strconv.Quote(strings.Join(lines, "\n")))
		}
	})
}
