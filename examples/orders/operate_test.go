package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/mono/audit"
	"gomono.dev/transport/natsx"
)

// At a signal the program is not ready, and serves for the time of the drain. Then it stops.
func TestDrain(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		address := loopback.Free(t)
		p := serving(t, "-transport", "inproc", "-probes", address, "-drain-delay", "1h")
		probe := func(path string, want int) bool {
			status, _, err := fetch(realtime.Patience, http.MethodGet, "http://"+address+path, "")
			return err == nil && status == want
		}
		if !probe("/readyz", http.StatusOK) || !probe("/livez", http.StatusOK) {
			t.Error("the program serves and is not ready")
		}
		p.signal(t, syscall.SIGTERM)
		realtime.Until(t, "the program is not ready", func() bool { return probe("/readyz", http.StatusServiceUnavailable) })
		if !probe("/livez", http.StatusOK) {
			t.Error("the program is not alive while it drains")
		}
		if status, got := p.send(t, "POST", "/orders", order("x")); status != http.StatusCreated {
			t.Errorf("an order during the drain: %d %s", status, got)
		}
		p.signal(t, syscall.SIGTERM)
		if err := p.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Errorf("after a second signal: %v", err)
		}
	})
}

// The log has a line for each message that an order causes, with the id of its request.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		p := s.instance(t, "-access-log", "-log", "json")
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/orders", strings.NewReader(order("x")))
		must(t, err)
		request.Header.Set("X-Request-ID", "7f3a")
		answer, err := http.DefaultClient.Do(request)
		must(t, err)
		answer.Body.Close()
		if id := answer.Header.Get("X-Request-ID"); answer.StatusCode != http.StatusCreated || id != "7f3a" {
			t.Errorf("the order got %s with the id %q", answer.Status, id)
		}
		realtime.Until(t, "the receipt is sent", func() bool { return s.receipts(t) == 1 })
		end(t, p)
		lines := make(map[string]int)
		for text := range strings.Lines(p.stderr.String()) {
			var line struct {
				Module  string `json:"mono.module"`
				Request string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Errorf("the line %q: %v", text, err)
			}
			if line.Request == "7f3a" {
				lines[line.Module]++
			}
		}
		for _, module := range []string{"orders", "inventory", "payments", "notifications"} {
			if lines[module] == 0 {
				t.Errorf("no line of the module %s has the id of the request", module)
			}
		}
	})
}

func TestNoRequestIDs(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-transport", "inproc", "-request-ids=false")
		answer, err := http.Get(p.url + "/orders/x")
		must(t, err)
		answer.Body.Close()
		if id := answer.Header.Get("X-Request-ID"); id != "" {
			t.Errorf("the request has the id %q", id)
		}
	})
}

func TestSecretsInTheLog(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]bool{"-redact": false, "-redact=false": true} {
		set, err := parse([]string{flag}, io.Discard)
		must(t, err)
		var out bytes.Buffer
		set.logger(&out).Warn("refused", "order", orders.Order{ID: "x", Card: "4242 4242 4242 4242"}, slog.String("password", "hunter2"))
		if got := out.String(); strings.Contains(got, "4242 4242 4242") != want || strings.Contains(got, "hunter2") != want || !strings.Contains(got, " 4242") && !strings.Contains(got, "]4242") {
			t.Errorf("%s: %s", flag, got)
		}
	}
}

// Two instances keep one audit log, which is verified afterwards.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	private, public, err := audit.GenerateKey("example.com/audit/orders")
	must(t, err)
	key := filepath.Join(t.TempDir(), "orders.key")
	must(t, os.WriteFile(key, []byte(private+"\n"), 0o600))
	patiently(t, func(t testing.TB) {
		s := newSite(t)
		instances := []*program{s.instance(t, "-audit-key", key), s.instance(t, "-audit-key", key)}
		for _, p := range instances {
			end(t, p)
		}
		tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.url}, Logger: slog.New(slog.DiscardHandler)})
		must(t, err)
		defer tr.Close(context.Background())
		writers := make(map[string]bool)
		for entry, err := range audit.Read(t.Context(), tr, audit.ReadOptions{Key: public}) {
			must(t, err)
			if entry.Instance != "" { // it had started
				writers[entry.Instance] = true
			}
		}
		if len(writers) != 2 {
			t.Errorf("the log has entries of %d instances, want 2", len(writers))
		}
	})
}
