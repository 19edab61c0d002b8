package natsx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// inProcess connects to a new server that keeps everything in memory.
func inProcess(t testing.TB, change func(*natsx.Options)) *natsx.Transport {
	t.Helper()
	s := startServer(t, func(o *embedded.Options) {
		o.Listen = ""
		if change != nil {
			change(&o.Client)
		}
	})
	tr, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// inProcessOn is inProcess with a server that stores on disk.
func inProcessOn(t testing.TB, dir string) *natsx.Transport {
	t.Helper()
	s := startServer(t, func(o *embedded.Options) { o.Listen, o.Memory, o.Dir = "", false, dir })
	tr, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

func openLog(t testing.TB, tr transport.Transport, c transport.LogConfig) transport.Log {
	t.Helper()
	l, err := tr.Log(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendTo(t testing.TB, l transport.Log, subject, body string, o transport.AppendOptions) transport.Appended {
	t.Helper()
	a, err := l.Append(t.Context(), &transport.Message{Subject: subject, Body: []byte(body)}, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// consume creates a member that sends its deliveries to a channel.
func consume(t testing.TB, l transport.Log, c transport.ConsumeConfig) (<-chan *transport.Delivery, transport.Receiver) {
	t.Helper()
	deliveries := make(chan *transport.Delivery, 4096)
	r, err := l.Consume(t.Context(), c, transport.Serial(func(d *transport.Delivery) { deliveries <- d }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return deliveries, r
}

func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	return realtime.Receive(t, from, "a value on a channel")
}

func ack(t testing.TB, d *transport.Delivery) {
	t.Helper()
	if err := d.Ack(t.Context()); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, l transport.Log, r transport.ReadConfig) (bodies []string) {
	t.Helper()
	for d, err := range l.Read(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(d.Body))
	}
	return bodies
}

func jetStream(t *testing.T, tr *natsx.Transport) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func wantCode(t *testing.T, err error, code transport.Code, words ...string) {
	t.Helper()
	if transport.CodeOf(err) != code {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not contain %q", err, w)
		}
	}
}

func TestLogAppendConsumeRead(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	group := transport.GroupConfig{Name: "workers"}
	l := openLog(t, tr, transport.LogConfig{Name: "jobs", Subjects: []string{"jobs.a", "jobs.b.*"}, Groups: []transport.GroupConfig{group}})
	for i := range 10 {
		if a := appendTo(t, l, "jobs.a", fmt.Sprint(i), transport.AppendOptions{ID: fmt.Sprint("id", i)}); a.Sequence != uint64(i+1) || a.Duplicate {
			t.Errorf("message %d: %+v", i, a)
		}
	}
	if a := appendTo(t, l, "jobs.a", "again", transport.AppendOptions{ID: "id3"}); a.Sequence != 4 || !a.Duplicate {
		t.Errorf("again: %+v", a)
	}
	deliveries, r := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 3})
	for i := range 10 {
		d := receive(t, deliveries)
		if string(d.Body) != fmt.Sprint(i) || d.ID != fmt.Sprint("id", i) || d.Attempt != 1 || d.Sequence != uint64(i+1) || d.Remaining > uint64(9-i) || d.Subject != "jobs.a" || d.Reply != "" || len(d.Header) != 0 {
			t.Errorf("message %d: %+v", i, d)
		}
		ack(t, d)
		wantCode(t, d.Nak(t.Context(), 0), transport.FailedPrecondition)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if got := read(t, l, transport.ReadConfig{Start: transport.Start{Sequence: 8}}); fmt.Sprint(got) != "[7 8 9]" {
		t.Errorf("read %v", got)
	}
	eventually(t, "all are settled", func() bool {
		groups, err := l.Groups(t.Context())
		return err == nil && len(groups) == 1 && groups[0].Settled == 10 && groups[0].InFlight == 0 && groups[0].Undelivered == 0
	})
}

func TestCapabilitiesOfLogs(t *testing.T) {
	t.Parallel()
	if c := inProcess(t, nil).Capabilities(); !c.Logs || !c.Delays || !c.Partitions || c.Durable {
		t.Errorf("in memory: %+v", c)
	}
	s := startServer(t, func(o *embedded.Options) { o.Memory, o.Dir = false, t.TempDir() })
	if c := connect(t, s.ClientURL()).Capabilities(); !c.Logs || !c.Durable {
		t.Errorf("on disk: %+v", c)
	}
	config := "accounts { A: { users: [ {user: a, password: b} ] } }\nlisten: 127.0.0.1:-1\n"
	s = startServer(t, func(o *embedded.Options) { o.ConfigFile, o.Listen = writeFile(t, config), "" })
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, User: "a", Password: "b", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	if c := tr.Capabilities(); c.Logs || c.Delays || c.Partitions || c.Durable {
		t.Errorf("without JetStream: %+v", c)
	}
	_, err = tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	wantCode(t, err, transport.Unimplemented, "no JetStream")
}

// Processes may open a log first as senders or as receivers: the log is the same.
func TestOpenInEitherOrderAndConcurrently(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	config := func(i int) transport.LogConfig {
		return transport.LogConfig{Name: "l", Subjects: []string{"l", "l._to.*"}, Retention: transport.InterestRetention, Delays: true, Update: i%2 == 0,
			Groups: []transport.GroupConfig{{Name: "a"}, {Name: "b", Filter: []string{"l"}}}}
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if _, err := tr.Log(t.Context(), config(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l := openLog(t, tr, config(1))
	groups, err := l.Groups(t.Context())
	if err != nil || len(groups) != 2 || groups[1].Config.Name != "b" || fmt.Sprint(groups[1].Config.Filter) != "[l]" {
		t.Errorf("%+v, %v", groups, err)
	}
}

func TestUpdatesAndGenerations(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	c := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Generation: 5, MaxMessages: 10, Metadata: map[string]string{"k": "v"},
		Groups: []transport.GroupConfig{{Name: "g", Filter: []string{"l"}}}}
	is := func() transport.LogConfig {
		t.Helper()
		l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
		info, err := l.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		groups, err := l.Groups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			info.Config.Groups = append(info.Config.Groups, g.Config)
		}
		return info.Config
	}
	openLog(t, tr, c)
	if got := is(); got.MaxMessages != 10 || got.Generation != 5 || got.Metadata["k"] != "v" || len(got.Metadata) != 1 || got.DedupWindow != transport.DefaultDedupWindow {
		t.Errorf("made: %+v", got)
	}
	sender := c
	sender.MaxMessages, sender.Generation = 20, 6
	openLog(t, tr, sender)
	if got := is(); got.MaxMessages != 10 {
		t.Errorf("a sender changed it: %+v", got)
	}
	older := sender
	older.Update, older.Generation = true, 4
	openLog(t, tr, older)
	if got := is(); got.MaxMessages != 10 || got.Generation != 5 {
		t.Errorf("an older one changed it: %+v", got)
	}
	newer := sender
	newer.Update, newer.Subjects, newer.Delays = true, []string{"l", "m"}, true
	newer.Groups = []transport.GroupConfig{{Name: "g", Filter: []string{"l", "m"}, AckWait: 5 * time.Second, Generation: 6}}
	openLog(t, tr, newer)
	got := is()
	if got.MaxMessages != 20 || got.Generation != 6 || len(got.Subjects) != 2 || !got.Delays || len(got.Groups) != 1 {
		t.Fatalf("a newer one: %+v", got)
	}
	if g := got.Groups[0]; len(g.Filter) != 2 || g.AckWait != 5*time.Second || g.Generation != 6 {
		t.Errorf("its group: %+v", g)
	}
}

func TestImmutableSettings(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	c := transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Partitions: 4, Update: true, Groups: []transport.GroupConfig{{Name: "g", Ordered: true}}}
	openLog(t, tr, c)
	for setting, change := range map[string]func(*transport.LogConfig){
		"Retention":  func(c *transport.LogConfig) { c.Retention = transport.InterestRetention },
		"Storage":    func(c *transport.LogConfig) { c.Storage = transport.MemoryStorage },
		"Partitions": func(c *transport.LogConfig) { c.Partitions = 8 },
		"Ordered":    func(c *transport.LogConfig) { c.Groups = []transport.GroupConfig{{Name: "g"}} },
	} {
		other := c
		change(&other)
		_, err := tr.Log(t.Context(), other)
		wantCode(t, err, transport.FailedPrecondition, setting, "choose another name")
		other.Update = false
		if _, err := tr.Log(t.Context(), other); err != nil {
			t.Errorf("a sender with another %s: %v", setting, err)
		}
	}
	_, err := openLog(t, tr, c).Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, transport.Serial(func(*transport.Delivery) {}))
	wantCode(t, err, transport.FailedPrecondition, "Ordered")
	_, err = tr.Log(t.Context(), transport.LogConfig{Name: "other", Subjects: []string{"l.x"}})
	wantCode(t, err, transport.FailedPrecondition, "use each subject in one log only")

	js, err := jetstream.New(tr.Conn())
	if err == nil {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "theirs", Subjects: []string{"theirs"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.MemoryStorage})
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.Log(t.Context(), transport.LogConfig{Name: "theirs", Subjects: []string{"theirs"}, Update: true})
	wantCode(t, err, transport.FailedPrecondition, "Retention workqueue, and limits is requested")
}

// A stream of an earlier build has its messages on other subjects. It is refused and unchanged.
func TestStreamWithLanesIsRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	tr := connect(t, s.ClientURL())
	js := jetStream(t, tr)
	c := jetstream.StreamConfig{Name: "old", Subjects: []string{"old.*"}, Metadata: map[string]string{"mono-lanes": "16"}}
	if _, err := js.CreateStream(realtime.Patient(t), c); err != nil {
		t.Fatal(err)
	}
	for _, update := range []bool{false, true} {
		_, err := tr.Log(realtime.Patient(t), transport.LogConfig{Name: "old", Subjects: []string{"old.*"}, Partitions: 16, Update: update})
		if transport.CodeOf(err) != transport.FailedPrecondition || !strings.Contains(err.Error(), "with lanes instead of partitions") {
			t.Errorf("Update %t: got %v, want a refusal that names the lanes", update, err)
		}
	}
	is, err := js.Stream(realtime.Patient(t), "old")
	if err != nil || is.CachedInfo().Config.Metadata["mono-lanes"] != "16" {
		t.Errorf("the stream is changed: %v, %v", is, err)
	}
}

func TestFullLogRefuses(t *testing.T) {
	t.Parallel()
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, MaxMessages: 3, MaxPerSubject: 2})
	appendTo(t, l, "l.a", "1", transport.AppendOptions{})
	appendTo(t, l, "l.a", "2", transport.AppendOptions{})
	_, err := l.Append(t.Context(), &transport.Message{Subject: "l.a"}, transport.AppendOptions{})
	wantCode(t, err, transport.ResourceExhausted, "per subject")
	appendTo(t, l, "l.b", "3", transport.AppendOptions{})
	_, err = l.Append(t.Context(), &transport.Message{Subject: "l.c"}, transport.AppendOptions{})
	wantCode(t, err, transport.ResourceExhausted, "maximum messages exceeded")
	if got := read(t, l, transport.ReadConfig{}); fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("stored %v", got)
	}
}

