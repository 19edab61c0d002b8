package natsx_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// lines collects the log of a test.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// An account that cannot have the state stream still consumes, with one warning in the log.
func TestConsumeWithoutTheStateStream(t *testing.T) {
	t.Parallel()
	for name, account := range map[string]string{
		"denied":  `jetstream: enabled, users: [{user: u, password: p, permissions: {publish: {allow: [">"], deny: ["$JS.API.STREAM.CREATE.mono_state"]}}}]`,
		"no room": `jetstream: {max_streams: 1}, users: [{user: u, password: p}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			if err := os.WriteFile(file, []byte("accounts: {A: {"+account+"}}"), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, ConfigFile: file, Client: natsx.Options{User: "u", Password: "p"}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
			var logged lines
			tr, err := natsx.Connect(t.Context(), natsx.Options{InProcess: s.NATS(), User: "u", Password: "p", Memory: true, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if err != nil {
				t.Fatal(err)
			}
			l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{{Name: "g"}}})
			for range 2 {
				deliveries, r := consume(t, l, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}})
				appendTo(t, l, "l", "x", transport.AppendOptions{})
				d := receive(t, deliveries)
				ack(t, d)
				if err := r.Drain(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if n := logged.count("fencing tokens may decrease"); n != 1 {
				t.Errorf("the warning is logged %d times", n)
			}
		})
	}
}

// The hook for streams applies to the state stream too.
func TestStateStreamHook(t *testing.T) {
	t.Parallel()
	tr := hooked(t, map[string]func(*jetstream.StreamConfig){"mono_state": func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"team": "sales"} }}, nil)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	consume(t, l, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}})
	if c := streamConfig(t, tr, "mono_state"); c.Metadata["team"] != "sales" {
		t.Errorf("the stream is %+v", c)
	}
}

// The hook must not change settings that keep the records. It may set MaxBytes, which some
// accounts require.
func TestStateStreamHookIsGuarded(t *testing.T) {
	t.Parallel()
	for field, set := range map[string]func(*jetstream.StreamConfig){
		"MaxAge":            func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"MaxMsgs":           func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"MaxMsgsPerSubject": func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
		"Retention":         func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"Subjects":          func(c *jetstream.StreamConfig) { c.Subjects[0] = "other" },
		"Mirror":            func(c *jetstream.StreamConfig) { c.Mirror = &jetstream.StreamSource{Name: "l"} },
		"":                  func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
	} {
		tr := hooked(t, map[string]func(*jetstream.StreamConfig){"mono_state": set}, nil)
		l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
		r, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, transport.Serial(func(*transport.Delivery) {}))
		if field != "" {
			wantCode(t, err, transport.InvalidArgument, "mono_state", field)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		if c := streamConfig(t, tr, "mono_state"); c.MaxBytes != 1<<20 {
			t.Errorf("the stream is %+v", c)
		}
	}
}

func TestStateStreamIsNoLog(t *testing.T) {
	t.Parallel()
	_, err := inProcess(t, nil).Log(t.Context(), transport.LogConfig{Name: "mono_state", Subjects: []string{"l"}})
	wantCode(t, err, transport.InvalidArgument, "mono_state", "choose another")
}

func onDisk(t *testing.T) *embedded.Server {
	t.Helper()
	return startServer(t, func(o *embedded.Options) { o.Memory, o.Dir = false, t.TempDir() })
}

// logging connects over TCP, with a log that tests can read.
func logging(t *testing.T, address string, change func(*natsx.Options)) (*natsx.Transport, *lines) {
	t.Helper()
	logged := new(lines)
	o := natsx.Options{URLs: []string{"nats://" + strings.TrimPrefix(address, "nats://")}, ReconnectWait: 10 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(logged, nil))}
	if change != nil {
		change(&o)
	}
	tr, err := natsx.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr, logged
}

// byHand is a state stream without TTLs, such as one from a server before 2.11.
var byHand = jetstream.StreamConfig{Name: "mono_state", Subjects: []string{"_mono.>"}, MaxAge: 24 * time.Hour}

// A state stream without TTLs gets them. If the account may not update it, hand-backs are
// stored without.
func TestStateStreamWithoutTTLs(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]string{"updated": "nothing", "update denied": "$JS.API.STREAM.UPDATE.mono_state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, `accounts: {A: {jetstream: enabled, users: [{user: u, password: p, permissions: {publish: {allow: [">"], deny: ["`+deny+`"]}}}]}}`)
			s := startServer(t, func(o *embedded.Options) {
				o.Memory, o.Dir, o.ConfigFile, o.Client = false, t.TempDir(), file, natsx.Options{User: "u", Password: "p"}
			})
			user := func(o *natsx.Options) { o.User, o.Password = "u", "p" }
			t1, logged := logging(t, s.ClientURL(), user)
			t2, _ := logging(t, s.ClientURL(), user)
			if _, err := jetStream(t, t1).CreateStream(t.Context(), byHand); err != nil {
				t.Fatal(err)
			}
			config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
			deliveries, r := consume(t, openLog(t, t1, config), transport.ConsumeConfig{Group: group})
			l := openLog(t, t2, config)
			appendTo(t, l, "l", "x", transport.AppendOptions{})
			receive(t, deliveries)
			r.Close()
			deliveries, _ = consume(t, l, transport.ConsumeConfig{Group: group})
			d := receive(t, deliveries)
			if d.Attempt != 1 {
				t.Errorf("the delivery after a hand-back is attempt %d", d.Attempt)
			}
			ack(t, d)
			denied := deny != "nothing"
			if c := streamConfig(t, t1, "mono_state"); c.AllowMsgTTL == denied || (c.MaxAge == 0) == denied {
				t.Errorf("the stream is %+v", c)
			}
			if n := logged.count("is not updated"); (n > 0) != denied {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

// nextToken returns the fencing token of a delivery on a server that starts now, and ends
// afterwards.
func nextToken(t *testing.T, dir string, before func(*embedded.Transport)) uint64 {
	t.Helper()
	tr, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	before(tr)
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group})
	appendTo(t, l, "l", "x", transport.AppendOptions{})
	d := receive(t, deliveries)
	ack(t, d)
	return d.FencingToken
}

// Fencing tokens do not go back if the state stream is deleted, or the record of boots is purged.
func TestFencingTokensOutliveTheStateStream(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(jetstream.JetStream) error{
		"deleted": func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), "mono_state") },
		"purged": func(js jetstream.JetStream) error {
			s, err := js.Stream(t.Context(), "mono_state")
			if err != nil {
				return err
			}
			return s.Purge(t.Context())
		},
	} {
		dir := t.TempDir()
		var last uint64
		for boot := range 4 {
			token := nextToken(t, dir, func(tr *embedded.Transport) {
				if boot < 3 {
					return
				}
				if err := remove(jetStream(t, tr.Transport)); err != nil {
					t.Fatal(err)
				}
			})
			if token <= last {
				t.Errorf("%s: boot %d: token %d after %d", name, boot, token, last)
			}
			last = token
		}
	}
}

// Hand-backs by other members are read once for many deliveries.
func TestHandBacksAreReadOnceForManyDeliveries(t *testing.T) {
	t.Parallel()
	const n = 200
	s := onDisk(t)
	t1 := connect(t, s.ClientURL())
	t2 := connect(t, "nats://"+proxytest.NewSlow(t, strings.TrimPrefix(s.ClientURL(), "nats://"), 20*time.Millisecond).Address())
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
	l1, l2 := openLog(t, t1, config), openLog(t, t2, config)
	deliveries, r := consume(t, l1, transport.ConsumeConfig{Group: group, MaxInFlight: n})
	for range n {
		appendTo(t, l1, "l", "x", transport.AppendOptions{})
	}
	for range n {
		receive(t, deliveries)
	}
	r.Close()
	var reads atomic.Int64
	listen(t, t1, "$JS.API.STREAM.MSG.GET.mono_state", func(*nats.Msg) { reads.Add(1) })
	deliveries, _ = consume(t, l2, transport.ConsumeConfig{Group: group, MaxInFlight: n})
	for range n {
		d := receive(t, deliveries)
		if d.Attempt != 1 {
			t.Fatalf("message %d: attempt %d", d.Sequence, d.Attempt)
		}
		ack(t, d)
	}
	if got := reads.Load(); got >= n/2 {
		t.Errorf("the state stream is read %d times for %d deliveries", got, n)
	}
}

// A member waits for hand-backs longer than a busy server needs: it asks again for each record
// until the state stream answers. If the stream does not answer, the member continues and logs
// this once.
func TestHandBacksThatAreReadLate(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int{"late": 3, "silent": math.MaxInt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onDisk(t)
			proxy := proxytest.NewLosing(t, strings.TrimPrefix(s.ClientURL(), "nats://"), "$JS.API.STREAM.MSG.GET.mono_state", lost)
			proxy.Free()
			t1 := connect(t, s.ClientURL())
			t2, logged := logging(t, proxy.Address(), nil)
			config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
			l1 := openLog(t, t1, config)
			deliveries, r := consume(t, l1, transport.ConsumeConfig{Group: group, MaxInFlight: 2})
			for range 2 {
				appendTo(t, l1, "l", "x", transport.AppendOptions{})
				receive(t, deliveries)
			}
			elsewhere, _ := consume(t, openLog(t, t2, config), transport.ConsumeConfig{Group: group})
			proxy.Hold()
			r.Close()
			want, warnings := 1, 0
			if name == "silent" {
				want, warnings = 2, 1
			}
			for range 2 {
				d := receive(t, elsewhere)
				if d.Attempt != want {
					t.Errorf("message %d: attempt %d, want %d", d.Sequence, d.Attempt, want)
				}
				ack(t, d)
			}
			if n := logged.count("may count as attempts"); n != warnings {
				t.Errorf("%d warnings", n)
			}
		})
	}
}

// A running member reads hand-backs of a state stream that was deleted and created again,
// whether the new stream has fewer or more messages than the member has read.
func TestHandBacksAfterTheStateStreamWasDeleted(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]int{"fewer messages": 0, "more messages": 50} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := onDisk(t)
			proxy := proxytest.NewHolding(t, strings.TrimPrefix(s.ClientURL(), "nats://"), "$JS.API.STREAM.MSG.GET.mono_state", time.Hour)
			proxy.Free()
			t1, t2 := connect(t, s.ClientURL()), connect(t, "nats://"+proxy.Address())
			js := jetStream(t, t1)
			publish := func(n int) {
				for range n {
					if _, err := js.Publish(t.Context(), "_mono.other", nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
			l1, l2 := openLog(t, t1, config), openLog(t, t2, config)
			deliveries, r := consume(t, l1, transport.ConsumeConfig{Group: group})
			publish(10)
			appendTo(t, l1, "l", "x", transport.AppendOptions{})
			receive(t, deliveries)
			elsewhere, _ := consume(t, l2, transport.ConsumeConfig{Group: group})
			r.Close()
			ack(t, receive(t, elsewhere))

			if err := js.DeleteStream(t.Context(), "mono_state"); err != nil {
				t.Fatal(err)
			}
			deliveries, r = consume(t, l1, transport.ConsumeConfig{Group: group})
			proxy.Hold()
			var held *transport.Delivery
			for held == nil {
				appendTo(t, l1, "l", "x", transport.AppendOptions{})
				select {
				case held = <-deliveries:
				case d := <-elsewhere:
					ack(t, d)
				}
			}
			r.Close() // hands back
			publish(more)
			proxy.Free()
			if d := receive(t, elsewhere); d.Sequence != held.Sequence || d.Attempt != 1 {
				t.Errorf("message %d, attempt %d, want message %d, attempt 1", d.Sequence, d.Attempt, held.Sequence)
			}
			state, err := js.Stream(t.Context(), "mono_state")
			if err != nil {
				t.Fatal(err)
			}
			if last := state.CachedInfo().State.LastSeq; last != uint64(1+more) {
				t.Errorf("the last sequence is %d", last)
			}
		})
	}
}

// Outside a cluster, Consume waits for the state stream until the stream answers or its own
// context ends, also beside other waiting members.
func TestConsumeWaitsForTheStateStream(t *testing.T) {
	t.Parallel()
	s := onDisk(t)
	proxy := proxytest.NewHolding(t, strings.TrimPrefix(s.ClientURL(), "nats://"), "$JS.API.STREAM.MSG.GET.mono_state", time.Hour)
	tr, logged := logging(t, proxy.Address(), nil)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	first := make(chan error, 1)
	go func() {
		r, err := l.Consume(realtime.Patient(t), transport.ConsumeConfig{Group: group}, transport.Serial(func(*transport.Delivery) {}))
		if err == nil {
			r.Close()
		}
		first <- err
	}()
	eventually(t, "the wait is logged", func() bool { return logged.count("members of groups get nothing") == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Consume(ctx, transport.ConsumeConfig{Group: group}, transport.Serial(func(*transport.Delivery) {})); transport.CodeOf(err) != transport.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-first:
		t.Errorf("the first one ended: %v", err)
	default:
	}
	proxy.Free()
	if err := receive(t, first); err != nil {
		t.Error(err)
	}
	if logged.count("members of groups get nothing") != 1 || logged.count("\"natsx: the stream mono_state answers\"") != 1 {
		t.Errorf("the log is %s", logged.text.String())
	}
}

// A member that waits for the state stream after a restart of the server is reported to
// watchers.
func TestWaitForTheStateStreamIsReported(t *testing.T) {
	t.Parallel()
	address, dir := loopback.Free(t), t.TempDir()
	start := func() *embedded.Server {
		return startServer(t, func(o *embedded.Options) { o.Listen, o.Memory, o.Dir = address, false, dir })
	}
	s := start()
	proxy := proxytest.NewHolding(t, address, "$JS.API.STREAM.MSG.GET.mono_state", time.Hour)
	proxy.Free()
	tr, _ := logging(t, proxy.Address(), nil)
	seen := watch(tr)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group})
	appendTo(t, l, "l", "x", transport.AppendOptions{})
	before := receive(t, deliveries)
	ack(t, before)
	proxy.Hold()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	start()
	if d := seen.await(t, "_mono.boots", 1); d.Log != "l" || d.Group != group.Name || transport.CodeOf(d.Err) != transport.DeadlineExceeded {
		t.Errorf("got %+v", d)
	}
	proxy.Free()
	if d := seen.await(t, "_mono.boots", 2); d.Err != nil {
		t.Errorf("got %+v", d)
	}
	appendTo(t, l, "l", "x", transport.AppendOptions{})
	after := receive(t, deliveries)
	ack(t, after)
	if after.FencingToken <= before.FencingToken {
		t.Errorf("token %d after %d", after.FencingToken, before.FencingToken)
	}
}

// A cluster replicates the state stream of a former single server as often as logs. If the only
// server of the stream ends first, members continue, and one warning is logged.
func TestStateStreamOfASingleServerInACluster(t *testing.T) {
	t.Parallel()
	for _, raised := range []bool{true, false} {
		t.Run(fmt.Sprint("raised ", raised), func(t *testing.T) {
			servers := clustertest.NewLagging(t, 0)
			admin := connect(t, servers[0].ClientURL())
			made, err := jetStream(t, admin).CreateStream(t.Context(), byHand)
			if err != nil {
				t.Fatal(err)
			}
			keeper := int(made.CachedInfo().Cluster.Leader[1] - '1') // of n1, n2 and n3
			tr, logged := logging(t, servers[(keeper+1)%3].ClientURL(), func(o *natsx.Options) { o.Replicas = 3 })
			l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Groups: []transport.GroupConfig{group}})
			if raised {
				_, r := consume(t, l, transport.ConsumeConfig{Group: group})
				r.Close()
				if c := streamConfig(t, tr, "mono_state"); c.Replicas != 3 {
					t.Errorf("the stream is %+v", c)
				}
				return
			}
			if err := servers[keeper].Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventuallyStores(t, l)
			for range 2 {
				deliveries, r := consume(t, l, transport.ConsumeConfig{Group: group})
				eventuallyStores(t, l)
				ack(t, receive(t, deliveries))
				r.Close()
			}
			if n := logged.count("fencing tokens of a cluster"); n != 1 {
				t.Errorf("the warning is logged %d times", n)
			}
		})
	}
}
