package copier_test

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono/internal/copier"
)

// Flat is a request of scalars and strings.
type Flat struct {
	ID       string  `json:"id"`
	Customer string  `json:"customer"`
	Amount   int64   `json:"amount"`
	Rate     float64 `json:"rate"`
	Express  bool    `json:"express"`
	Currency string  `json:"currency"`
}

// Order is a nested order of about 250 bytes of JSON.
type Order struct {
	ID       string    `json:"id"`
	Customer Customer  `json:"customer"`
	Lines    []Line    `json:"lines"`
	Placed   time.Time `json:"placed"`
	Note     *string   `json:"note,omitempty"`
	Total    int64     `json:"total"`
}

// Customer is the customer of an order.
type Customer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	City string `json:"city"`
}

// Line is a line of an order.
type Line struct {
	SKU      string  `json:"sku"`
	Quantity int     `json:"quantity"`
	Price    float64 `json:"price"`
}

func anOrder() *Order {
	note := "leave it at the door"
	return &Order{
		ID:       "order-000001",
		Customer: Customer{"customer-17", "Ada Lovelace", "London"},
		Lines:    []Line{{"apples", 3, 1.25}, {"pears", 4, 2.5}, {"plums", 5, 0.75}},
		Placed:   time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Note:     &note,
		Total:    1750,
	}
}

// byHand copies an order with handwritten code and no checks.
func byHand(dst, src *Order) {
	*dst = *src
	dst.Lines = append([]Line(nil), src.Lines...)
	if src.Note != nil {
		note := *src.Note
		dst.Note = &note
	}
}

// BenchmarkCopy compares each plan with the round trip and with a handwritten copy.
func BenchmarkCopy(b *testing.B) {
	values := []struct {
		name   string
		value  any
		byHand func(dst, src any)
	}{
		{"flat", &Flat{"order-000001", "customer-17", 1250, 0.19, true, "EUR"}, func(dst, src any) { *dst.(*Flat) = *src.(*Flat) }},
		{"order", anOrder(), func(dst, src any) { byHand(dst.(*Order), src.(*Order)) }},
		{"map", &map[string]string{"a": "1", "b": "2", "c": "3"}, func(dst, src any) {
			*dst.(*map[string]string) = maps.Clone(*src.(*map[string]string))
		}},
	}
	for _, v := range values {
		run := func(name string, copy func(dst, src any) error) {
			b.Run(v.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				to := reflect.New(reflect.TypeOf(v.value).Elem())
				dst, zero := to.Interface(), to.Elem()
				for b.Loop() {
					zero.SetZero()
					if err := copy(dst, v.value); err != nil {
						b.Fatal(err)
					}
				}
				if !reflect.DeepEqual(dst, v.value) {
					b.Fatalf("%+v", dst)
				}
			})
		}
		run("hand", func(dst, src any) error { v.byHand(dst, src); return nil })
		for _, k := range []codec.Codec{codec.JSON, codec.MessagePack} {
			p := copier.For(reflect.TypeOf(v.value).Elem(), k)
			if p.RoundTripReason() != nil {
				b.Fatal(p.RoundTripReason())
			}
			name := k.ContentType()[len("application/"):]
			run(name, p.Copy)
			run(name+"-trip", func(dst, src any) error { return roundTrip(k, dst, src) })
		}
	}
}
