// Inproc is hello in memory.
package main

import (
	"context"

	"gomono.dev/bench/hello"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

func main() {
	hello.Run(func(context.Context) (transport.Transport, error) { return inproc.New(inproc.Options{}), nil })
}
