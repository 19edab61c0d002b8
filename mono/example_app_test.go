package mono_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// newExample returns an App in memory that writes no log.
func newExample() *mono.App {
	return mono.New(inproc.New(inproc.Options{}), mono.Logger(slog.New(slog.DiscardHandler)))
}

// checkedStore is a module with a health check.
type checkedStore struct{ used, size int }

func (*checkedStore) Name() string           { return "store" }
func (*checkedStore) Bind(*mono.Scope) error { return nil }

func (m *checkedStore) Health(ctx context.Context) error {
	mono.ReportDetail(ctx, "used", m.used)
	if m.used == m.size {
		return errors.New("the store is full")
	}
	return nil
}

// Health checks every module that has a method Health, and the transport.
func ExampleApp_Health() {
	app, stop := startExample(&checkedStore{used: 8, size: 8})
	defer stop()

	health := app.Health(context.Background())
	store := health.Modules["store"]
	fmt.Println(health.Healthy, health.Transport.Healthy)
	fmt.Println(store.Healthy, store.Message, store.Details["used"])
	// Output:
	// false true
	// false the store is full 8
}

// A deploy compares a release with its server, which still has the queue of an earlier release.
// Nothing is sent or changed.
func ExampleApp_Preflight() {
	server := inproc.NewBackend(inproc.Options{})
	ctx, silent := context.Background(), mono.Logger(slog.New(slog.DiscardHandler))
	earlier := mono.New(server.Connect(), silent).Add(mono.NewModule("shop", func(s *mono.Scope) error {
		s.Use(mono.NewQueue[string]("mail"))
		return nil
	}))
	if err := errors.Join(earlier.Start(ctx), earlier.Stop(ctx)); err != nil {
		fmt.Println(err)
		return
	}

	app := mono.New(server.Connect(), silent).Add(mono.NewModule("shop", func(s *mono.Scope) error {
		s.Use(mono.NewQueue[string]("mail", mono.NonPersistent()))
		return nil
	}))
	if err := compare(ctx, app); err != nil {
		fmt.Println(err)
	}
	// Output:
	// queue mail: needs no log queues_mail, since it is NonPersistent, but an earlier release has left it with 0 jobs, and it would accept further jobs without a worker: let a release that stores the queue finish them, then delete the log (on NATS: nats stream rm queues_mail)
	// the server is not fit
}

func compare(ctx context.Context, app *mono.App) error {
	unfit := false
	findings, err := app.Preflight(ctx)
	if err != nil {
		return err // the App has mistakes, or the server cannot be asked
	}
	for _, f := range findings {
		fmt.Println(f) // object, need, what was found, remedy
		if !f.Warning {
			unfit = true
		}
	}
	if unfit {
		return errors.New("the server is not fit")
	}
	return nil
}

// A module serves the health of its App, which it reads from its Scope.
func ExampleScope_Health() {
	var health http.HandlerFunc
	app := newExample()
	app.Add(mono.NewModule("web", func(s *mono.Scope) error {
		health = func(w http.ResponseWriter, r *http.Request) {
			h := s.Health(r.Context())
			if !h.Healthy {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_ = json.NewEncoder(w).Encode(h) // an error means that the client has gone
		}
		return nil
	}))
	get := func() int {
		w := httptest.NewRecorder()
		health(w, httptest.NewRequest("GET", "/health", nil))
		return w.Code
	}
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	fmt.Println("running:", get())
	if err := app.Stop(ctx); err != nil {
		panic(err)
	}
	fmt.Println("stopped:", get())
	// Output:
	// running: 200
	// stopped: 503
}

// Describe returns the modules and handles of an App. The result marshals to JSON.
func ExampleApp_Describe() {
	app, stop := startExample(&payments{}, mono.NewModule("mail", func(s *mono.Scope) error {
		charged.Handle(s, func(context.Context, chargeReply) error { return nil })
		return nil
	}))
	defer stop()

	for _, m := range app.Describe().Modules {
		fmt.Println(m.Name, m.Provides, m.Produces, m.Consumes)
	}
	for _, h := range app.Describe().Handles {
		fmt.Println(h.Subject, h.Types)
	}
	// Output:
	// payments [service payments.charge] [event payments.charged] []
	// mail [] [] [event payments.charged]
	// events.payments.charged [mono_test.chargeReply]
	// services.payments.charge [mono_test.chargeRequest mono_test.chargeReply]
}

// An observer receives what happens to an App, in order.
func ExampleObserver() {
	app := newExample()
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		switch o := o.(type) {
		case mono.StateChanged:
			fmt.Println(o.From, "→", o.To)
		case mono.ModuleStarted:
			fmt.Println(o.Module, "serves")
		case mono.ModuleStopped:
			fmt.Println(o.Module, "has stopped", o.Err)
		}
	}))
	app.Add(&payments{})
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	if err := app.Stop(ctx); err != nil {
		panic(err)
	}
	// Output:
	// created → starting
	// payments serves
	// starting → running
	// running → stopping
	// payments has stopped <nil>
	// stopping → stopped
}

