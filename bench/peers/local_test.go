package peers

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	gomonolith "github.com/go-monolith/mono"
	"github.com/go-monolith/mono/pkg/helper"

	"gomono.dev/mono"
)

// flat is a typical small request.
type flat struct {
	ID       string
	Quantity int
	Price    float64
	Paid     bool
}

var flatEcho = mono.NewService[flat, flat]("peers.flat")

// BenchmarkLocal is calls between modules of one process. mono copies the values; its App is on
// NATS, too. The other sends them to the NATS server in its process.
func BenchmarkLocal(b *testing.B) {
	here := joined[0]
	for _, n := range callers {
		b.Run("flat/"+strconv.Itoa(n), func(b *testing.B) {
			locally(b, n, monoFlat(b, here), gomonolithFlat(b, here), aFlat, func(f flat) int { return f.Quantity })
		})
		b.Run("256B/"+strconv.Itoa(n), func(b *testing.B) {
			locally(b, n, monoLocal(b, here), gomonolithCall(b, here), aBody, number)
		})
		b.Run("256B-timeout/"+strconv.Itoa(n), func(b *testing.B) {
			locally(b, n, limited(monoLocal(b, here)), limited(gomonolithCall(b, here)), aBody, number)
		})
	}
}

// aFlat and aBody return a function that makes the request of a number, for one caller.
func aFlat() func(i int) flat {
	f := flat{ID: "order-0123456789", Price: 9.5, Paid: true}
	return func(i int) flat {
		f.Quantity = i
		return f
	}
}

func aBody() func(i int) []byte {
	body := make([]byte, 256)
	return func(i int) []byte {
		mark(body, i)
		return body
	}
}

// locally is a contest of two ways to make the same call.
func locally[T any](b *testing.B, callers int, ours, theirs func(context.Context, T) (T, error), open func() func(i int) T, number func(T) int) {
	turn := func(ask func(context.Context, T) (T, error)) func(n int) time.Duration {
		return func(n int) time.Duration {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			return together(callers, n, func() func(i int) bool {
				of := open()
				return func(i int) bool {
					v, err := ask(ctx, of(i))
					if err != nil || number(v) != i {
						b.Errorf("call %d: %v, %v", i, v, err)
					}
					return err == nil
				}
			})
		}
	}
	contest(b, callers, 1e6, []*entrant{{name: "mono", turn: turn(ours)}, {name: "go-monolith", turn: turn(theirs)}})
}

// limited gives each call a context with a timeout.
func limited(ask call) call {
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return ask(ctx, body)
	}
}

func monoLocal(b *testing.B, l link) (ask call) {
	tr, _ := l.open(b)
	run(b, mono.New(tr, quiet).Add(module("both", func(s *mono.Scope) {
		echo.Handle(s, sameBytes)
		ask = call(echo.Client(s))
	})))
	return ask
}

func monoFlat(b *testing.B, l link) (ask mono.Func[flat, flat]) {
	tr, _ := l.open(b)
	run(b, mono.New(tr, quiet).Add(module("both", func(s *mono.Scope) {
		flatEcho.Handle(s, func(_ context.Context, f flat) (flat, error) { return f, nil })
		ask = flatEcho.Client(s)
	})))
	return ask
}

// gomonolithFlat uses the typed helpers, with JSON as in their documentation.
func gomonolithFlat(b *testing.B, l link) mono.Func[flat, flat] {
	m := &gomonolithModule{register: func(c gomonolith.ServiceContainer) error {
		return helper.RegisterTypedRequestReplyService(c, "flat", json.Unmarshal, json.Marshal,
			func(_ context.Context, f flat, _ *gomonolith.Msg) (flat, error) { return f, nil })
	}}
	gomonolithApp(b, l, "", m)
	return func(ctx context.Context, f flat) (reply flat, err error) {
		err = helper.CallRequestReplyService(ctx, m.services, "flat", json.Marshal, json.Unmarshal, f, &reply)
		return reply, err
	}
}
