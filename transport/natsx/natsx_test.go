package natsx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

func TestMain(m *testing.M) { os.Exit(realtime.Main(m)) }

// startServer starts a server that listens on a free port of the loopback interface.
func startServer(t testing.TB, change func(*embedded.Options)) *embedded.Server {
	t.Helper()
	o := embedded.Options{Memory: true, Listen: "127.0.0.1:0", Logger: testLog(t)}
	if change != nil {
		change(&o)
	}
	s, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// connect connects over TCP.
func connect(t *testing.T, url string) *natsx.Transport {
	t.Helper()
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, Logger: testLog(t), ReconnectWait: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// eventually waits for a condition that no event signals.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	realtime.Until(t, what, holds)
}

func TestConnectBadOptions(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for name, o := range map[string]natsx.Options{
		"no URL":            {URLs: []string{"not a url"}},
		"another scheme":    {URLs: []string{"http://127.0.0.1:1"}},
		"no host":           {URLs: []string{"nats://"}},
		"colons":            {URLs: []string{"nats://::::"}},
		"no port":           {URLs: []string{"nats://127.0.0.1:0"}},
		"a port too high":   {URLs: []string{"nats://127.0.0.1:70000"}},
		"two ways":          {User: "u", Password: "p", Token: "t"},
		"half a pair":       {CertFile: "x"},
		"no credentials":    {CredentialsFile: missing},
		"no seed":           {NKeySeedFile: missing},
		"no authorities":    {CAFile: missing},
		"negative duration": {PingInterval: -1},
	} {
		_, err := natsx.Connect(t.Context(), o)
		if transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The error names the first wrong option in the order of Options, in every run.
func TestErrorNamesTheWrongOption(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for want, o := range map[string]natsx.Options{
		"ReconnectWait -2s is negative": {ReconnectWait: -2 * time.Second, ReconnectJitter: -1, PingInterval: -1},
		"NKeySeedFile":                  {NKeySeedFile: missing, CAFile: missing},
	} {
		for range 20 {
			if _, err := natsx.Connect(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %s", err, want)
			}
		}
	}
}

// An address without a listener is reported without its credentials.
func TestConnectWithoutAListener(t *testing.T) {
	t.Parallel()
	address := loopback.Free(t)
	_, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{"nats://me:hidden@" + address}})
	if transport.CodeOf(err) != transport.Unavailable || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "start one") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = natsx.Connect(ctx, natsx.Options{URLs: []string{"nats://" + l.Addr().String()}, ConnectTimeout: time.Second})
	if transport.CodeOf(err) != transport.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// A program connects to a server in another process, with credentials and TLS.
func TestConnectWithCredentialsAndTLS(t *testing.T) {
	t.Parallel()
	ca, serverTLS := certificate(t)
	s := startServer(t, func(o *embedded.Options) { o.User, o.Password, o.TLS = "me", "s3cret", serverTLS })
	url := strings.Replace(s.ClientURL(), "nats://", "tls://", 1)
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, User: "me", Password: "s3cret", CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, User: "me", Password: "wr0ng", CAFile: ca})
	if transport.CodeOf(err) != transport.Unauthenticated || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("wrong password: %v", err)
	}
	_, err = natsx.Connect(t.Context(), natsx.Options{URLs: []string{strings.Replace(url, "://", "://me:wr0ng@", 1)}, CAFile: ca})
	if transport.CodeOf(err) != transport.Unauthenticated || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), "in the URL") {
		t.Errorf("wrong password in the URL: %v", err)
	}
	_, err = natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, User: "me", Password: "s3cret"})
	if transport.CodeOf(err) != transport.FailedPrecondition || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("unknown authority: %v", err)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *embedded.Options) { o.Token = "t0ken" })
	if _, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}}); transport.CodeOf(err) != transport.Unauthenticated {
		t.Errorf("without: %v", err)
	}
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Token: "t0ken"})
	if err != nil {
		t.Fatal(err)
	}
	_ = tr.Close(t.Context())
}

func TestOptionsHideSecrets(t *testing.T) {
	t.Parallel()
	for _, o := range []any{
		natsx.Options{URLs: []string{"nats://u:hidden@h:1", "nats://hidden@h"}, User: "u", Password: "hidden", Token: "hidden"},
		embedded.Options{Password: "hidden", Token: "hidden", Client: natsx.Options{Password: "hidden"}, Cluster: &embedded.Cluster{Password: "hidden"}},
		embedded.Cluster{Password: "hidden"},
	} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "options", o)
		for _, text := range []string{fmt.Sprint(o), fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), log.String()} {
			if strings.Contains(text, "hidden") {
				t.Errorf("it shows a secret: %s", text)
			}
		}
	}
}