// sensor sends on a channel, and printer receives from it. They share nothing else.
type sensor struct{ out chan<- int }

var temperatures = mono.NewChannel[int]("example.temperatures")

func (m *sensor) Name() string { return "sensor" }

func (m *sensor) Bind(s *mono.Scope) error {
	m.out = temperatures.Send(s)
	return nil
}

func (m *sensor) Start(context.Context) error {
	go func() { m.out <- 19 }()
	return nil
}

type printer struct {
	in   <-chan int
	done chan int
}

func (m *printer) Name() string { return "printer" }

func (m *printer) Bind(s *mono.Scope) error {
	m.in = temperatures.Receive(s)
	return nil
}

func (m *printer) Start(context.Context) error {
	go func() {
		for degrees := range m.in { // until all senders have stopped
			m.done <- degrees
		}
		close(m.done)
	}()
	return nil
}

// A channel connects modules of one process. It is closed when its senders have stopped.
func ExampleChannel() {
	printer := &printer{done: make(chan int)}
	_, stop := startExample(&sensor{}, printer)
	fmt.Println(<-printer.done)
	stop()
	_, open := <-printer.done
	fmt.Println(open)
	// Output:
	// 19
	// false
}

// exampleDB is a resource that one module opens.
type exampleDB struct{ name string }

func (d *exampleDB) Close() error {
	fmt.Println("closed", d.name)
	return nil
}

// A resource is opened before the modules that need it start, and closed after they have
// stopped.
func ExampleResource() {
	orders := mono.NewResource[*exampleDB]("example.orders")
	var db *exampleDB
	_, stop := startExample(
		mono.NewModule("shop", func(s *mono.Scope) error {
			orders.Need(s, &db) // set before the module's Start
			return nil
		}),
		mono.NewModule("storage", func(s *mono.Scope) error {
			orders.Provide(s, func(context.Context) (*exampleDB, error) {
				return &exampleDB{"orders.db"}, nil
			})
			return nil
		}),
	)
	fmt.Println("using", db.name)
	stop()
	// Output:
	// using orders.db
	// closed orders.db
}

// Run is the main function of most programs. It returns when its context ends or the
// process gets a signal.
func ExampleRun() {
	ctx, cancel := context.WithCancel(context.Background())
	app := newExample()
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		if s, ok := o.(mono.StateChanged); ok && s.To == mono.StateRunning {
			fmt.Println("running")
			cancel() // as Ctrl-C would do
		}
	}))
	app.Add(&payments{})
	fmt.Println(app.Run(ctx))
	// Output:
	// running
	// <nil>
}

// One program runs in two roles, as two processes on one server. The module shop calls the
// payments of the other process.
func ExampleInRole() {
	backend := inproc.NewBackend(inproc.Options{}) // instead of a NATS server
	process := func(role string) *mono.App {       // main, where a flag has the role
		app := mono.New(backend.Connect(), mono.ActiveRoles(role), mono.Logger(slog.New(slog.DiscardHandler)))
		return app.Add(
			mono.InRole("worker", &payments{}),
			mono.InRole("web", mono.NewModule("shop", func(s *mono.Scope) error {
				s.Use(charge)
				return nil
			})),
		)
	}
	ctx := context.Background()
	worker, web := process("worker"), process("web")
	for _, app := range []*mono.App{worker, web} {
		if err := app.Start(ctx); err != nil {
			panic(err)
		}
		defer app.Stop(ctx)
	}
	fmt.Println("here:", web.Describe().Modules[0].Name, "elsewhere:", web.Describe().Inactive[0].Name)
	reply, err := charge.Call(ctx, web, chargeRequest{Card: "4242"})
	fmt.Println(reply.Receipt, err)
	// Output:
	// here: shop elsewhere: payments
	// R-1 <nil>
}

// Raw gives access to the transport, for example to subscribe to a pattern.
func ExampleRaw() {
	app, stop := startExample(&payments{})
	defer stop()
	ctx := context.Background()

	subjects := make(chan string)
	receiver, err := mono.Raw(app).Subscribe(ctx, transport.Subscription{Subject: "events.>"},
		transport.Serial(func(m *transport.Message) { subjects <- m.Subject + " " + string(m.Body) }))
	if err != nil {
		panic(err)
	}
	defer receiver.Close()
	if err := charged.Publish(ctx, app, chargeReply{Receipt: "R-1"}); err != nil {
		panic(err)
	}
	fmt.Println(<-subjects)
	// Output: events.payments.charged {"Receipt":"R-1"}
}
