package mono_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// These namespaces, names and groups are built from the words that mono and its
// backends use internally.
var (
	oddNamespaces = []string{"", "a", "x", "a.x", "queue", "dead", "partition.0", "queues", "x.queues", "services", "streams.x", "events"}
	oddNames      = []string{
		"x", "x.x", "a", "a.x", "queues", "queues.x", "x.queues.x", "services.x", "streams.x", "events.x", "x.events.x",
		"k.x", "x.k.x", "x.to.workers", "x.workers", "x.workers.1", "dead.x", "x.dead", "x-dead", "x.later", "partition.0.x",
	}
	oddGroups = []string{"workers", "x", "k", "to", "dead", "later", "source", "partition", "partition-0", "q", "1"}
)

// reserved lists the tokens that a namespace cannot contain.
var reserved = []string{"services", "queues", "events", "streams", "channels", "resources", "failures", "buckets", "kv", "objects"}

// A namespace with a reserved token is rejected. The error names the namespace, the token
// and an alternative, and the documentation of Namespace lists all reserved tokens.
func TestNamespaceRejectsReservedTokens(t *testing.T) {
	t.Parallel()
	for _, token := range reserved {
		for _, namespace := range []string{token, "shop." + token, token + ".shop", "a." + token + ".b"} {
			err := panicOf(func() { mono.New(inproc.New(inproc.Options{}), mono.Namespace(namespace)) })
			for _, want := range []string{fmt.Sprintf("Namespace(%q)", namespace), fmt.Sprintf("the token %q", token), "my-" + token} {
				if !strings.Contains(err, want) {
					t.Errorf("%q: got %q, want it to contain %s", namespace, err, want)
				}
			}
		}
		if err := panicOf(func() {
			mono.New(inproc.New(inproc.Options{}), mono.Namespace("my-"+token+"."+strings.TrimSuffix(token, "s")+"-1"))
		}); err != "" {
			t.Errorf("a namespace with a token that contains %q among others: %s", token, err)
		}
	}
	if err := panicOf(func() { mono.New(inproc.New(inproc.Options{}), mono.Namespace("Shop")) }); !strings.Contains(err, `Namespace("Shop")`) {
		t.Errorf("got %q", err)
	}
	doc := docOf(t, "app.go")
	for _, token := range reserved {
		if !strings.Contains(doc, token) {
			t.Errorf("the documentation of Namespace does not list %s", token)
		}
	}
}

