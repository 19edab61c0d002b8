//go:build rollout

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/examples/orders/analytics"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/internal/realtime"
)

var rolls = flag.Int("rollout.rolls", 20, "how often the release is replaced by the other one")

// Three replicas of a release are replaced by those of another one, and back, while customers
// place orders over HTTP, over NATS and from a mono App. No call fails, each order is in the books
// once, and no job is lost or dead.
func TestRollout(t *testing.T) {
	releases := [2]string{buildRelease(t, "first", firstRelease), buildRelease(t, "second", secondRelease)}
	patiently(t, func(t testing.TB) {
		everybody := group(t)
		s := newSite(t)
		m := newMarket(t, s)
		for i := range m.replicas {
			m.replicas[i].Store(startReplica(t, s, releases[0], i))
		}
		for i, place := range []placing{m.overHTTP, m.overHTTP, m.overHTTP, m.overHTTP, m.overNATS, m.overNATS, m.fromApp, m.fromApp} {
			everybody.Go(func() { m.customer(i, place) })
		}
		for roll := range *rolls {
			for i := range m.replicas {
				m.awaitOrders(t)
				m.replace(t, i, releases[(roll+1)%2], (roll+i)%2 == 0)
			}
		}
		m.awaitOrders(t)
		m.closed.Store(true)
		everybody.Wait()
		m.awaitBooks(t, releases[1])
		t.Logf("%d rolls: %d calls, %d failed; %d orders placed, %d declined", *rolls, m.calls.Load(), m.failed.Load(), m.count(&m.placed), m.count(&m.declined))
		for i := range m.replicas {
			end(t, m.replicas[i].Load())
		}
	})
}

// startReplica starts a replica. The last one sends its own calls over NATS, to any replica.
func startReplica(t testing.TB, s *site, release string, i int) *program {
	t.Helper()
	args := []string{"-orders", "/dev/null", "-settle-after", "2s", "-transport", s.url}
	if i == 2 {
		args = append(args, "-no-local-calls")
	}
	return startBinary(t, release, args...)
}

// market is the replicas and their customers.
type market struct {
	site      *site
	replicas  [3]atomic.Pointer[program]
	published sync.Map // order → *atomic.Int64, the number of its events
	placed    sync.Map // order → struct{}{}
	declined  sync.Map
	answered  atomic.Int64
	calls     atomic.Int64
	failed    atomic.Int64
	closed    atomic.Bool
	fail      func(format string, args ...any)
}

func newMarket(t testing.TB, s *site) *market {
	m := &market{site: s}
	m.fail = func(format string, args ...any) {
		if m.failed.Add(1) <= 20 {
			t.Errorf(format, args...)
		}
	}
	sub, err := s.nc.Subscribe("events.orders.placed", func(e *nats.Msg) {
		var c orders.Confirmation
		if json.Unmarshal(e.Data, &c) == nil {
			n, _ := m.published.LoadOrStore(c.Order.ID, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		}
	})
	must(t, err)
	must(t, sub.SetPendingLimits(-1, -1))
	t.Cleanup(func() { m.closed.Store(true); _ = sub.Unsubscribe() })
	must(t, s.nc.Flush())
	return m
}

// replace replaces a replica: by one that was started before, or after it has stopped.
func (m *market) replace(t testing.TB, i int, release string, first bool) {
	old := m.replicas[i].Load()
	if !first {
		end(t, old)
	}
	m.replicas[i].Store(startReplica(t, m.site, release, i))
	if first {
		end(t, old)
	}
}

// awaitOrders waits until some more orders have an answer.
func (m *market) awaitOrders(t testing.TB) {
	t.Helper()
	had := m.answered.Load()
	realtime.Until(t, "orders are answered", func() bool { return m.answered.Load() > had+20 || m.failed.Load() > 0 })
}

// pace is the time between two orders of a customer.
const pace = 50 * time.Millisecond

// placing places an order and reports whether its card was declined.
type placing func(ctx context.Context, o orders.Order) (declined bool, err error)

// customer places orders, of which every tenth is declined.
func (m *market) customer(number int, place placing) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 1; !m.closed.Load(); n++ {
		<-tick.C
		if n%101 == 0 {
			continue // no mailbox: its receipt would be a dead letter
		}
		o := orders.Order{ID: fmt.Sprintf("c%d-%d", number, n), Card: good, Product: "book", Quantity: 1}
		if n%10 == 0 {
			o.Card = empty
		}
		m.calls.Add(1)
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), realtime.Patience)
		declined, err := place(ctx, o)
		cancel()
		switch {
		case err != nil:
			m.fail("order %s, after %v: %v", o.ID, time.Since(began), err)
		case declined != (o.Card == empty):
			m.fail("order %s: declined: %v", o.ID, declined)
		case declined:
			m.declined.Store(o.ID, struct{}{})
		default:
			m.placed.Store(o.ID, struct{}{})
		}
		m.answered.Add(1)
	}
}

// overHTTP posts an order at a replica, and reads it back from another one. The next replica gets
// a request whose connection was refused, as a load balancer does it.
func (m *market) overHTTP(ctx context.Context, o orders.Order) (declined bool, err error) {
	body, err := json.Marshal(o)
	if err != nil {
		return false, err
	}
	status, err := m.request(ctx, "POST", "/orders", string(body))
	switch {
	case err != nil:
		return false, err
	case status == http.StatusPaymentRequired:
		return true, nil
	case status != http.StatusCreated:
		return false, fmt.Errorf("status %d", status)
	}
	m.calls.Add(1)
	status, err = m.request(ctx, "GET", "/orders/"+o.ID, "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d of the GET", status)
	}
	return false, err
}

