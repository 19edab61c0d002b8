package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// holdStore names the environment variable that makes the test binary a process that only
// holds a store.
const holdStore = "MONO_TEST_HOLD_STORE"

// memberMain runs the program of a member of TestOrderOverProcesses, if the process is one.
var memberMain = func() bool { return false }

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdStore); dir != "" {
		s, err := embedded.Start(context.Background(), embedded.Options{Dir: dir})
		fmt.Println("started", err)
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the test closes it
		if s != nil {
			_ = s.Shutdown(context.Background())
		}
		return
	}
	if what := os.Getenv(survival); what != "" {
		if err := live(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if memberMain() {
		return
	}
	os.Exit(realtime.Main(m))
}

func open(t *testing.T, o embedded.Options) *embedded.Transport {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	tr, err := embedded.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func TestListensOnNothingByDefault(t *testing.T) {
	t.Parallel()
	tr := open(t, embedded.Options{Dir: t.TempDir()})
	s := tr.Server()
	if s.ClientURL() != "" || s.ClusterURL() != "" || s.NATS().MonitorAddr() != nil {
		t.Errorf("it listens: %q %q %v", s.ClientURL(), s.ClusterURL(), s.NATS().MonitorAddr())
	}
	if err := tr.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// A configuration file with authorization does not lock out the process itself.
func TestConfigFileWithAuthorization(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"one user": `authorization { user: a, password: b }`,
		"users":    `authorization { users: [ {user: a, password: b}, {user: c, password: d} ] }`,
		"a token":  `authorization { token: abc }`,
		"accounts": `accounts { A: { jetstream: true, users: [ {user: a, password: b} ] } }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := open(t, embedded.Options{Dir: t.TempDir(), ConfigFile: configFile(t, "listen: 127.0.0.1:-1\n"+config)})
			if err := tr.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			_, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{tr.Server().ClientURL()}})
			if transport.CodeOf(err) != transport.Unauthenticated {
				t.Errorf("a stranger: %v", err)
			}
		})
	}
}

func configFile(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The password of a file may be a hash, and its accounts have separate logs: the process
// itself still connects to the account with its logs.
func TestConfigFileWithHashesAndAccounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config, account string
	}{
		"a hash":       {`authorization { user: a, password: "$2a$04$wjk3WsH5sODosqrIW2zJ0uqiv/JTyUJARRJ9rzjI.2HKXHf4Fw8O." }`, ""},
		"one account":  {`accounts { A: { jetstream: true, users: [ {user: a, password: b} ] } }`, ""},
		"two accounts": {`accounts { A: { users: [ {user: a, password: b} ] }, B: { jetstream: true, users: [ {user: c, password: d} ] } }`, "B"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := open(t, embedded.Options{Dir: t.TempDir(), ConfigFile: configFile(t, c.config), Account: c.account})
			js, err := jetstream.New(tr.Conn())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.AccountInfo(t.Context()); err != nil {
				t.Errorf("no logs: %v", err)
			}
		})
	}
	for _, account := range []string{"", "C"} {
		_, err := embedded.Start(t.Context(), embedded.Options{Dir: t.TempDir(), Account: account,
			ConfigFile: configFile(t, `accounts { A: { users: [ {user: a, password: b} ] }, B: { users: [ {user: c, password: d} ] } }`)})
		if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), "A, B") {
			t.Errorf("account %q: %v", account, err)
		}
	}
}

// A server's name belongs to its store.
func TestServerNameIsStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(dir string) string {
		s, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Shutdown(context.Background())
		return s.NATS().Name()
	}
	a, b, again := name(dir), name(t.TempDir()), name(dir)
	if a == b || a != again {
		t.Errorf("%s, another store %s, again %s", a, b, again)
	}
}

// A configuration file is applied, and the options override it.
func TestConfigFile(t *testing.T) {
	t.Parallel()
	file := configFile(t, "max_payload: 2MB\nserver_name: from-file\njetstream { sync_interval: 5s }\n")
	tr := open(t, embedded.Options{Dir: t.TempDir(), ConfigFile: file})
	if got := tr.Capabilities().MaxPayload; got != 2_000_000 && got != 2<<20 {
		t.Errorf("MaxPayload %d", got)
	}
	if tr.Server().ClientURL() != "" || tr.Server().NATS().Name() != "from-file" {
		t.Errorf("listens on %q, is called %q", tr.Server().ClientURL(), tr.Server().NATS().Name())
	}
	tr = open(t, embedded.Options{Dir: t.TempDir(), ConfigFile: file, MaxPayload: 4096, ServerName: "mine"})
	if tr.Capabilities().MaxPayload != 4096 || tr.Server().NATS().Name() != "mine" {
		t.Errorf("MaxPayload %d, name %s", tr.Capabilities().MaxPayload, tr.Server().NATS().Name())
	}
}

// Three servers with logs form a cluster through options alone, and continue without one of
// them.
func TestClusterWithLogs(t *testing.T) {
	t.Parallel()
	addresses := []string{loopback.Free(t), loopback.Free(t), loopback.Free(t)}
	opened := make([]chan *embedded.Transport, 3)
	for i, address := range addresses {
		opened[i] = make(chan *embedded.Transport, 1)
		go func() {
			tr, err := embedded.Open(t.Context(), embedded.Options{
				Dir: t.TempDir(), StartTimeout: realtime.Patience, SyncInterval: time.Minute,
				Logger:  slog.New(slog.DiscardHandler),
				Cluster: &embedded.Cluster{Name: "c", Listen: address, Routes: addresses, User: "route", Password: "r"},
			})
			if err != nil {
				t.Error(err)
			}
			opened[i] <- tr
		}()
	}
	var nodes []*embedded.Transport
	for _, node := range opened {
		tr := <-node
		if tr == nil {
			t.FailNow()
		}
		nodes = append(nodes, tr)
	}
	js, err := jetstream.New(nodes[0].Conn())
	if err != nil {
		t.Fatal(err)
	}
	ctx := realtime.Patient(t)
	create(t, ctx, js)
	if _, err := js.Publish(ctx, "logs.a", []byte("x")); err != nil {
		t.Error(err)
	}
	received := make(chan string, 1)
	if _, err := nodes[1].Subscribe(ctx, transport.Subscription{Subject: "a"}, transport.Serial(func(m *transport.Message) { received <- string(m.Body) })); err != nil {
		t.Fatal(err)
	}
	if err := nodes[2].Close(ctx); err != nil {
		t.Errorf("one leaves: %v", err)
	}
	waitFor(t, "the others are still connected", func() bool {
		_ = nodes[0].Publish(ctx, &transport.Message{Subject: "a", Body: []byte("y")})
		select {
		case <-received:
			return true
		default:
			return false
		}
	})
	for _, node := range nodes {
		if err := node.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// create creates a replicated log. A new cluster may not answer at first.
func create(t *testing.T, ctx context.Context, js jetstream.JetStream) {
	t.Helper()
	wait := 500 * time.Millisecond
	waitFor(t, "a replicated log can be made", func() bool {
		wait += wait / 2
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"logs.>"}, Replicas: 3})
		return err == nil
	})
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	realtime.Until(t, what, holds)
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, o := range map[string]embedded.Options{
		"no store":         {},
		"two stores":       {Dir: dir, Memory: true},
		"no port":          {Dir: dir, Listen: "127.0.0.1"},
		"a port too high":  {Dir: dir, Listen: "127.0.0.1:70000"},
		"a payload limit":  {Dir: dir, MaxPayload: -1},
		"a sync interval":  {Dir: dir, SyncInterval: -1},
		"no cluster name":  {Dir: dir, Cluster: &embedded.Cluster{Listen: "127.0.0.1:0"}},
		"no cluster port":  {Dir: dir, Cluster: &embedded.Cluster{Name: "c"}},
		"a route":          {Dir: dir, Cluster: &embedded.Cluster{Name: "c", Listen: "127.0.0.1:0", Routes: []string{"x"}}},
		"a monitor":        {Dir: dir, Monitor: "x"},
		"no file":          {Dir: dir, ConfigFile: filepath.Join(dir, "missing")},
		"a bad file":       {Dir: dir, ConfigFile: configFile(t, "jetstream: {{{")},
		"an unknown field": {Dir: dir, ConfigFile: configFile(t, "no_such_thing: 1")},
		"two credentials":  {Dir: dir, User: "a", Password: "b", Token: "c"},
		"half a user":      {Dir: dir, Password: "b"},
	} {
		_, err := embedded.Start(t.Context(), o)
		if transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If the server cannot start, the error explains the cause without waiting for StartTimeout.
func TestStartFailures(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().String()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    embedded.Options
		want string
	}{
		"a port in use":          {embedded.Options{Dir: t.TempDir(), Listen: port}, port},
		"a monitor port in use":  {embedded.Options{Dir: t.TempDir(), Monitor: port}, port},
		"a file as directory":    {embedded.Options{Dir: file}, file},
		"a directory in a file":  {embedded.Options{Dir: filepath.Join(file, "x")}, file},
		"a store that is a file": {embedded.Options{Dir: withFileInside(t)}, "store directory"},
		"no other members":       {embedded.Options{Dir: t.TempDir(), ConfigFile: configFile(t, "cluster { name: c, listen: 127.0.0.1:-1 }")}, "name the other members"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.o.Logger = slog.New(slog.DiscardHandler)
			c.o.StartTimeout = 2 * realtime.Patience
			s, err := embedded.Start(realtime.Patient(t), c.o)
			if transport.CodeOf(err) != transport.FailedPrecondition || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}

// withFileInside returns a store directory in which the server cannot create its own.
func withFileInside(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A store serves one server at a time, of this process or another.
func TestStoreIsLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = embedded.Start(t.Context(), embedded.Options{Dir: dir})
	if transport.CodeOf(err) != transport.FailedPrecondition || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second one in this process: %v", err)
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdStore+"="+dir)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "started <nil>\n" {
		t.Fatalf("the other process: %s", line)
	}
	_, err = embedded.Start(t.Context(), embedded.Options{Dir: dir})
	if transport.CodeOf(err) != transport.FailedPrecondition || !strings.Contains(err.Error(), fmt.Sprint(child.Process.Pid)) {
		t.Errorf("while another process holds it: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	stdin.Close()
	again, err := embedded.Start(t.Context(), embedded.Options{Dir: dir})
	if err != nil {
		t.Fatalf("after that process was killed: %v", err)
	}
	if err := again.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPayloadOverTheLimit(t *testing.T) {
	t.Parallel()
	tr := open(t, embedded.Options{Memory: true, MaxPayload: 2048})
	err := tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: make([]byte, 3000)})
	if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), "3000") || !strings.Contains(err.Error(), "2048") {
		t.Errorf("got %v", err)
	}
}

// A store at its limit refuses further messages, and keeps the stored ones.
func TestStoreAtItsLimit(t *testing.T) {
	t.Parallel()
	tr := open(t, embedded.Options{Dir: t.TempDir(), MaxStore: 1 << 20, SyncInterval: time.Minute})
	l, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for err == nil {
		if _, err = l.Append(t.Context(), &transport.Message{Subject: "l", Body: make([]byte, 64<<10)}, transport.AppendOptions{}); err == nil {
			stored++
		}
	}
	if transport.CodeOf(err) != transport.ResourceExhausted || stored < 8 {
		t.Errorf("after %d messages of 64 KiB: %v", stored, err)
	}
	read := 0
	for _, err := range l.Read(t.Context(), transport.ReadConfig{}) {
		if err != nil {
			t.Fatal(err)
		}
		read++
	}
	if read != stored {
		t.Errorf("%d messages are left of %d", read, stored)
	}
}

// A server whose disk is full creates no store. Consume reports that, and succeeds when there
// is room. A file in place of a folder has the same effect on the server as a full disk.
func TestConsumeWithoutRoomForAStore(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"the state stream": "mono_state",
		"the group":        "l/obs/g",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l, err := open(t, embedded.Options{Dir: dir, SyncInterval: time.Minute}).Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
			if err != nil {
				t.Fatal(err)
			}
			obstacle := filepath.Join(dir, "jetstream", "$G", "streams", filepath.FromSlash(path))
			if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			consume := func() error {
				_, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: survivors}, transport.Serial(func(*transport.Delivery) {}))
				return err
			}
			err = consume()
			if transport.CodeOf(err) != transport.ResourceExhausted || !strings.Contains(err.Error(), "disk") {
				t.Errorf("got %v", err)
			}
			if err := os.Remove(obstacle); err != nil {
				t.Fatal(err)
			}
			if err := consume(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Stored messages are synced unless the options relax it.
func TestSync(t *testing.T) {
	t.Parallel()
	for interval, always := range map[time.Duration]bool{0: true, time.Minute: false} {
		var got server.Options
		open(t, embedded.Options{Dir: t.TempDir(), SyncInterval: interval, Configure: func(o *server.Options) { got.SyncAlways, got.NoSigs = o.SyncAlways, o.NoSigs }})
		if got.SyncAlways != always || !got.NoSigs {
			t.Errorf("SyncInterval %v: SyncAlways %v, NoSigs %v", interval, got.SyncAlways, got.NoSigs)
		}
	}
}

func TestMonitor(t *testing.T) {
	t.Parallel()
	tr := open(t, embedded.Options{Memory: true, Monitor: "127.0.0.1:0"})
	reply, err := http.Get("http://" + tr.Server().NATS().MonitorAddr().String() + "/healthz")
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", reply, err)
	}
	if err == nil {
		reply.Body.Close()
	}
}

// A trace of the server's system account needs an option in addition to Trace.
func TestTraceSystem(t *testing.T) {
	t.Parallel()
	logged := make(chan struct{})
	open(t, embedded.Options{Memory: true, Trace: true, TraceSystem: true, Logger: slog.New(&untilLogged{text: "$SYS.", logged: logged})})
	<-logged
}

// untilLogged is a log handler that waits for a text.
type untilLogged struct {
	text   string
	once   sync.Once
	logged chan struct{}
}

func (u *untilLogged) Enabled(context.Context, slog.Level) bool { return true }
func (u *untilLogged) WithAttrs([]slog.Attr) slog.Handler       { return u }
func (u *untilLogged) WithGroup(string) slog.Handler            { return u }

func (u *untilLogged) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, u.text) {
		u.once.Do(func() { close(u.logged) })
	}
	return nil
}

// Log lines of the server go to the given logger.
func TestLogger(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "component=nats-server") || !strings.Contains(log.String(), "Server is ready") {
		t.Errorf("the log:\n%s", log.String())
	}
}
