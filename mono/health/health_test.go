package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv"
	"gomono.dev/mono"
	"gomono.dev/mono/health"
	"gomono.dev/transport/inproc"
)

// checked is a module with a health check, a resource and a bucket.
type checked struct {
	name  string
	check func(context.Context) error
	bind  func(*mono.Scope)
}

func (m *checked) Name() string { return m.name }

func (m *checked) Bind(s *mono.Scope) error {
	if m.bind != nil {
		m.bind(s)
	}
	return nil
}

func (m *checked) Health(ctx context.Context) error {
	if m.check == nil {
		return nil
	}
	return m.check(ctx)
}

// newApp returns an App in memory with a Probes.
func newApp(t testing.TB, p *health.Probes, opts ...mono.AppOption) *mono.App {
	app := mono.New(inproc.New(inproc.Options{}), append([]mono.AppOption{mono.Logger(slog.New(slog.DiscardHandler))}, opts...)...)
	app.Plugin("health", p)
	return app
}

// begin starts an App, and stops it when the test ends.
func begin(t testing.TB, app *mono.App) {
	t.Helper()
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// get sends a probe. accept is "" for text.
func get(p *health.Probes, target, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// want sends a probe for text and compares its answer.
func want(t testing.TB, p *health.Probes, target string, status int, body ...string) {
	t.Helper()
	w := get(p, target, "")
	if text := strings.Join(body, "\n") + "\n"; w.Code != status || w.Body.String() != text {
		t.Errorf("GET %s: %d\n%s\nwant %d\n%s", target, w.Code, w.Body, status, text)
	}
}

func jsonOf(t testing.TB, p *health.Probes, target string) (int, health.Report) {
	t.Helper()
	w := get(p, target, "application/health+json")
	var report health.Report
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || w.Header().Get("Content-Type") != "application/health+json" {
		t.Fatalf("GET %s: %v: %s", target, err, w.Body)
	}
	return w.Code, report
}

// Readiness lists the state, the transport, and each module, resource and bucket. A failure shows its
// reason in verbose text and in JSON, with the time since the last success.
func TestReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		sessions := kv.NewBucket[string]("sessions")
		db := mono.NewResource[*database]("shop.db")
		p := health.New()
		app := newApp(t, p)
		app.Add(&checked{name: "orders",
			bind: func(s *mono.Scope) {
				sessions.Open(s)
				db.Provide(s, func(context.Context) (*database, error) { return &database{}, nil })
			},
			check: func(ctx context.Context) error {
				mono.ReportDetail(ctx, "open", 7)
				if broken.Load() {
					return errors.New("the shop\nis closed")
				}
				return nil
			}})
		begin(t, app)
		want(t, p, "/readyz", 200, "ok")
		want(t, p, "/readyz?verbose", 200, "[+]app ok", "[+]transport ok", "[+]module/health ok", "[+]module/orders ok", "[+]resource/shop.db ok", "[+]bucket/sessions ok", "readyz check passed")
		<-time.After(12 * time.Second)
		broken.Store(true)
		want(t, p, "/readyz", 503, "[-]module/orders failed", "readyz check failed")
		want(t, p, "/readyz/module/orders?verbose", 503, "[-]module/orders failed: the shop; is closed (last success 12s ago)", "readyz check failed")
		want(t, p, "/readyz/bucket/sessions", 200, "ok")
		want(t, p, "/readyz?verbose&exclude=module/orders&exclude=app&exclude=%5B%0A", 200, "[+]app ok", "[+]transport ok", "[+]module/health ok", "[+]module/orders excluded: ok", "[+]resource/shop.db ok", "[+]bucket/sessions ok",
			`warn: some health checks cannot be excluded: no matches for "app", "[\n"`, "readyz check passed")
		want(t, p, "/readyz?exclude=module/orders&exclude=x", 200, "ok", `warn: some health checks cannot be excluded: no matches for "x"`)

		code, report := jsonOf(t, p, "/readyz?exclude=module/health&exclude=x")
		orders := report.Checks["module/orders"][0]
		if code != 503 || report.Status != health.StatusFail || report.Output != "failed: module/orders" || report.Instance != app.Scope().Instance() ||
			!slices.Equal(report.Notes, []string{`some health checks cannot be excluded: no matches for "x"`, "excluded: module/health"}) || len(report.Checks) != 5 {
			t.Errorf("%d %+v", code, report)
		}
		if orders.Kind != "module" || orders.Status != health.StatusFail || orders.Output != "the shop; is closed" || orders.SinceSuccess != "12s" || time.Since(orders.LastSuccess) != 12*time.Second || string(orders.Details) != `{"open":7}` || orders.Duration != "0s" {
			t.Errorf("%+v", orders)
		}
		broken.Store(false)
		<-time.After(time.Second)
		if code, report := jsonOf(t, p, "/readyz"); code != 200 || report.Status != health.StatusPass || report.Output != "" || report.Checks["module/orders"][0].SinceSuccess != "0s" {
			t.Errorf("%d %+v", code, report)
		}
	})
}

