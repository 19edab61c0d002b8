package orders

import (
	"testing"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// A view that is behind finds the sale of an order, although garbage precedes or follows it in
// the ledger.
func TestFindSkipsGarbage(t *testing.T) {
	t.Parallel()
	tr := inproc.New(inproc.Options{})
	var b book
	app := mono.New(tr)
	app.Add(mono.NewModule("reader", func(s *mono.Scope) error {
		s.Use(ledger.Entries)
		b.bind(s)
		return nil
	}))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer app.Stop(t.Context())
	name := orders.GetRequest{ID: "x"}
	sale := ledger.Entry{Placed: orders.Confirmation{Order: orders.Order{ID: "x"}}, Checkout: "c"}
	other := ledger.Entry{Placed: orders.Confirmation{Order: orders.Order{ID: "y"}}}
	garbage := func(payload string) {
		t.Helper()
		if err := tr.Publish(t.Context(), &transport.Message{Subject: "streams.ledger.entries._k." + ledger.KeyOf(name), Body: []byte(payload)}); err != nil {
			t.Fatal(err)
		}
	}
	wantPage := func(placed bool, last uint64) {
		t.Helper()
		clear(b.placed)
		if p, err := b.find(t.Context(), name); err != nil || p.placed() != placed || p.last != last {
			t.Errorf("got %+v, %v, want placed: %v, last: %d", p, err, placed, last)
		}
	}
	wantPage(false, 0)
	garbage("garbage")
	wantPage(false, 1)
	garbage("{}")
	wantPage(false, 2)
	if _, err := ledger.Entries.AppendAfter(t.Context(), app, 2, sale); err != nil {
		t.Fatal(err)
	}
	wantPage(true, 3)
	if err := ledger.Entries.Append(t.Context(), app, other); err != nil {
		t.Fatal(err)
	}
	for n, payload := range []string{"garbage", "{}", `{"void":{"id":"x"}}`, `{"placed":{"order":{"id":"z"}}}`} {
		garbage(payload)
		wantPage(true, uint64(5+n))
	}
}
