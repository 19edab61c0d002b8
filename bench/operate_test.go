package bench

import (
	"context"
	"testing"

	"gomono.dev/mono/requestid"
)

// BenchmarkOperate is the cost of the packages that run around each message, on a flat local call.
// The handler of "reading" reads the request id, and of "carried" the caller has one.
func BenchmarkOperate(b *testing.B) {
	v := flat{ID: "order-0123456789"}
	id := func(ctx context.Context, f flat) (flat, error) {
		if requestid.From(ctx) == "" {
			b.Error("the handler has no request id")
		}
		return f, nil
	}
	b.Run("none", func(b *testing.B) { askAbout(b, localCaller(b, flatEcho), v, setQuantity, quantity) })
	b.Run("requestid", func(b *testing.B) {
		askAbout(b, localCaller(b, flatEcho, requestid.Propagate()), v, setQuantity, quantity)
	})
	b.Run("requestid/reading", func(b *testing.B) {
		askAbout(b, localCallerOf(b, flatEcho, id, requestid.Propagate()), v, setQuantity, quantity)
	})
	b.Run("requestid/carried", func(b *testing.B) {
		ask := localCallerOf(b, flatEcho, id, requestid.Propagate())
		ctx := requestid.With(b.Context(), "")
		askAbout(b, func(_ context.Context, f flat) (flat, error) { return ask(ctx, f) }, v, setQuantity, quantity)
	})
}
