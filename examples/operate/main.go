// Operate runs the modules of examples/orders behind HTTP with bearer tokens, request ids, an access
// log, traces and metrics. It is a separate module, because these need OpenTelemetry's SDK,
// Prometheus and a library for JSON Web Tokens.
//
//	go run . # in examples/operate; it prints a token
//	curl -d '{"id":"a1","card":"4242 4242 4242 4242","product":"book","quantity":1}' \
//	  -H 'Content-Type: application/json' -H "Authorization: Bearer $TOKEN" localhost:8080/orders
//	curl localhost:9464/metrics
//
// With -otlp the traces go to a collector, with -jwks the keys of an identity provider verify the
// tokens, and with -nats the messages go over a server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace"

	"gomono.dev/mono/auth"
	"gomono.dev/mono/redact"
	"gomono.dev/mono/requestid"
	"gomono.dev/mono/telemetry/scrape"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

func main() {
	serve := flag.String("serve", "localhost:8080", "address to serve orders on")
	metrics := flag.String("metrics", "localhost:9464", "address to serve /metrics on")
	nats := flag.String("nats", "", "URL of a NATS server (default: an embedded one in memory)")
	otlp := flag.String("otlp", "", "URL of a collector of traces, such as http://localhost:4318/v1/traces (default: none)")
	jwks := flag.String("jwks", "", "URL of the keys of an identity provider, for RS256 (default: a new key, and a token that is printed)")
	issuer := flag.String("issuer", "https://id.example.com", "issuer of the tokens, with -jwks")
	flag.Parse()
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, restore) // a second signal ends the process
	if err := run(ctx, *serve, *metrics, *nats, *otlp, *jwks, *issuer); err != nil {
		fmt.Fprintln(os.Stderr, "operate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, serve, metrics, nats, otlp, jwks, issuer string) error {
	set := settings{serve: serve, log: requestid.LogHandler(redact.Handler(slog.NewTextHandler(os.Stderr, nil)))}
	tracers, err := exporting(ctx, otlp)
	if err != nil {
		return err
	}
	defer func() { _ = tracers.Shutdown(context.WithoutCancel(ctx)) }() // after the App
	set.tracers = tracers
	meters, scraped, err := scrape.New(prometheus.NewRegistry())
	if err != nil {
		return err
	}
	set.meters = meters
	set.tokens = auth.Options{Algorithms: []string{"RS256"}, Issuer: issuer, Keys: auth.JWKS(jwks)}
	if jwks == "" {
		var sign signer
		set.tokens, sign = newKey()
		fmt.Println(sign("ada", "orders:read orders:write", time.Hour))
	}
	tr, err := connect(ctx, nats, slog.New(set.log))
	if err != nil {
		return err
	}
	app := build(tr, set)
	if err := app.Start(ctx); err != nil {
		return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", scraped)
	server := &http.Server{Addr: metrics, Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, app.Stop(context.WithoutCancel(ctx)), server.Close())
}

// exporting returns a provider of traces that sends them to a collector. Without one, log lines still
// have the ids of their traces.
func exporting(ctx context.Context, collector string) (*trace.TracerProvider, error) {
	if collector == "" {
		return trace.NewTracerProvider(), nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(collector))
	if err != nil {
		return nil, err
	}
	return trace.NewTracerProvider(trace.WithBatcher(exporter)), nil
}

func connect(ctx context.Context, url string, log *slog.Logger) (transport.Transport, error) {
	if url == "" {
		return embedded.Open(ctx, embedded.Options{Memory: true, Logger: log})
	}
	return natsx.Connect(ctx, natsx.Options{URLs: []string{url}, Name: "operate", Logger: log})
}
