package mono_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var (
	deniedEvent  = mono.NewEvent[string]("denied.event")
	deniedKeyed  = mono.NewEvent[string]("denied.keyed").KeyedBy(func(s string) string { return s })
	deniedQueue  = mono.NewQueue[string]("denied.queue")
	deniedStream = mono.NewStream[string]("denied.stream")
)

// limited connects to a server as a user with permissions.
func limited(t *testing.T, permissions string) (*natsx.Transport, *embedded.Server) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	config := fmt.Sprintf("authorization { users: [ { user: limited, password: limited-password, permissions: { %s } } ] }", permissions)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Listen: "127.0.0.1:0", ConfigFile: file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, User: "limited", Password: "limited-password", ReconnectWait: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr, s
}

// senderOf is a module that declares handles for sending.
func senderOf(handles ...mono.Handle) mono.Module {
	return module("sender", func(s *mono.Scope) { s.Use(handles...) })
}

// denials collects the observations of denied sends and receivers.
type denials struct {
	mu  sync.Mutex
	all []mono.Observation
}

func (o *denials) Observe(is mono.Observation) {
	switch is.(type) {
	case mono.SendDenied, mono.ReceiveDenied:
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, is)
	}
}

func (o *denials) get() []mono.Observation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// await waits for n observations.
func (o *denials) await(t *testing.T, n int) []mono.Observation {
	t.Helper()
	until(t, fmt.Sprintf("%d observations", n), func() bool { return len(o.get()) >= n })
	return o.get()
}

// until polls until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	realtime.Until(t, what, holds)
}