type database struct{}

func (*database) PingContext(context.Context) error { return nil }

// Readiness fails in each state but StateRunning, at the first moment of a stop. While DrainDelay lasts,
// and after it, liveness and the handler work on.
func TestReadinessFollowsTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := health.New()
		app := newApp(t, p, mono.DrainDelay(5*time.Second))
		is := func(state mono.State) {
			t.Helper()
			want(t, p, "/livez?verbose", 200, "[+]ping ok", "livez check passed")
			want(t, p, "/readyz?verbose&exclude=module/x", 503, "[-]app failed: the App is "+string(state), "readyz check failed")
			want(t, p, "/readyz/module/x", 503, "[-]app failed", "readyz check failed")
			if code, report := jsonOf(t, p, "/readyz"); code != 503 || report.Output != "failed: app" || report.Checks["app"][0].Output != "the App is "+string(state) {
				t.Errorf("%d %+v", code, report)
			}
		}
		is(mono.StateCreated)
		app.Add(&hooks{start: func() { is(mono.StateStarting) }, stop: func() { is(mono.StateStopping) }})
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, p, "/readyz", 200, "ok")
		stopped := make(chan error)
		began := time.Now()
		go func() { stopped <- app.Stop(t.Context()) }()
		synctest.Wait()
		is(mono.StateStopping)
		if _, err := health.Ready.Call(t.Context(), app, struct{}{}); err != nil {
			t.Errorf("a call during the delay: %v", err)
		}
		if err := <-stopped; err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		is(mono.StateStopped)
	})
}

// hooks is a module that calls functions in its Start and Stop.
type hooks struct{ start, stop func() }

func (*hooks) Name() string                  { return "hooks" }
func (*hooks) Bind(*mono.Scope) error        { return nil }
func (h *hooks) Start(context.Context) error { h.start(); return nil }
func (h *hooks) Stop(context.Context) error  { h.stop(); return nil }

// A check that hangs fails alone, after HealthTimeout. Probes of other checks, and those that exclude
// it, do not wait. A check that panics or ends its goroutine fails alone.
func TestBrokenChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int32
		p := health.New()
		app := newApp(t, p, mono.HealthTimeout(2*time.Second))
		app.Add(&checked{name: "fine"},
			&checked{name: "hangs", check: func(context.Context) error { runs.Add(1); <-release; return nil }},
			&checked{name: "panics", check: func(context.Context) error { panic("secret") }})
		begin(t, app)
		took := func(target string, status int, limit time.Duration) string {
			t.Helper()
			began := time.Now()
			w := get(p, target, "")
			if w.Code != status || time.Since(began) != limit {
				t.Errorf("GET %s: %d after %v, want %d after %v", target, w.Code, time.Since(began), status, limit)
			}
			return w.Body.String()
		}
		go get(p, "/readyz", "")
		synctest.Wait()
		took("/readyz/module/fine", 200, 0)
		took("/readyz?exclude=module/hangs&exclude=module/panics", 200, 0)
		if text := took("/readyz/module/panics?verbose", 503, 0); !strings.Contains(text, "panicked") || strings.Contains(text, "secret") {
			t.Error(text)
		}
		text := took("/readyz?verbose", 503, 2*time.Second)
		for _, part := range []string{"[+]module/fine ok\n", "[-]module/hangs failed: the check that began 2s ago has not returned within HealthTimeout (2s) (no success yet)\n", "[-]module/panics failed: "} {
			if !strings.Contains(text, part) {
				t.Errorf("%q is not in\n%s", part, text)
			}
		}
		for range 10 {
			<-time.After(2 * time.Second)
			took("/readyz", 503, 0) // the same run of the check that hangs
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("the check that hangs ran %d times", n)
		}
		close(release)
		synctest.Wait()
		took("/readyz/module/hangs", 503, 0) // cached
		<-time.After(time.Second)
		took("/readyz/module/hangs", 200, 0)
	})
}

// Plugins and middleware are checked like modules. A module without a check is healthy.
func TestChecksOfPluginsAndMiddleware(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := health.New()
		app := newApp(t, p)
		app.Plugin("store", &checked{name: "store", check: func(context.Context) error { return errors.New("no disk") }})
		app.Use(&checkedMiddleware{checked{name: "quota", check: func(context.Context) error { return errors.New("no quota") }}})
		app.Add(mono.NewModule("plain", func(*mono.Scope) error { return nil }))
		begin(t, app)
		code, report := jsonOf(t, p, "/readyz")
		if code != 503 || report.Output != "failed: module/quota, module/store" {
			t.Errorf("%d %+v", code, report)
		}
		for name, want := range map[string]string{"module/quota": "no quota", "module/store": "no disk"} {
			if got := report.Checks[name]; len(got) != 1 || got[0].Output != want {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := report.Checks["module/plain"]; len(got) != 1 || got[0].Status != health.StatusPass {
			t.Errorf("a module without a check: %+v", got)
		}
		want(t, p, "/readyz?exclude=module/quota&exclude=module/store", 200, "ok")
	})
}

