// Package canary searches the output of a program under test for secrets.
package canary

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// Secret is part of every secret of a test. Encoded is a form in which a URL may contain it.
const (
	Secret  = "c4n4ry"
	Encoded = "%63%34%6e%34%72%79"
)

// Texts collects the texts that must not contain a secret. Its methods may be called
// concurrently.
type Texts struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write records a text.
func (x *Texts) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.Write(p)
}

// Log returns a logger of all levels, in JSON.
func (x *Texts) Log() *slog.Logger {
	return slog.New(slog.NewJSONHandler(x, &slog.HandlerOptions{Level: slog.LevelDebug - 8}))
}

// Value records a value in each form in which a program writes one.
func (x *Texts) Value(v any) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(x, verb+"\n", v)
		fmt.Fprintf(x, verb+"\n", []any{v})
		fmt.Fprintf(x, verb+"\n", struct{ Field any }{v})
	}
	for _, in := range []any{v, map[string]any{"a": v}, struct{ Field any }{v}} {
		data, err := json.Marshal(in)
		fmt.Fprintln(x, string(data), err)
	}
	for _, log := range []*slog.Logger{x.Log(), slog.New(slog.NewTextHandler(x, nil))} {
		log.Info("value", "alone", v, slog.Group("group", "in", v), "list", []any{v})
	}
}

// Error records an error and its causes.
func (x *Texts) Error(err error) {
	if err == nil {
		return
	}
	x.Value(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		x.Error(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			x.Error(err)
		}
	}
}

// Leak returns a line with a secret, or with one of the other texts, and "" if there is none.
func (x *Texts) Leak(others ...string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	secrets := append([]string{Secret, Encoded, fmt.Sprintf("%x", Secret)}, others...)
	for line := range strings.Lines(x.all.String()) {
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(line), strings.ToLower(secret)) {
				return line
			}
		}
	}
	return ""
}

// Len returns the number of recorded bytes.
func (x *Texts) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all.Len()
}
