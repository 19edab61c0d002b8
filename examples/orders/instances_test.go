package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport/natsx/embedded"
)

// site is a NATS server with the clients of a test.
type site struct {
	url string
	nc  *nats.Conn
	js  jetstream.JetStream
	app *mono.App // without modules
}

func newSite(t testing.TB) *site {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	tr, err := server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{url: server.ClientURL(), app: mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))}
	if err := s.app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.app.Stop(context.Background()) })
	if s.nc, err = nats.Connect(s.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.nc.Close)
	if s.js, err = jetstream.New(s.nc); err != nil {
		t.Fatal(err)
	}
	return s
}

// instance starts a program on the server.
func (s *site) instance(t testing.TB, args ...string) *program {
	t.Helper()
	return serving(t, append(args, "-transport", s.url)...)
}

// sheet is the ledger and the bank's book at one moment.
type sheet struct {
	entries map[string]int   // of each order
	earned  map[string]int64 // by the checkout that is in the ledger
	held    map[string]int64 // by the bank, by checkout
	refunds int              // of charges that had happened
}

func (s *site) sheet(t testing.TB) sheet {
	t.Helper()
	r := sheet{entries: make(map[string]int), earned: make(map[string]int64), held: make(map[string]int64)}
	for m, err := range payments.Movements.Read(t.Context(), s.app) {
		must(t, err)
		if r.held[m.Value.Charge] += m.Value.Cents; r.held[m.Value.Charge] == 0 {
			delete(r.held, m.Value.Charge)
		}
		if m.Value.Cents < 0 {
			r.refunds++
		}
	}
	for m, err := range ledger.Entries.Read(t.Context(), s.app) {
		must(t, err)
		if isSale(m.Value) {
			r.entries[m.Value.Placed.Order.Key()]++
			r.earned[m.Value.Checkout] += m.Value.Placed.Cents
		}
	}
	return r
}

// balanced reports whether the bank holds exactly the money in the ledger.
func (r sheet) balanced() bool { return maps.Equal(r.earned, r.held) }

// Both instances return a placed order at once, to every kind of client. Placing it again at
// the other instance changes nothing.
func TestTwoInstancesAgree(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		a, b := s.instance(t), s.instance(t)
		for i := range 20 {
			id := fmt.Sprint("x", i)
			_, confirmed := a.send(t, "POST", "/orders", order(id))
			if status, got := b.send(t, "GET", "/orders/"+id, ""); status != 200 || got != confirmed {
				t.Errorf("%s is %d %s, want %s", id, status, got, confirmed)
			}
			for range 4 { // each instance answers some
				m, err := s.nc.RequestWithContext(realtime.Patient(t), "services.orders.get", fmt.Appendf(nil, `{"id":%q}`, id))
				if must(t, err); strings.TrimSpace(string(m.Data)) != strings.TrimSpace(confirmed) {
					t.Errorf("a NATS client got %v %s, want %s", m.Header, m.Data, confirmed)
				}
			}
			if status, got := b.send(t, "POST", "/orders", order(id)); status != 201 || got != confirmed {
				t.Errorf("%s again: %d %s, want %s", id, status, got, confirmed)
			}
			if status, got := b.send(t, "POST", "/orders", strings.Replace(order(id), "book", "lamp", 1)); status != 409 || !strings.Contains(got, `"already_exists"`) {
				t.Errorf("another content of %s: %d %s", id, status, got)
			}
		}
		if status, _ := b.send(t, "GET", "/orders/y", ""); status != 404 {
			t.Errorf("an order that was not placed: %d", status)
		}
		sheet := s.sheet(t)
		for id, n := range sheet.entries {
			if n != 1 {
				t.Errorf("order %s has %d entries", id, n)
			}
		}
		if len(sheet.entries) != 20 || !sheet.balanced() {
			t.Errorf("20 orders were placed, and the books have %+v", sheet)
		}
	})
}