func TestExpectations(t *testing.T) {
	t.Parallel()
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Partitions: 3})
	none := &transport.Expectation{Subject: "l.a"}
	appendTo(t, l, "l.a", "1", transport.AppendOptions{ID: "x", Expect: none})
	if a := appendTo(t, l, "l.a", "1", transport.AppendOptions{ID: "x", Expect: none}); a.Sequence != 1 || !a.Duplicate {
		t.Errorf("the same again: %+v", a)
	}
	_, err := l.Append(t.Context(), &transport.Message{Subject: "l.a"}, transport.AppendOptions{ID: "y", Expect: none})
	wantCode(t, err, transport.Aborted)
	appendTo(t, l, "l.b", "2", transport.AppendOptions{Expect: &transport.Expectation{Sequence: 1}})
	appendTo(t, l, "l.b", "3", transport.AppendOptions{Expect: &transport.Expectation{Subject: "l.a", Sequence: 1}})
	_, err = l.Append(t.Context(), &transport.Message{Subject: "l.a"}, transport.AppendOptions{Expect: &transport.Expectation{Sequence: 1}})
	wantCode(t, err, transport.Aborted)
}

func TestAppendToADeletedLog(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	if err := jetStream(t, tr).DeleteStream(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	_, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{})
	wantCode(t, err, transport.NotFound)
	_, err = l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, transport.Serial(func(*transport.Delivery) {}))
	wantCode(t, err, transport.NotFound)
	for _, err := range l.Read(t.Context(), transport.ReadConfig{}) {
		wantCode(t, err, transport.NotFound)
	}
}

func TestAsyncAppendsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	const n = 10_000
	var next, wrong atomic.Uint64
	done := make(chan struct{})
	for i := range uint64(n) {
		err := l.AppendAsync(t.Context(), &transport.Message{Subject: "l", Body: []byte("x")}, transport.AppendOptions{ID: fmt.Sprint(i)}, func(a transport.Appended, err error) {
			if err != nil || a.Sequence != i+1 {
				wrong.Add(1)
			}
			if next.Add(1) == n {
				close(done)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	receive(t, done)
	if wrong.Load() > 0 {
		t.Errorf("%d of %d are out of order", wrong.Load(), n)
	}
}

// A delayed message waits for its exact time, and not for the next full second.
func TestDelayedToTheNanosecond(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	group := transport.GroupConfig{Name: "g"}
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Partitions: 2, Retention: transport.InterestRetention, Delays: true, Groups: []transport.GroupConfig{group}})
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 100})
	schedules, err := tr.Conn().SubscribeSync("_later.l.at.*")
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	due := make([]time.Time, n)
	for i := range n {
		due[i] = time.Now().Add(time.Duration(500+i*83) * time.Millisecond)
		a := appendTo(t, l, "l.x", fmt.Sprint(i), transport.AppendOptions{ID: fmt.Sprint(i), NotBefore: due[i]})
		if a.Sequence != 0 && time.Now().After(due[i]) {
			continue // this machine was too slow
		}
		if a.Sequence != 0 || a.Duplicate {
			t.Errorf("got %+v", a)
		}
		m, err := schedules.NextMsg(realtime.Patience)
		if want := "@at " + due[i].UTC().Format(time.RFC3339Nano); err != nil || m.Header.Get("Nats-Schedule") != want {
			t.Errorf("the server gets %+v, %v, want the schedule %q", m, err, want)
		}
	}
	if a := appendTo(t, l, "l.x", "again", transport.AppendOptions{ID: "7", NotBefore: time.Now().Add(time.Hour)}); !a.Duplicate {
		t.Errorf("the same again: %+v", a)
	}
	if info, err := l.Info(t.Context()); err != nil || info.Delayed > n {
		t.Errorf("%+v, %v", info, err)
	}
	var got []string
	for range n {
		d := receive(t, deliveries)
		i, err := strconv.Atoi(d.ID)
		if err != nil || string(d.Body) != d.ID || d.Stored.Before(due[i]) || d.Subject != "l.x" || len(d.Header) != 0 {
			t.Errorf("got %+v, %v", d, err)
		}
		got = append(got, d.ID)
		ack(t, d)
	}
	if slices.Sort(got); len(slices.Compact(got)) != n {
		t.Errorf("got %v", got)
	}
	eventually(t, "nothing waits any more", func() bool {
		info, err := l.Info(t.Context())
		return err == nil && info.Delayed == 0
	})
}

