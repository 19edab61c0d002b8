package auth_test

import (
	"context"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"gomono.dev/mono"
	"gomono.dev/mono/auth"
)

// flat is the payload.
type flat struct {
	ID       string
	Quantity int
}

var (
	bare    = mono.NewService[flat, flat]("bench.bare")
	guarded = mono.NewService[flat, flat]("bench.guarded", auth.Require(auth.Scope("orders:write")))
)

// BenchmarkCall is a call with a cached token, beside the same call without auth. The unit x/flat is a
// multiple of the first one, a flat local call.
func BenchmarkCall(b *testing.B) {
	var first float64
	long := sign(jwt.SigningMethodRS256, "rsa", rsaKey, claims())
	for _, p := range paths {
		for _, with := range []bool{false, true} {
			name, s := p.name+"/none", bare
			ctx, cancel := context.WithCancel(auth.With(b.Context(), long))
			defer cancel()
			opts := []mono.AppOption{discard()}
			if p.noLocalCalls {
				opts = append(opts, mono.NoLocalCalls())
			}
			if with {
				name, s = p.name+"/auth", guarded
				opts = append(opts, auth.Propagate())
			}
			b.Run(name, func(b *testing.B) {
				app := mono.New(p.open(b), opts...)
				if with {
					app.Use(auth.New(options()))
				}
				var ask mono.Func[flat, flat]
				app.Add(module("bench", func(sc *mono.Scope) {
					s.Handle(sc, func(_ context.Context, f flat) (flat, error) { return f, nil })
					ask = s.Client(sc)
				}))
				begin(b, app)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if f, err := ask(ctx, flat{"order-0123456789", i}); err != nil || f.Quantity != i {
						b.Fatalf("got %+v, %v", f, err)
					}
				}
				per := float64(b.Elapsed()) / float64(b.N)
				if !with && !p.noLocalCalls {
					first = per
				}
				if first > 0 {
					b.ReportMetric(per/first, "x/flat")
				}
			})
		}
	}
}

// A call with a cached token allocates three objects: the call, its Call, and the context with the
// claims. The verification of a signature would add more than fifty.
func TestAllocations(t *testing.T) {
	app := paths[0].app(t, options())
	app.Add(module("bench", func(s *mono.Scope) {
		guarded.Handle(s, func(_ context.Context, f flat) (flat, error) { return f, nil })
	}))
	begin(t, app)
	ctx := auth.With(t.Context(), sign(jwt.SigningMethodRS256, "rsa", rsaKey, claims()))
	n := testing.AllocsPerRun(100, func() {
		if _, err := guarded.Call(ctx, app, flat{}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 3 {
		t.Errorf("a call allocates %v objects", n)
	}
}
