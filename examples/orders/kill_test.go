package main

import (
	"encoding/json"
	"errors"
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

	"gomono.dev/internal/realtime"
)

// A process is killed between charges and their entries. Its customers do not try again, and
// another process returns the money.
func TestKilledBetweenChargeAndLedger(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		charged := make(chan *nats.Msg, 10_000)
		_, err := s.nc.ChanSubscribe("streams.payments.movements.>", charged)
		must(t, err)
		s.instance(t, "-settle-after", "2s")
		for round := range 20 {
			customers := group(t)
			p := s.instance(t, "-settle-after", "2s")
			for customer := range 16 {
				customers.Go(func() {
					for n := 0; !p.killed.Load(); n++ {
						_, _ = p.try(http.DefaultClient, fmt.Sprintf("r%d-c%d-%d", round, customer, n))
					}
				})
			}
			for range 50 {
				realtime.Receive(t, charged, "a charge")
			}
			p.kill() // the fiftieth charge has just been stored
			customers.Wait()
			realtime.Until(t, "the money goes back", func() bool { return s.sheet(t).balanced() })
			if s.sheet(t).refunds > 0 {
				return
			}
			for len(charged) > 0 { // once more: each charge had its entry
				<-charged
			}
		}
		t.Fatal("none of 20 kills came between a charge and its entry")
	})
}

// Ten times a process is asked to stop, and ten times one is killed, while eight customers
// place a thousand orders at two of them, each until its answer is 201. Each order is in the
// ledger once, paid for once, and published. A process that is asked to stop answers every
// request.
func TestThousandOrdersAndTwentyEnds(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		everybody := group(t)
		s := newSite(t)
		var published sync.Map
		sub, err := s.nc.Subscribe("events.orders.placed", func(m *nats.Msg) {
			var c struct{ Order struct{ ID string } }
			if json.Unmarshal(m.Data, &c) == nil {
				published.Store(c.Order.ID, true)
			}
		})
		must(t, err)
		defer sub.Unsubscribe()
		var sites [2]atomic.Pointer[program]
		for i := range sites {
			sites[i].Store(s.instance(t, "-settle-after", "2s"))
		}
		c := &customers{sites: &sites, enough: 1000}
		for i := range 8 {
			everybody.Go(func() { c.run(t, i) })
		}
		for round := range 20 {
			had := c.placed.Load()
			realtime.Until(t, "orders are placed", func() bool { return c.placed.Load() > had+20 || t.Failed() })
			old := sites[round%2].Load()
			if round/2%2 == 0 {
				old.signal(t, syscall.SIGTERM)
				old.mustEnd(t)
			} else {
				old.kill()
			}
			sites[round%2].Store(s.instance(t, "-settle-after", "2s"))
		}
		c.ended.Store(true)
		everybody.Wait()
		t.Logf("%d orders, of %d posts", c.placed.Load(), c.posts.Load())
		realtime.Until(t, "the bank holds what the ledger has", func() bool { return s.sheet(t).balanced() })
		for id, n := range s.sheet(t).entries {
			if _, placed := c.ids.LoadAndDelete(id); !placed || n != 1 {
				t.Errorf("order %s: placed: %v, with %d entries", id, placed, n)
			}
			realtime.Until(t, "order "+id+" is published", func() bool { _, ok := published.Load(id); return ok })
		}
		c.ids.Range(func(id, _ any) bool {
			t.Errorf("order %s was answered with 201, and is not in the ledger", id)
			return true
		})
		for i := range sites {
			sites[i].Load().signal(t, syscall.SIGTERM)
			sites[i].Load().mustEnd(t)
		}
	})
}

// customers place orders over kept connections. As clients should, they do not use a connection
// that was idle for nearly as long as a server keeps it: a request that meets the close has no
// answer.
type customers struct {
	sites  *[2]atomic.Pointer[program]
	enough int64
	placed atomic.Int64
	posts  atomic.Int64
	ids    sync.Map // answered with 201
	ended  atomic.Bool
}

func (c *customers) run(t testing.TB, number int) {
	client := &http.Client{Transport: &http.Transport{IdleConnTimeout: 250 * time.Millisecond}}
	defer client.CloseIdleConnections()
	for n := 0; !c.ended.Load() || c.placed.Load() < c.enough; n++ {
		id := fmt.Sprintf("c%d-%d", number, n)
		for try := n; !c.post(t, client, c.sites[try%2].Load(), id); try++ {
			if t.Context().Err() != nil || t.Failed() {
				return
			}
		}
		c.ids.Store(id, true)
		c.placed.Add(1)
	}
}

// post reports whether an order was placed. With 503 and 504 the result is unknown, and the
// order can be posted again. A refused connection sent nothing; any other failure is the end of
// a killed process.
func (c *customers) post(t testing.TB, client *http.Client, p *program, id string) bool {
	c.posts.Add(1)
	status, err := p.try(client, id)
	switch {
	case err == nil && status == http.StatusCreated:
		return true
	case err == nil && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout:
		t.Errorf("order %s: %d", id, status)
	case err != nil && !errors.Is(err, syscall.ECONNREFUSED) && !p.killed.Load():
		t.Errorf("order %s has no answer: %v", id, err)
	}
	return false
}

// try posts an order.
func (p *program) try(client *http.Client, id string) (status int, err error) {
	answer, err := client.Post(p.url+"/orders", "application/json", strings.NewReader(order(id)))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}
