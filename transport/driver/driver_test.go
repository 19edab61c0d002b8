package driver_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// backend is a driver whose functions the tests set. It is its own Log.
type backend struct {
	driver.Conn
	driver.Log
	has     transport.Capabilities
	ready   error
	err     error // of every call
	calls   []string
	opened  transport.LogConfig
	joined  transport.ConsumeConfig
	limit   int // of the subscription
	waiting []func(transport.Appended, error)
	closing chan struct{} // if not nil, Close waits for it
}

func (b *backend) call(name string) error {
	b.calls = append(b.calls, name)
	return b.err
}

func (b *backend) Capabilities() transport.Capabilities { return b.has }
func (b *backend) Ready() error                         { return b.ready }
func (b *backend) Ping(context.Context) error           { return b.call("Ping") }

func (b *backend) Publish(context.Context, *transport.Message) error { return b.call("Publish") }

func (b *backend) Request(context.Context, *transport.Message) (*transport.Message, error) {
	return nil, b.call("Request")
}

func (b *backend) Subscribe(_ context.Context, s transport.Subscription, _ transport.Handler) (transport.Receiver, error) {
	b.limit = s.PendingLimit
	return nil, b.call("Subscribe")
}

func (b *backend) Close(ctx context.Context) error {
	err := b.call("Close")
	if b.closing == nil {
		return err
	}
	select {
	case <-b.closing:
		return err
	case <-ctx.Done():
		return driver.Unfinished(b.closing, ctx.Err())
	}
}

// conn is the backend as a Conn, and log as a Log.
type (
	conn struct{ *backend }
	log  struct{ *backend }
)

func (c conn) Log(_ context.Context, config transport.LogConfig) (driver.Log, error) {
	c.opened = config
	return log(c), c.call("Log")
}

func (l log) Config() *transport.LogConfig { return &l.opened }

func (l log) Append(context.Context, *transport.Message, transport.AppendOptions) (transport.Appended, error) {
	return transport.Appended{Sequence: 1}, l.call("Append")
}

func (l log) AppendAsync(_ context.Context, _ *transport.Message, _ transport.AppendOptions, done func(transport.Appended, error)) error {
	l.waiting = append(l.waiting, done)
	return l.call("AppendAsync")
}

func (l log) Consume(_ context.Context, c transport.ConsumeConfig, _ transport.DeliveryHandler) (transport.Receiver, error) {
	l.joined = c
	return nil, l.call("Consume")
}

func (l log) Read(_ context.Context, _ transport.ReadConfig, yield func(*transport.Delivery) bool) error {
	for range 3 {
		if !yield(new(transport.Delivery)) {
			break
		}
	}
	return l.call("Read")
}

func (l log) Remove(context.Context, uint64) error { return l.call("Remove") }

func (l log) Purge(context.Context, transport.PurgeConfig) (uint64, error) { return 2, l.call("Purge") }

func (l log) Info(context.Context) (transport.LogInfo, error) {
	return transport.LogInfo{}, l.call("Info")
}

func (l log) Groups(context.Context) ([]transport.GroupInfo, error) {
	return []transport.GroupInfo{{Config: transport.GroupConfig{Name: "b"}}, {Config: transport.GroupConfig{Name: "a"}}}, l.call("Groups")
}

func (l log) DeleteGroup(context.Context, string) error { return l.call("DeleteGroup") }

func newBackend() *backend {
	return &backend{has: transport.Capabilities{Logs: true, Delays: true, MaxPayload: 100}}
}

var config = transport.LogConfig{Name: "jobs", Subjects: []string{"a"}, Update: true, Groups: []transport.GroupConfig{{Name: "g"}}}