// panicOf returns the text of the panic of f, or "" if f does not panic.
func panicOf(f func()) (text string) {
	defer func() {
		if v := recover(); v != nil {
			text = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}

// Handles with different names, kinds or namespaces share no subject, no log and no
// discovery name on a transport.
func TestNamesDoNotCollide(t *testing.T) {
	t.Parallel()
	all := &addresses{names: make(map[string]owner), subjects: make(map[address]bool)}
	for _, namespace := range oddNamespaces {
		if panicOf(func() { mono.New(inproc.New(inproc.Options{}), mono.Namespace(namespace)) }) != "" {
			continue // a reserved token
		}
		for _, declare := range declareOdd {
			all.collect(t, namespace, declare)
		}
	}
	all.check(t)
}

// owner identifies a handle in a namespace.
type owner struct {
	namespace string
	kind      mono.Kind
	name      string
}

// declareOdd declares a handle of each kind, in each form of the kind.
var declareOdd = []func(s *mono.Scope, name string) mono.Handle{
	func(s *mono.Scope, name string) mono.Handle {
		h := mono.NewService[fact, fact](name)
		h.Handle(s, func(_ context.Context, f fact) (fact, error) { return f, nil })
		return h
	},
	func(s *mono.Scope, name string) mono.Handle {
		h := mono.NewQueue[fact](name, mono.Groups(oddGroups...))
		for _, group := range oddGroups {
			h.Handle(s, ignore, mono.Group(group))
		}
		return h
	},
	func(s *mono.Scope, name string) mono.Handle {
		h := mono.NewQueue[fact](name, mono.NonPersistent(), mono.Groups(oddGroups...))
		for _, group := range oddGroups {
			h.Handle(s, ignore, mono.Group(group))
		}
		return h
	},
	func(s *mono.Scope, name string) mono.Handle {
		h := mono.NewStream[fact](name)
		h.Handle(s, ignore, mono.Group("partition-0"))
		return h
	},
	func(s *mono.Scope, name string) mono.Handle {
		h := mono.NewStream[fact](name).KeyedBy(func(f fact) string { return f.Key })
		h.Handle(s, ignore, mono.Group("partition"))
		h.Handle(s, ignore, mono.Group("to"), mono.Keys("_to", "_k", "x"))
		return h
	},
	func(s *mono.Scope, name string) mono.Handle { return subscribeOdd(s, mono.NewEvent[fact](name)) },
	func(s *mono.Scope, name string) mono.Handle {
		return subscribeOdd(s, mono.NewEvent[fact](name).KeyedBy(func(f fact) string { return f.Key }))
	},
	func(s *mono.Scope, name string) mono.Handle {
		return subscribeOdd(s, mono.NewEvent[fact](name, mono.Durable()))
	},
	func(s *mono.Scope, name string) mono.Handle {
		return subscribeOdd(s, mono.NewEvent[fact](name, mono.Durable()).KeyedBy(func(f fact) string { return f.Key }))
	},
}

// subscribeOdd subscribes several groups to e.
func subscribeOdd(s *mono.Scope, e mono.Event[fact]) mono.Handle {
	for _, group := range []string{"workers", "to", "k"} {
		e.Handle(s, ignore, mono.Group(group))
	}
	return e
}

func ignore(context.Context, fact) error { return nil }

// addresses collects the names and subjects that handles use on a transport.
type addresses struct {
	names    map[string]owner // of logs, services and endpoints
	subjects map[address]bool
}

type address struct {
	pattern string
	owner   owner
}

// collect starts an App in the namespace for a handle of each name.
func (a *addresses) collect(t *testing.T, namespace string, declare func(*mono.Scope, string) mono.Handle) {
	t.Helper()
	for _, name := range oddNames {
		tr := &recorded{Transport: inproc.New(inproc.Options{})}
		app := mono.New(tr, mono.Logger(discard), mono.Namespace(namespace))
		var h mono.Handle
		app.Add(module("x", func(s *mono.Scope) { h = declare(s, name) }))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		openDeadLetters(t, app, h)
		of := owner{namespace, h.Kind(), h.Name()}
		for _, name := range tr.names {
			a.name(t, name, of)
		}
		for _, service := range tr.services {
			a.name(t, service, owner{namespace: namespace})
		}
		for _, pattern := range tr.subjects {
			user := of
			if strings.Contains(pattern, "_contracts.") {
				user = owner{namespace: namespace} // all handles share it
			}
			a.subjects[address{pattern, user}] = true
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// openDeadLetters opens the log of dead letters of h, if h can have one.
func openDeadLetters(t *testing.T, app *mono.App, h mono.Handle) {
	t.Helper()
	stored, ok := h.(interface {
		DeadLetters(mono.Binder) mono.DeadLetters[fact]
	})
	if !ok {
		return
	}
	for _, err := range stored.DeadLetters(app).List(t.Context(), mono.DeadLetterFilter{}) {
		if err != nil && mono.CodeOf(err) != mono.FailedPrecondition { // the handle is not stored
			t.Fatal(err)
		}
	}
}

// name records the owner of a name and reports a second owner.
func (a *addresses) name(t *testing.T, name string, of owner) {
	t.Helper()
	if other, ok := a.names[name]; ok && other != of {
		t.Errorf("%s is the name of %+v and of %+v", name, other, of)
	}
	a.names[name] = of
}

// check reports subjects of different owners that overlap.
func (a *addresses) check(t *testing.T) {
	t.Helper()
	type class struct {
		tokens int
		first  string
	}
	classes := make(map[class][]address) // only patterns of one class can overlap
	for s := range a.subjects {
		first, _, _ := strings.Cut(s.pattern, ".")
		if first == "*" || strings.HasSuffix(s.pattern, ">") {
			t.Fatalf("%s of %+v matches nearly everything", s.pattern, s.owner)
		}
		c := class{strings.Count(s.pattern, "."), first}
		classes[c] = append(classes[c], s)
	}
	compared := 0
	for _, same := range classes {
		for i, s := range same {
			for _, other := range same[:i] {
				compared++
				if s.owner != other.owner && transport.Overlap(s.pattern, other.pattern) {
					t.Errorf("%s of %+v overlaps with %s of %+v", s.pattern, s.owner, other.pattern, other.owner)
				}
			}
		}
	}
	t.Logf("%d names, %d pairs of subjects", len(a.names), compared)
}

// recorded is a transport that records the names and subjects in use.
type recorded struct {
	transport.Transport

	mu                        sync.Mutex
	names, services, subjects []string
}

func (o *recorded) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	o.mu.Lock()
	o.names = append(o.names, "log "+c.Name)
	o.subjects = append(o.subjects, c.Subjects...)
	o.mu.Unlock()
	return o.Transport.Log(ctx, c)
}

func (o *recorded) Subscribe(ctx context.Context, s transport.Subscription, h transport.Handler) (transport.Receiver, error) {
	o.mu.Lock()
	o.subjects = append(o.subjects, s.Subject)
	if s.Endpoint != nil {
		o.services = append(o.services, "service "+s.Endpoint.Service)
		o.names = append(o.names, "endpoint "+s.Endpoint.Service+"/"+s.Endpoint.Name)
	}
	o.mu.Unlock()
	return o.Transport.Subscribe(ctx, s, h)
}

// Systems in different namespaces of one backend can use the same names: each receives
// only the messages that it sent.
func TestSystemsOnOneBackendAreSeparate(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		var systems []*system
		for _, namespace := range []string{"", "x", "x.x", "my-queues"} {
			for _, name := range []string{"x", "queues.x", "events.x"} {
				systems = append(systems, startSystem(t, b, namespace, name))
			}
		}
		for _, s := range systems {
			s.send(t)
		}
		for _, s := range systems {
			for range 4 { // a message through each handle
				if label := next(t, s.got); label != s.label {
					t.Errorf("%s got a message of %s", s.label, label)
				}
			}
		}
		for _, s := range systems {
			if err := s.app.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			none(t, s.got)
		}
	})
}

// system is an App in a namespace with one handle of each kind, all with one name.
type system struct {
	label   string
	app     *mono.App
	service mono.Service[string, string]
	senders []func(context.Context, mono.Binder, string) error
	got     chan string
}

func startSystem(t *testing.T, b backend, namespace, name string) *system {
	t.Helper()
	s := &system{label: namespace + "/" + name, app: mono.New(b.connect(), quiet(t), mono.Namespace(namespace), mono.NoLocalCalls()), got: make(chan string, 100)}
	receive := func(_ context.Context, label string) error {
		s.got <- label
		return nil
	}
	s.service = mono.NewService[string, string](name)
	queue, stream, event := mono.NewQueue[string](name), mono.NewStream[string](name), mono.NewEvent[string](name)
	if strings.Contains(name, ".") {
		event = mono.NewEvent[string](name, mono.Durable())
	}
	s.senders = append(s.senders, queue.Enqueue, stream.Append, event.Publish)
	s.app.Add(module("x", func(sc *mono.Scope) {
		s.service.Handle(sc, func(ctx context.Context, label string) (string, error) { return s.label, receive(ctx, label) })
		queue.Handle(sc, receive)
		stream.Handle(sc, receive)
		event.Handle(sc, receive)
	}))
	if err := s.app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *system) send(t *testing.T) {
	t.Helper()
	if answered, err := s.service.Call(t.Context(), s.app, s.label); err != nil || answered != s.label {
		t.Errorf("%s got the reply %q, %v", s.label, answered, err)
	}
	for _, send := range s.senders {
		if err := send(t.Context(), s.app, s.label); err != nil {
			t.Errorf("%s: %v", s.label, err)
		}
	}
}

// Discovery prefixes the name of a module with its namespace, so modules of different
// namespaces are found separately.
func TestDiscoverySeparatesNamespaces(t *testing.T) {
	t.Parallel()
	b := backend{"nats", natsBackend(t)}
	systems := []*system{startSystem(t, b, "", "x"), startSystem(t, b, "my.shop", "x")}
	t.Cleanup(func() {
		for _, s := range systems {
			if err := s.app.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	for _, want := range []struct{ service, subject string }{{"x", "services.x"}, {"my_shop_x", "my.shop.services.x"}} {
		got, err := mono.Raw(systems[0].app).Request(t.Context(), &transport.Message{Subject: "$SRV.INFO." + want.service})
		if err != nil || !strings.Contains(string(got.Body), fmt.Sprintf(`"subject":%q`, want.subject)) {
			t.Errorf("%s: got %s, %v", want.service, got.Body, err)
		}
	}
}

// Start reports a handle whose name is too long for its log of dead letters.
func TestNameTooLongForDeadLetters(t *testing.T) {
	t.Parallel()
	for length, fits := range map[int]bool{226: true, 227: false} { // with "queues.", ".x" and "__dead"
		namespace := strings.Repeat("n", 150)
		q := mono.NewQueue[fact](strings.Repeat("x", length-150))
		app := newApp(t, mono.Namespace(namespace))
		app.Add(module("worker", func(s *mono.Scope) { q.Handle(s, ignore) }))
		err := app.Start(t.Context())
		if fits && err != nil {
			t.Errorf("%d bytes: %v", length, err)
		}
		if !fits && (err == nil || !strings.Contains(err.Error(), "241 bytes, at most 240 are allowed")) {
			t.Errorf("%d bytes: got %v", length, err)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
