package natsx_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// exampleServer starts a NATS server on a free port of the loopback interface. The
// returned function ends it.
func exampleServer() (url string, stop func()) {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Options{
		Memory: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	return server.ClientURL(), func() { _ = server.Shutdown(ctx) }
}

// exampleConnect connects to a server. The returned function ends the connection.
func exampleConnect(url string) (*natsx.Transport, func()) {
	ctx := context.Background()
	tr, err := natsx.Connect(ctx, natsx.Options{URLs: []string{url}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	return tr, func() { _ = tr.Close(ctx) }
}

// A Transport connects to a NATS server elsewhere, and reconnects when it is lost.
func ExampleConnect() {
	url, stop := exampleServer() // in production: an address
	defer stop()
	ctx := context.Background()

	tr, err := natsx.Connect(ctx, natsx.Options{URLs: []string{url}, Name: "orders"})
	if err != nil {
		panic(err)
	}
	defer tr.Close(ctx)
	fmt.Println(tr.Capabilities().Name, tr.Ping(ctx))
	// Output: nats <nil>
}

// Plain NATS clients take part: a body is what they send, and no header is required.
func ExampleConn() {
	url, stop := exampleServer()
	defer stop()
	tr, disconnect := exampleConnect(url)
	defer disconnect()

	received := make(chan string)
	_, err := tr.Subscribe(context.Background(), transport.Subscription{Subject: "events.placed"},
		transport.Serial(func(m *transport.Message) { received <- string(m.Body) }))
	if err != nil {
		panic(err)
	}
	var conn *nats.Conn // the connection itself, for uses that mono does not cover
	conn, ok := natsx.Conn(tr)
	fmt.Println(ok, conn.Publish("events.placed", []byte(`{"order":"17"}`)))
	fmt.Println(<-received)
	// Output:
	// true <nil>
	// {"order":"17"}
}

// No error, no log line and no formatted Options contain credentials.
func ExampleOptions() {
	options := natsx.Options{URLs: []string{"nats://orders:s3cret@10.0.0.1:4222"}, Name: "orders"}
	fmt.Printf("%+v\n", options)
	// Output: natsx.Options{URLs: [nats://10.0.0.1:4222], Name: "orders", auth: in the URL}
}

// Connect tries each server once, and does not wait for one to appear.
func ExampleConnect_unavailable() {
	url, stop := exampleServer()
	stop()

	_, err := natsx.Connect(context.Background(), natsx.Options{URLs: []string{url}})
	fmt.Println(transport.CodeOf(err))
	// Output: unavailable
}