// Ids that are not UTF-8 are refused on every path to the orders, not only over HTTP.
func TestIDsOfNATSClients(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		s.instance(t)
		for subject, body := range map[string]string{"services.orders.place": order("x"), "services.orders.get": `{"id":"x"}`} {
			m, err := s.nc.RequestWithContext(realtime.Patient(t), subject, []byte(strings.Replace(body, `"x"`, "\"\xff\"", 1)))
			if must(t, err); m.Header.Get("Mono-Code") != "invalid_argument" {
				t.Errorf("%s: %v %s", subject, m.Header, m.Data)
			}
		}
	})
}

// Many clients post one id with two contents, at two instances, at the same time. One content
// is placed, its senders get one confirmation, and the others a conflict.
func TestOneContentWins(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		instances := []*program{s.instance(t), s.instance(t)}
		placed := make(chan string, 1000)
		sub, err := s.nc.Subscribe("events.orders.placed", func(m *nats.Msg) {
			var c struct{ Order struct{ ID string } }
			_ = json.Unmarshal(m.Data, &c)
			placed <- c.Order.ID
		})
		must(t, err)
		defer sub.Unsubscribe()
		must(t, s.nc.Flush())
		for round := range 5 {
			id := fmt.Sprint("x", round)
			contents := []string{order(id), strings.Replace(order(id), "book", "lamp", 1)}
			var mu sync.Mutex
			answers := make(map[int]map[string]int)
			var wait sync.WaitGroup
			for i := range 50 {
				wait.Go(func() {
					status, got := instances[i%2].send(t, "POST", "/orders", contents[i/2%2])
					if status == http.StatusConflict {
						got = ""
					}
					mu.Lock()
					defer mu.Unlock()
					if answers[status] == nil {
						answers[status] = make(map[string]int)
					}
					answers[status][got]++
				})
			}
			wait.Wait()
			if len(answers) != 2 || len(answers[201]) != 1 || answers[409][""] < 24 {
				t.Errorf("answers: %v", answers)
			}
			sheet := s.sheet(t)
			if sheet.entries[id] != 1 || !sheet.balanced() {
				t.Errorf("the books have %+v", sheet)
			}
		}
		counts := make(map[string]int)
		for len(counts) < 5 {
			counts[realtime.Receive(t, placed, "an order is published")]++
		}
		for _, p := range instances { // after their end they publish nothing more
			p.signal(t, syscall.SIGTERM)
			p.mustEnd(t)
		}
		must(t, s.nc.Flush())
		for len(placed) > 0 {
			counts[<-placed]++
		}
		for id, n := range counts {
			if n != 1 {
				t.Errorf("order %s was published %d times", id, n)
			}
		}
	})
}

// The ledger is full when the card is charged. Money and goods go back, and the same order is
// placed once there is room.
func TestFullLedger(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		p := s.instance(t)
		p.send(t, "POST", "/orders", order("before"))
		s.limitLedger(t, 1)
		if status, got := p.send(t, "POST", "/orders", order("x")); status != http.StatusTooManyRequests {
			t.Errorf("%d %s", status, got)
		}
		if sheet := s.sheet(t); len(sheet.entries) != 1 || !sheet.balanced() {
			t.Errorf("the books have %+v", sheet)
		}
		if _, got := p.send(t, "GET", "/health", ""); !strings.Contains(got, `"released":1,"reserved":1`) || !strings.Contains(got, `"cents":1990,"charges":1,"refunds":1`) {
			t.Errorf("health: %s", got)
		}
		s.limitLedger(t, -1)
		if status, got := p.send(t, "POST", "/orders", order("x")); status != http.StatusCreated {
			t.Errorf("again: %d %s", status, got)
		}
		if sheet := s.sheet(t); sheet.entries["x"] != 1 || !sheet.balanced() {
			t.Errorf("the books have %+v", sheet)
		}
	})
}

func (s *site) limitLedger(t testing.TB, messages int64) {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), "streams_ledger_entries")
	must(t, err)
	config := stream.CachedInfo().Config
	config.MaxMsgs, config.Discard = messages, jetstream.DiscardNew
	_, err = s.js.UpdateStream(t.Context(), config)
	must(t, err)
}