func open(t *testing.T, b *backend) (*driver.Transport, transport.Log) {
	t.Helper()
	tr := driver.New(conn{b})
	l, err := tr.Log(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return tr, l
}

// operations returns every call that reaches the backend, with the name of its operation
// in errors.
func operations(ctx context.Context, tr *driver.Transport, l transport.Log) map[string]func() error {
	m := &transport.Message{Subject: "a"}
	return map[string]func() error{
		`ping`:           func() error { return tr.Ping(ctx) },
		`publish on "a"`: func() error { return tr.Publish(ctx, m) },
		`request on "a"`: func() error { _, err := tr.Request(ctx, m); return err },
		`subscribe to "a"`: func() error {
			_, err := tr.Subscribe(ctx, transport.Subscription{Subject: "a"}, transport.Serial(func(*transport.Message) {}))
			return err
		},
		`log "jobs"`: func() error { _, err := tr.Log(ctx, config); return err },
		`append to log "jobs" on "a"`: func() error {
			_, err := l.Append(ctx, m, transport.AppendOptions{})
			return err
		},
		`append to log "jobs" on "a" `: func() error { // asynchronously
			return l.AppendAsync(ctx, m, transport.AppendOptions{}, func(transport.Appended, error) {})
		},
		`consume group "g" of log "jobs"`: func() error {
			_, err := l.Consume(ctx, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, transport.Serial(func(*transport.Delivery) {}))
			return err
		},
		`read log "jobs"`: func() (err error) {
			for _, err = range l.Read(ctx, transport.ReadConfig{}) {
			}
			return err
		},
		`remove message 7 of log "jobs"`: func() error { return l.Remove(ctx, 7) },
		`purge log "jobs"`:               func() error { _, err := l.Purge(ctx, transport.PurgeConfig{}); return err },
		`info of log "jobs"`:             func() error { _, err := l.Info(ctx); return err },
		`groups of log "jobs"`:           func() error { _, err := l.Groups(ctx); return err },
		`delete group "g" of log "jobs"`: func() error { return l.DeleteGroup(ctx, "g") },
	}
}

// Every error names its operation, and keeps code, outcome and cause.
func TestErrors(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	full := transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone, "it is full")
	for _, c := range []struct {
		ctx        context.Context
		ready, err error
		code       transport.Code
		outcome    transport.Outcome
		cause      error
		text       string
		called     bool
	}{
		{t.Context(), nil, full, transport.ResourceExhausted, transport.OutcomeNotDone, full, ": it is full", true},
		{t.Context(), nil, io.EOF, transport.Unknown, transport.OutcomeUnknown, io.EOF, ": EOF", true},
		{t.Context(), nil, context.DeadlineExceeded, transport.DeadlineExceeded, transport.OutcomeUnknown, context.DeadlineExceeded, "", true},
		{t.Context(), driver.ErrClosed, nil, transport.Unavailable, transport.OutcomeNotDone, driver.ErrClosed, ": the transport is closed", false},
		{ended, nil, nil, transport.Canceled, transport.OutcomeNotDone, io.ErrClosedPipe, "before it began", false},
	} {
		b := newBackend()
		tr, l := open(t, b)
		for name, do := range operations(c.ctx, tr, l) {
			b.ready, b.err, b.calls = c.ready, c.err, nil
			err := do()
			var e *transport.Error
			if !errors.As(err, &e) || e.Code != c.code || e.Outcome != c.outcome || !errors.Is(err, c.cause) ||
				!strings.HasPrefix(e.Message, strings.TrimSpace(name)+": ") || !strings.Contains(e.Message, c.text) {
				t.Errorf("%s with %v: got %v", name, cmpOr(c.ready, c.err), err)
			}
			if called := len(b.calls) > 0; called != c.called {
				t.Errorf("%s with %v: called %q", name, cmpOr(c.ready, c.err), b.calls)
			}
		}
	}
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// An error that a test injects comes back as it is.
func TestVerbatim(t *testing.T) {
	t.Parallel()
	b := newBackend()
	tr, l := open(t, b)
	b.err = driver.Verbatim(io.EOF)
	for name, do := range operations(t.Context(), tr, l) {
		if err := do(); err != io.EOF {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Invalid arguments do not reach the backend.
func TestInvalid(t *testing.T) {
	t.Parallel()
	b := newBackend()
	tr, l := open(t, b)
	b.calls = nil
	ctx, large := t.Context(), make([]byte, 101)
	serial := transport.Serial(func(*transport.Delivery) {})
	m := &transport.Message{Subject: "a"}
	for name, err := range map[string]error{
		"subject":      tr.Publish(ctx, &transport.Message{Subject: "a b"}),
		"header":       tr.Publish(ctx, &transport.Message{Subject: "a", Header: transport.Header{{Name: "Nats-Id"}}}),
		"size":         tr.Publish(ctx, &transport.Message{Subject: "a", Body: large}),
		"reply":        second(tr.Request(ctx, &transport.Message{Subject: "a", Reply: "b"})),
		"pattern":      second(tr.Subscribe(ctx, transport.Subscription{Subject: "a b"}, transport.Serial(func(*transport.Message) {}))),
		"no handler":   second(tr.Subscribe(ctx, transport.Subscription{Subject: "a"}, nil)),
		"log":          second(tr.Log(ctx, transport.LogConfig{Name: "jobs"})),
		"stored reply": second(l.Append(ctx, &transport.Message{Subject: "a", Reply: "b"}, transport.AppendOptions{})),
		"other log":    second(l.Append(ctx, &transport.Message{Subject: "b"}, transport.AppendOptions{})),
		"TTL":          l.AppendAsync(ctx, m, transport.AppendOptions{TTL: 1}, nil),
		"group":        second(l.Consume(ctx, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "a.b"}}, serial)),
		"no consumer":  second(l.Consume(ctx, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, nil)),
		"purge":        second(l.Purge(ctx, transport.PurgeConfig{Subject: "a b"})),
	} {
		if transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if len(b.calls) > 0 {
		t.Errorf("the backend was called: %q", b.calls)
	}
}

func second[T any](_ T, err error) error { return err }

// A limit that has grown applies at once.
func TestPayloadLimitGrows(t *testing.T) {
	t.Parallel()
	b := newBackend()
	tr := driver.New(conn{b})
	m := &transport.Message{Subject: "a", Body: make([]byte, 150)}
	if err := tr.Publish(t.Context(), m); transport.CodeOf(err) != transport.InvalidArgument {
		t.Errorf("got %v", err)
	}
	for _, limit := range []int{150, 0} { // 0: no limit
		b.has.MaxPayload = limit
		if err := tr.Publish(t.Context(), m); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		m.Body = make([]byte, 1000)
	}
}

// The backend gets defaults, and no log that it does not support.
func TestDefaults(t *testing.T) {
	t.Parallel()
	b := newBackend()
	tr, l := open(t, b)
	g := b.opened.Groups[0]
	if b.opened.DedupWindow != transport.DefaultDedupWindow || g.AckWait != transport.DefaultAckWait || !g.Update || config.Groups[0].Update {
		t.Errorf("got %+v", b.opened)
	}
	operations(t.Context(), tr, l)[`consume group "g" of log "jobs"`]()
	operations(t.Context(), tr, l)[`subscribe to "a"`]()
	if b.joined.MaxInFlight != 1 || b.joined.Group.AckWait != transport.DefaultAckWait || b.limit != transport.DefaultPendingLimit {
		t.Errorf("got %+v and %d", b.joined, b.limit)
	}
	groups, err := l.Groups(t.Context())
	if err != nil || len(groups) != 2 || groups[0].Config.Name != "a" {
		t.Errorf("got %+v, %v", groups, err)
	}
	b.has = transport.Capabilities{Logs: true, Advice: "buy another"}
	partitions, delays := config, config
	partitions.Partitions, partitions.Subjects, delays.Delays = 2, []string{"a.*"}, true
	for _, c := range []transport.LogConfig{partitions, delays} {
		if _, err := tr.Log(t.Context(), c); transport.CodeOf(err) != transport.Unimplemented || !strings.HasSuffix(err.Error(), ": buy another") {
			t.Errorf("got %v", err)
		}
	}
}

// A reader that stops gets no error afterwards.
func TestReadStops(t *testing.T) {
	t.Parallel()
	b := newBackend()
	_, l := open(t, b)
	b.err = io.EOF
	for _, err := range l.Read(t.Context(), transport.ReadConfig{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range l.Read(ended, transport.ReadConfig{Follow: true}) {
		t.Error("a Follow that ctx ended has an element")
	}
}

// AppendAsync waits while too many appends have no result. Each result reaches the append
// that it belongs to.
func TestAppendWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		_, l := open(t, b)
		var results []uint64
		n := 0
		begin := func(ctx context.Context) error {
			i := uint64(n)
			n++
			return l.AppendAsync(ctx, &transport.Message{Subject: "a"}, transport.AppendOptions{}, func(at transport.Appended, err error) {
				if at.Sequence != i || (i == 1) != (err != nil) {
					t.Errorf("append %d: got %d, %v", i, at.Sequence, err)
				}
				results = append(results, at.Sequence)
			})
		}
		for range 4096 {
			if err := begin(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var blocked []error
		for range 2 {
			go func() { blocked = append(blocked, begin(ctx)) }()
			synctest.Wait()
		}
		if len(blocked) != 0 {
			t.Fatalf("the window has no limit: %v", blocked)
		}
		b.waiting[0](transport.Appended{}, nil)
		synctest.Wait()
		b.waiting[1](transport.Appended{Sequence: 1}, io.EOF)
		synctest.Wait()
		if !slices.Equal(blocked, []error{nil, nil}) {
			t.Errorf("got %v", blocked)
		}
		go func() { blocked = append(blocked, begin(ctx)) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if err := blocked[len(blocked)-1]; transport.CodeOf(err) != transport.Canceled || len(blocked) != 3 {
			t.Errorf("got %v", blocked)
		}
		for i := uint64(2); i < uint64(len(b.waiting)); i++ {
			b.waiting[i](transport.Appended{Sequence: i}, nil)
		}
		if len(results) != 4098 {
			t.Errorf("got %d results", len(results))
		}
	})
}

// An append that the backend refuses leaves the window.
func TestRefusedAppendLeavesWindow(t *testing.T) {
	t.Parallel()
	b := newBackend()
	_, l := open(t, b)
	b.err = io.EOF
	for range 2 * 4096 {
		err := l.AppendAsync(t.Context(), &transport.Message{Subject: "a"}, transport.AppendOptions{}, func(transport.Appended, error) { t.Error("done was called") })
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
}

// The backend is closed once. Later calls wait for the first one.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.closing, b.err = make(chan struct{}), io.EOF
		tr := driver.New(conn{b})
		ended, cancel := context.WithCancel(t.Context())
		var errs [3]error
		for i, ctx := range []context.Context{t.Context(), t.Context(), ended} {
			go func() { errs[i] = tr.Close(ctx) }()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		if transport.CodeOf(errs[2]) != transport.Canceled {
			t.Errorf("got %v", errs[2])
		}
		close(b.closing)
		synctest.Wait()
		if !errors.Is(errs[0], io.EOF) || errs[1] != nil || tr.Close(t.Context()) != nil || !slices.Equal(b.calls, []string{"Close"}) {
			t.Errorf("got %v, and calls %q", errs, b.calls)
		}
	})
}

// NotBefore is Unimplemented as soon as the backend has lost the capability.
func TestNotBeforeNeedsDelays(t *testing.T) {
	t.Parallel()
	b := newBackend()
	tr := driver.New(conn{b})
	c := config
	c.Delays = true
	l, err := tr.Log(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	b.has.Delays = false // reconnected to an older server
	_, err = l.Append(t.Context(), &transport.Message{Subject: "a"}, transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)})
	if transport.CodeOf(err) != transport.Unimplemented {
		t.Errorf("got %v", err)
	}
}

// The end of the context counts while the backend is not ready, but not after Close.
func TestEndedContextWhileNotReady(t *testing.T) {
	t.Parallel()
	b := newBackend()
	tr := driver.New(conn{b})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for ready, want := range map[error]transport.Code{
		transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, "the connection is lost"): transport.Canceled,
		driver.ErrClosed: transport.Unavailable,
	} {
		b.ready = ready
		if err := tr.Publish(ended, &transport.Message{Subject: "a"}); transport.CodeOf(err) != want {
			t.Errorf("%v: got %v", ready, err)
		}
	}
}

// A second Close waits for the end of the first, and returns nil after it.
func TestSecondClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.closing = make(chan struct{})
		tr := driver.New(conn{b})
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 2 {
			if err := tr.Close(ended); transport.CodeOf(err) != transport.Canceled || !errors.Is(err, context.Canceled) {
				t.Errorf("while the backend closes: %v", err)
			}
		}
		close(b.closing)
		synctest.Wait()
		for range 100 {
			if err := tr.Close(ended); err != nil {
				t.Fatalf("after the end: %v", err)
			}
		}
	})
}

