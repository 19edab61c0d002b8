package natsx_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// starting is a cluster. While it lies, it reports consumers as missing, as a server does that
// has started and has yet to start its consumers.
type starting struct {
	*proxytest.Proxy
	url  string // of a server itself
	lies atomic.Bool
	told atomic.Int64 // lies so far

	hides atomic.Int64 // the number of lists of consumers in which they will be missing
}

func newStarting(t *testing.T, limited string) *starting {
	t.Helper()
	file := configFile(t, `accounts { A: { jetstream: true, users: [
	{ user: owner, password: p }
	{ user: limited, password: p, permissions: { `+limited+` } }
] } }`)
	routes, servers := []string{loopback.Free(t), loopback.Free(t)}, make([]*embedded.Server, 2)
	var starts sync.WaitGroup
	for i := range routes {
		o := embedded.Options{
			Dir: t.TempDir(), ServerName: fmt.Sprint("n", i), Listen: "127.0.0.1:0", ConfigFile: file, Account: "A", SyncInterval: time.Minute,
			Cluster: &embedded.Cluster{Name: "c", Listen: routes[i], Routes: routes}, StartTimeout: realtime.Patience, Logger: testLog(t),
			Configure: func(so *server.Options) { so.Cluster.NoAdvertise = true }, // clients stay at the proxy
		}
		starts.Go(func() {
			started, err := embedded.Start(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = started.Shutdown(context.Background()) })
			servers[i] = started
		})
	}
	if starts.Wait(); t.Failed() {
		t.FailNow()
	}
	s := &starting{url: servers[0].ClientURL()}
	s.Proxy = proxytest.NewLiar(t, strings.TrimPrefix(s.url, "nats://"), s.alter)
	return s
}

func (s *starting) alter(answer []byte) {
	if s.lies.Load() && falsify(answer, "consumer_info_response", 10014, "consumer not found") {
		s.told.Add(1)
	}
	if s.hides.Load() > 0 && hideConsumers(answer) {
		s.hides.Add(-1)
	}
}

// hideConsumers changes a list of consumers: no server reports them. It reports whether there
// is a list.
func hideConsumers(answer []byte) bool {
	_, rest, _ := bytes.Cut(answer, []byte(`consumer_list_response"`))
	_, list, found := bytes.Cut(rest, []byte(`"consumers":[`))
	end := bytes.Index(list, []byte("}\r\n"))
	if none := `],"missing":["g"]`; found && end >= len(none) {
		copy(list[copy(list, none):end], bytes.Repeat([]byte(" "), end))
		return true
	}
	return false
}

// falsify changes the first answer of that kind to an error. It reports whether there is one.
func falsify(answer []byte, kind string, code jetstream.ErrorCode, description string) bool {
	_, rest, found := bytes.Cut(answer, []byte(kind+`",`))
	end := bytes.Index(rest, []byte("}\r\n"))
	failure := fmt.Sprintf(`"error":{"code":500,"err_code":%d,"description":%q}`, code, description)
	if !found || end < len(failure) || bytes.HasPrefix(rest, []byte(`"error"`)) {
		return false
	}
	copy(rest[copy(rest, failure):end], bytes.Repeat([]byte(" "), end))
	return true
}