// Without the ledger, no order is placed, refused for ever, or charged.
func TestLedgerGone(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		p := s.instance(t)
		must(t, s.js.DeleteStream(t.Context(), "streams_ledger_entries"))
		for _, method := range []string{"POST /orders", "GET /orders/x"} {
			method, path, _ := strings.Cut(method, " ")
			if status, got := p.send(t, method, path, order("x")); status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d %s", method, status, got)
			}
		}
		p.signal(t, syscall.SIGTERM)
		p.mustEnd(t)
		again := s.instance(t)
		if status, got := again.send(t, "POST", "/orders", order("x")); status != http.StatusCreated {
			t.Errorf("after a restart: %d %s", status, got)
		}
		if sheet := s.sheet(t); sheet.entries["x"] != 1 || !sheet.balanced() {
			t.Errorf("the books have %+v", sheet)
		}
	})
}

// The ledger is deleted, and an instance that starts recreates it. The other instance drops its
// orders, too.
func TestRecreatedLedger(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		a, b := s.instance(t), s.instance(t)
		for i := range 10 {
			if status, got := a.send(t, "POST", "/orders", order(fmt.Sprint("x", i))); status != http.StatusCreated {
				t.Errorf("x%d: %d %s", i, status, got)
			}
		}
		b.signal(t, syscall.SIGTERM)
		b.mustEnd(t)
		must(t, s.js.DeleteStream(t.Context(), "streams_ledger_entries"))
		realtime.Until(t, "the instance notices that its ledger was deleted", func() bool {
			status, _ := a.send(t, "GET", "/orders/x0", "")
			return status == http.StatusServiceUnavailable
		})
		instances := []*program{a, s.instance(t)}
		for i, p := range instances {
			if status, got := p.send(t, "GET", "/orders/x0", ""); status != http.StatusNotFound {
				t.Errorf("x0 at instance %d: %d %s", i, status, got)
			}
		}
		// Each instance places orders that were in the other's view, at earlier sequences.
		confirmed := make(map[string]string)
		for i := range 4 {
			id := fmt.Sprint("x", i)
			status, got := instances[i%2].send(t, "POST", "/orders", strings.Replace(order(id), "book", "lamp", 1))
			if confirmed[id] = got; status != http.StatusCreated {
				t.Errorf("%s: %d %s", id, status, got)
			}
		}
		for id, want := range confirmed {
			for i, p := range instances {
				if status, got := p.send(t, "GET", "/orders/"+id, ""); status != http.StatusOK || got != want {
					t.Errorf("%s at instance %d: %d %s, want %s", id, i, status, got, want)
				}
			}
		}
	})
}

// No request and no checkout fails because of garbage that a plain client stores under the keys
// of orders.
func TestGarbageInTheLedger(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		instances := []*program{s.instance(t, "-settle-after", "2s"), s.instance(t, "-settle-after", "2s")}
		for i, id := range []string{"x0", "x1"} {
			key := "streams.ledger.entries._k." + ledger.KeyOf(orders.GetRequest{ID: id})
			_, err := s.js.Publish(t.Context(), key, []byte("garbage"))
			must(t, err)
			if status, got := instances[i].send(t, "GET", "/orders/"+id, ""); status != http.StatusNotFound {
				t.Errorf("%s: %d %s", id, status, got)
			}
			declined := strings.Replace(order(id), good, empty, 1)
			if status, got := instances[i].send(t, "POST", "/orders", declined); status != http.StatusPaymentRequired || !strings.Contains(got, "insufficient funds") {
				t.Errorf("%s, declined: %d %s", id, status, got)
			}
			if status, got := instances[i].send(t, "POST", "/orders", order(id)); status != http.StatusCreated {
				t.Errorf("%s: %d %s", id, status, got)
			}
			_, err = s.js.Publish(t.Context(), key, []byte("garbage"))
			must(t, err)
			for _, p := range instances {
				if status, got := p.send(t, "POST", "/orders", order(id)); status != http.StatusCreated {
					t.Errorf("%s again: %d %s", id, status, got)
				}
			}
		}
		realtime.Until(t, "all checkouts are settled", func() bool { return s.jobs(t) == 0 })
		if _, got := instances[0].send(t, "GET", "/orders/x0", ""); !strings.Contains(got, `"R-x0"`) {
			t.Errorf("x0: %s", got)
		}
	})
}