// A server that is too old for delays supports logs, and a delay is an error.
func TestServerTooOldForDelays(t *testing.T) {
	t.Parallel()
	level := regexp.MustCompile(`"level":[0-9]`)
	p := proxytest.NewLiar(t, strings.TrimPrefix(startServer(t, nil).ClientURL(), "nats://"), func(answer []byte) {
		if at := level.FindIndex(answer); at != nil {
			answer[at[1]-1] = '2' // the level of nats-server 2.12
		}
	})
	tr := connect(t, "nats://"+p.Address())
	if c := tr.Capabilities(); !c.Logs || c.Delays {
		t.Errorf("got %+v", c)
	}
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Storage: transport.MemoryStorage}
	l := openLog(t, tr, config)
	_, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)})
	wantCode(t, err, transport.Unimplemented, "needs nats-server 2.14 or later")
	if a := appendTo(t, l, "l", "now", transport.AppendOptions{}); a.Sequence != 1 {
		t.Errorf("got %+v", a)
	}
	config.Name, config.Subjects, config.Delays = "m", []string{"m"}, true
	_, err = tr.Log(t.Context(), config)
	wantCode(t, err, transport.Unimplemented, `"m"`, "needs nats-server 2.14 or later")
}

// The error for a deleted stream of delayed messages names that stream.
func TestDelayedStreamIsDeleted(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Delays: true})
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "l__later"); err != nil {
		t.Fatal(err)
	}
	m := &transport.Message{Subject: "l"}
	if _, err := l.Append(t.Context(), m, transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)}); transport.CodeOf(err) != transport.NotFound || !strings.Contains(err.Error(), "l__later") {
		t.Errorf("got %v", err)
	}
	appendTo(t, l, "l", "now", transport.AppendOptions{})
}

