package bench

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
)

// An order asks the inventory, then the payment, then the notification, and then answers. Each
// message has about 256 bytes as JSON.
type (
	order struct {
		ID       string `json:"id"`
		Customer string `json:"customer"`
		Product  string `json:"product"`
		Quantity int    `json:"quantity"`
		Note     string `json:"note"`
	}
	answer struct {
		ID     string `json:"id"`
		OK     bool   `json:"ok"`
		Amount int    `json:"amount"`
		Note   string `json:"note"`
	}
)

var (
	place   = mono.NewService[order, answer]("bench.place")
	reserve = mono.NewService[order, answer]("bench.reserve")
	charge  = mono.NewService[order, answer]("bench.charge")
	notify  = mono.NewService[order, answer]("bench.notify")

	note = strings.Repeat("a note of an order ", 9)
)

// step is one answer of a flow.
type step = mono.Func[order, answer]

func agree(_ context.Context, o order) (answer, error) {
	return answer{ID: o.ID, OK: true, Amount: o.Quantity * 3, Note: o.Note}, nil
}

// steps is the work of the order module.
func steps(reserve, charge, notify step) step {
	return func(ctx context.Context, o order) (answer, error) {
		total := 0
		for _, next := range []step{reserve, charge, notify} {
			a, err := next(ctx, o)
			if err != nil {
				return answer{}, err
			}
			if !a.OK || a.ID != o.ID || len(a.Note) != len(o.Note) {
				return answer{}, errors.New("a step gave another answer")
			}
			total += a.Amount
		}
		return answer{ID: o.ID, OK: true, Amount: total, Note: o.Note}, nil
	}
}

// monoFlow is four modules of one App.
func monoFlow(b testing.TB, tr transport.Transport, opts ...mono.AppOption) (ask step) {
	serve(b, tr, func(a *mono.App) {
		a.Add(
			module("inventory", func(s *mono.Scope) { reserve.Handle(s, agree) }),
			module("payment", func(s *mono.Scope) { charge.Handle(s, agree) }),
			module("notification", func(s *mono.Scope) { notify.Handle(s, agree) }),
			module("order", func(s *mono.Scope) {
				place.Handle(s, steps(reserve.Client(s), charge.Client(s), notify.Client(s)))
			}),
			module("shop", func(s *mono.Scope) { ask = place.Client(s) }),
		)
	}, opts...)
	return ask
}

// rawFlow is the same over nats.go alone, with the headers that mono sends. Its order handler
// runs beside others, as mono's do.
func rawFlow(b testing.TB, tr *natsx.Transport) step {
	nc := conn(b, tr)
	for _, name := range []string{"reserve", "charge", "notify"} {
		answerRaw(b, nc, name, agree)
	}
	answerRaw(b, nc, "place", steps(askRaw(nc, "reserve"), askRaw(nc, "charge"), askRaw(nc, "notify")))
	if err := nc.Flush(); err != nil {
		b.Fatal(err)
	}
	return askRaw(nc, "place")
}

func answerRaw(b testing.TB, nc *nats.Conn, name string, by step) {
	if _, err := nc.QueueSubscribe("raw."+name, "q", func(m *nats.Msg) {
		var o order
		if err := json.Unmarshal(m.Data, &o); err != nil {
			b.Error(err)
		}
		a, err := by(context.Background(), o)
		if err != nil {
			b.Error(err)
		}
		body, err := json.Marshal(&a)
		if err != nil {
			b.Error(err)
		}
		if err := m.Respond(body); err != nil {
			b.Error(err)
		}
	}); err != nil {
		b.Fatal(err)
	}
}

func askRaw(nc *nats.Conn, name string) step {
	return func(ctx context.Context, o order) (answer, error) {
		body, err := json.Marshal(&o)
		if err != nil {
			return answer{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		m, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: "raw." + name, Data: body,
			Header: nats.Header{"Mono-Id": {id()}, "Mono-Sender": {"shop"}, "Mono-Timeout-Ms": {"30000"}}})
		if err != nil {
			return answer{}, err
		}
		var a answer
		return a, json.Unmarshal(m.Data, &a)
	}
}

// BenchmarkOrderFlow is one order after another.
func BenchmarkOrderFlow(b *testing.B) {
	for _, path := range []struct {
		name string
		open func(b *testing.B) step
	}{
		{"function", func(*testing.B) step { return steps(agree, agree, agree) }},
		{"local", func(b *testing.B) step { return monoFlow(b, inproc.New(inproc.Options{})) }},
		{"inproc", func(b *testing.B) step { return monoFlow(b, inproc.New(inproc.Options{}), mono.NoLocalCalls()) }},
		{"raw-in-process", func(b *testing.B) step { return rawFlow(b, connect(b, broker(b, ""))) }},
		{"nats-in-process", func(b *testing.B) step { return monoFlow(b, connect(b, broker(b, "")), mono.NoLocalCalls()) }},
	} {
		b.Run(path.name, func(b *testing.B) { placeOrders(b, path.open(b)) })
	}
}

func placeOrders(b *testing.B, place step) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	o := order{ID: "order-0123456789", Customer: "customer-42", Product: "book", Note: note}
	end := meter(b)
	for i := 0; b.Loop(); i++ {
		o.Quantity = i % 100
		a, err := place(ctx, o)
		if err != nil || a.ID != o.ID || a.Amount != 9*o.Quantity {
			b.Fatalf("order %d: %+v, %v", i, a, err)
		}
	}
	end()
}
