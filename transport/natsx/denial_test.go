package natsx_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/internal/loopback"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// permissions is a server with a user "owner", who may do everything, and a user "limited"
// with the permissions of a test.
type permissions struct {
	t       *testing.T
	s       *embedded.Server
	options *server.Options
}

func withPermissions(t *testing.T, limited string) *permissions {
	p := &permissions{t: t}
	p.s = startServer(t, func(o *embedded.Options) {
		o.Memory, o.Dir, o.SyncInterval = false, t.TempDir(), time.Minute
		o.ServerName, o.Account, o.Listen, o.ConfigFile = "p", "A", loopback.Free(t), p.file(limited)
		o.Configure = func(so *server.Options) { p.options = so.Clone() }
	})
	return p
}

func (p *permissions) file(limited string) string {
	p.t.Helper()
	return configFile(p.t, fmt.Sprintf(`accounts { A: { jetstream: true, users: [
	{ user: owner, password: owner-password }
	{ user: limited, password: limited-password, permissions: { %s } }
] } }
`, limited))
}

// change gives the limited user other permissions. Existing connections stay open.
func (p *permissions) change(limited string) {
	p.t.Helper()
	changed, err := server.ProcessConfigFile(p.file(limited))
	if err != nil {
		p.t.Fatal(err)
	}
	options := p.options.Clone()
	options.Accounts, options.Users = changed.Accounts, changed.Users
	if err := p.s.NATS().ReloadOptions(options); err != nil {
		p.t.Fatal(err)
	}
}

func (p *permissions) connect(user string) *natsx.Transport {
	p.t.Helper()
	tr, err := natsx.Connect(p.t.Context(), natsx.Options{URLs: []string{p.s.ClientURL()}, User: user, Password: user + "-password", Logger: testLog(p.t), ReconnectWait: 10 * time.Millisecond})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// hours returns a context that ends long after the test. A call that waits for its end hangs.
func hours(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
	t.Cleanup(cancel)
	return ctx
}

// wantDenied checks that an error is a denial that names the subjects.
func wantDenied(t *testing.T, what string, err error, names ...string) {
	t.Helper()
	missing := slices.ContainsFunc(names, func(name string) bool { return err == nil || !strings.Contains(err.Error(), name) })
	if transport.CodeOf(err) != transport.PermissionDenied || missing {
		t.Errorf("%s: got %v, want permission_denied with %q", what, err, names)
	}
}

// watched collects denials.
type watched struct {
	mu  sync.Mutex
	all []transport.Denial
}

func watch(tr *natsx.Transport) *watched {
	w := &watched{}
	tr.Watch(func(d transport.Denial) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, d)
	})
	return w
}

// await waits until the last denial on a subject is active, or over, and returns it.
func (w *watched) await(t *testing.T, subject string, n int) (last transport.Denial) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d reports on %s", n, subject), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		seen := 0
		for _, d := range w.all {
			if d.Subject == subject {
				seen++
				last = d
			}
		}
		return seen == n
	})
	return last
}

// A denied request to JetStream's API fails when the server reports the denial, whatever the
// caller's deadline.
func TestDeniedJetStreamAPIIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ denied, named string }{
		"all":               {"$JS.API.>", "$JS.API.STREAM.INFO.l"},
		"making a stream":   {"$JS.API.STREAM.CREATE.>", "$JS.API.STREAM.CREATE.l"},
		"looking for one":   {"$JS.API.STREAM.INFO.>", "$JS.API.STREAM.INFO.l"},
		"making a consumer": {"$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.CREATE.l.g"},
		"pulling":           {"$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.MSG.NEXT.l.g"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := withPermissions(t, fmt.Sprintf(`publish: { deny: %q }`, c.denied)).connect("limited")
			l, err := tr.Log(hours(t), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
			if err == nil {
				_, err = l.Consume(hours(t), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "g"}}, transport.Serial(func(*transport.Delivery) {}))
			}
			wantDenied(t, name, err, c.named, `"$JS.API.>"`, "127.0.0.1")
		})
	}
}