type checkedMiddleware struct{ checked }

func (*checkedMiddleware) Wrap(next mono.Next) mono.Next { return next }

// A probe whose client goes away does not wait, and the check goes on for others.
func TestProbeThatDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := health.New()
		app := newApp(t, p)
		app.Add(&checked{name: "slow", check: func(context.Context) error { <-time.After(3 * time.Second); return nil }})
		begin(t, app)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz/module/slow?verbose", nil))
		if w.Code != 503 || w.Body.String() != "[-]module/slow failed: the probe did not wait for the check: context deadline exceeded (no success yet)\nreadyz check failed\n" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		began := time.Now()
		want(t, p, "/readyz/module/slow", 200, "ok")
		if time.Since(began) != 2*time.Second {
			t.Errorf("after %v", time.Since(began))
		}
	})
}

// However many probes come, a check runs once a second.
func TestProbesDoNotLoadTheSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		p := health.New()
		app := newApp(t, p)
		app.Add(&checked{name: "counted", check: func(context.Context) error { runs.Add(1); <-time.After(10 * time.Millisecond); return nil }})
		begin(t, app)
		for range 20 { // 10.2 s
			var wait sync.WaitGroup
			for range 50 {
				wait.Go(func() { want(t, p, "/readyz", 200, "ok") })
			}
			wait.Wait()
			<-time.After(500 * time.Millisecond)
		}
		if n := runs.Load(); n < 7 || n > 10 {
			t.Errorf("%d runs", n)
		}
	})
}

// The result of a check is logged when it changes.
func TestChangesAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		var broken atomic.Bool
		p := health.New(health.HideErrors())
		app := newApp(t, p, mono.Logger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))))
		app.Add(&checked{name: "m", check: func(context.Context) error {
			if broken.Load() {
				return errors.New("it is broken")
			}
			return nil
		}})
		begin(t, app)
		log.Reset()
		for _, is := range []bool{false, false, true, true, false} {
			broken.Store(is)
			get(p, "/readyz", "")
			synctest.Wait()
			<-time.After(time.Second)
		}
		if got := log.String(); got != `level=WARN msg="mono: health check failed" module=health check=module/m error="it is broken"`+"\n"+
			`level=INFO msg="mono: health check passes again" module=health check=module/m lastSuccess=2000-01-01T00:00:01.000Z`+"\n" {
			t.Error(got)
		}
	})
}

// A log that blocks holds no probe back.
func TestLogThatBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := health.New()
		app := newApp(t, p, mono.Logger(slog.New(blocking{slog.DiscardHandler, release})))
		app.Add(&checked{name: "m", check: func(context.Context) error { return errors.New("it is broken") }})
		begin(t, app)
		began := time.Now()
		want(t, p, "/readyz", 503, "[-]module/m failed", "readyz check failed")
		if time.Since(began) != 0 {
			t.Errorf("after %v", time.Since(began))
		}
		close(release)
	})
}

// blocking is the handler of a log that blocks for warnings.
type blocking struct {
	slog.Handler
	release <-chan struct{}
}

func (b blocking) Enabled(context.Context, slog.Level) bool { return true }
func (b blocking) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b blocking) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		<-b.release
	}
	return nil
}

// Errors may hold secrets and anything else: HideErrors withholds them, and what is shown has one
// line of a bounded length.
func TestTextsOfErrors(t *testing.T) {
	t.Parallel()
	for _, hidden := range []bool{false, true} {
		text := "password\n[+]module/forged ok\x1b\xff" + strings.Repeat("é", 10<<10)
		var opts []health.Option
		if hidden {
			opts = append(opts, health.HideErrors())
		}
		p := health.New(opts...)
		app := newApp(t, p)
		app.Add(&checked{name: "m", check: func(ctx context.Context) error {
			mono.ReportDetail(ctx, "key", "password")
			mono.ReportDetail(ctx, "bad", func() {})
			return errors.New(text)
		}})
		begin(t, app)
		for _, accept := range []string{"", "application/json"} {
			w := get(p, "/readyz?verbose", accept)
			body := w.Body.String()
			if hidden == strings.Contains(body, "password") || hidden != strings.Contains(body, "reason withheld") || strings.Contains(body, "\n[+]module/forged") || len(body) > 10<<10 || strings.Contains(body, "\x1b") || strings.Contains(body, "\xff") {
				t.Errorf("hidden %v, accept %q: %.300q…, %d bytes", hidden, accept, body, len(body))
			}
			if strings.Contains(get(p, "/readyz", "").Body.String(), "password") {
				t.Error("the plain text has the reason")
			}
		}
		if report, err := health.Ready.Call(t.Context(), app, struct{}{}); err != nil || hidden != (report.Checks["module/m"][0].Output == "reason withheld") || hidden != (report.Checks["module/m"][0].Details == nil) {
			t.Errorf("%+v, %v", report, err)
		}
	}
}

