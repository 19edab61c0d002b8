package natsx_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	kv "gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// preflight returns the findings for needs, as text. It connects as the user "app".
func preflight(t *testing.T, accounts string, o natsx.Options, needs ...transport.Need) (found []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, func(o *embedded.Options) { o.ConfigFile = file })
	o.URLs, o.User, o.Password, o.Memory, o.Logger = append([]string{s.ClientURL()}, o.URLs...), "app", "app", true, testLog(t)
	tr, err := natsx.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close(context.Background()) }()
	is, err := tr.Preflight(t.Context(), needs)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range is.Findings {
		found = append(found, fmt.Sprint(f, " ", f.Warning))
	}
	return found
}

// account returns a configuration with one account and one user.
func account(jetstream, permissions string) string {
	return fmt.Sprintf("accounts: {A: {jetstream: {max_memory: 10MB, %s}, users: [{user: app, password: app, permissions: {%s}}, {user: embedded, password: embedded}]}}", jetstream, permissions)
}

// finds fails the test unless there are exactly the findings that have the parts.
func finds(t *testing.T, found []string, want ...[]string) {
	t.Helper()
	if len(found) != len(want) {
		t.Errorf("got %d findings, want %d:\n%s", len(found), len(want), strings.Join(found, "\n"))
	}
	for _, parts := range want {
		if !slices.ContainsFunc(found, func(f string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f, part) })
		}) {
			t.Errorf("no finding has %q:\n%s", parts, strings.Join(found, "\n"))
		}
	}
}

var queue = transport.Need{
	Object: "queue a", Groups: []string{"g"},
	Log: &transport.LogConfig{
		Name: "a", Subjects: []string{"a"}, Retention: transport.InterestRetention, Update: true, Groups: []transport.GroupConfig{{Name: "g"}},
	},
}

func TestPreflightOfTheAccount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		jetstream string
		need      transport.Need
		want      [][]string
	}{
		"fits": {"max_streams: 2, max_consumers: 1", queue, nil},
		"bytes required": {"max_bytes_required: true", queue, [][]string{
			{"queue a: needs the stream a without a limit of bytes", "max_bytes_required", "false"},
			{"the stream mono_state without a limit of bytes"},
		}},
		"unacknowledged": {"max_ack_pending: 100", transport.Need{
			Object: "stream b", Groups: []string{"g"},
			Log: &transport.LogConfig{Name: "b", Subjects: []string{"b.*"}, Partitions: 2, Update: true, Delays: true, Groups: []transport.GroupConfig{{Name: "g", Ordered: true}}},
		}, [][]string{{"stream b: needs consumers of the stream b", "the account allows 100", "max_ack_pending"}}},
		"placement": {"max_streams: 1", transport.Need{Object: "bucket c", Stored: &kv.Config{Name: "c", Placement: &kv.Placement{Tags: []string{"ssd"}}}}, [][]string{
			{"bucket c: needs the placement of the stream KV_c", `tags ["ssd"]`, "not in a cluster", "true"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finds(t, preflight(t, account(c.jetstream, ""), natsx.Options{}, c.need), c.want...)
		})
	}
}

// Preflight reports the subjects that the user needs for its messages and for JetStream.
func TestPreflightOfPermissions(t *testing.T) {
	t.Parallel()
	service := transport.Need{Object: "service s", Replies: true, Publish: []string{"other"}, Subscribe: []transport.Subscription{{Subject: "s", Group: "q"}}}
	for name, c := range map[string]struct {
		permissions string
		need        transport.Need
		want        [][]string
	}{
		"allowed": {`publish: ["$SYS.REQ.USER.INFO", "$JS.API.>", "$JS.ACK.>", "_mono.>", "other"], subscribe: ["_INBOX.>", "s q"], allow_responses: true`, service, nil},
		"no replies": {`publish: ["$SYS.REQ.USER.INFO", "$JS.API.>", "other"]`, service, [][]string{
			{"service s: needs permission to reply", `user "app" of account "A"`, "allow_responses"},
		}},
		"another group": {`subscribe: ["_INBOX.>", "s other"]`, service, [][]string{{`permission to subscribe to ["s"]`}}},
		"JetStream": {`publish: {deny: ["$JS.API.STREAM.CREATE.a", "$JS.ACK.>"]}`, queue, [][]string{
			{`queue a: needs permission to publish to ["$JS.API.>" "$JS.ACK.>"]`},
		}},
		"unknown": {`publish: {deny: ["$SYS.>"]}`, queue, [][]string{{`needs the permissions of its user`, `publish to "$SYS.REQ.USER.INFO"`, "true"}}},
		"no answers": {`subscribe: {deny: ["_INBOX.>"]}`, queue, [][]string{
			{"needs replies of the server", `denies subscribing to "_INBOX.`, "InboxPrefix"},
		}},
		"no reading": {`publish: {deny: ["$JS.API.STREAM.INFO.a"]}`, queue, [][]string{
			{"queue a: needs the log a", `denies publishing to "$JS.API.STREAM.INFO.a"`, `allow "$JS.API.>"`},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finds(t, preflight(t, account("", c.permissions), natsx.Options{}, c.need), c.want...)
		})
	}
}

// A server of the cluster with an older release is found, although the client is connected to
// another.
func TestPreflightOfAnOlderServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(`INFO {"server_id":"OLD","server_name":"n2","version":"2.11.4","api_lvl":1,"headers":true,"max_payload":1048576}` + "\r\n"))
			_, _ = bufio.NewReader(conn).ReadString('\n') // until the client leaves
			_ = conn.Close()
		}
	}()
	delayed := queue
	c := *queue.Log
	c.Delays = true
	delayed.Log = &c
	o := natsx.Options{URLs: []string{"nats://" + l.Addr().String()}, NATS: []nats.Option{nats.DontRandomize()}}
	finds(t, preflight(t, account("", ""), o, delayed), []string{"servers of one release", "level 4", "the server n2 at " + l.Addr().String(), "nats-server 2.11.4 with level 1", "upgrade it", "false"})
}

// A Preflight that ends early returns an error.
func TestPreflightWithinItsContext(t *testing.T) {
	t.Parallel()
	tr := connect(t, startServer(t, nil).ClientURL())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Preflight(ended, []transport.Need{queue}); transport.CodeOf(err) != transport.Canceled {
		t.Errorf("got %v", err)
	}
}