// balanced is a client that keeps connections for less time than a server does.
var balanced = &http.Client{Transport: &http.Transport{IdleConnTimeout: 250 * time.Millisecond, MaxIdleConnsPerHost: 8}}

func (m *market) request(ctx context.Context, method, path, body string) (status int, err error) {
	first := int(m.calls.Load())
	for i := range m.replicas {
		p := m.replicas[(first+i)%len(m.replicas)].Load()
		var request *http.Request
		if request, err = http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body)); err != nil {
			return 0, err
		}
		request.Header.Set("Content-Type", "application/json")
		var answer *http.Response
		if answer, err = balanced.Do(request); errors.Is(err, syscall.ECONNREFUSED) {
			continue
		}
		if err != nil {
			return 0, err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, err
	}
	return 0, fmt.Errorf("no replica accepts a connection: %w", err)
}

// overNATS calls as a plain client of NATS does.
func (m *market) overNATS(ctx context.Context, o orders.Order) (declined bool, err error) {
	body, err := json.Marshal(o)
	if err != nil {
		return false, err
	}
	reply, err := m.site.nc.RequestWithContext(ctx, "services.orders.place", body)
	if err != nil {
		return false, err
	}
	var c orders.Confirmation
	switch {
	case reply.Header.Get("Mono-Failure") == payments.Declined.Name():
		return true, nil
	case reply.Header.Get("Mono-Code") != "":
		return false, fmt.Errorf("%v %s", reply.Header, reply.Data)
	case json.Unmarshal(reply.Data, &c) != nil || c.Order.ID != o.ID:
		return false, fmt.Errorf("the confirmation is %s", reply.Data)
	}
	return false, nil
}

// fromApp calls as a program of mono does that has none of the modules.
func (m *market) fromApp(ctx context.Context, o orders.Order) (declined bool, err error) {
	c, err := orders.Place.Call(ctx, m.site.app, o)
	if _, declined := payments.Declined.Match(err); declined {
		return true, nil
	}
	if err == nil && c.Order.ID != o.ID {
		err = fmt.Errorf("the confirmation is %+v", c)
	}
	return false, err
}

func (m *market) count(orders *sync.Map) (n int) {
	for range orders.Range {
		n++
	}
	return n
}

// awaitBooks waits until all work is done, and compares the books with the answers. The last
// replica is of the second release: what its new group has missed, it gets now.
func (m *market) awaitBooks(t testing.TB, second string) {
	t.Helper()
	m.replace(t, 0, second, true)
	placed := m.count(&m.placed)
	for _, queue := range []string{"queues_orders_checkouts", "queues_notifications_receipts"} {
		realtime.Until(t, "the jobs of "+queue+" are done", func() bool { _, left := m.stored(t, queue); return left == 0 })
	}
	if all, _ := m.stored(t, "queues_notifications_receipts"); all != placed {
		t.Errorf("%d orders were placed, and %d receipts stored", placed, all)
	}
	realtime.Until(t, "the new group has followed the ledger", func() bool { all, _ := m.stored(t, "streams_loyalty_points"); return all >= placed })
	if all, _ := m.stored(t, "streams_loyalty_points"); all != placed {
		t.Errorf("%d orders were placed, and %d have points", placed, all)
	}
	realtime.Until(t, "the bank holds what the ledger has", func() bool { return m.site.sheet(t).balanced() })
	sheet := m.site.sheet(t)
	if len(sheet.entries) != placed || sheet.refunds != 0 {
		t.Errorf("%d orders were placed, %d are in the ledger, and %d charges were refunded", placed, len(sheet.entries), sheet.refunds)
	}
	for id, n := range sheet.entries {
		_, ok := m.placed.Load(id)
		if !ok || n != 1 {
			t.Errorf("order %s: placed: %v, with %d entries", id, ok, n)
		}
		events := func() int64 {
			n, ok := m.published.Load(id)
			if !ok {
				return 0
			}
			return n.(*atomic.Int64).Load()
		}
		realtime.Until(t, "order "+id+" is published", func() bool { return events() > 0 })
		if n := events(); n != 1 {
			t.Errorf("order %s was published %d times", id, n)
		}
	}
	realtime.Until(t, "the totals have every order", func() bool {
		r, err := analytics.Totals.Call(t.Context(), m.site.app, analytics.TotalsRequest{})
		must(t, err)
		if r.Entries > placed {
			t.Fatalf("%d orders were placed, and the totals have %d", placed, r.Entries)
		}
		return r.Entries == placed && sum(r.Booked) == int64(placed)*1990
	})
	for name := range m.site.js.StreamNames(t.Context()).Name() {
		if strings.HasSuffix(name, "__dead") {
			all, _ := m.stored(t, strings.TrimSuffix(name, "__dead"))
			t.Errorf("%s exists, beside %d messages", name, all)
		}
	}
}

// stored returns the number of messages that a log has ever stored, and of those that are left,
// delayed ones included.
func (m *market) stored(t testing.TB, log string) (all, left int) {
	t.Helper()
	for s := range m.site.js.ListStreams(t.Context()).Info() {
		if s.Config.Name == log {
			all = int(s.State.LastSeq)
		}
		if s.Config.Name == log || s.Config.Name == log+"__later" {
			left += int(s.State.Msgs)
		}
	}
	return all, left
}