// Denied operations on an existing log are errors that name the permission.
func TestDeniedUseOfALog(t *testing.T) {
	t.Parallel()
	use := map[string]func(ctx context.Context, l transport.Log) error{
		"$JS.API.STREAM.PURGE.l": func(ctx context.Context, l transport.Log) error {
			_, err := l.Purge(ctx, transport.PurgeConfig{})
			return err
		},
		"$JS.API.STREAM.MSG.DELETE.l": func(ctx context.Context, l transport.Log) error { return l.Remove(ctx, 1) },
		"$JS.API.CONSUMER.LIST.l":     func(ctx context.Context, l transport.Log) error { _, err := l.Groups(ctx); return err },
		"$JS.API.CONSUMER.CREATE.l":   readAll,
		"$JS.API.CONSUMER.MSG.NEXT.l": readAll,
		"l": func(ctx context.Context, l transport.Log) error {
			_, err := l.Append(ctx, &transport.Message{Subject: "l"}, transport.AppendOptions{})
			return err
		},
	}
	for subject, do := range use {
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			p := withPermissions(t, fmt.Sprintf(`publish: { deny: [%q, %q] }`, subject, subject+".>"))
			c := transport.LogConfig{Name: "l", Subjects: []string{"l"}}
			owned, err := p.connect("owner").Log(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := owned.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{}); err != nil {
				t.Fatal(err)
			}
			l, err := p.connect("limited").Log(hours(t), c)
			if err != nil {
				t.Fatal(err)
			}
			wantDenied(t, subject, do(hours(t), l), subject)
		})
	}
}

func readAll(ctx context.Context, l transport.Log) error {
	for _, err := range l.Read(ctx, transport.ReadConfig{Follow: true}) {
		return err
	}
	return nil
}

// If no reply can arrive, a request fails immediately and names the inbox to allow. A publish
// succeeds.
func TestDeniedRepliesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `subscribe: { deny: "_INBOX.>" }`)
	received := make(chan string, 1)
	if _, err := p.connect("owner").Subscribe(t.Context(), transport.Subscription{Subject: "a"}, transport.Serial(func(m *transport.Message) { received <- string(m.Body) })); err != nil {
		t.Fatal(err)
	}
	tr := p.connect("limited")
	_, err := tr.Request(hours(t), &transport.Message{Subject: "a", Body: []byte("request")})
	wantDenied(t, "Request", err, `"_INBOX.>"`, "InboxPrefix")
	_, err = tr.Log(hours(t), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	wantDenied(t, "Log", err, `"_INBOX.>"`, `log "l"`)
	if err := tr.Publish(t.Context(), &transport.Message{Subject: "a", Body: []byte("event")}); err != nil {
		t.Fatal(err)
	}
	for got := range received {
		if got == "event" {
			break
		}
	}
}

// A permitted InboxPrefix is sufficient.
func TestInboxPrefixThatIsAllowed(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `subscribe: { allow: "mine.>" }`)
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{p.s.ClientURL()}, User: "limited", Password: "limited-password", InboxPrefix: "mine", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	if _, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}}); err != nil {
		t.Error(err)
	}
}

// A denied message is reported to watchers. From then on each send on the subject reports it,
// until the permission is granted.
func TestDeniedMessages(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `publish: { deny: "events.x" }`)
	received := make(chan string, 10)
	if _, err := p.connect("owner").Subscribe(t.Context(), transport.Subscription{Subject: "events.*"}, transport.Serial(func(m *transport.Message) { received <- string(m.Body) })); err != nil {
		t.Fatal(err)
	}
	tr := p.connect("limited")
	w := watch(tr)
	publish := func(subject, body string) error {
		return tr.Publish(t.Context(), &transport.Message{Subject: subject, Body: []byte(body)})
	}
	if err := publish("events.x", "first"); err != nil {
		t.Errorf("the server has not answered yet: %v", err)
	}
	if d := w.await(t, "events.x", 1); d.Err == nil || d.Subscription {
		t.Errorf("got %+v", d)
	}
	for range 3 {
		wantDenied(t, "Publish", publish("events.x", "denied"), `"events.x"`, "allow")
	}
	if err := publish("events.y", "other"); err != nil {
		t.Errorf("another subject: %v", err)
	}
	if err := tr.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	p.change("")
	if err := publish("events.x", "allowed"); err != nil {
		t.Errorf("with the permission: %v", err)
	}
	if d := w.await(t, "events.x", 2); d.Err != nil {
		t.Errorf("with the permission: got %v", d.Err)
	}
	if got := <-received + " " + <-received; got != "other allowed" {
		t.Errorf("received %q", got)
	}
}

