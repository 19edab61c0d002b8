package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/audit"
	"gomono.dev/transport/natsx/embedded"
)

// The command verifies a log, continues at its checkpoint, and fails once the log was replaced.
func TestCommand(t *testing.T) {
	private, public, err := audit.GenerateKey("example.com/audit/command")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "checkpoint")
	write := func(s *embedded.Server, events ...string) {
		tr, err := s.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trail := audit.New(audit.Options{Key: private})
		app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
		app.Use(trail)
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if err := trail.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if err := app.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	serve := func() *embedded.Server {
		s, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Minute, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
		return s
	}
	command := func(s *embedded.Server, more ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"-nats", s.ClientURL(), "-key", public, "-checkpoint", file}, more...), &out)
		return out.String(), err
	}

	s := serve()
	write(s, "test.one", "test.two")
	first, err := command(s)
	if err != nil || !strings.Contains(first, "entries verified\nexample.com/audit/command\n") {
		t.Fatalf("got %q, %v", first, err)
	}
	write(s, "test.three")
	second, err := command(s, "-whole")
	if err != nil || second == first {
		t.Fatalf("got %q, %v", second, err)
	}
	if saved, err := os.ReadFile(file); err != nil || !strings.HasSuffix(second, string(saved)) {
		t.Errorf("saved %q, %v", saved, err)
	}

	other := serve() // with another log of the same key
	write(other, "test.one", "test.two", "test.three", "test.four", "test.five")
	write(other, "test.one", "test.two", "test.three", "test.four", "test.five")
	if _, err := command(other); mono.CodeOf(err) != mono.DataLoss {
		t.Errorf("another history: %v", err)
	}
	if err := run(t.Context(), []string{"-new-key", "example.com/x"}, &bytes.Buffer{}); err != nil {
		t.Error(err)
	}
}
