package redact_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
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

// The lines of mono itself have no secrets: here the error of a handler.
func TestLinesOfMono(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	jobs := mono.NewQueue[string]("test.jobs", mono.MaxAttempts(1))
	done := make(chan struct{})
	app := mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(redact.Handler(slog.NewTextHandler(&out, nil)))))
	app.Add(mono.NewModule("test", func(s *mono.Scope) error {
		jobs.Handle(s, func(context.Context, string) error {
			defer close(done)
			return errors.New("dial postgres://ada:hunter2@db:5432: refused")
		})
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Enqueue(t.Context(), app, "x"); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := app.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if log := out.String(); strings.Contains(log, "hunter2") || !strings.Contains(log, "postgres://ada:[REDACTED]@db:5432") {
		t.Error(log)
	}
}