// Requests that are not probes get an answer that names what is allowed.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	p := health.New()
	begin(t, newApp(t, p))
	for _, c := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/", 404, "no such probe: ask for /livez or /readyz\n"},
		{"GET", "/health", 404, "no such probe: ask for /livez or /readyz\n"},
		{"GET", "/readyz/module/none", 404, "no such check: \"module/none\": /readyz?verbose lists them\n"},
		{"GET", "/livez/transport", 404, "no such check: \"transport\": /livez?verbose lists them\n"},
		{"GET", "/readyz/" + strings.Repeat("a", 1<<20), 404, "no such check: \"" + strings.Repeat("a", 200) + "\": /readyz?verbose lists them\n"},
		{"POST", "/readyz", 405, "use GET or HEAD\n"},
		{"DELETE", "/livez", 405, "use GET or HEAD\n"},
		{"GET", "/readyz?exclude=%zz", 400, "the query is malformed: escape the names of checks\n"},
		{"GET", "/readyz?exclude=" + strings.Repeat("a", 1<<20), 414, "the query has 1048584 bytes: at most 8192 are allowed\n"},
		{"GET", "/readyz/", 200, "ok\n"},
		{"GET", "/livez/ping", 200, "ok\n"},
		{"GET", "/readyz/app", 200, "ok\n"},
		{"HEAD", "/readyz", 200, ""},
		{"HEAD", "/nothing", 404, ""},
	} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(c.method, c.target, nil))
		h := w.Header()
		if w.Code != c.status || w.Body.String() != c.body || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "text/plain; charset=utf-8" || (c.status == 405) != (h.Get("Allow") == "GET, HEAD") {
			t.Errorf("%s %.40s: %d %.200q, %v", c.method, c.target, w.Code, w.Body, h)
		}
	}
	for accept, contentType := range map[string]string{
		"":                             "text/plain; charset=utf-8",
		"*/*":                          "text/plain; charset=utf-8",
		"text/html,application/xml":    "text/plain; charset=utf-8",
		"application/json;q=0, ;,a/b/": "text/plain; charset=utf-8",
		"application/json":             "application/json",
		"text/plain, application/health+json;q=0.5": "application/health+json",
	} {
		if w := get(p, "/readyz", accept); w.Header().Get("Content-Type") != contentType {
			t.Errorf("Accept: %s: got %s", accept, w.Header())
		}
	}
	if w := get(p, "/readyz?"+url.Values{"exclude": slices.Collect(maps.Keys(map[string]bool{"module/health": true}))}.Encode(), ""); w.Body.String() != "ok\n" {
		t.Errorf("an escaped name: %s", w.Body)
	}
}

// A Probes belongs to one App at a time, and serves its next start.
func TestOneProbesForEachApp(t *testing.T) {
	t.Parallel()
	p := health.New()
	fails := true
	app := newApp(t, p)
	app.Add(&starter{func() error {
		if fails {
			return errors.New("not yet")
		}
		return nil
	}})
	if err := app.Start(t.Context()); err == nil {
		t.Fatal("the start did not fail")
	}
	want(t, p, "/readyz/app?verbose", 503, "[-]app failed: the App is created", "readyz check failed")
	fails = false
	begin(t, app)
	want(t, p, "/readyz", 200, "ok")
	other := newApp(t, p)
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "make one with health.New for each App") {
		t.Errorf("got %v", err)
	}
	if err := other.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	want(t, p, "/readyz", 200, "ok")
}

type starter struct{ start func() error }

func (*starter) Name() string                  { return "starter" }
func (*starter) Bind(*mono.Scope) error        { return nil }
func (s *starter) Start(context.Context) error { return s.start() }

// Bad options panic.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for text, f := range map[string]func(){
		"an option is nil":     func() { health.New(nil) },
		`invalid name "A b"`:   func() { health.ServiceName("A b") },
		"want a positive time": func() { health.MaxAge(mono.NewQueue[int]("jobs"), 0) },
	} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, text) {
					t.Errorf("got %v, want %q", v, text)
				}
			}()
			f()
		}()
	}
}
