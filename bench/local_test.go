package bench

import (
	"context"
	"testing"
	"time"

	"gomono.dev/mono"
)

// The cost of a local call depends on the values to copy.
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
	placed struct { // about 250 B of JSON
		ID       string
		Customer struct{ Name, Street, City string }
		Lines    []line
		Total    float64
	}
	confirmed struct {
		ID       string
		Quantity int
		Accepted bool
	}
)

var (
	flatEcho        = mono.NewService[flat, flat]("bench.flat")
	limitedEcho     = mono.NewService[flat, flat]("bench.limited", mono.Timeout(time.Second))
	byReferenceEcho = mono.NewService[flat, flat]("bench.by-reference", mono.ByReference())
	nestedEcho      = mono.NewService[nested, nested]("bench.nested")
	confirm         = mono.NewService[placed, confirmed]("bench.confirm")
)

// localCaller starts an App that answers with the request.
func localCaller[T any](b testing.TB, s mono.Service[T, T], opts ...mono.AppOption) mono.Func[T, T] {
	return localCallerOf(b, s, same, opts...)
}

func localCallerOf[Req, Resp any](b testing.TB, s mono.Service[Req, Resp], fn mono.Func[Req, Resp], opts ...mono.AppOption) (ask mono.Func[Req, Resp]) {
	local(b, func(sc *mono.Scope) {
		s.Handle(sc, fn)
		ask = s.Client(sc)
	}, opts...)
	return ask
}

func same[T any](_ context.Context, v T) (T, error) { return v, nil }

func confirmation(_ context.Context, p placed) (confirmed, error) {
	return confirmed{p.ID, p.Lines[2].Quantity, len(p.Lines) == 3}, nil
}

func aPlaced() placed {
	p := placed{ID: "order-0123456789", Lines: []line{{"book", 2}, {"lamp", 1}, {"chair", 4}}, Total: 417.5}
	p.Customer.Name, p.Customer.Street, p.Customer.City = "Ada Lovelace", "12 St James's Square", "London"
	return p
}

func aNested() nested {
	text := "leave it at the neighbour's door, please"
	n := nested{ID: "order-0123456789", Lines: []line{{"book", 2}, {"lamp", 1}, {"chair", 4}}, Tags: map[string]string{"channel": "web", "gift": "no"}, Note: &text}
	n.Customer.Name, n.Customer.Street, n.Customer.City = "Ada Lovelace", "12 St James's Square", "London"
	return n
}

// BenchmarkLocal is a local call, by its payload.
func BenchmarkLocal(b *testing.B) {
	b.Run("function", func(b *testing.B) { askAbout(b, same[flat], flat{ID: "order-0123456789"}, setQuantity, quantity) })
	b.Run("flat", func(b *testing.B) {
		askAbout(b, localCaller(b, flatEcho), flat{ID: "order-0123456789"}, setQuantity, quantity)
	})
	b.Run("by-reference", func(b *testing.B) {
		askAbout(b, localCaller(b, byReferenceEcho), flat{ID: "order-0123456789"}, setQuantity, quantity)
	})
	b.Run("timeout", func(b *testing.B) {
		askAbout(b, localCaller(b, limitedEcho), flat{ID: "order-0123456789"}, setQuantity, quantity)
	})
	b.Run("order", func(b *testing.B) {
		askAbout(b, localCallerOf(b, confirm, confirmation), aPlaced(), func(p *placed, i int) { p.Lines[2].Quantity = i }, func(c confirmed) int { return c.Quantity })
	})
	b.Run("nested", func(b *testing.B) {
		askAbout(b, localCaller(b, nestedEcho), aNested(), func(n *nested, i int) { n.Lines[2].Quantity = i }, func(n nested) int { return n.Lines[2].Quantity })
	})
}

func setQuantity(f *flat, i int) { f.Quantity = i }
func quantity(f flat) int        { return f.Quantity }

func askAbout[Req, Resp any](b *testing.B, ask mono.Func[Req, Resp], v Req, set func(*Req, int), get func(Resp) int) {
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