// No goroutine outlives its receivers and its transport.
func TestNoGoroutineOutlivesTheTransport(t *testing.T) {
	s := startServer(t, nil)
	before := clientGoroutines()
	tr := connect(t, s.ClientURL())
	for i := range 20 {
		r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: fmt.Sprint("a.", i)}, transport.Serial(func(*transport.Message) {}))
		if err != nil {
			t.Fatal(err)
		}
		switch i % 3 {
		case 0:
			r.Close()
		case 1:
			if err := r.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "goroutines of the client end", func() bool { return clientGoroutines() <= before })
}

func clientGoroutines() int {
	buf := make([]byte, 1<<22)
	n := 0
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "/nats.go@") || strings.Contains(g, "/transport/natsx.") {
			n++
		}
	}
	return n
}

// While the server is away, sends fail and nothing is buffered. When it is back,
// subscriptions continue.
func TestReconnect(t *testing.T) {
	t.Parallel()
	address := loopback.Free(t)
	start := func() *embedded.Server {
		return startServer(t, func(o *embedded.Options) { o.Listen = address })
	}
	s := start()
	tr := connect(t, s.ClientURL())
	received := make(chan string, 10)
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a"}, transport.Serial(func(m *transport.Message) { received <- string(m.Body) })); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan bool, 1)
	waits, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "silent"}, transport.Serial(func(*transport.Message) { arrived <- true }))
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := tr.Request(context.Background(), &transport.Message{Subject: "silent"})
		waiting <- err
	}()
	receive(t, arrived)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; transport.CodeOf(err) != transport.Unavailable || outcome(err) != transport.OutcomeUnknown {
		t.Errorf("a request that waited: %v", err)
	}
	eventually(t, "the loss is noticed", func() bool { return !tr.Conn().IsConnected() })
	lost := &transport.Message{Subject: "a", Body: []byte("lost")}
	if err := tr.Publish(t.Context(), lost); transport.CodeOf(err) != transport.Unavailable || outcome(err) != transport.OutcomeNotDone {
		t.Errorf("Publish: %v", err)
	}
	if _, err := tr.Request(t.Context(), lost); transport.CodeOf(err) != transport.Unavailable || outcome(err) != transport.OutcomeNotDone {
		t.Errorf("Request: %v", err)
	}
	if err := tr.Ping(t.Context()); transport.CodeOf(err) != transport.Unavailable {
		t.Errorf("Ping: %v", err)
	}
	if err := waits.Drain(realtime.Patient(t)); err != nil {
		t.Errorf("Drain while disconnected: %v", err)
	}
	start()
	eventually(t, "the connection is back", func() bool { return tr.Ping(t.Context()) == nil })
	if err := tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: []byte("again")}); err != nil {
		t.Fatal(err)
	}
	if got := <-received; got != "again" {
		t.Errorf("received %q", got)
	}
}

func outcome(err error) transport.Outcome {
	e, ok := errors.AsType[*transport.Error](err)
	if !ok {
		return 99
	}
	return e.Outcome
}

// A slow handler loses the newest messages. OnDrop is called once per episode, and a new
// episode begins only when the handler has caught up.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, nil).ClientURL())
	entered, release := make(chan struct{}), make(chan struct{})
	drops := make(chan uint64, 100)
	_, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a", PendingLimit: 5, OnDrop: func(n uint64) { drops <- n }}, transport.Serial(func(*transport.Message) {
		entered <- struct{}{}
		<-release
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for n := range 20 {
			if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				<-entered
			}
		}
		if err := tr.Ping(t.Context()); err != nil { // all have arrived
			t.Fatal(err)
		}
		if n := <-drops; n == 0 {
			t.Error("no drops reported")
		}
		for range 5 { // one is in the handler, five wait
			release <- struct{}{}
			<-entered
		}
		release <- struct{}{}
		if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
			t.Fatal(err)
		}
		<-entered // it has caught up
		release <- struct{}{}
	}
	select {
	case n := <-drops:
		t.Errorf("%d drops reported again", n)
	default:
	}
}

