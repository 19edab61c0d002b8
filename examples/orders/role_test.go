package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"gomono.dev/examples/orders/analytics"
	"gomono.dev/examples/orders/notifications"
	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
)

// worker starts a process of the role worker, and waits until it serves.
func (s *site) worker(t testing.TB) *program {
	t.Helper()
	p, _ := launch(t, os.Args[0], "-role", "worker", "-transport", s.url)
	realtime.Until(t, "the worker serves", func() bool {
		_, sent := notifications.Sent.Call(t.Context(), s.app, notifications.SentRequest{})
		_, totals := analytics.Totals.Call(t.Context(), s.app, analytics.TotalsRequest{})
		return sent == nil && totals == nil
	})
	return p
}

// receipts returns the number of receipts that the worker has sent.
func (s *site) receipts(t testing.TB) int {
	t.Helper()
	c, err := notifications.Sent.Call(t.Context(), s.app, notifications.SentRequest{})
	if err != nil && mono.CodeOf(err) != mono.Unavailable {
		t.Error(err)
	}
	return c.Receipts
}

// Two processes in two roles have the totals of one process that runs all modules.
func TestTotalsOfTwoRoles(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		worker := s.worker(t)
		want, _ := table(t, "", "-transport", "inproc")
		if got, _ := table(t, "", "-role", "web", "-transport", s.url); got != want {
			t.Errorf("two roles:\n%s\nwant\n%s", got, want)
		}
		if got, _ := table(t, "", "-role", "web,worker", "-transport", "inproc"); got != want {
			t.Errorf("one process in two roles:\n%s\nwant\n%s", got, want)
		}
		worker.signal(t, syscall.SIGTERM)
		worker.mustEnd(t)
	})
}

// One process takes orders over HTTP, and the other one sends their receipts. Orders are placed
// without a worker, too, and the next worker sends their receipts.
func TestRoles(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		web := s.instance(t, "-role", "web")
		place := func(prefix string) {
			t.Helper()
			for i := range 10 {
				if status, got := web.send(t, "POST", "/orders", order(fmt.Sprint(prefix, i))); status != http.StatusCreated {
					t.Errorf("%s%d: %d %s", prefix, i, status, got)
				}
			}
		}
		place("first")
		worker := s.worker(t)
		realtime.Until(t, "ten receipts are sent", func() bool { return s.receipts(t) == 10 })
		place("second")
		realtime.Until(t, "twenty receipts are sent", func() bool { return s.receipts(t) == 20 })
		worker.signal(t, syscall.SIGTERM)
		worker.mustEnd(t)
		place("third")
		worker = s.worker(t)
		realtime.Until(t, "the next worker sends ten receipts", func() bool { return s.receipts(t) == 10 })
		_, health := web.send(t, "GET", "/health", "")
		for module, here := range map[string]bool{"orders": true, "payments": true, "web": true, "notifications": false, "analytics": false} {
			if strings.Contains(health, `"`+module+`":`) != here {
				t.Errorf("module %s runs in the web process: want %v, health: %s", module, here, health)
			}
		}
		for _, p := range []*program{web, worker} {
			p.signal(t, syscall.SIGTERM)
			p.mustEnd(t)
		}
		if sheet := s.sheet(t); len(sheet.entries) != 30 || !sheet.balanced() {
			t.Errorf("30 orders were placed, and the books have %+v", sheet)
		}
	})
}
