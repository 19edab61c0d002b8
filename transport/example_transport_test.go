package transport_test

import (
	"context"
	"errors"
	"fmt"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// A reply is a message that is published on the Reply subject of the request.
func ExampleTransport() {
	var tr transport.Transport = inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)

	_, err := tr.Subscribe(ctx, transport.Subscription{Subject: "services.greet", Group: "greeters"},
		transport.Serial(func(m *transport.Message) {
			reply := &transport.Message{Subject: m.Reply, Body: append([]byte("Hello, "), m.Body...)}
			if err := tr.Publish(ctx, reply); err != nil {
				fmt.Println(err)
			}
		}))
	if err != nil {
		panic(err)
	}
	reply, err := tr.Request(ctx, &transport.Message{Subject: "services.greet", Body: []byte("Ada")})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", reply.Body)
	// Output: Hello, Ada
}

// A log stores messages, and delivers each one to every group until it is settled.
func ExampleLog() {
	tr := inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)

	log, err := tr.Log(ctx, transport.LogConfig{Name: "orders", Subjects: []string{"orders.>"}})
	if err != nil {
		panic(err)
	}
	m := &transport.Message{Subject: "orders.new", Body: []byte("book")}
	for range 2 {
		fmt.Println(log.Append(ctx, m, transport.AppendOptions{ID: "order-17"}))
	}

	settled := make(chan string)
	member := transport.ConsumeConfig{Group: transport.GroupConfig{Name: "shipping"}}
	_, err = log.Consume(ctx, member, transport.Serial(func(d *transport.Delivery) {
		text := fmt.Sprintf("%s #%d attempt %d", d.Body, d.Sequence, d.Attempt)
		fmt.Println(d.Ack(ctx))
		settled <- text
	}))
	if err != nil {
		panic(err)
	}
	fmt.Println(<-settled)
	// Output:
	// {1 false} <nil>
	// {1 true} <nil>
	// <nil>
	// book #1 attempt 1
}

// An error specifies by its code what happened, and by its outcome whether the message
// may have been processed.
func ExampleError() {
	tr := inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)

	_, err := tr.Request(ctx, &transport.Message{Subject: "services.nobody"})
	var e *transport.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.Outcome == transport.OutcomeNotDone)
	}
	// Output: unavailable true
}

// An error of a handler travels in the header of its reply.
func ExampleErrorFromHeader() {
	var reply transport.Header
	reply.SetError(transport.Errorf(transport.NotFound, transport.OutcomeAnswered, "no order %d", 17))
	for _, field := range reply {
		fmt.Println(field.Name, "=", field.Value)
	}

	err := transport.ErrorFromHeader(reply) // at the caller
	fmt.Println(err.Code, err.Outcome == transport.OutcomeAnswered)
	fmt.Println(err)
	// Output:
	// Mono-Code = not_found
	// Mono-Message = no order 17
	// not_found true
	// not_found: no order 17
}

// "*" stands for one token, and ">" for one or more.
func ExampleMatch() {
	fmt.Println(transport.Match("events.*.placed", "events.orders.placed"))
	fmt.Println(transport.Match("events.>", "events.orders.placed"))
	fmt.Println(transport.Match("events.*", "events.orders.placed"))
	// Output:
	// true
	// true
	// false
}