// A connection that the server refuses for a while is restored.
func TestReconnectOutlivesRefusedCredentials(t *testing.T) {
	t.Parallel()
	address := loopback.Free(t)
	start := func(token string) *embedded.Server {
		return startServer(t, func(o *embedded.Options) { o.Listen, o.Token = address, token })
	}
	first := start("hidden")
	var log lockedBuffer
	dials := new(countingDialer)
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{"nats://hidden@" + address}, ReconnectWait: 5 * time.Millisecond,
		ReconnectJitter: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		NATS: []nats.Option{nats.SetCustomDialer(dials)}})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	wrong := start("another")
	before := dials.n.Load()
	eventually(t, "it was refused several times", func() bool { return dials.n.Load() > before+5 })
	if err := wrong.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	start("hidden")
	eventually(t, "it is back", func() bool { return tr.Ping(t.Context()) == nil })
	if strings.Contains(log.String(), "hidden") {
		t.Errorf("the log shows a secret:\n%s", log.String())
	}
}

// JetStream answers a pull with the message itself, under the subject of the message.
func TestReplyUnderAnotherSubject(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, func(o *embedded.Options) { o.Memory, o.Dir = false, t.TempDir() }).ClientURL())
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "C", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if m, err := tr.Request(realtime.Patient(t), &transport.Message{Subject: "$JS.API.CONSUMER.MSG.NEXT.S.C"}); err != nil || string(m.Body) != "x" {
		t.Errorf("got %v, %v", m, err)
	}
}

// A missing permission is an immediate error.
func TestPermissions(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(config, []byte(`authorization { users: [ {user: u, password: p, permissions: { publish: [ok], subscribe: [ok, "_INBOX.>"] } } ] }`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, func(o *embedded.Options) { o.ConfigFile = config })
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, User: "u", Password: "p", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "secret"}, transport.Serial(func(*transport.Message) {})); transport.CodeOf(err) != transport.PermissionDenied || !strings.Contains(err.Error(), "secret") {
		t.Errorf("Subscribe: %v", err)
	}
	if _, err := tr.Request(context.Background(), &transport.Message{Subject: "secret"}); transport.CodeOf(err) != transport.PermissionDenied || outcome(err) != transport.OutcomeNotDone {
		t.Errorf("Request: %v", err)
	}
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "ok"}, transport.Serial(func(*transport.Message) {})); err != nil {
		t.Errorf("Subscribe to what is allowed: %v", err)
	}
}

// The error pair of NATS services is left out if it would exceed the payload limit.
func TestErrorPairFitsThePayloadLimit(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, func(o *embedded.Options) { o.MaxPayload = 2048 }).ClientURL())
	m := &transport.Message{Subject: "a"}
	m.Header.SetError(&transport.Error{Code: transport.NotFound, Outcome: transport.OutcomeAnswered, Message: strings.Repeat("x", 1500)})
	if err := tr.Publish(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// A message that fits only without the headers of the transport is too large, as is one over a limit
// of the log that this process does not know.
func TestTooLargeForTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *embedded.Options) { o.MaxPayload = 4096 })
	tr := connect(t, s.ClientURL())
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}}
	l := openLog(t, tr, config)
	config.MaxSize, config.Update = 1000, true
	for _, size := range []int{4096, 3900} {
		_, err := l.Append(t.Context(), &transport.Message{Subject: "l", Body: make([]byte, size)}, transport.AppendOptions{ID: "a"})
		wantCode(t, err, transport.InvalidArgument)
		if !errors.Is(err, transport.ErrTooLarge) || outcome(err) != transport.OutcomeNotDone {
			t.Errorf("%d bytes: %v, %s", size, err, outcome(err))
		}
		openLog(t, connect(t, s.ClientURL()), config)
	}
}

// A malformed URL may hold a secret.
func TestBadURLsHideTheirSecrets(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"me:hidden@127.0.0.1:4222", "nats:me:hidden@h:1", "nats://me:hid,hidden@127.0.0.1:1", "http://hidden@h:1",
		"nats://me:hidden%zz@127.0.0.1:1", "nats://me:hid den@127.0.0.1:1", "nats://me:hidden@127.0.0.1:notaport"} {
		o := natsx.Options{URLs: []string{u}, Logger: testLog(t)}
		_, err := natsx.Connect(t.Context(), o)
		if err == nil || strings.Contains(err.Error(), "hid") || strings.Contains(fmt.Sprint(o), "hid") {
			t.Errorf("%s:\n  error %v\n  options %v", u, err, o)
		}
	}
}

