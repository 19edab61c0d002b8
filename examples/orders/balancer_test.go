package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
)

// Two instances are replaced one after the other, three times, behind a load balancer that asks
// whether they are ready. No request fails, and each order is in the ledger once.
func TestRollingBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		customers := group(t)
		s := newSite(t)
		b := newBalancer(t)
		for i := range b.backends {
			b.backends[i].start(t, s)
		}
		front := httptest.NewServer(b)
		t.Cleanup(front.Close)
		c := &shoppers{url: front.URL}
		t.Cleanup(func() { c.closed.Store(true) })
		for i := range 8 {
			customers.Go(func() { c.order(t, i) })
		}
		for range 3 {
			for i := range b.backends {
				c.await(t)
				end(t, b.backends[i].program.Load())
				b.backends[i].start(t, s)
			}
		}
		c.await(t)
		c.closed.Store(true)
		customers.Wait()
		t.Logf("%d requests, %d failed", c.requests.Load(), c.failed.Load())
		sheet := s.sheet(t)
		for id, n := range sheet.entries {
			if n != 1 {
				t.Errorf("order %s has %d entries", id, n)
			}
		}
		if placed := int(c.placed.Load()); len(sheet.entries) != placed || sheet.refunds != 0 || !sheet.balanced() {
			t.Errorf("%d orders were placed, %d are in the ledger, and %d charges were refunded", placed, len(sheet.entries), sheet.refunds)
		}
	})
}

// shoppers place orders over HTTP and read them back.
type shoppers struct {
	url                      string
	requests, failed, placed atomic.Int64
	closed                   atomic.Bool
}

func (c *shoppers) order(t testing.TB, number int) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for n := 1; !c.closed.Load(); n++ {
		<-tick.C
		if n%101 == 0 {
			continue // no mailbox: its receipt would be a dead letter
		}
		id := fmt.Sprintf("s%d-%d", number, n)
		if c.request(t, http.MethodPost, "/orders", order(id), http.StatusCreated) {
			c.placed.Add(1)
			c.request(t, http.MethodGet, "/orders/"+id, "", http.StatusOK)
		}
	}
}

// request reports whether a request gets an answer with the status.
func (c *shoppers) request(t testing.TB, method, path, body string, want int) bool {
	c.requests.Add(1)
	status, text, err := fetch(realtime.Patience, method, c.url+path, body)
	if err != nil || status != want {
		if c.failed.Add(1) <= 10 {
			t.Errorf("%s %s: %d %s, %v", method, path, status, text, err)
		}
		return false
	}
	return true
}

// await waits until some more orders are placed.
func (c *shoppers) await(t testing.TB) {
	t.Helper()
	had := c.placed.Load()
	realtime.Until(t, "orders are placed", func() bool { return c.placed.Load() > had+20 || c.failed.Load() > 0 })
}

// fetch makes a request and returns the answer.
func fetch(limit time.Duration, method, url, body string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(read), err
}

// balancer is a load balancer. It asks each backend whether it is ready, and sends requests in turn
// to those that are. It keeps connections, and makes no request twice.
type balancer struct {
	backends  [2]backend
	turn      atomic.Int64
	transport http.Transport
}

// backend is the place of an instance.
type backend struct {
	program atomic.Pointer[program]
	probes  atomic.Pointer[string]  // the URL of /readyz
	ready   atomic.Pointer[url.URL] // of the instance; nil: it is not ready
}

func newBalancer(t testing.TB) *balancer {
	b := &balancer{transport: http.Transport{MaxIdleConnsPerHost: 8}}
	t.Cleanup(b.transport.CloseIdleConnections)
	probes := group(t)
	for i := range b.backends {
		probes.Go(func() { b.backends[i].probe(t.Context()) })
	}
	return b
}

// start starts an instance, and waits until the balancer uses it.
func (b *backend) start(t testing.TB, s *site) {
	t.Helper()
	address := loopback.Free(t)
	b.program.Store(s.instance(t, "-probes", address, "-drain-delay", drainDelay.String()))
	probes := "http://" + address + "/readyz"
	b.probes.Store(&probes)
	realtime.Until(t, "the instance is ready", func() bool { return b.ready.Load() != nil })
}

// The balancer asks ten times while an instance drains.
const (
	probePeriod = 100 * time.Millisecond
	drainDelay  = 10 * probePeriod
)

// probe asks the instance until ctx ends. One answer decides.
func (b *backend) probe(ctx context.Context) {
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	for ctx.Err() == nil {
		var ready *url.URL
		if probes := b.probes.Load(); probes != nil {
			if status, _, err := fetch(2*healthTimeout, http.MethodGet, *probes, ""); err == nil && status == http.StatusOK {
				ready, _ = url.Parse(b.program.Load().url)
			}
		}
		b.ready.Store(ready)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// ServeHTTP sends a request to the next backend that is ready.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	first := int(b.turn.Add(1))
	for i := range b.backends {
		to := b.backends[(first+i)%len(b.backends)].ready.Load()
		if to == nil {
			continue
		}
		proxy := httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
			Transport: b,
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			},
		}
		proxy.ServeHTTP(w, r)
		return
	}
	http.Error(w, "no backend is ready", http.StatusServiceUnavailable)
}

// RoundTrip fails a request that http.Transport made again, after a kept connection had failed.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	conns := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { conns++ }}
	answer, err := b.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if conns > 1 && err == nil {
		answer.Body.Close()
		return nil, errors.New("the request was made again on another connection")
	}
	return answer, err
}
