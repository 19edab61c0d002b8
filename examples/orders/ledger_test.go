package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/mono"
	"gomono.dev/transport/natsx/embedded"
)

// After any end of a process, every order whose answer was 201 is in the ledger, once, and the
// next process finds it. The same is true for an order without an answer that is posted again.
func TestAnsweredOrdersAreInTheLedger(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patiently(t, func(t testing.TB) { answeredOrdersAreInTheLedger(t, end) })
		})
	}
}

func answeredOrdersAreInTheLedger(t testing.TB, end os.Signal) {
	store := t.TempDir()
	p := serving(t, "-store", store)
	answered, unanswered := p.load(t, 200, end)
	if err := p.cmd.Wait(); (err != nil) != (end == syscall.SIGKILL) {
		t.Errorf("the program: %v\n%s", err, p.stderr.String())
	}
	again := serving(t, "-store", store)
	for _, id := range answered {
		if status := again.get(t, "/orders/"+id); status != http.StatusOK {
			t.Errorf("order %s: %d after the restart", id, status)
		}
	}
	all := slices.Concat(answered, unanswered)
	for _, id := range all {
		if status, err := again.post(strings.NewReader(order(id))); err != nil || status != http.StatusCreated {
			t.Errorf("order %s, posted again: %d, %v", id, status, err)
		}
	}
	again.signal(t, syscall.SIGTERM)
	again.mustEnd(t)
	entries := readLedger(t, store)
	for _, id := range all {
		if entries[id] != 1 {
			t.Errorf("order %s has %d entries in the ledger, want 1", id, entries[id])
		}
	}
	if len(entries) != len(all) {
		t.Errorf("%d orders are in the ledger, want %d", len(entries), len(all))
	}
}

// load posts orders from several customers at once and sends the signal after enough answers.
// It returns when every customer has then got an error: the ids of the placed orders, and of
// the others.
func (p *program) load(t testing.TB, enough int, end os.Signal) (answered, unanswered []string) {
	var mu sync.Mutex
	var once sync.Once
	var wait sync.WaitGroup
	for customer := range 8 {
		wait.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("c%d-%d", customer, n)
				reply, err := http.Post(p.url+"/orders", "application/json", strings.NewReader(order(id)))
				mu.Lock()
				if err == nil && reply.StatusCode == http.StatusCreated {
					answered = append(answered, id)
				} else {
					unanswered = append(unanswered, id)
				}
				stop := len(answered) >= enough
				mu.Unlock()
				if err != nil {
					if !stop {
						t.Errorf("order %s has no answer: %v", id, err)
					}
					return
				}
				_, _ = io.Copy(io.Discard, reply.Body)
				reply.Body.Close()
				if stop {
					once.Do(func() { p.signal(t, end) })
				}
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return answered, unanswered
}

func (p *program) get(t testing.TB, path string) int {
	t.Helper()
	reply, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	_, _ = io.Copy(io.Discard, reply.Body)
	return reply.StatusCode
}

// readLedger counts the entries of each order without a batch.
func readLedger(t testing.TB, store string) map[string]int {
	tr, err := embedded.Open(t.Context(), embedded.Options{Dir: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(context.Background())
	entries := make(map[string]int)
	for e, err := range ledger.Entries.Read(t.Context(), app) {
		if err != nil {
			t.Fatal(err)
		}
		if o := e.Value.Placed.Order; o.Batch == "" {
			entries[o.ID]++
		}
	}
	return entries
}