func TestMaxDelayed(t *testing.T) {
	t.Parallel()
	takesThreeDelayed(t, inProcess(t, nil))
}

// An append without an answer is counted, whether it is already stored or not yet.
func TestMaxDelayedCountsUnansweredAppends(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(t testing.TB, server string) *proxytest.Proxy{
		"stored": func(t testing.TB, server string) *proxytest.Proxy {
			return proxytest.NewSlow(t, server, 30*time.Millisecond)
		},
		"not stored": func(t testing.TB, server string) *proxytest.Proxy {
			return proxytest.NewHolding(t, server, "_later.", 300*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, func(o *embedded.Options) { o.Memory, o.Dir, o.SyncInterval = false, t.TempDir(), time.Minute })
			p := between(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
			takesThreeDelayed(t, connect(t, "nats://"+p.Address()))
		})
	}
}

func takesThreeDelayed(t *testing.T, tr *natsx.Transport) {
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Delays: true, MaxDelayed: 3})
	var refused []int
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Add(1)
		err := l.AppendAsync(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{NotBefore: time.Now().Add(time.Hour)}, func(_ transport.Appended, err error) {
			if err != nil {
				t.Error(err)
			}
			wg.Done()
		})
		if err != nil {
			wantCode(t, err, transport.ResourceExhausted, "MaxDelayed")
			refused = append(refused, i)
			wg.Done()
		}
	}
	wg.Wait()
	if fmt.Sprint(refused) != "[3 4 5 6 7 8 9]" {
		t.Errorf("refused were %v, want all but the first three", refused)
	}
}

// A log that is full when delayed messages are due accepts them later.
func TestBoundedAndDelayedLosesNothing(t *testing.T) {
	t.Parallel()
	group := transport.GroupConfig{Name: "g"}
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Retention: transport.InterestRetention, MaxMessages: 10, Delays: true, Groups: []transport.GroupConfig{group}})
	const n = 25
	for i := range n {
		appendTo(t, l, "l", fmt.Sprint(i), transport.AppendOptions{NotBefore: time.Now().Add(300 * time.Millisecond)})
	}
	eventually(t, "the log is full", func() bool {
		info, err := l.Info(t.Context())
		return err == nil && info.Messages == 10
	})
	_, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{})
	wantCode(t, err, transport.ResourceExhausted)
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 100})
	var got []string
	for range n {
		d := receive(t, deliveries)
		got = append(got, string(d.Body))
		ack(t, d)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != n {
		t.Errorf("got %v", got)
	}
}

