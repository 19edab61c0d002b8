package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gomono.dev/transport/natsx/embedded"
)

// table runs the program and returns its table without the time, and its standard error.
func table(t testing.TB, stdin string, args ...string) (totals, stderr string) {
	t.Helper()
	var out bytes.Buffer
	var side log
	if err := run(t.Context(), args, strings.NewReader(stdin), &out, &side); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out.String(), side.String())
	}
	return regexp.MustCompile(`(?m)^\s*time.*$`).ReplaceAllString(out.String(), ""), side.String()
}

// log is a standard error for several goroutines.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The result of an order depends on the order alone, so the totals are the same on every
// transport.
func TestTotalsAreTheSameOnEveryTransport(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
		want, stderr := table(t, "", "-transport", "inproc")
		if !strings.Contains(stderr, "line 264 is not an order") {
			t.Errorf("the malformed line is not reported: %s", stderr)
		}
		for _, row := range []string{"lines read +541", "malformed +1", "repeated +0", "placed +445", "refused, out of stock +33", "refused, card declined: card expired +21", "released +49", "notified +445", "receipts sent +440", "receipts retried +65", "receipts dead +5", "ledger entries +445", "revenue +60115.90", "revenue, by the ledger +60115.90"} {
			if !regexp.MustCompile(`(?m)^ *` + row + `$`).MatchString(want) {
				t.Errorf("no row %q in\n%s", row, want)
			}
		}
		for name, args := range map[string][]string{
			"inproc without local calls":   {"-transport", "inproc", "-no-local-calls"},
			"embedded":                     {"-store", t.TempDir()},
			"embedded without local calls": {"-store", t.TempDir(), "-no-local-calls"},
			"external":                     {"-transport", server.ClientURL()},
			"external without local calls": {"-transport", server.ClientURL(), "-no-local-calls"},
		} {
			if got, _ := table(t, "", args...); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
			}
		}
	})
}

func TestOrdersFromStandardInput(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		got, stderr := table(t, `{"id":"a","card":"4242 4242 4242 4242","product":"book","quantity":1}
nonsense

{"id":"b","card":"4000 0000 0000 0002","product":"book","quantity":1}
`, "-transport", "inproc", "-orders", "-")
		for _, row := range []string{"lines read +3", "malformed +1", "placed +1", "refused +1", "released +1"} {
			if !regexp.MustCompile(`(?m)^ *` + row + `$`).MatchString(got) {
				t.Errorf("no row %q in\n%s", row, got)
			}
		}
		if !strings.Contains(stderr, "line 2 is not an order") {
			t.Errorf("got %s", stderr)
		}
	})
}

// A line that is not an order, whatever its fault, does not stop the run.
func TestBadLines(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		good := order("good")
		for bad, want := range map[string]string{
			`{"id":"x"`: "malformed: unexpected end of JSON input",
			`["x"]`:     "malformed: json: cannot unmarshal array",
			`{"id":"x","quantity":99999999999999999999}`: "malformed: json: cannot unmarshal number",
			strings.Repeat("x", 2*maxLine):               "malformed: it is longer than 1048576 bytes",
			order("first"):                               "repeated: line 1 has the same id",
		} {
			got, stderr := table(t, order("first")+"\n"+bad+"\n"+good, "-transport", "inproc", "-orders", "-")
			kind, _, _ := strings.Cut(want, ":")
			for _, row := range []string{"lines read +3", kind + " +1", "placed +2", "refused +0", "charged +2"} {
				if !regexp.MustCompile(`(?m)^ *` + row + `$`).MatchString(got) {
					t.Errorf("%.50s: no row %q in\n%s", bad, row, got)
				}
			}
			if !strings.Contains(stderr, "line 2 is not an order: "+want) {
				t.Errorf("%.50s: got %s, want %s", bad, stderr, want)
			}
		}
	})
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"unknown transport":            {"-transport", "pigeon"},
		"no NATS server":               {"-transport", "nats://127.0.0.1:1"},
		"no such file":                 {"-transport", "inproc", "-orders", file + "x"},
		"unexpected argument":          {"-transport", "inproc", "x"},
		"cannot be created":            {"-store", filepath.Join(file, "x")},
		"use one of [\"web\" \"":       {"-transport", "inproc", "-role", "web,wrker"},
		"choose another address":       {"-transport", "inproc", "-serve", "127.0.0.1:99999"},
		"another address with -probes": {"-transport", "inproc", "-probes", "127.0.0.1:99999"},
		"use -log text or -log json":   {"-transport", "inproc", "-log", "xml"},
		"file.key":                     {"-transport", "inproc", "-audit-key", file + ".key"},
		"private key":                  {"-transport", "inproc", "-audit-key", file},
	} {
		err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", args, err, want)
		}
	}
}

// A signal ends a run that waits for its input, as from a terminal.
func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		cmd := exec.Command(os.Args[0], "-transport", "inproc", "-orders", "-")
		cmd.Env = append(os.Environ(), "ORDERS_AS_PROGRAM=1")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		output := bufio.NewScanner(stderr)
		if _, err := io.WriteString(stdin, "nonsense\n"); err != nil || !output.Scan() || !strings.Contains(output.Text(), "line 1 is not an order") {
			t.Fatalf("%v, it printed %q", err, output.Text())
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if !output.Scan() || !strings.Contains(output.Text(), "interrupted") {
			t.Errorf("it printed %q", output.Text())
		}
		if err := cmd.Wait(); err == nil {
			t.Error("it ended as if nothing had happened")
		}
	})
}
