package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/mono"
	"gomono.dev/transport/natsx/embedded"
)

// TestMain lets the test binary be the program itself, for tests of signals.
func TestMain(m *testing.M) {
	if os.Getenv("ORDERS_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// table runs the program and returns its table without the time, and what it
// said on the side.
func table(t *testing.T, stdin string, args ...string) (totals, stderr string) {
	t.Helper()
	var out bytes.Buffer
	var side log
	if err := run(t.Context(), args, strings.NewReader(stdin), &out, &side); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out.String(), side.String())
	}
	return regexp.MustCompile(`(?m)^\s*time.*$`).ReplaceAllString(out.String(), ""), side.String()
}

// log is what is said on the side, by several goroutines.
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

// What happens to an order depends on the order alone, so the totals are the
// same on every transport.
func TestTotalsAreTheSameOnEveryTransport(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	want, stderr := table(t, "", "-transport", "inproc")
	if !strings.Contains(stderr, "line 264 is no order") {
		t.Errorf("the malformed line is not reported: %s", stderr)
	}
	for _, row := range []string{"lines read +541", "malformed +1", "repeated +0", "placed +445", "refused, out of stock +33", "refused, card declined: card expired +21", "released +54", "notified +445", "receipts sent +440", "receipts retried +65", "receipts dead +5", "ledger entries +445", "revenue +60115.90", "revenue, by the ledger +60115.90"} {
		if !regexp.MustCompile(`(?m)^ *` + row + `$`).MatchString(want) {
			t.Errorf("no row %q in\n%s", row, want)
		}
	}
	for name, args := range map[string][]string{
		"inproc over the wire":   {"-transport", "inproc", "-wire"},
		"embedded":               {"-store", t.TempDir()},
		"embedded over the wire": {"-store", t.TempDir(), "-wire"},
		"external":               {"-transport", server.ClientURL()},
		"external over the wire": {"-transport", server.ClientURL(), "-wire"},
	} {
		if got, _ := table(t, "", args...); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestOrdersFromStandardInput(t *testing.T) {
	t.Parallel()
	got, stderr := table(t, `{"id":"a","card":"4242 4242 4242 4242","product":"book","quantity":1}
nonsense

{"id":"b","card":"4000 0000 0000 0002","product":"book","quantity":1}
`, "-transport", "inproc", "-orders", "-")
	for _, row := range []string{"lines read +3", "malformed +1", "placed +1", "refused +1", "released +1"} {
		if !regexp.MustCompile(`(?m)^ *` + row + `$`).MatchString(got) {
			t.Errorf("no row %q in\n%s", row, got)
		}
	}
	if !strings.Contains(stderr, "line 2 is no order") {
		t.Errorf("got %s", stderr)
	}
}

// A line that is no order, whatever is wrong with it, does not stop the run.
func TestBadLines(t *testing.T) {
	t.Parallel()
	good := order("good")
	for bad, want := range map[string]string{
		`{"id":"x"`: "malformed: unexpected end of JSON input",
		`["x"]`:     "malformed: json: cannot unmarshal array",
		`{"id":"x","quantity":99999999999999999999}`: "malformed: json: cannot unmarshal number",
		strings.Repeat("x", 2*maxLine):               "malformed: it is longer than 1048576 bytes",
		order("first"):                               "repeated: its id is that of line 1",
	} {
		got, stderr := table(t, order("first")+"\n"+bad+"\n"+good, "-transport", "inproc", "-orders", "-")
		kind, _, _ := strings.Cut(want, ":")
		for _, row := range []string{"lines read +3", kind + " +1", "placed +2", "refused +0", "charged +2"} {
			if !regexp.MustCompile(`(?m)^ *` + row + `$`).MatchString(got) {
				t.Errorf("%.50s: no row %q in\n%s", bad, row, got)
			}
		}
		if !strings.Contains(stderr, "line 2 is no order: "+want) {
			t.Errorf("%.50s: got %s, want %s", bad, stderr, want)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"unknown transport":      {"-transport", "pigeon"},
		"no NATS server":         {"-transport", "nats://127.0.0.1:1"},
		"no such file":           {"-transport", "inproc", "-orders", file + "x"},
		"unexpected argument":    {"-transport", "inproc", "x"},
		"cannot be made":         {"-store", filepath.Join(file, "x")},
		"choose another address": {"-transport", "inproc", "-serve", "127.0.0.1:99999"},
	} {
		err := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", args, err, want)
		}
	}
}

// A hundred customers are being served when the process is told to stop. Each
// gets its answer, although nobody is let in any more.
func TestSIGTERMUnderLoad(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"inproc":   {"-transport", "inproc"},
		"embedded": {"-store", t.TempDir(), "-wire"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, args...)
			served := make(chan struct{}, 100)
			release := make(chan struct{})
			var wait sync.WaitGroup
			for i := range 100 {
				wait.Go(func() {
					body := &heldBody{Reader: strings.NewReader(order(fmt.Sprint("t", i))), served: served, release: release}
					if status, err := p.post(body); err != nil || status != http.StatusCreated {
						t.Errorf("customer %d: %d, %v", i, status, err)
					}
				})
			}
			for range 100 {
				<-served
			}
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			p.waitUntilClosed(t)
			close(release)
			wait.Wait()
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("the program: %v\n%s", err, p.stderr.String())
			}
		})
	}
}

