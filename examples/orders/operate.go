package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/audit"
	"gomono.dev/mono/health"
	"gomono.dev/mono/redact"
	"gomono.dev/mono/requestid"
)

// healthTimeout bounds a health check. The time limit of a probe is greater.
const healthTimeout = 2 * time.Second

// operation is the part of the settings that concerns operators. docs/operate.md explains the
// packages.
type operation struct {
	probes                string
	drainDelay            time.Duration
	log                   string
	accessLog             bool
	requestIDs, redaction bool
	auditKey              string
}

func (o *operation) define(flags *flag.FlagSet) {
	flags.StringVar(&o.probes, "probes", "", "address to serve /livez and /readyz on, such as :8081 (default: nowhere)")
	flags.DurationVar(&o.drainDelay, "drain-delay", 5*time.Second, "time for which a stop serves on while /readyz fails; none without -probes")
	flags.StringVar(&o.log, "log", "text", "format of the log: text or json")
	flags.BoolVar(&o.accessLog, "access-log", false, "log each message that is handled")
	flags.BoolVar(&o.requestIDs, "request-ids", true, "take the id of a request from X-Request-ID, or make one, and pass it on")
	flags.BoolVar(&o.redaction, "redact", true, "remove secrets from the log")
	flags.StringVar(&o.auditKey, "audit-key", "", "`file` with the private key of an audit log; go run ./examples/audit -new-key makes one (default: no audit log)")
}

// logTo returns a handler that writes records of a level and above.
func (o *operation) logTo(w io.Writer, level slog.Level) slog.Handler {
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if o.log == "json" {
		h = slog.NewJSONHandler(w, opts)
	}
	if o.redaction {
		h = redact.Handler(h)
	}
	if o.requestIDs {
		h = requestid.LogHandler(h)
	}
	return h
}

// options are the options of the App.
func (o *operation) options() (opts []mono.AppOption) {
	if o.requestIDs {
		opts = append(opts, requestid.Propagate())
	}
	if o.probes != "" {
		opts = append(opts, mono.DrainDelay(o.drainDelay), mono.HealthTimeout(healthTimeout))
	}
	return opts
}

// operate adds the logs and the probes to an App. It serves the probes at once, since they report
// the start, too, and until end is called after the stop.
func (o *operation) operate(app *mono.App, stderr io.Writer) (end func(), err error) {
	if o.accessLog {
		app.Use(accesslog.New(o.logTo(stderr, slog.LevelInfo)))
	}
	if o.auditKey != "" {
		key, err := os.ReadFile(o.auditKey)
		if err != nil {
			return nil, err
		}
		app.Use(audit.New(audit.Options{Key: strings.TrimSpace(string(key)), Redact: redact.Value}))
	}
	if o.probes == "" {
		return func() {}, nil
	}
	probes := health.New()
	app.Plugin("health", probes)
	listener, err := net.Listen("tcp", o.probes)
	if err != nil {
		return nil, fmt.Errorf("cannot serve probes on %s: choose another address with -probes: %w", o.probes, err)
	}
	server := &http.Server{Handler: probes, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // it ends with the listener
	return func() { _ = server.Close() }, nil
}