// countingDialer counts the attempts to connect.
type countingDialer struct {
	net.Dialer
	n atomic.Int32
}

func (d *countingDialer) Dial(network, address string) (net.Conn, error) {
	d.n.Add(1)
	return d.Dialer.Dial(network, address)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A subscription that is drained while the connection is lost and restored leaves no member
// that consumes requests.
func TestDrainOverAReconnect(t *testing.T) {
	t.Parallel()
	address := loopback.Free(t)
	start := func() *embedded.Server {
		return startServer(t, func(o *embedded.Options) { o.Listen = address })
	}
	s := start()
	tr := connect(t, s.ClientURL())
	entered, release := make(chan struct{}), make(chan struct{})
	r, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a", Group: "g"}, transport.Serial(func(*transport.Message) {
		close(entered)
		<-release
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Publish(t.Context(), &transport.Message{Subject: "a"}); err != nil {
		t.Fatal(err)
	}
	<-entered
	drained := make(chan error)
	go func() { drained <- r.Drain(context.Background()) }()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	start()
	eventually(t, "the connection is back", func() bool { return tr.Ping(t.Context()) == nil })
	close(release)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if _, err := tr.Request(t.Context(), &transport.Message{Subject: "a"}); transport.CodeOf(err) != transport.Unavailable || outcome(err) != transport.OutcomeNotDone {
		t.Errorf("a request after the drain: %v", err)
	}
}

// A service announces itself, and reports its statistics.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, nil).ClientURL())
	endpoint := func(name string) *transport.Endpoint {
		return &transport.Endpoint{Service: "shop", Instance: "i1", Version: "1.2.3", Description: "sells", Name: name, Metadata: map[string]string{"k": "v"},
			Stats: func() transport.EndpointStats {
				return transport.EndpointStats{Requests: 4, Errors: 1, LastError: "oops", ProcessingTime: 8 * time.Second, Data: map[string]int{"home": 2}}
			}}
	}
	subscribe := func(name string, change func(*transport.Endpoint)) (transport.Receiver, error) {
		e := endpoint(name)
		if change != nil {
			change(e)
		}
		return tr.Subscribe(t.Context(), transport.Subscription{Subject: "services." + name, Group: "q", Endpoint: e}, transport.Serial(func(*transport.Message) {}))
	}
	buy, err := subscribe("buy", nil)
	if err != nil {
		t.Fatal(err)
	}
	sell, err := subscribe("sell", nil)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*transport.Endpoint){
		"a bad service name": func(e *transport.Endpoint) { e.Service = "a b" },
		"a bad name":         func(e *transport.Endpoint) { e.Name = "" },
		"a bad version":      func(e *transport.Endpoint) { e.Version = "1" },
		"no stats":           func(e *transport.Endpoint) { e.Stats = nil },
		"a name twice":       func(*transport.Endpoint) {},
	} {
		if _, err := subscribe("buy", change); transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	var ping micro.Ping
	request(t, tr, "$SRV.PING", &ping)
	if ping.Name != "shop" || ping.Version != "1.2.3" || ping.ID == "" || ping.Type != micro.PingResponseType || ping.Metadata == nil {
		t.Errorf("ping: %+v", ping)
	}
	var info micro.Info
	request(t, tr, "$SRV.INFO.shop", &info)
	if info.Description != "sells" || len(info.Endpoints) != 2 || info.Endpoints[0].Name != "buy" || info.Endpoints[0].Subject != "services.buy" || info.Endpoints[0].QueueGroup != "q" || info.Endpoints[0].Metadata["k"] != "v" {
		t.Errorf("info: %+v", info)
	}
	var stats micro.Stats
	request(t, tr, "$SRV.STATS.shop."+ping.ID, &stats)
	if e := stats.Endpoints[0]; e.NumRequests != 4 || e.NumErrors != 1 || e.LastError != "oops" || e.AverageProcessingTime != 2*time.Second || string(e.Data) != `{"home":2}` {
		t.Errorf("stats: %+v", e)
	}
	if err := buy.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	request(t, tr, "$SRV.INFO.shop", &info)
	if len(info.Endpoints) != 1 {
		t.Errorf("an endpoint that was drained is still announced: %+v", info)
	}
	sell.Close()
	if err := tr.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Request(t.Context(), &transport.Message{Subject: "$SRV.PING.shop"}); transport.CodeOf(err) != transport.Unavailable {
		t.Errorf("a service without endpoints still answers: %v", err)
	}
}

