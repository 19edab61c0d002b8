// Package scrape serves the metrics of package telemetry to Prometheus. It is a separate module, so
// that neither Prometheus nor the SDK enters the go.mod of telemetry. A program copies its few
// lines.
package scrape

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// New returns a provider of metrics for telemetry.MeterProvider, and a handler that serves them, with
// exemplars to a scraper that asks for OpenMetrics. registry may have other collectors.
func New(registry *prometheus.Registry) (*metric.MeterProvider, http.Handler, error) {
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
	return metric.NewMeterProvider(metric.WithReader(exporter)), handler, nil
}
