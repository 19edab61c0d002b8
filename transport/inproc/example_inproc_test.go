package inproc_test

import (
	"context"
	"fmt"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// The Transports of New share nothing: each one has a backend of its own.
func ExampleNew() {
	tr := inproc.New(inproc.Options{})
	ctx := context.Background()
	defer tr.Close(ctx)

	received := make(chan string)
	_, err := tr.Subscribe(ctx, transport.Subscription{Subject: "events.>"}, transport.Serial(func(m *transport.Message) {
		received <- m.Subject + " " + string(m.Body)
	}))
	if err != nil {
		panic(err)
	}
	if err := tr.Publish(ctx, &transport.Message{Subject: "events.placed", Body: []byte("book")}); err != nil {
		panic(err)
	}
	fmt.Println(<-received)
	// Output: events.placed book
}

// The Transports of one Backend are connected, like the clients of a server. Its logs
// outlive them.
func ExampleBackend() {
	backend := inproc.NewBackend(inproc.Options{})
	ctx := context.Background()
	orders := transport.LogConfig{Name: "orders", Subjects: []string{"orders"}}

	first := backend.Connect()
	log, err := first.Log(ctx, orders)
	if err != nil {
		panic(err)
	}
	if _, err := log.Append(ctx, &transport.Message{Subject: "orders", Body: []byte("book")}, transport.AppendOptions{}); err != nil {
		panic(err)
	}
	first.Close(ctx)

	second := backend.Connect()
	defer second.Close(ctx)
	log, err = second.Log(ctx, orders)
	if err != nil {
		panic(err)
	}
	for d, err := range log.Read(ctx, transport.ReadConfig{}) {
		fmt.Printf("%d %s %v\n", d.Sequence, d.Body, err)
	}
	// Output: 1 book <nil>
}
