package health_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/mono/health"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

func startServer(t *testing.T) *embedded.Server {
	server, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	return server
}

// program starts an App on a server. It is stopped when the test ends.
func program(t *testing.T, server *embedded.Server, p *health.Probes, modules ...mono.Module) *mono.App {
	t.Helper()
	return programIn(t, server, "", p, modules...)
}

func programIn(t *testing.T, server *embedded.Server, namespace string, p *health.Probes, modules ...mono.Module) *mono.App {
	t.Helper()
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{server.ClientURL()}, Memory: true, ReconnectWait: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	app := mono.New(tr, mono.Namespace(namespace), mono.Logger(slog.New(slog.DiscardHandler)), mono.HealthTimeout(time.Second), mono.StopTimeout(time.Second))
	app.Plugin("health", p)
	app.Add(modules...)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Stop(context.Background()) }) // the server may be gone
	return app
}

// When the server is gone, the App is not ready, and the process lives.
func TestLostServer(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	p := health.New()
	program(t, server, p)
	web := httptest.NewServer(p)
	defer web.Close()
	status := func(path string) int {
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if status("/readyz") != 200 || status("/livez") != 200 {
		t.Fatal(get(p, "/readyz?verbose", ""))
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	realtime.Until(t, "the App is not ready", func() bool { return status("/readyz") == 503 })
	if status("/livez") != 200 || status("/readyz/transport") != 503 || status("/readyz?exclude=transport") != 200 {
		t.Error(get(p, "/readyz?verbose", ""))
	}
	// Without the transport, the report has the other checks.
	if text := get(p, "/readyz?verbose", "").Body.String(); !strings.Contains(text, "[+]module/health ok\n") {
		t.Error(text)
	}
}

// A plain client asks the service with an empty request. Programs that share a namespace provide one
// service, unless ServiceName tells them apart; a namespace has its own.
func TestServiceOnNATS(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ask := func(subject string) (report health.Report) {
		t.Helper()
		m, err := nc.Request(subject, nil, 10*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		if err := json.Unmarshal(m.Data, &report); err != nil {
			t.Fatalf("%s: %v: %s", subject, err, m.Data)
		}
		return report
	}
	one, two := program(t, server, health.New()), program(t, server, health.New())
	named := program(t, server, health.New(health.ServiceName("health.shop")))
	other := programIn(t, server, "staging", health.New())
	seen := make(map[string]bool)
	realtime.Until(t, "both programs answer", func() bool {
		report := ask("services.health.ready")
		if report.Status != health.StatusPass || report.Checks["transport"][0].Status != health.StatusPass {
			t.Errorf("%+v", report)
		}
		seen[report.Instance] = true
		return len(seen) == 2
	})
	for subject, app := range map[string]*mono.App{"services.health.shop": named, "staging.services.health.ready": other} {
		if id := ask(subject).Instance; id != app.Scope().Instance() {
			t.Errorf("%s: answered by %s", subject, id)
		}
	}
	if !seen[one.Scope().Instance()] || !seen[two.Scope().Instance()] {
		t.Errorf("answered by %v", seen)
	}
}

// When another program has deleted the group of a module, the module is not ready.
func TestLostGroup(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	ledger := mono.NewStream[int]("lost.ledger")
	p := health.New()
	program(t, server, p, mono.NewModule("follower", func(s *mono.Scope) error {
		ledger.Handle(s, func(context.Context, int) error { return nil })
		return nil
	}))
	want(t, p, "/readyz", 200, "ok")
	if err := mono.DeleteGroup(t.Context(), program(t, server, health.New()), ledger, "follower", mono.Force()); err != nil {
		t.Fatal(err)
	}
	realtime.Until(t, "the module is not ready", func() bool { return get(p, "/readyz/module/follower", "").Code == 503 })
	want(t, p, "/readyz/transport", 200, "ok")
	want(t, p, "/livez", 200, "ok")
}
