package peers

import (
	"context"
	"testing"
)

// peer is a library that a user could choose. Each field opens one kind of work, ready to use,
// until the benchmark ends; it is nil if the library does not have this kind.
type peer struct {
	name   string
	joined bool // both ends are always in one process, on one connection

	call   func(b *testing.B, l link) call
	event  func(b *testing.B, l link, handle handler) event
	queue  func(b *testing.B, l link, handle handler) work
	stream func(b *testing.B, l link, handle handler) work
}

type (
	call    func(ctx context.Context, body []byte) ([]byte, error)
	event   func(ctx context.Context, body []byte) error
	handler func(body []byte)
)

// work is stored work. Append returns when a message is stored, and idle when all messages are
// acknowledged.
type work struct {
	append func(ctx context.Context, body []byte) error
	idle   func()
}

// peers are compared with the first of them.
var peers = []peer{
	{name: "mono", call: monoCall, event: monoEvent, queue: monoQueue, stream: monoStream},
	{name: "nats.go", call: natsCall, event: natsEvent, queue: natsQueue, stream: natsStream},
	{name: "micro", call: microCall},
	{name: "go-monolith", joined: true, call: gomonolithCall, event: gomonolithEvent, queue: gomonolithQueue, stream: gomonolithStream},
	{name: "go-monolith-group", joined: true, queue: gomonolithGroup},
}
