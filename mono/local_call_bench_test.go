package mono_test

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport/inproc"
)

// flatRequest and flatReply contain only scalars and strings.
type flatRequest struct {
	ID     string `json:"id"`
	Amount int64  `json:"amount"`
	Rate   float64
}

type flatReply struct {
	ID string `json:"id"`
	OK bool   `json:"ok"`
}

// nestedOrder is an order of about 250 bytes in JSON.
type nestedOrder struct {
	ID       string         `json:"id"`
	Customer nestedCustomer `json:"customer"`
	Lines    []nestedLine   `json:"lines"`
	Placed   time.Time      `json:"placed"`
	Total    int64          `json:"total"`
}

type nestedCustomer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	City string `json:"city"`
}

type nestedLine struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

var (
	flat            = mono.NewService[flatRequest, flatReply]("bench.flat")
	flatTimeout     = mono.NewService[flatRequest, flatReply]("bench.flat-timeout", mono.Timeout(time.Minute))
	flatByReference = mono.NewService[flatRequest, flatReply]("bench.flat-by-reference", mono.ByReference())
	nested          = mono.NewService[nestedOrder, flatReply]("bench.nested")

	aFlatRequest = flatRequest{ID: "order-000001", Amount: 1250, Rate: 0.19}
	anOrder      = nestedOrder{
		ID: "order-000001", Customer: nestedCustomer{"customer-17", "Ada Lovelace", "London"},
		Lines:  []nestedLine{{"apples", 3, 1.25}, {"pears", 4, 2.5}, {"plums", 5, 0.75}},
		Placed: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Total: 1750,
	}
)

func answerFlat(_ context.Context, req flatRequest) (flatReply, error) {
	return flatReply{ID: req.ID, OK: true}, nil
}

func answerNested(_ context.Context, o nestedOrder) (flatReply, error) {
	return flatReply{ID: o.ID, OK: len(o.Lines) == 3}, nil
}

// localClients holds clients of services that the same App provides.
type localClients struct {
	flat, timeout, byReference mono.Func[flatRequest, flatReply]
	nested                     mono.Func[nestedOrder, flatReply]
}

func startLocal(tb testing.TB, opts ...mono.AppOption) (*mono.App, *localClients) {
	c := &localClients{}
	app := mono.New(inproc.New(inproc.Options{}), append(opts, mono.Logger(discard))...)
	app.Add(
		module("provider", func(s *mono.Scope) {
			flat.Handle(s, answerFlat)
			flatTimeout.Handle(s, answerFlat)
			flatByReference.Handle(s, answerFlat)
			nested.Handle(s, answerNested)
		}),
		module("caller", func(s *mono.Scope) {
			c.flat, c.timeout, c.byReference, c.nested = flat.Client(s), flatTimeout.Client(s), flatByReference.Client(s), nested.Client(s)
		}))
	if err := app.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = app.Stop(context.Background()) })
	return app, c
}

// BenchmarkLocal measures local calls and, for comparison, a direct call of the handler.
func BenchmarkLocal(b *testing.B) {
	app, c := startLocal(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	direct := answerFlat
	run := func(name string, call func() (flatReply, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := call(); err != nil || got.ID != aFlatRequest.ID || !got.OK {
					b.Fatal(got, err)
				}
			}
		})
	}
	run("direct", func() (flatReply, error) { return direct(ctx, aFlatRequest) })
	run("flat", func() (flatReply, error) { return c.flat(ctx, aFlatRequest) })
	run("call", func() (flatReply, error) { return flat.Call(ctx, app, aFlatRequest) })
	run("timeout", func() (flatReply, error) { return c.timeout(ctx, aFlatRequest) })
	run("by-reference", func() (flatReply, error) { return c.byReference(ctx, aFlatRequest) })
	run("nested", func() (flatReply, error) { return c.nested(ctx, anOrder) })
}

// BenchmarkLocalParallel measures local calls from several goroutines.
func BenchmarkLocalParallel(b *testing.B) {
	_, c := startLocal(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got, err := c.flat(ctx, aFlatRequest); err != nil || !got.OK {
				b.Error(got, err)
			}
		}
	})
}
