package bench

import (
	"context"
	"log/slog"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport/inproc"
)

// BenchmarkAccessLog is the flat local call of BenchmarkLocal, with an access log whose handler takes
// all records and writes none.
func BenchmarkAccessLog(b *testing.B) {
	log := func(opts ...accesslog.Option) *accesslog.Log {
		return accesslog.New(forgetful{}, append(opts, accesslog.Buffer(1<<16))...)
	}
	ids := []mono.AppOption{requestid.Propagate()}
	for _, c := range []struct {
		name string
		log  *accesslog.Log
		opts []mono.AppOption
	}{
		{"without", nil, nil},
		{"level-off", accesslog.New(slog.DiscardHandler), nil},
		{"on", log(), nil},
		{"request-id", log(), ids},
		{"sampled", log(accesslog.Sample(0.01)), ids},
		{"sent", log(accesslog.Sent()), nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			call := loggedCaller(b, c.log, c.opts...)
			askAbout(b, call, flat{ID: "order-0123456789"}, setQuantity, quantity)
			reportLost(b, c.log)
		})
	}
}

// loggedCaller starts an App that answers with the request and has the log, which may be nil.
func loggedCaller(b testing.TB, log *accesslog.Log, opts ...mono.AppOption) (call mono.Func[flat, flat]) {
	serve(b, inproc.New(inproc.Options{}), func(a *mono.App) {
		if log != nil {
			a.Use(log)
		}
		a.Add(module("server", func(s *mono.Scope) { flatEcho.Handle(s, same[flat]) }), module("client", func(s *mono.Scope) { call = flatEcho.Client(s) }))
	}, opts...)
	return call
}

// reportLost fails the benchmark if records were lost: losing one costs less than writing it.
func reportLost(b *testing.B, log *accesslog.Log) {
	if log == nil {
		return
	}
	if dropped, failed := log.Lost(); dropped+failed > uint64(b.N)/100 {
		b.Errorf("%d of %d records were dropped, %d have failed", dropped, b.N, failed)
	}
}

type forgetful struct{}

func (forgetful) Enabled(context.Context, slog.Level) bool  { return true }
func (forgetful) Handle(context.Context, slog.Record) error { return nil }
func (f forgetful) WithAttrs([]slog.Attr) slog.Handler      { return f }
func (f forgetful) WithGroup(string) slog.Handler           { return f }