func (s *starting) connect(t *testing.T, url, user string) *natsx.Transport {
	t.Helper()
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{url}, User: user, Password: "p", Logger: testLog(t), ReconnectWait: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// A member stays in its group while a server of the cluster reports the group as missing, and
// ends when it is deleted.
func TestMemberOutlivesTheStartOfAServer(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		limited string
		lies    int64
	}{
		"with the list of consumers":    {`publish: { allow: ">" }`, 3},
		"without the list of consumers": {`publish: { deny: "$JS.API.CONSUMER.NAMES.>" }`, 1}, // later ones may be believed
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStarting(t, c.limited)
			admin := jetStream(t, s.connect(t, s.url, "owner"))
			l := openLog(t, s.connect(t, "nats://"+s.Address(), "limited"), transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Groups: []transport.GroupConfig{group}})
			ended := make(chan error, 1)
			deliveries, _ := consume(t, l, transport.ConsumeConfig{Group: group, OnEnd: func(err error) { ended <- err }})
			s.lies.Store(true)
			s.Cut()
			s.Mend()
			eventually(t, "the group is reported as missing", func() bool { return s.told.Load() >= c.lies || len(ended) > 0 })
			s.lies.Store(false)
			if len(ended) > 0 {
				t.Fatalf("the member ended: %v", <-ended)
			}
			appendTo(t, l, "l.a", "1", transport.AppendOptions{})
			ack(t, receive(t, deliveries))
			removeConsumer(t, admin, "g")
			wantCode(t, receive(t, ended), transport.NotFound, `"g"`, "deleted")
		})
	}
}

// A group whose consumer no server has started yet is listed, and can be deleted.
func TestGroupsOutliveTheStartOfAServer(t *testing.T) {
	t.Parallel()
	s := newStarting(t, `publish: { allow: ">" }`)
	l := openLog(t, s.connect(t, "nats://"+s.Address(), "owner"), transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, Groups: []transport.GroupConfig{group}})
	eventually(t, "the server with the list knows the group", func() bool {
		groups, err := l.Groups(t.Context())
		return err == nil && len(groups) == 1
	})
	s.hides.Store(2)
	if groups, err := l.Groups(t.Context()); err != nil || len(groups) != 1 || s.hides.Load() > 0 {
		t.Errorf("got %v, %v", groups, err)
	}
	s.hides.Store(2)
	if err := l.DeleteGroup(t.Context(), "g"); err != nil || s.hides.Load() > 0 {
		t.Error(err)
	}
}

// Errors of a cluster whose servers have just started pass: calls are repeated.
func TestErrorsOfAStartingClusterPass(t *testing.T) {
	t.Parallel()
	var answers atomic.Pointer[func([]byte)]
	p := proxytest.NewLiar(t, strings.TrimPrefix(startServer(t, nil).ClientURL(), "nats://"), func(answer []byte) {
		if alter := answers.Load(); alter != nil {
			(*alter)(answer)
		}
	})
	tr := connect(t, "nats://"+p.Address())
	config := transport.LogConfig{Name: "l", Subjects: []string{"l"}, Groups: []transport.GroupConfig{group}}
	for _, c := range []struct {
		kind        string // of the answer
		code        jetstream.ErrorCode
		description string
		passes      bool
	}{
		{"stream_create_response", 10005, "no suitable peers for placement, peer offline", true},
		{"stream_create_response", 10005, "no suitable peers for placement", false},
		{"stream_create_response", 10008, "JetStream system temporarily unavailable", true},
		{"consumer_create_response", 10009, "JetStream cluster can not handle request", true},
		{"consumer_create_response", 10008, "JetStream system temporarily unavailable", true},
		{"consumer_info_response", 10119, "consumer is offline", true},
		{"stream_info_response", 10118, "stream is offline", true},
		{"stream_info_response", 10004, "incomplete results", true},
	} {
		if strings.Contains(c.kind, "create") {
			config.Name += "x"
			config.Subjects = []string{config.Name}
		} else {
			openLog(t, tr, config)
		}
		var told atomic.Int64
		alter := func(answer []byte) {
			if told.Load() < 3 && falsify(answer, c.kind, c.code, c.description) {
				told.Add(1)
			}
		}
		answers.Store(&alter)
		_, err := tr.Log(t.Context(), config)
		answers.Store(nil)
		if told.Load() == 0 {
			t.Errorf("no %s was changed", c.kind)
		}
		if !c.passes {
			wantCode(t, err, transport.ResourceExhausted, c.description, "Replicas")
		} else if err != nil {
			t.Errorf("%d in %s: %v", c.code, c.kind, err)
		}
	}
}