// Whatever ends the process, every order that was answered with 201 is in the
// ledger, once, and the next process knows it. So is one that was not answered, and
// is posted again.
func TestAnsweredOrdersAreInTheLedger(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]os.Signal{"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := t.TempDir()
			p := startProgram(t, "-store", store)
			answered, unanswered := p.load(200, func() {
				if err := p.cmd.Process.Signal(end); err != nil {
					t.Error(err)
				}
			})
			if err := p.cmd.Wait(); (err != nil) != (end == syscall.SIGKILL) {
				t.Errorf("the program: %v\n%s", err, p.stderr.String())
			}
			again := startProgram(t, "-store", store)
			for _, id := range answered {
				if status := again.get(t, "/orders/"+id); status != http.StatusOK {
					t.Errorf("order %s: %d after the restart", id, status)
				}
			}
			all := slices.Concat(answered, unanswered)
			for _, id := range all {
				if status, err := again.post(strings.NewReader(order(id))); err != nil || status != http.StatusCreated {
					t.Errorf("order %s, posted again: %d, %v", id, status, err)
				}
			}
			if err := again.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := again.cmd.Wait(); err != nil {
				t.Errorf("the program: %v\n%s", err, again.stderr.String())
			}
			entries := readLedger(t, store)
			for _, id := range all {
				if entries[id] != 1 {
					t.Errorf("order %s has %d entries in the ledger, want 1", id, entries[id])
				}
			}
			if len(entries) != len(all) {
				t.Errorf("%d orders are in the ledger, want %d", len(entries), len(all))
			}
		})
	}
}

// load posts orders from several customers at once, calls end after enough were
// answered, and returns the ids of those that were placed, and of those that nobody
// answered, once nobody is answered any more.
func (p *program) load(enough int, end func()) (answered, unanswered []string) {
	var mu sync.Mutex
	var once sync.Once
	var wait sync.WaitGroup
	for customer := range 8 {
		wait.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("c%d-%d", customer, n)
				reply, err := http.Post(p.url+"/orders", "application/json", strings.NewReader(order(id)))
				mu.Lock()
				if err == nil && reply.StatusCode == http.StatusCreated {
					answered = append(answered, id)
				} else {
					unanswered = append(unanswered, id)
				}
				stop := len(answered) >= enough
				mu.Unlock()
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, reply.Body)
				reply.Body.Close()
				if stop {
					once.Do(end)
				}
			}
		})
	}
	wait.Wait()
	return answered, unanswered
}

func (p *program) get(t *testing.T, path string) int {
	t.Helper()
	reply, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	_, _ = io.Copy(io.Discard, reply.Body)
	return reply.StatusCode
}