// slowAppends is a Log whose Append waits.
type slowAppends struct {
	log
	running *atomic.Int64
	answer  chan struct{}
}

func (s slowAppends) Append(context.Context, *transport.Message, transport.AppendOptions) (transport.Appended, error) {
	s.running.Add(1)
	<-s.answer
	return transport.Appended{}, nil
}

type slowConn struct {
	conn
	appends slowAppends
}

func (c slowConn) Log(context.Context, transport.LogConfig) (driver.Log, error) {
	return c.appends, nil
}

// Only so many appends wait for their result at once. The others wait for their turn.
func TestManyAppendsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		b.opened = config
		slow := slowAppends{log{b}, new(atomic.Int64), make(chan struct{})}
		l, err := driver.New(slowConn{conn{b}, slow}).Log(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		for range 5000 {
			go func() {
				if _, err := l.Append(t.Context(), &transport.Message{Subject: "a"}, transport.AppendOptions{}); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if n := slow.running.Load(); n != 4096 {
			t.Errorf("%d appends wait for their result: want 4096", n)
		}
		close(slow.answer)
		synctest.Wait()
		if n := slow.running.Load(); n != 5000 {
			t.Errorf("%d appends were made: want 5000", n)
		}
	})
}

// comparing is a backend that compares needs.
type comparing struct {
	conn
	got []transport.Need
}