// After a denial of one key of a handle, denials of other keys are reported too.
func TestDeniedKeys(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `publish: { deny: "events.x._k.*" }`)
	tr := p.connect("limited")
	w := watch(tr)
	publish := func(subject string) error { return tr.Publish(t.Context(), &transport.Message{Subject: subject}) }
	if err := publish("events.x._k.a"); err != nil {
		t.Errorf("the server has not answered yet: %v", err)
	}
	w.await(t, "events.x._k.a", 1)
	for _, key := range []string{"b", "c", "a"} {
		wantDenied(t, key, publish("events.x._k."+key), `"events.x._k.`+key+`"`, `"events.x._k.*"`)
	}
	if err := publish("events.y._k.a"); err != nil {
		t.Errorf("another event: %v", err)
	}
	p.change(`publish: { deny: "events.x._k.a" }`)
	if err := publish("events.x._k.b"); err != nil {
		t.Errorf("with the permission for one key: %v", err)
	}
	wantDenied(t, "a", publish("events.x._k.a"), "events.x._k.a")
	for _, c := range []struct {
		key  string
		n    int
		over bool
	}{{"a", 1, false}, {"b", 2, true}, {"c", 1, false}} {
		if d := w.await(t, "events.x._k."+c.key, c.n); (d.Err == nil) != c.over {
			t.Errorf("key %s: got %v", c.key, d.Err)
		}
	}
}

// A new connection may have other permissions: denials are forgotten, and found again if they
// still hold.
func TestDenialsAreForgottenWithTheConnection(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `publish: { deny: "events.x" }`)
	tr := p.connect("limited")
	w := watch(tr)
	for round := range 3 {
		if err := tr.Publish(t.Context(), &transport.Message{Subject: "events.x"}); err != nil {
			t.Errorf("round %d, first message: %v", round, err)
		}
		if d := w.await(t, "events.x", 2*round+1); d.Err == nil {
			t.Errorf("round %d: reported as over", round)
		}
		wantDenied(t, "later message", tr.Publish(t.Context(), &transport.Message{Subject: "events.x"}), "events.x")
		p.disconnect(tr)
		if d := w.await(t, "events.x", 2*round+2); d.Err != nil {
			t.Errorf("round %d, a new connection: got %v", round, d.Err)
		}
		eventually(t, "it is connected again", func() bool { return tr.Ping(t.Context()) == nil })
	}
}

func (p *permissions) disconnect(tr *natsx.Transport) {
	p.t.Helper()
	id, err := tr.Conn().GetClientID()
	if err == nil {
		err = p.s.NATS().DisconnectClientByID(id)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Each of several simultaneous subscriptions returns its denial.
func TestDeniedSubscriptions(t *testing.T) {
	t.Parallel()
	tr := withPermissions(t, `subscribe: { deny: "secret.>" }`).connect("limited")
	w := watch(tr)
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			subject := fmt.Sprintf("secret.%d", i)
			s := transport.Subscription{Subject: subject, Group: []string{"", "g"}[i%2]}
			_, err := tr.Subscribe(t.Context(), s, transport.Serial(func(*transport.Message) {}))
			wantDenied(t, "Subscribe", err, strings.TrimSuffix(fmt.Sprintf("%q", subject), `"`))
		})
	}
	wait.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) > 0 {
		t.Errorf("reported although Subscribe has returned it: %v", w.all)
	}
}

// Withdrawn permissions are reported with the receivers concerned.
func TestWithdrawnPermissionsAreReported(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, "")
	tr := p.connect("limited")
	w := watch(tr)
	for _, group := range []string{"", "g"} {
		if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "a.>", Group: group}, transport.Serial(func(*transport.Message) {})); err != nil {
			t.Fatal(err)
		}
	}
	l, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	if err != nil {
		t.Fatal(err)
	}
	worked := make(chan struct{}, 1)
	if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "workers"}}, transport.Serial(func(d *transport.Delivery) {
		_ = d.Ack(t.Context())
		worked <- struct{}{}
	})); err != nil {
		t.Fatal(err)
	}
	p.change(`publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>", "$JS.ACK.>"] }, subscribe: { deny: "a.>" }`)
	w.await(t, "a.>", 2)
	if _, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	<-worked
	for _, subject := range []string{"$JS.ACK.l.>", "$JS.API.CONSUMER.MSG.NEXT.l.>"} {
		if d := w.await(t, subject, 1); d.Log != "l" || d.Group != "workers" || d.Err == nil {
			t.Errorf("got %+v", d)
		}
	}
	p.change("")
	if d := w.await(t, "$JS.API.CONSUMER.MSG.NEXT.l.>", 2); d.Err != nil {
		t.Errorf("with the permission: got %+v", d)
	}
	// A new connection restores a subscription that the server has ended.
	p.disconnect(tr)
	if d := w.await(t, "a.>", 4); d.Err != nil {
		t.Errorf("a new connection: got %+v", d)
	}
}

