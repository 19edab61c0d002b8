package main

import (
	"context"

	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
	"gomono.dev/mono/auth"
)

// The services for customers.
var (
	place = mono.NewService[orders.Order, orders.Confirmation]("shop.place",
		mono.Doc("take an order of the user"), auth.Require(auth.Scope("orders:write")))
	get = mono.NewService[orders.GetRequest, orders.Confirmation]("shop.get",
		mono.Doc("look up an order of the user"), auth.Require(auth.Scope("orders:read")))
)

// bindShop provides these services. A user has the orders under their own name only.
func bindShop(s *mono.Scope) error {
	placeOrder, getOrder := orders.Place.Client(s), orders.Get.Client(s)
	place.Handle(s, func(ctx context.Context, o orders.Order) (orders.Confirmation, error) {
		o.Customer = auth.From(ctx).Subject
		return placeOrder(ctx, o)
	})
	get.Handle(s, func(ctx context.Context, r orders.GetRequest) (orders.Confirmation, error) {
		c, err := getOrder(ctx, r)
		if err == nil && c.Order.Customer != auth.From(ctx).Subject {
			return orders.Confirmation{}, mono.Errorf(mono.NotFound, "no order %q was placed in the batch %q", r.ID, r.Batch)
		}
		return c, err
	})
	return nil
}
