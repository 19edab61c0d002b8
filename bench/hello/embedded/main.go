// Embedded is hello with a NATS server in its process, with its store in the directory given as
// argument.
package main

import (
	"context"
	"log/slog"
	"os"

	"gomono.dev/bench/hello"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx/embedded"
)

func main() {
	hello.Run(func(ctx context.Context) (transport.Transport, error) {
		return embedded.Open(ctx, embedded.Options{Dir: os.Args[1], Logger: slog.New(slog.DiscardHandler)})
	})
}
