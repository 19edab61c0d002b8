package embedded_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var quiet = slog.New(slog.DiscardHandler)

// Open starts a server in the process and connects to it. The server listens on no port.
func ExampleOpen() {
	ctx := context.Background()
	tr, err := embedded.Open(ctx, embedded.Options{Memory: true, Logger: quiet})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s listens on %q\n", tr.Capabilities().Name, tr.Server().ClientURL())
	fmt.Println(tr.Close(ctx)) // ends the server too
	// Output:
	// nats listens on ""
	// <nil>
}

// With a directory the server keeps its logs when the process ends.
func ExampleOpen_restart() {
	dir, err := os.MkdirTemp("", "mono")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	orders := transport.LogConfig{Name: "orders", Subjects: []string{"orders"}}
	order := &transport.Message{Subject: "orders", Body: []byte("book")}

	for range 2 { // two runs of a program
		tr, err := embedded.Open(ctx, embedded.Options{Dir: dir, Logger: quiet})
		if err != nil {
			panic(err)
		}
		log, err := tr.Log(ctx, orders)
		if err != nil {
			panic(err)
		}
		stored, err := log.Append(ctx, order, transport.AppendOptions{})
		fmt.Println(stored.Sequence, err)
		if err := tr.Close(ctx); err != nil {
			panic(err)
		}
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}

// With Listen, other processes and the nats tool can connect. They need the credentials.
func ExampleStart() {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Options{
		Memory: true, Listen: "127.0.0.1:0", Token: "s3cret", Logger: quiet,
	})
	if err != nil {
		panic(err)
	}
	defer server.Shutdown(ctx)

	for _, token := range []string{"s3cret", "guess"} {
		tr, err := natsx.Connect(ctx, natsx.Options{
			URLs: []string{server.ClientURL()}, Token: token, Memory: true, Logger: quiet,
		})
		if err != nil {
			fmt.Println(transport.CodeOf(err))
			continue
		}
		fmt.Println(tr.Ping(ctx))
		tr.Close(ctx)
	}
	// Output:
	// <nil>
	// unauthenticated
}
