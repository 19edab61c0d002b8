package embedded_test

import (
	"log/slog"
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/embedded"
	"gomono.dev/transport/transporttest"
)

func BenchmarkTransport(b *testing.B) {
	transporttest.Bench(b, func(b *testing.B) transport.Transport {
		tr, err := embedded.Open(b.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		return tr
	})
}