// If the account denies the JetStream API, Start fails at once instead of waiting for its
// timeout. The error names each stored handle and the permissions that are missing.
func TestDeniedJetStreamFailsTheStartAtOnce(t *testing.T) {
	t.Parallel()
	tr, _ := limited(t, `publish: { deny: "$JS.API.>" }`)
	app := mono.New(tr, quiet(t), mono.StartTimeout(5*time.Hour))
	app.Add(senderOf(deniedQueue, deniedStream))
	err := app.Start(t.Context())
	for _, want := range []string{"permission_denied", "queue denied.queue", "stream denied.stream", `"$JS.API.>"`, `"$JS.API.STREAM.INFO.queues_denied_queue"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

// Start fails if the server denies a subscription or a request of a receiver.
func TestDeniedReceiverFailsTheStart(t *testing.T) {
	t.Parallel()
	listens := module("listens", func(s *mono.Scope) { deniedEvent.Handle(s, func(context.Context, string) error { return nil }) })
	works := module("works", func(s *mono.Scope) { deniedQueue.Handle(s, func(context.Context, string) error { return nil }) })
	for permissions, m := range map[string]mono.Module{
		`subscribe: { deny: "events.>" }`:                     listens,
		`publish: { deny: "$JS.API.CONSUMER.MSG.NEXT.>" }`:    works,
		`publish: { deny: "$JS.API.CONSUMER.CREATE.>" }`:      works,
		`subscribe: { allow: "_INBOX.*.*", deny: "_INBOX.>"}`: works,
	} {
		t.Run(permissions, func(t *testing.T) {
			t.Parallel()
			tr, _ := limited(t, permissions)
			app := mono.New(tr, quiet(t), mono.StartTimeout(5*time.Hour))
			app.Add(m)
			if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "permission_denied") || !strings.Contains(err.Error(), "denied.") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An event that the server denies is reported by an observation, by health and by the
// next send. A new connection clears the denial.
func TestDeniedEventIsReported(t *testing.T) {
	t.Parallel()
	tr, s := limited(t, `publish: { deny: "events.denied.>" }`)
	app := mono.New(tr, quiet(t))
	app.Add(senderOf(deniedEvent))
	var seen denials
	app.Observe(&seen)
	begin(t, app)
	if h := app.Health(t.Context()); !h.Healthy {
		t.Errorf("before: %+v", h)
	}
	if err := deniedEvent.Publish(t.Context(), app, "a"); err != nil {
		t.Errorf("the first: %v", err)
	}
	denial := seen.await(t, 1)[0].(mono.SendDenied)
	if denial.Handle.Name() != "denied.event" || mono.CodeOf(denial.Err) != mono.PermissionDenied {
		t.Errorf("got %+v", denial)
	}
	err := deniedEvent.Publish(t.Context(), app, "b")
	if mono.CodeOf(err) != mono.PermissionDenied || !strings.Contains(err.Error(), `"events.denied.event"`) || mono.OutcomeOf(err) != mono.OutcomeNotDone {
		t.Errorf("the second: %v", err)
	}
	if h := app.Health(t.Context()); h.Healthy || !strings.Contains(h.Transport.Message, "event denied.event") {
		t.Errorf("health: %+v", h)
	}
	id, err := tr.Conn().GetClientID()
	if err == nil {
		err = s.NATS().DisconnectClientByID(id)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the App is healthy again", func() bool { return app.Health(t.Context()).Healthy })
	if err := deniedEvent.Publish(t.Context(), app, "c"); err != nil {
		t.Errorf("the first on another connection: %v", err)
	}
	seen.await(t, 2)
}

// denying is a transport that lets a test report denials.
type denying struct {
	transport.Transport
	deny chan func(transport.Denial)
}

func (d *denying) Watch(f func(transport.Denial)) (stop func()) {
	d.deny <- f
	return func() { close(d.deny) }
}

// A denial is assigned to the senders, receivers and groups of its subject.
func TestDenialsNameHandlesAndModules(t *testing.T) {
	t.Parallel()
	tr := &denying{inproc.New(inproc.Options{}), make(chan func(transport.Denial), 1)}
	app := mono.New(tr, quiet(t), mono.Namespace("ns"))
	app.Add(senderOf(deniedKeyed), module("listens", func(s *mono.Scope) {
		deniedEvent.Handle(s, func(context.Context, string) error { return nil })
		deniedQueue.Handle(s, func(context.Context, string) error { return nil })
	}))
	var seen denials
	app.Observe(&seen)
	begin(t, app)
	deny := <-tr.deny
	denied := &mono.Error{Code: mono.PermissionDenied, Message: "denied"}

	a := transport.Denial{Subject: "ns.events.denied.keyed._k.a", Err: denied}
	b := transport.Denial{Subject: "ns.events.denied.keyed._k.b", Err: denied}
	receive := transport.Denial{Subject: "ns.events.denied.event", Subscription: true, Group: "listens", Err: denied}
	group := transport.Denial{Subject: "$JS.ACK.ns_queues_denied_queue.>", Log: "ns_queues_denied_queue", Group: "workers", Err: denied}
	for _, d := range []transport.Denial{
		a, b, a, receive, group,
		{Subject: "ns.events.denied.keyedtoo", Err: denied},
		{Subject: "_INBOX.x", Err: denied},
		{Subject: receive.Subject, Subscription: true, Group: "another", Err: denied},
		{Log: group.Log, Group: "another", Err: denied},
	} {
		deny(d)
	}
	var got []string
	for _, is := range seen.get() {
		switch is := is.(type) {
		case mono.SendDenied:
			got = append(got, "send "+is.Handle.Name())
		case mono.ReceiveDenied:
			got = append(got, is.Module+" "+is.Handle.Name()+" "+is.Group)
		}
	}
	if want := []string{"send denied.keyed", "listens denied.event listens", "listens denied.queue workers"}; !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
	healthy := func() (transport, module bool) {
		h := app.Health(t.Context())
		return h.Transport.Healthy, h.Modules["listens"].Healthy
	}
	wantHealth := func(when string, transport, module bool) {
		t.Helper()
		if is, receives := healthy(); is != transport || receives != module {
			t.Errorf("%s: transport %t, module %t", when, is, receives)
		}
	}
	over := func(d transport.Denial) {
		d.Err = nil
		deny(d)
	}
	wantHealth("all denied", false, false)
	over(a)
	over(group)
	wantHealth("some are left", false, false)
	over(b)
	over(receive)
	over(receive)
	wantHealth("all over", true, true)
	deny(a)
	if n := len(seen.get()); n != 4 {
		t.Errorf("%d observations after a second denial", n)
	}
}
