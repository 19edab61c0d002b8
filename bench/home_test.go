package bench

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
)

// What a home call costs depends on what has to be copied.
type (
	flat struct {
		ID       string
		Quantity int
		Price    float64
		Paid     bool
	}
	nested struct {
		ID       string
		Customer struct{ Name, Street, City string }
		Lines    []line
		Tags     map[string]string
		Note     *string
	}
	line struct {
		Product  string
		Quantity int
	}
)

var (
	flatEcho    = mono.NewService[flat, flat]("bench.flat")
	limitedEcho = mono.NewService[flat, flat]("bench.limited", mono.Timeout(time.Second))
	sharedEcho  = mono.NewService[flat, flat]("bench.shared", mono.Shared())
	nestedEcho  = mono.NewService[nested, nested]("bench.nested")
)

// home starts an App that answers with what it was asked.
func home[T any](b testing.TB, s mono.Service[T, T]) (ask mono.Func[T, T]) {
	local(b, func(sc *mono.Scope) {
		s.Handle(sc, same)
		ask = s.Client(sc)
	})
	return ask
}

func same[T any](_ context.Context, v T) (T, error) { return v, nil }

func aNested() nested {
	text := "leave it at the neighbour's door, please"
	n := nested{ID: "order-0123456789", Lines: []line{{"book", 2}, {"lamp", 1}, {"chair", 4}}, Tags: map[string]string{"channel": "web", "gift": "no"}, Note: &text}
	n.Customer.Name, n.Customer.Street, n.Customer.City = "Ada Lovelace", "12 St James's Square", "London"
	return n
}

// BenchmarkHome is a call that does not leave the process, by what it carries.
func BenchmarkHome(b *testing.B) {
	b.Run("function", func(b *testing.B) { askSame(b, same[flat], flat{ID: "order-0123456789"}, setQuantity, quantity) })
	b.Run("flat", func(b *testing.B) { askSame(b, home(b, flatEcho), flat{ID: "order-0123456789"}, setQuantity, quantity) })
	b.Run("shared", func(b *testing.B) {
		askSame(b, home(b, sharedEcho), flat{ID: "order-0123456789"}, setQuantity, quantity)
	})
	b.Run("timeout", func(b *testing.B) {
		askSame(b, home(b, limitedEcho), flat{ID: "order-0123456789"}, setQuantity, quantity)
	})
	b.Run("nested", func(b *testing.B) {
		askSame(b, home(b, nestedEcho), aNested(), func(n *nested, i int) { n.Lines[2].Quantity = i }, func(n nested) int { return n.Lines[2].Quantity })
	})
}

func setQuantity(f *flat, i int) { f.Quantity = i }
func quantity(f flat) int        { return f.Quantity }

func askSame[T any](b *testing.B, ask mono.Func[T, T], v T, set func(*T, int), get func(T) int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	end := meter(b)
	for i := 0; b.Loop(); i++ {
		set(&v, i)
		got, err := ask(ctx, v)
		if err != nil || get(got) != i {
			b.Fatalf("call %d: %+v, %v", i, got, err)
		}
	}
	end()
}
