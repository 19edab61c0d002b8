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
)

// A process is killed between charges and their entries. Its customers do not try again, and
// another process returns the money.
func TestKilledBetweenChargeAndLedger(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	charged, err := s.nc.SubscribeSync("streams.payments.movements.>")
	must(t, err)
	s.instance(t, "-settle-after", "2s")
	for round := range 20 {
		p := s.instance(t, "-settle-after", "2s")
		var wait sync.WaitGroup
		for customer := range 16 {
			wait.Go(func() {
				for n := 0; ; n++ {
					if status, err := p.try(http.DefaultClient, fmt.Sprintf("r%d-c%d-%d", round, customer, n)); err != nil || status != http.StatusCreated {
						return
					}
				}
			})
		}
		for range 50 {
			_, err := charged.NextMsg(time.Minute)
			must(t, err)
		}
		p.signal(t, syscall.SIGKILL) // the fiftieth charge has just been stored
		wait.Wait()
		eventually(t, "the money went back", func() bool { return s.sheet(t).balanced() })
		if s.sheet(t).refunds > 0 {
			return
		}
		drain(charged) // once more: each charge had its entry
	}
	t.Fatal("none of 20 kills came between a charge and its entry")
}

// drain drops the messages that have arrived.
func drain(sub *nats.Subscription) {
	for {
		if _, err := sub.NextMsg(time.Millisecond); err != nil {
			return
		}
	}
}

// Ten times a process is asked to stop, and ten times one is killed, while eight customers
// place a thousand orders at two of them, each until its answer is 201. Each order is in the
// ledger once, paid for once, and published. A process that is asked to stop answers every
// request.
func TestThousandOrdersAndTwentyEnds(t *testing.T) {
	t.Parallel()
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
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() { c.run(t, i) })
	}
	for round := range 20 {
		had := c.placed.Load()
		eventually(t, "orders were placed", func() bool { return c.placed.Load() > had+20 || t.Failed() })
		old := sites[round%2].Load()
		if round/2%2 == 0 {
			old.signal(t, syscall.SIGTERM)
			old.mustEnd(t)
		} else {
			old.killed.Store(true)
			old.signal(t, syscall.SIGKILL)
		}
		sites[round%2].Store(s.instance(t, "-settle-after", "2s"))
	}
	c.ended.Store(true)
	wait.Wait()
	t.Logf("%d orders, of %d posts", c.placed.Load(), c.posts.Load())
	eventually(t, "the bank held what the ledger has", func() bool { return s.sheet(t).balanced() })
	for id, n := range s.sheet(t).entries {
		if _, placed := c.ids.LoadAndDelete(id); !placed || n != 1 {
			t.Errorf("order %s: placed: %v, with %d entries", id, placed, n)
		}
		eventually(t, "order "+id+" was published", func() bool { _, ok := published.Load(id); return ok })
	}
	c.ids.Range(func(id, _ any) bool {
		t.Errorf("order %s was answered with 201, and is not in the ledger", id)
		return true
	})
	for i := range sites {
		sites[i].Load().signal(t, syscall.SIGTERM)
		sites[i].Load().mustEnd(t)
	}
}

// customers place orders over kept connections.
type customers struct {
	sites  *[2]atomic.Pointer[program]
	enough int64
	placed atomic.Int64
	posts  atomic.Int64
	ids    sync.Map // answered with 201
	ended  atomic.Bool
}

func (c *customers) run(t *testing.T, number int) {
	client := &http.Client{Transport: &http.Transport{}}
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

// post reports whether an order was placed. A refused connection sent nothing; any other
// failure is the end of a killed process.
func (c *customers) post(t *testing.T, client *http.Client, p *program, id string) bool {
	c.posts.Add(1)
	status, err := p.try(client, id)
	switch {
	case err == nil && status == http.StatusCreated:
		return true
	case err == nil && status != http.StatusServiceUnavailable:
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
