package redact_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/redact"
	"gomono.dev/transport/inproc"
)

func TestSlog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return redact.Handler(slog.NewJSONHandler(&out, nil))
	}, func(t *testing.T) map[string]any {
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		return line
	})
}

func TestHandler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		print func(*slog.Logger)
		want  string
	}{
		{func(l *slog.Logger) { l.Info("password=hunter2 user=bob") }, `{"msg":"password=[REDACTED] user=bob"}`},
		{func(l *slog.Logger) { l.Info("m", "user", "bob", "password", "hunter2", "n", 1) },
			`{"msg":"m","user":"bob","password":"[REDACTED]","n":1}`},
		{func(l *slog.Logger) { l.With("token", "hunter2", "a", 1).Info("m", "b", 2) }, `{"msg":"m","token":"[REDACTED]","a":1,"b":2}`},
		{func(l *slog.Logger) { l.Info("m", slog.Group("db", "user", "bob", "password", "hunter2")) },
			`{"msg":"m","db":{"user":"bob","password":"[REDACTED]"}}`},
		{func(l *slog.Logger) { l.Info("m", slog.Group("credentials", "user", "bob")) }, `{"msg":"m","credentials":"[REDACTED]"}`},
		{func(l *slog.Logger) {
			l.WithGroup("credentials").WithGroup("x").With("a", "b").Info("m", "user", "bob", "ok", true)
		},
			`{"msg":"m","credentials":{"x":{"a":"[REDACTED]","user":"[REDACTED]","ok":true}}}`},
		{func(l *slog.Logger) { l.Info("m", "v", []slog.Attr{slog.String("password", "hunter2")}) }, `{"msg":"m","v":{"password":"[REDACTED]"}}`},
		{func(l *slog.Logger) { l.Info("m", "token", 12, "tokens", 12, "secret", time.Second, "cookie", nil) },
			`{"msg":"m","token":"[REDACTED]","tokens":12,"secret":1000000000,"cookie":null}`},
		{func(l *slog.Logger) { l.Info("m", "token", login{"bob", "x", 1}, "session", map[string]any{"a": 1}) },
			`{"msg":"m","token":"[REDACTED]","session":"[REDACTED]"}`},
	} {
		if _, got := lines(c.print); got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}

// The record and its attributes are not changed: another handler may have them, too.
func TestHandlerKeepsTheRecord(t *testing.T) {
	t.Parallel()
	h := redact.Handler(slog.NewTextHandler(&bytes.Buffer{}, nil))
	attrs := []slog.Attr{slog.String("a", "b"), slog.Group("g", slog.String("password", "hunter2")), slog.String("token", "x")}
	rec := slog.NewRecord(time.Time{}, slog.LevelInfo, "password=hunter2", 0)
	rec.AddAttrs(attrs...)
	if err := h.Handle(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	h.WithAttrs(attrs)
	if rec.Message != "password=hunter2" || attrs[2].Value.String() != "x" || attrs[1].Value.Group()[0].Value.String() != "hunter2" {
		t.Errorf("got %v %v", rec, attrs)
	}
	rec.Attrs(func(a slog.Attr) bool {
		if a.Value.String() == redact.Mark {
			t.Errorf("got %v", a)
		}
		return true
	})
}

// A handler may be used by many goroutines, which examine the same types at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	h := redact.Handler(discard{})
	r := redact.New()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				slog.New(h).With("v", &tree{}).Info("m", "login", &login{"bob", "hunter2", 1})
				if got := r.Value(login{"bob", "hunter2", 1}).(login); got.Password != redact.Mark {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	wait.Wait()
}

// The lines of mono itself have no secrets, such as those in the error of a handler. docs/operate.md shows
// the lines.
func TestLinesOfMono(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrap := range []func(slog.Handler) slog.Handler{
		func(h slog.Handler) slog.Handler { return h },
		func(h slog.Handler) slog.Handler { return redact.Handler(h) },
	} {
		log := deadLetterLog(t, wrap)
		if !strings.Contains(string(page), log) || strings.Contains(log, "mono: started") {
			t.Errorf("docs/operate.md does not show this log:\n%s", log)
		}
	}
}

// deadLetterLog returns the lines of a module that logs its configuration, and whose job fails.
func deadLetterLog(t *testing.T, wrap func(slog.Handler) slog.Handler) string {
	t.Helper()
	var out bytes.Buffer
	text := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "id" {
			return slog.Attr{}
		}
		return a
	}})
	mails, done := mono.NewQueue[string]("shop.mails", mono.MaxAttempts(1)), make(chan struct{})
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(wrap(text))))
	app.Add(mono.NewModule("shop", func(s *mono.Scope) error {
		type database struct{ Host, User, Password string }
		s.Logger().Info("configured", "database", database{"db", "shop", "hunter2"}, "api_key", "a1b2")
		mails.Handle(s, func(context.Context, string) error {
			defer close(done)
			return errors.New("dial postgres://shop:hunter2@db:5432: refused")
		})
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mails.Enqueue(t.Context(), app, "x"); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		if !strings.Contains(line, "duration=") { // of the start and the stop
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