// Two members of an ordered group keep the order of every key.
func TestPartitionsKeepTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	group := transport.GroupConfig{Name: "g", Ordered: true}
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l._k.*", "l._to.*._k.*"}, Partitions: 8, Groups: []transport.GroupConfig{group}})
	const keys, each = 20, 30
	for i := range each {
		for key := range keys {
			subject := fmt.Sprintf("l._k.%d", key)
			if key%2 == 1 {
				subject = fmt.Sprintf("l._to.g._k.%d", key)
			}
			appendTo(t, l, subject, fmt.Sprint(i), transport.AppendOptions{})
		}
	}
	var mu sync.Mutex
	seen := make(map[string][]string)
	tokens := make(map[string]uint64)
	all := make(chan struct{}, keys*each)
	for range 2 {
		r, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: group, MaxInFlight: 8}, transport.Serial(func(d *transport.Delivery) {
			go func() {
				mu.Lock()
				defer mu.Unlock()
				key := transport.KeyOf(d.Subject)
				if d.FencingToken <= tokens[key] {
					t.Errorf("key %s: fencing token %d after %d", key, d.FencingToken, tokens[key])
				}
				tokens[key] = d.FencingToken
				if d.Attempt == 1 && d.Sequence%7 == 0 {
					_ = d.Nak(t.Context(), 10*time.Millisecond)
					return
				}
				seen[d.Subject] = append(seen[d.Subject], string(d.Body))
				_ = d.Ack(t.Context())
				all <- struct{}{}
			}()
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	for range keys * each {
		receive(t, all)
	}
	for subject, bodies := range seen {
		for i, body := range bodies {
			if body != fmt.Sprint(i) {
				t.Errorf("%s: %v", subject, bodies)
				break
			}
		}
	}
	groups, err := l.Groups(t.Context())
	if err != nil || len(groups) != 1 || !groups[0].Config.Ordered || groups[0].Config.Name != "g" {
		t.Errorf("%+v, %v", groups, err)
	}
	if got := read(t, l, transport.ReadConfig{Filter: []string{"l._k.2", "l._to.*._k.3"}}); len(got) != 2*each {
		t.Errorf("read %d", len(got))
	}
	if n, err := l.Purge(t.Context(), transport.PurgeConfig{Subject: "l._k.2", Keep: 5}); err != nil || n != each-5 {
		t.Errorf("purged %d, %v", n, err)
	}
	if err := l.DeleteGroup(t.Context(), "g"); err != nil {
		t.Error(err)
	}
	wantCode(t, l.DeleteGroup(t.Context(), "g"), transport.NotFound)
}

// A slow handler keeps its delivery, and the deliveries that wait for it, for longer than the
// group's AckWait.
func TestHeldDeliveriesAreExtended(t *testing.T) {
	t.Parallel()
	rounds := realtime.Rounds{Stall: transport.MinAckWait / 5}
	rounds.Run(t, holdsForLong)
}

func holdsForLong(t testing.TB) {
	group := transport.GroupConfig{Name: "g", AckWait: transport.MinAckWait}
	l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	for i := range 5 {
		appendTo(t, l, "l", fmt.Sprint(i), transport.AppendOptions{})
	}
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 5})
	var held []*transport.Delivery
	for range 5 {
		held = append(held, receive(t, deliveries))
	}
	other, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 5})
	select {
	case d := <-other:
		t.Errorf("another member got %+v", d)
	case <-time.After(3 * time.Second):
	}
	for _, d := range held {
		ack(t, d)
	}
	eventually(t, "all is settled", func() bool {
		groups, err := l.Groups(t.Context())
		return err == nil && groups[0].Settled == 5 && groups[0].Redelivered == 0
	})
}

// Deliveries continue after a lost connection, and those in doubt are delivered again.
func TestConsumeSurvivesALostConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, func(o *embedded.Options) { o.Memory, o.Dir, o.SyncInterval = false, t.TempDir(), time.Minute })
	tr := connect(t, s.ClientURL())
	group := transport.GroupConfig{Name: "g", AckWait: time.Second}
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}})
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 10})
	const n = 300
	go func() {
		for i := range n {
			for {
				_, err := l.Append(t.Context(), &transport.Message{Subject: "l", Body: []byte(fmt.Sprint(i))}, transport.AppendOptions{ID: fmt.Sprint(i)})
				if err == nil || t.Context().Err() != nil {
					break
				}
			}
		}
	}()
	seen := make(map[uint64]bool)
	for len(seen) < n {
		d := receive(t, deliveries)
		seen[d.Sequence] = true
		_ = d.Ack(t.Context())
		if len(seen)%100 == 50 && d.Attempt == 1 {
			for _, c := range connections(t, s) {
				_ = s.NATS().DisconnectClientByID(c)
			}
		}
	}
}

func connections(t *testing.T, s *embedded.Server) (ids []uint64) {
	t.Helper()
	z, err := s.NATS().Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		ids = append(ids, c.Cid)
	}
	return ids
}

func TestGroupDeletedWhileConsumed(t *testing.T) {
	t.Parallel()
	for name, ordered := range map[string]bool{"unordered": false, "partitions": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLog(t, inProcess(t, nil), transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Partitions: 4})
			ended := make(chan error, 2)
			group := transport.GroupConfig{Name: "g", Ordered: ordered}
			_, r := consume(t, l, transport.ConsumeConfig{Group: group, OnEnd: func(err error) { ended <- err }})
			if err := l.DeleteGroup(t.Context(), "g"); err != nil {
				t.Fatal(err)
			}
			wantCode(t, receive(t, ended), transport.NotFound, `"g"`, "deleted")
			if err := r.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if len(ended) > 0 {
				t.Error("it ended twice")
			}
		})
	}
}