// stored returns the number of messages in a stream of the server.
func (s *site) stored(t testing.TB, stream string) int {
	t.Helper()
	is, err := s.js.Stream(t.Context(), stream)
	must(t, err)
	return int(is.CachedInfo().State.Msgs)
}

// jobs returns the number of checkouts that are not settled.
func (s *site) jobs(t testing.TB) int {
	t.Helper()
	return s.stored(t, "queues_orders_checkouts") + s.stored(t, "queues_orders_checkouts__later")
}

// A request that is refused at once stores nothing. A request with a declined card stores
// nothing for ever.
func TestRefusedRequestsFillNoStore(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		p := s.instance(t, "-settle-after", "2s")
		for name, c := range map[string]struct {
			old, new string
			status   int
			want     string
		}{
			"an unknown product":      {"book", "unicorn", 404, "unknown-product"},
			"a long product":          {"book", strings.Repeat("x", 101), 400, "the product's name has 101 bytes"},
			"a product of a megabyte": {"book", strings.Repeat("x", 1_048_300), 400, "the product's name has 1048300 bytes"},
			"an empty shelf":          {"book", "globe", 400, "inventory.out-of-stock"},
			"no quantity":             {`"quantity":1`, `"quantity":0`, 400, "quantity"},
			"no card":                 {good, "", 400, "card's number is malformed"},
			"a malformed card":        {good, "4242 4242 x242 4242", 400, "card's number is malformed"},
			"a long card":             {good, strings.Repeat("4", 101), 400, "the card's number has 101 bytes"},
		} {
			if status, got := p.send(t, "POST", "/orders", strings.Replace(order("x"), c.old, c.new, 1)); status != c.status || !strings.Contains(got, c.want) {
				t.Errorf("%s: %d %.300s, want %d and %q", name, status, got, c.status, c.want)
			}
			if n := s.jobs(t); n != 0 {
				t.Errorf("%s: %d jobs are stored", name, n)
			}
		}
		if status, got := p.send(t, "POST", "/orders", strings.Replace(order("x"), good, empty, 1)); status != http.StatusPaymentRequired || !strings.Contains(got, "insufficient funds") {
			t.Errorf("declined: %d %s", status, got)
		}
		realtime.Until(t, "the declined order is settled", func() bool { return s.jobs(t) == 0 })
		for _, stream := range []string{"streams_payments_movements", "streams_ledger_entries"} {
			if n := s.stored(t, stream); n != 0 {
				t.Errorf("%s has %d messages", stream, n)
			}
		}
		if status, got := p.send(t, "POST", "/orders", order("x")); status != 201 {
			t.Errorf("with another card: %d %s", status, got)
		}
	})
}

// A customer whose name is too long is refused before anything is charged.
func TestLargeCustomer(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		p := s.instance(t)
		body := strings.Replace(order("x"), "{", `{"customer":"`+strings.Repeat("x", 1020<<10)+`",`, 1)
		if status, got := p.send(t, "POST", "/orders", body); status != http.StatusBadRequest || !strings.Contains(got, "customer") {
			t.Errorf("%d %s", status, got)
		}
		if sheet := s.sheet(t); len(sheet.held) > 0 || len(sheet.entries) > 0 {
			t.Errorf("the books have %+v", sheet)
		}
		if status, got := p.send(t, "POST", "/orders", order("x")); status != http.StatusCreated {
			t.Errorf("a shorter one: %d %s", status, got)
		}
	})
}
