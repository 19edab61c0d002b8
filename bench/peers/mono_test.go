package peers

import (
	"context"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// mono sends bytes as they are, as the others do.
var (
	echo    = mono.NewService[[]byte, []byte]("peers.echo", mono.Codec(codec.Raw))
	posted  = mono.NewEvent[[]byte]("peers.posted", mono.Codec(codec.Raw))
	jobs    = mono.NewQueue[[]byte]("peers.jobs", mono.Codec(codec.Raw))
	entries = mono.NewStream[[]byte]("peers.entries", mono.Codec(codec.Raw))
)

func monoCall(b *testing.B, l link) (ask call) {
	ends(b, l, func(s *mono.Scope) { echo.Handle(s, sameBytes) }, func(s *mono.Scope) { ask = call(echo.Client(s)) })
	return ask
}

func sameBytes(_ context.Context, body []byte) ([]byte, error) { return body, nil }

func monoEvent(b *testing.B, l link, handle handler) event {
	var publish mono.Publisher[[]byte]
	ends(b, l, func(s *mono.Scope) { posted.Handle(s, sink(handle)) }, func(s *mono.Scope) { publish = posted.Publisher(s) })
	return func(ctx context.Context, body []byte) error { return publish(ctx, body) }
}

func monoQueue(b *testing.B, l link, handle handler) work {
	var enqueue mono.Enqueuer[[]byte]
	w := ends(b, l, func(s *mono.Scope) { jobs.Handle(s, sink(handle)) }, func(s *mono.Scope) { enqueue = jobs.Enqueuer(s) })
	w.append = func(ctx context.Context, body []byte) error { return enqueue(ctx, body) }
	return w
}

func monoStream(b *testing.B, l link, handle handler) work {
	var add mono.Appender[[]byte]
	w := ends(b, l, func(s *mono.Scope) { entries.Handle(s, sink(handle), mono.Unordered()) }, func(s *mono.Scope) { add = entries.Appender(s) })
	w.append = func(ctx context.Context, body []byte) error { return add(ctx, body) }
	return w
}

func sink(handle handler) mono.Sink[[]byte] {
	return func(_ context.Context, body []byte) error {
		handle(body)
		return nil
	}
}

// ends starts a receiving and a sending module: in one App if the link is joined, else in two.
func ends(b *testing.B, l link, receive, send func(*mono.Scope)) work {
	near, far := l.open(b)
	receiver := mono.New(far, quiet, mono.NoLocalCalls()).Add(module("receiver", receive))
	if l.joined {
		run(b, receiver.Add(module("sender", send)))
	} else {
		run(b, receiver)
		sender := mono.New(near, quiet).Add(module("sender", send))
		sender.Remote(echo)
		run(b, sender)
	}
	return work{idle: idle(b, near.Conn())}
}

// module makes a module of a function that cannot fail.
func module(name string, bind func(*mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

func run(b *testing.B, a *mono.App) {
	if err := a.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
}

var quiet = mono.Logger(discard)