// A withdrawn permission for the inbox is reported by requests, appends, members and
// readers.
func TestWithdrawnInboxIsReported(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, "")
	tr := p.connect("limited")
	w := watch(tr)
	if _, err := tr.Subscribe(t.Context(), transport.Subscription{Subject: "silent"}, transport.Serial(func(*transport.Message) {})); err != nil {
		t.Fatal(err)
	}
	l, err := tr.Log(t.Context(), transport.LogConfig{Name: "l", Subjects: []string{"l"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Consume(t.Context(), transport.ConsumeConfig{Group: transport.GroupConfig{Name: "workers"}}, transport.Serial(func(*transport.Delivery) {})); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error)
	go func() {
		_, err := tr.Request(hours(t), &transport.Message{Subject: "silent"})
		waits <- err
	}()
	reads := make(chan error)
	go func() { reads <- readAll(hours(t), l) }()
	eventually(t, "the request and a reader are on their way", func() bool {
		is, err := p.s.NATS().Varz(nil)
		groups, _ := p.s.NATS().Jsz(nil)
		return err == nil && is.InMsgs >= 2 && groups != nil && groups.Consumers == 2
	})
	p.change(`subscribe: { deny: "_INBOX.>" }`)
	err = <-waits
	wantDenied(t, "a request that waited", err, "_INBOX.>")
	if outcome(err) != transport.OutcomeUnknown {
		t.Errorf("a request that waited may be handled: %v", err)
	}
	_, err = tr.Request(hours(t), &transport.Message{Subject: "silent"})
	wantDenied(t, "a request", err, "_INBOX.>")
	_, err = l.Append(hours(t), &transport.Message{Subject: "l"}, transport.AppendOptions{})
	wantDenied(t, "an append", err, "_INBOX.>")
	wantDenied(t, "a reader", <-reads, "_INBOX.>")
	eventually(t, "the member is named", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.all, func(d transport.Denial) bool {
			return d.Subscription && d.Log == "l" && d.Group == "workers" && d.Err != nil
		})
	})
	p.change("")
	p.disconnect(tr)
	eventually(t, "replies come on another connection", func() bool {
		_, err := l.Append(t.Context(), &transport.Message{Subject: "l"}, transport.AppendOptions{})
		return err == nil
	})
}

// A sender whose account may not change a log uses it as it is. A receiver is told.
func TestSenderWithoutPermissionToChangeALog(t *testing.T) {
	t.Parallel()
	config := writeFile(t, `authorization { users: [ {user: u, password: p, permissions: { publish: {deny: "$JS.API.STREAM.UPDATE.>"} } }, {user: a, password: a} ] }`)
	url := startServer(t, func(o *embedded.Options) { o.ConfigFile = config }).ClientURL()
	c := transport.LogConfig{Name: "l", Subjects: []string{"l.*"}, MaxMessages: 3, Update: true, Sender: true, Delays: true}
	openLog(t, connect(t, strings.Replace(url, "://", "://a:a@", 1)), c)
	tr := connect(t, strings.Replace(url, "://", "://u:p@", 1))
	c.MaxMessages = 5
	l := openLog(t, tr, c)
	if info, err := l.Info(t.Context()); err != nil || info.Config.MaxMessages != 3 {
		t.Errorf("got %+v, %v", info.Config, err)
	}
	appendTo(t, l, "l.a", "0", transport.AppendOptions{})
	c.Sender = false
	_, err := tr.Log(t.Context(), c)
	wantCode(t, err, transport.PermissionDenied)
}
