package peers

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var echo = mono.NewService[[]byte, []byte]("peers.echo", mono.Codec(codec.Raw))

// BenchmarkService is one request after another, over NATS in the process.
func BenchmarkService(b *testing.B) {
	b.Run("mono", monoService)
	b.Run("micro", microService)
}

func connect(b *testing.B, s *embedded.Server) *natsx.Transport {
	tr, err := s.Connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return tr
}

func server(b *testing.B) *embedded.Server {
	s, err := embedded.Start(b.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}

func monoService(b *testing.B) {
	s := server(b)
	provider := mono.New(connect(b, s), quiet)
	provider.Add(mono.NewModule("provider", func(sc *mono.Scope) error {
		echo.Handle(sc, func(_ context.Context, body []byte) ([]byte, error) { return body, nil })
		return nil
	}))
	caller := mono.New(connect(b, s), quiet)
	caller.Remote(echo)
	for _, app := range []*mono.App{provider, caller} {
		if err := app.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		defer app.Stop(context.Background())
	}
	ask(b, func(ctx context.Context, body []byte) ([]byte, error) { return echo.Call(ctx, caller, body) })
}

func microService(b *testing.B) {
	s := server(b)
	provider, caller := connect(b, s), connect(b, s)
	defer provider.Close(context.Background())
	defer caller.Close(context.Background())
	service, err := micro.AddService(provider.Conn(), micro.Config{Name: "peers", Version: "1.0.0", Endpoint: &micro.EndpointConfig{
		Subject: "peers.micro",
		Handler: micro.HandlerFunc(func(r micro.Request) {
			if err := r.Respond(r.Data()); err != nil {
				b.Error(err)
			}
		}),
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer service.Stop()
	if err := provider.Conn().Flush(); err != nil {
		b.Fatal(err)
	}
	ask(b, func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		m, err := caller.Conn().RequestWithContext(ctx, "peers.micro", body)
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	})
}

func ask(b *testing.B, ask func(context.Context, []byte) ([]byte, error)) {
	body := make([]byte, size)
	b.ReportAllocs()
	for b.Loop() {
		answer, err := ask(b.Context(), body)
		if err != nil || len(answer) != size {
			b.Fatalf("%d bytes, %v", len(answer), err)
		}
	}
}
