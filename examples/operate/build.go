package main

import (
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	contract "gomono.dev/examples/orders/analytics"
	stock "gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/modules/analytics"
	"gomono.dev/examples/orders/modules/inventory"
	"gomono.dev/examples/orders/modules/notifications"
	"gomono.dev/examples/orders/modules/orders"
	"gomono.dev/examples/orders/modules/payments"
	"gomono.dev/examples/orders/modules/web"
	post "gomono.dev/examples/orders/notifications"
	order "gomono.dev/examples/orders/orders"
	bank "gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/auth"
	"gomono.dev/mono/requestid"
	"gomono.dev/mono/telemetry"
	"gomono.dev/transport"
)

// audience is in every valid token.
const audience = "orders"

// settings are what build needs.
type settings struct {
	serve       string // address
	log         slog.Handler
	tracers     trace.TracerProvider
	meters      metric.MeterProvider
	tokens      auth.Options  // except for Audience and Open
	settleAfter time.Duration // of orders.Module
}

// build returns an App with the unchanged modules of examples/orders, and with what observes and
// protects them.
func build(tr transport.Transport, set settings, opts ...mono.AppOption) *mono.App {
	set.tokens.Audience, set.tokens.Open = audience, internal()
	users := auth.New(set.tokens)
	app := mono.New(tr, append(opts, mono.Logger(slog.New(set.log)), requestid.Propagate(), auth.Propagate())...)
	app.Use(
		telemetry.New(telemetry.TracerProvider(set.tracers), telemetry.MeterProvider(set.meters)),
		accesslog.New(set.log, accesslog.Attrs(telemetry.LogAttrs)), // with the ids of the span
		users, // refused messages are traced and logged
	)
	return app.Add(
		&inventory.Module{},
		&payments.Module{},
		&orders.Module{SettleAfter: set.settleAfter},
		&notifications.Module{},
		&analytics.Module{},
		mono.NewModule("shop", bindShop),
		&web.Module{Addr: set.serve, RequestIDs: true, Place: &place, Get: &get, Wrap: func(routes http.Handler) http.Handler {
			return users.Handler(otelhttp.NewHandler(routes, "HTTP",
				otelhttp.WithTracerProvider(set.tracers), otelhttp.WithMeterProvider(set.meters),
				// Strangers choose neither the trace of a request nor, by Host, an attribute of metrics.
				otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()), otelhttp.WithServerName("orders")))
		}},
	)
}

// internal returns the names of the services that know nothing of tokens. The permissions of the
// server keep strangers from them.
func internal() (names []string) {
	for _, h := range []mono.Handle{
		order.Place, order.Get, stock.Check, stock.Reserve, stock.Release,
		bank.Charge, bank.Refund, bank.Get, post.Sent, contract.Totals,
	} {
		names = append(names, h.Name())
	}
	return names
}
