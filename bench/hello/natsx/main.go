// Natsx is hello over a NATS server, with its URL as argument.
package main

import (
	"context"
	"os"

	"gomono.dev/bench/hello"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
)

func main() {
	hello.Run(func(ctx context.Context) (transport.Transport, error) {
		return natsx.Connect(ctx, natsx.Options{URLs: os.Args[1:]})
	})
}
