// Orders is a modular monolith: five modules that communicate through handles, on an embedded
// NATS server, in memory, or on another NATS server. It places the orders of a file and prints
// their results.
//
//	go run ./examples/orders                                   # embedded NATS, store on disk
//	go run ./examples/orders -transport inproc                 # in memory
//	go run ./examples/orders -transport nats://127.0.0.1:4222  # an existing server
//	go run ./examples/orders -serve :8080                      # and then serve HTTP until a signal
//
// Operators have probes, logs and an audit log behind flags (see operate.go, and kubernetes for the
// manifests):
//
//	go run ./examples/orders -serve :8080 -probes :8081 -log json -access-log
//
// One process runs all modules, or two processes of the same program share them. The role web
// takes orders, and the role worker sends the receipts and adds up the totals:
//
//	go run ./examples/orders -role worker -listen 127.0.0.1:4222         # until a signal
//	go run ./examples/orders -role web -transport nats://127.0.0.1:4222  # places the orders
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gomono.dev/examples/orders/modules/analytics"
	"gomono.dev/examples/orders/modules/inventory"
	"gomono.dev/examples/orders/modules/notifications"
	"gomono.dev/examples/orders/modules/orders"
	"gomono.dev/examples/orders/modules/payments"
	"gomono.dev/examples/orders/modules/web"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

//go:embed orders.ndjson
var sample string

// settings are the command line.
type settings struct {
	transport, store, listen string
	orders, serve            string
	roles                    []string // none: all
	noLocalCalls             bool
	settleAfter, stopTimeout time.Duration
	operation
}

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "orders:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	set, err := parse(args, stderr)
	if err != nil {
		return err
	}
	input, err := set.open(stdin)
	if err != nil {
		return err
	}
	defer input.Close()
	ctx, restore := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // a second signal ends the process
	tr, err := set.connect(ctx, stderr)
	if err != nil {
		return err
	}
	app := build(set, tr, stderr)
	endOperation, err := set.operate(app, stderr)
	if err != nil {
		return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
	}
	defer endOperation()
	if err := app.Start(ctx); err != nil {
		return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
	}
	if set.takesOrders() {
		err = process(ctx, app, input, stdout, stderr)
	}
	if err == nil && (set.serve != "" || !set.takesOrders()) {
		<-ctx.Done()
		restore() // before the stop is visible
	}
	return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var set settings
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&set.transport, "transport", "embedded", "inproc, embedded, or the URL of a NATS server")
	flags.StringVar(&set.store, "store", defaultStore(), "directory of the embedded server's store")
	flags.StringVar(&set.listen, "listen", "", "address on which the embedded server listens, such as 127.0.0.1:4222 (default: nowhere)")
	flags.StringVar(&set.orders, "orders", "", "file of orders, one JSON object a line; - is standard input (default: the sample)")
	flags.StringVar(&set.serve, "serve", "", "address to serve HTTP on until a signal, such as :8080")
	flags.Func("role", "`roles` of this process, separated by commas: web takes orders; worker sends receipts and computes totals, until a signal (default: both)", func(text string) error {
		set.roles = append(set.roles, strings.Split(text, ",")...)
		return nil
	})
	flags.BoolVar(&set.noLocalCalls, "no-local-calls", false, "send calls over the transport even within this process")
	flags.DurationVar(&set.settleAfter, "settle-after", time.Minute, "age at which an unplaced order returns its goods and money")
	flags.DurationVar(&set.stopTimeout, "stop-timeout", 30*time.Second, "time limit of a stop")
	set.define(flags)
	if err := flags.Parse(args); err != nil {
		return set, err
	}
	switch {
	case flags.NArg() > 0:
		return set, fmt.Errorf("unexpected argument %q: orders takes flags only, see -help", flags.Arg(0))
	case set.log != "text" && set.log != "json":
		return set, fmt.Errorf("unknown format of the log %q: use -log text or -log json", set.log)
	}
	return set, nil
}

// takesOrders reports whether the process has the role web.
func (set settings) takesOrders() bool {
	return len(set.roles) == 0 || slices.Contains(set.roles, "web")
}

// defaultStore is the directory in which the embedded server keeps its data between runs.
func defaultStore() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "mono-orders")
}

func (set settings) open(stdin io.Reader) (io.ReadCloser, error) {
	switch set.orders {
	case "":
		return io.NopCloser(strings.NewReader(sample)), nil
	case "-":
		return io.NopCloser(stdin), nil
	}
	return os.Open(set.orders)
}

// connect is the only place that knows the transport.
func (set settings) connect(ctx context.Context, stderr io.Writer) (transport.Transport, error) {
	logger := set.logger(stderr)
	switch {
	case set.transport == "inproc":
		return inproc.New(inproc.Options{}), nil
	case set.transport == "embedded":
		return embedded.Open(ctx, embedded.Options{Dir: set.store, Listen: set.listen, Logger: logger})
	case strings.Contains(set.transport, "://"):
		return natsx.Connect(ctx, natsx.Options{URLs: []string{set.transport}, Name: "orders", Logger: logger})
	}
	return nil, fmt.Errorf("unknown transport %q: use inproc, embedded, or a URL such as nats://127.0.0.1:4222", set.transport)
}

// build is the same for every role: each process knows all modules, and its start checks all.
func build(set settings, tr transport.Transport, stderr io.Writer) *mono.App {
	opts := []mono.AppOption{mono.Logger(set.logger(stderr)), mono.StopTimeout(set.stopTimeout)}
	opts = append(opts, set.options()...)
	if set.noLocalCalls {
		opts = append(opts, mono.NoLocalCalls())
	}
	if len(set.roles) > 0 {
		opts = append(opts, mono.ActiveRoles(set.roles...))
	}
	app := mono.New(tr, opts...).Add(
		mono.InRole("web", &inventory.Module{}),
		mono.InRole("web", &payments.Module{}),
		mono.InRole("web", &orders.Module{SettleAfter: set.settleAfter}),
		mono.InRole("worker", &notifications.Module{}),
		mono.InRole("worker", &analytics.Module{}),
	)
	if set.serve != "" {
		app.Add(mono.InRole("web", &web.Module{Addr: set.serve, RequestIDs: set.requestIDs}))
	}
	return app
}

func (set settings) logger(w io.Writer) *slog.Logger {
	return slog.New(set.logTo(w, slog.LevelWarn))
}