// readLedger counts the entries of each order without a batch.
func readLedger(t *testing.T, store string) map[string]int {
	tr, err := embedded.Open(t.Context(), embedded.Options{Dir: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	app := mono.New(tr, mono.Logger(slog.New(slog.DiscardHandler)))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(context.Background())
	entries := make(map[string]int)
	for e, err := range ledger.Entries.Read(t.Context(), app) {
		if err != nil {
			t.Fatal(err)
		}
		if o := e.Value.Placed.Order; o.Batch == "" {
			entries[o.ID]++
		}
	}
	return entries
}

// A signal ends a run whose input says nothing, as a terminal does.
func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
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
	said := bufio.NewScanner(stderr)
	if _, err := io.WriteString(stdin, "nonsense\n"); err != nil || !said.Scan() || !strings.Contains(said.Text(), "line 1 is no order") {
		t.Fatalf("%v, it said %q", err, said.Text())
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if !said.Scan() || !strings.Contains(said.Text(), "interrupted") {
		t.Errorf("it said %q", said.Text())
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it ended as if nothing had happened")
	}
}

// A second signal ends the process at once, whoever is being served.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := startProgram(t, "-transport", "inproc")
	served, release := make(chan struct{}, 1), make(chan struct{})
	answered := make(chan error)
	go func() {
		_, err := p.post(&heldBody{Reader: strings.NewReader(order("x")), served: served, release: release})
		answered <- err
	}()
	<-served
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.waitUntilClosed(t)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the program: %v", err)
	}
	close(release)
	if err := <-answered; err == nil {
		t.Error("the customer got an answer from a process that was ended")
	}
}

// heldBody is the body of a request that the server is serving: the client reads
// it only when the handler asks for it (RFC 9110, Expect: 100-continue).
type heldBody struct {
	io.Reader
	once            sync.Once
	served, release chan struct{}
}

func (b *heldBody) Read(p []byte) (int, error) {
	b.once.Do(func() {
		b.served <- struct{}{}
		<-b.release
	})
	return b.Reader.Read(p)
}

func order(id string) string {
	return fmt.Sprintf(`{"id":%q,"card":"4242 4242 4242 4242","product":"book","quantity":1}`, id)
}

// program is a running process that serves HTTP.
type program struct {
	cmd    *exec.Cmd
	url    string
	stderr *bytes.Buffer
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	p := &program{cmd: exec.Command(os.Args[0], append(args, "-serve", address)...), url: "http://" + address, stderr: new(bytes.Buffer)}
	p.cmd.Env = append(os.Environ(), "ORDERS_AS_PROGRAM=1")
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(strings.TrimSpace(lines.Text()), "time") { // the table's end
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return p
		}
	}
	t.Fatalf("the program ended: %v\n%s", p.cmd.Wait(), p.stderr.String())
	return nil
}

// post posts an order whose body is sent when the handler asks for it.
func (p *program) post(body io.Reader) (int, error) {
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodPost, p.url+"/orders", body)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Expect", "100-continue")
	reply, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	_, err = io.Copy(io.Discard, reply.Body)
	return reply.StatusCode, err
}

// waitUntilClosed waits until the program lets nobody in any more.
func (p *program) waitUntilClosed(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Fatal("the program still listens")
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	p := startProgram(t, "-transport", "inproc")
	get := func(path string) (int, string) {
		t.Helper()
		reply, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(body)
	}
	post := func(body string) (int, string) {
		t.Helper()
		reply, err := http.Post(p.url+"/orders", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(text)
	}
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"id":"x1","card":"4242 4242 4242 4242","product":"book","quantity":2}`, 201, `"receipt":"R-x1"`},
		{`{"id":"x2","card":"4000 0000 0000 0002","product":"book","quantity":2}`, 400, `"decline":{"reason":"insufficient funds"}`},
		{`{"id":"x3","card":"4242 4242 4242 4242","product":"globe","quantity":2}`, 400, `"shortage":{"product":"globe"`},
		{`{"id":"x4","card":"4242 4242 4242 4242","product":"unicorn","quantity":2}`, 404, `"code":"not_found"`},
		{`{"id":`, 400, `"code":"invalid_argument"`},
	} {
		if status, got := post(c.body); status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.body, status, got, c.status, c.want)
		}
	}
	if status, got := get("/orders/x1"); status != 200 || !strings.Contains(got, `"R-x1"`) {
		t.Errorf("GET: %d %s", status, got)
	}
	if status, _ := get("/orders/x2"); status != 404 {
		t.Errorf("GET of a refused order: %d", status)
	}
	if status, got := get("/health"); status != 200 || !strings.Contains(got, `"healthy":true`) {
		t.Errorf("health: %d %s", status, got)
	}
	began := time.Now()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("SIGINT: %v after %v", err, time.Since(began))
	}
}
