package redact_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gomono.dev/transport/natsx/internal/redact"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"nats://127.0.0.1:4222":            "nats://127.0.0.1:4222",
		"nats://user:password@host.a-b_c":  "nats://host.a-b_c",
		"nats://token@host:1":              "nats://host:1",
		"nats://user:pass@word@host:1":     "nats://host:1",
		"tls://[::1]:4222":                 "tls://[::1]:4222",
		"tls://user:p@[fe80::1%25eth0]:1":  "tls://[fe80::1%eth0]:1",
		"wss://user:p@host:443/path?a=b#c": "wss://host:443",
		"nats://münchen.example:1":         "nats://münchen.example:1",
		"nats://user:pass/word@host:1":     "(malformed URL)",
		"nats://user:1/word@host:1":        "(malformed URL)",
		"nats://host:0":                    "(malformed URL)",
		"nats://host:":                     "(malformed URL)",
		"nats://::1":                       "(malformed URL)",
		"nats://":                          "(malformed URL)",
		"host:1":                           "(malformed URL)",
		"":                                 "(malformed URL)",
	} {
		if got := redact.URL(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "127.0.0.1:0": "127.0.0.1:0", ":4222": ":4222", "host:-1": "host:-1", "[::]:1": "[::]:1",
		"user@host:1": "(malformed address)", "host": "(malformed address)", "host:x": "(malformed address)", "[host]:1": "(malformed address)", "host:70000": "(malformed address)",
	} {
		if got := redact.Address(raw); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

// Text without credentials stays as it is.
func TestTextKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "connection refused", "dial tcp 127.0.0.1:1: connect: connection refused", "Listening on nats://0.0.0.0:4222",
		"(nats://host:1): no answer", "see nats://a:1, nats://b:2.", `Publish Violation - Subject "events.x"`,
	} {
		if got := redact.Text(text, "x", "nothing"); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}

func TestTextRemovesCredentials(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"to nats://user:password@host:1: refused":                                "to nats://host:1: refused",
		"nats://a:b@h:1, nats://c@h:2":                                           "nats://h:1, nats://h:2",
		`parse "nats://user:pass%zz@h": invalid escape "%zz"`:                    `parse "(malformed URL)`,
		"token s3cret/1, as URL s3cret%2F1":                                      "token (redacted), as URL (redacted)",
		`quoted "with \"quotes\""`:                                               `quoted "(redacted)"`,
		"seed SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYVCU3Q.":       "seed (redacted).",
		"jwt eyJ0eXAi.eyJqdGki.c2ln":                                             "jwt (redacted)",
		`<<- [CONNECT {"user":"u","pass":"a,b"}]`:                                `<<- [CONNECT (redacted)`,
		`["NATS/1.0\r\nAuthorization: a\r\nX-Token: b\r\nPlain: c\r\n\r\nbody"]`: `["NATS/1.0\r\nAuthorization: (redacted)\r\nX-Token: (redacted)\r\nPlain: c\r\n\r\nbody"]`,
	} {
		if got := redact.Text(text, "s3cret/1", `with "quotes"`); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	plain := fmt.Errorf("lost: %w", os.ErrDeadlineExceeded)
	if got := redact.Error(plain, "secret"); got != plain {
		t.Errorf("a good error became %v", got)
	}
	if redact.Error(nil) != nil {
		t.Error("nil became an error")
	}
	_, parse := url.Parse("user:pass%zz@host:1")
	for _, err := range []error{
		errors.New("the secret"), fmt.Errorf("hidden: %w", hiding{errors.New("the secret")}), errors.Join(plain, errors.New("secret")), parse,
	} {
		got := redact.Error(err, "secret")
		for e := got; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "secret") || strings.Contains(e.Error(), "pass") {
				t.Errorf("%v became %v", err, got)
			}
		}
	}
}

// hiding is an error that hides the text of its cause.
type hiding struct{ error }

func (hiding) Error() string   { return "no text" }
func (h hiding) Unwrap() error { return h.error }

func TestFile(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "with spaces and {braces}")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"": "", there: there, "/etc/nats/missing.conf": "/etc/nats/missing.conf", `C:\nats\a.creds`: `C:\nats\a.creds`,
		"password: x": "(not the name of a file)", "-----BEGIN": "-----BEGIN", "a\nb": "(not the name of a file)",
		"eyJ0eXAi.eyJqdGki.c2ln": "(not the name of a file)", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYVCU3Q": "(not the name of a file)",
	} {
		if got := redact.File(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