func request(t *testing.T, tr transport.Transport, subject string, v any) {
	t.Helper()
	reply, err := tr.Request(t.Context(), &transport.Message{Subject: subject})
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(reply.Body, v); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
}

// An error has mono's headers and those of NATS services.
func TestErrorHeaders(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, nil).ClientURL())
	_, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "ours"}, transport.Serial(func(m *transport.Message) {
		reply := &transport.Message{Subject: m.Reply}
		reply.Header.SetError(&transport.Error{Code: transport.NotFound, Outcome: transport.OutcomeAnswered, Message: "no\r\nsuch thing"})
		if err := tr.Publish(context.Background(), reply); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	nc := tr.Conn()
	msg, err := nc.Request("ours", nil, realtime.Patience)
	if err != nil || msg.Header.Get("Nats-Service-Error") != "no such thing" || msg.Header.Get("Nats-Service-Error-Code") != "404" {
		t.Errorf("got %v, %v", msg, err)
	}
	reply, err := tr.Request(t.Context(), &transport.Message{Subject: "ours"})
	if e := transport.ErrorFromHeader(reply.Header); err != nil || e == nil || e.Message != "no\r\nsuch thing" || reply.Header.Has("Nats-Service-Error") {
		t.Errorf("got %v, %v", reply, err)
	}

	sv, err := micro.AddService(nc, micro.Config{Name: "theirs", Version: "1.0.0", Endpoint: &micro.EndpointConfig{
		Subject: "theirs", Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Error("429", "too much", []byte("body")) })}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sv.Stop() }()
	reply, err = tr.Request(t.Context(), &transport.Message{Subject: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if e := transport.ErrorFromHeader(reply.Header); e == nil || e.Code != transport.ResourceExhausted || e.Message != "too much" || e.Outcome != transport.OutcomeAnswered {
		t.Errorf("got %v", e)
	}
}

// The error of a NATS service is one line of ASCII, so that clients in all languages read the
// headers beside it.
func TestServiceErrorIsASCII(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, nil).ClientURL())
	answers, err := tr.Conn().SubscribeSync("answers")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"95% full":                        "95% full",
		" kein\r\nÖl ":                    "kein %C3%96l",
		"a\xffb":                          "a%FFb",
		"":                                "not_found",
		" \n ":                            "not_found",
		strings.Repeat("x", 600):          strings.Repeat("x", 512),
		"x" + strings.Repeat("日", 100):    "x" + strings.Repeat("%E6%97%A5", 56),
		strings.Repeat("x", 511) + " and": strings.Repeat("x", 511),
	} {
		reply := &transport.Message{Subject: "answers"}
		reply.Header.SetError(&transport.Error{Code: transport.NotFound, Message: text})
		if err := tr.Publish(t.Context(), reply); err != nil {
			t.Fatal(err)
		}
		msg, err := answers.NextMsg(realtime.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if got := msg.Header.Get("Nats-Service-Error"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Headers that belong to the server are not delivered.
func TestReservedHeadersAreNotDelivered(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, nil).ClientURL())
	received := make(chan *transport.Message, 1)
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a"}, transport.Serial(func(m *transport.Message) { received <- m })); err != nil {
		t.Fatal(err)
	}
	if err := tr.Conn().PublishMsg(&nats.Msg{Subject: "a", Header: nats.Header{"Nats-Msg-Id": {"x"}, "Status": {"503"}, "Kept": {"1", "2"}}}); err != nil {
		t.Fatal(err)
	}
	if m := <-received; len(m.Header) != 2 || m.Header[1].Value != "2" {
		t.Errorf("got %v", m.Header)
	}
}

func TestConn(t *testing.T) {
	t.Parallel()
	tr, err := embedded.Open(t.Context(), embedded.Options{Memory: true, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(t.Context())
	if nc, ok := natsx.Conn(tr); !ok || !nc.IsConnected() {
		t.Error("no connection under an embedded transport")
	}
	if _, ok := natsx.Conn(nil); ok {
		t.Error("a connection under nothing")
	}
}

// certificate creates the file of an authority and the TLS configuration of a server.
func certificate(t *testing.T) (caFile string, config *tlsConfig) {
	t.Helper()
	ca, config, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return caFile, config
}