// The deletion of a group during a loss of the connection is noticed after it.
func TestGroupDeletedWhileDisconnected(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	p := proxytest.New(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
	admin, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	tr := connect(t, "nats://"+p.Address())
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Storage: transport.MemoryStorage}
	l := openLog(t, tr, config)
	ended := make(chan error, 1)
	consume(t, l, transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}, OnEnd: func(err error) { ended <- err }})
	p.Cut()
	if err := openLog(t, admin, config).DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	p.Mend()
	wantCode(t, receive(t, ended), transport.NotFound)
}

func TestTooManyConsumers(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, func(o *natsx.Options) {
		o.Stream = func(_ string, c *jetstream.StreamConfig) { c.MaxConsumers = 3 }
	})
	_, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Partitions: 4, Groups: []transport.GroupConfig{{Name: "g", Ordered: true}}})
	wantCode(t, err, transport.ResourceExhausted, "max consumers", "fewer groups or partitions")
}

func TestHooks(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, func(o *natsx.Options) {
		o.Stream = func(log string, c *jetstream.StreamConfig) {
			c.Description = "made for " + log
			if log == "bad" {
				c.MaxAge = time.Hour
			}
		}
		o.Consumer = func(log, group string, c *jetstream.ConsumerConfig) {
			c.Description, c.MaxRequestBatch, c.MaxRequestExpires = log+" "+group, 5, time.Second
			if group == "bad" {
				c.MaxDeliver = 3
			}
		}
	})
	group := transport.GroupConfig{Name: "g"}
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Delays: true, Update: true, Groups: []transport.GroupConfig{group}}
	openLog(t, tr, config)
	l := openLog(t, tr, config)
	s, err := jetStream(t, tr).Stream(t.Context(), "l")
	if err != nil || s.CachedInfo().Config.Description != "made for l" {
		t.Errorf("%+v, %v", s.CachedInfo().Config, err)
	}
	c, err := s.Consumer(t.Context(), "g")
	if err != nil || c.CachedInfo().Config.Description != "l g" {
		t.Errorf("%+v, %v", c.CachedInfo().Config, err)
	}
	_, err = tr.Log(t.Context(), transport.LogConfig{Name: "bad", Subjects: []string{"bad"}})
	wantCode(t, err, transport.InvalidArgument, "MaxAge")
	_, err = l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "bad"}}, transport.Serial(func(*transport.Delivery) {}))
	wantCode(t, err, transport.InvalidArgument, "MaxDeliver")

	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 100})
	for i := range 50 {
		appendTo(t, l, "l", fmt.Sprint(i), transport.AppendOptions{})
	}
	for i := range 50 {
		d := receive(t, deliveries)
		if string(d.Body) != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", d.Body, i)
		}
		ack(t, d)
	}
}

// A plain client can read stored messages, and its own messages are consumed.
func TestPlainClients(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	group := transport.GroupConfig{Name: "g", Ordered: true}
	l := openLog(t, tr, transport.LogConfig{Name: "l", Subjects: []string{"l._k.*", "l._to.*._k.*"}, Partitions: 4, Groups: []transport.GroupConfig{group}})
	appendTo(t, l, "l._k.a", "1", transport.AppendOptions{ID: "one"})
	appendTo(t, l, "l._to.g._k.a", "2", transport.AppendOptions{ID: "two"})
	js := jetStream(t, tr)
	m := nats.NewMsg("l._k.a")
	m.Header.Set(transport.HeaderID, "plain")
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "l._to.g._k.a", nil); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("in a log with partitions, a plain client can publish on the first subject only: %v", err)
	}
	s, err := js.Stream(t.Context(), "l")
	if err != nil {
		t.Fatal(err)
	}
	partition := fmt.Sprint("_partition.", transport.PartitionOf("l._k.a", 4), ".")
	for seq, want := range map[uint64]string{1: partition + "l._k.a", 2: partition + "l._to.g._k.a", 3: partition + "l._k.a"} {
		if m, err := s.GetMsg(t.Context(), seq); err != nil || m.Subject != want {
			t.Errorf("message %d: %+v, %v", seq, m, err)
		}
	}
	deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, MaxInFlight: 4})
	got := make(map[string]string)
	for range 3 {
		d := receive(t, deliveries)
		got[d.ID] = d.Subject
		ack(t, d)
	}
	if fmt.Sprint(got) != "map[one:l._k.a plain:l._k.a two:l._to.g._k.a]" {
		t.Errorf("got %v", got)
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