func (c *comparing) Preflight(_ context.Context, needs []transport.Need) (transport.Preflight, error) {
	c.got = needs
	return transport.Preflight{Findings: []transport.Finding{{Object: "b"}}}, c.call("Preflight")
}

// The backend gets the needs that it can have, with defaults. The others are findings.
func TestPreflight(t *testing.T) {
	t.Parallel()
	b := newBackend()
	if _, err := driver.New(conn{b}).Preflight(t.Context(), nil); transport.CodeOf(err) != transport.Unimplemented {
		t.Errorf("a backend that cannot compare: %v", err)
	}
	c := &comparing{conn: conn{b}}
	tr := driver.New(c)
	partitions := config
	partitions.Partitions = 2
	needs := []transport.Need{{Object: "a", Log: &partitions}, {Object: "b", Log: &config}}
	is, err := tr.Preflight(t.Context(), needs)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.got) != 2 || c.got[0].Log != nil || c.got[1].Log.Groups[0].AckWait != transport.DefaultAckWait || config.Groups[0].AckWait != 0 || needs[0].Log != &partitions {
		t.Errorf("the backend got %+v", c.got)
	}
	if len(is.Findings) != 2 || is.Findings[0].Object != "a" || is.Findings[0].Remedy == "" || is.Findings[1].Object != "b" {
		t.Errorf("got %v", is.Findings)
	}
	b.ready = driver.ErrClosed
	if _, err := tr.Preflight(t.Context(), nil); transport.CodeOf(err) != transport.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

// A finding has the setting that differs, and the remedy in the text of the error.
func TestFinding(t *testing.T) {
	t.Parallel()
	f := driver.Finding("queue a", "the log a", driver.CannotChange("Storage", "file", "memory"))
	if want := "queue a: needs the log a with Storage memory, but it exists with Storage file, and memory is requested, which cannot be changed in place: keep file, or choose another name, or delete it with its contents"; f.String() != want {
		t.Errorf("got %q, want %q", f, want)
	}
	if f := driver.Finding("", "b", io.EOF); f.String() != "needs b, but EOF: see the error" {
		t.Errorf("got %q", f)
	}
}
