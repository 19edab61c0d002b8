package mono_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gomono.dev/mono"
)

// everyKind lists a handle of each kind of message without a reply, with the functions
// that send and handle.
var everyKind = []struct {
	name   string
	handle func(s *mono.Scope, fn mono.Sink[fact])
	send   func(ctx context.Context, b mono.Binder, f fact) error
}{
	{"kinds.event", kindEvent.handle, kindEvent.Publish},
	{"kinds.durable", kindDurable.handle, kindDurable.Publish},
	{"kinds.queue", kindQueue.handle, kindQueue.Enqueue},
	{"kinds.non-persistent", kindNonPersistent.handle, kindNonPersistent.Enqueue},
	{"kinds.stream", kindStream.handle, kindStream.Append},
	{"kinds.batch", kindBatch.handle, kindBatch.Append},
}

type (
	kindOfEvent  struct{ mono.Event[fact] }
	kindOfQueue  struct{ mono.Queue[fact] }
	kindOfStream struct{ mono.Stream[fact] }
	kindOfBatch  struct{ mono.Stream[fact] }
)

var (
	kindEvent         = kindOfEvent{mono.NewEvent[fact]("kinds.event")}
	kindDurable       = kindOfEvent{mono.NewEvent[fact]("kinds.durable", mono.Durable(), mono.MaxAttempts(1))}
	kindQueue         = kindOfQueue{mono.NewQueue[fact]("kinds.queue", mono.MaxAttempts(1))}
	kindNonPersistent = kindOfQueue{mono.NewQueue[fact]("kinds.non-persistent", mono.NonPersistent())}
	kindStream        = kindOfStream{mono.NewStream[fact]("kinds.stream", mono.MaxAttempts(1))}
	kindBatch         = kindOfBatch{mono.NewStream[fact]("kinds.batch", mono.MaxAttempts(1))}
)

func (k kindOfEvent) handle(s *mono.Scope, fn mono.Sink[fact])  { k.Handle(s, fn) }
func (k kindOfQueue) handle(s *mono.Scope, fn mono.Sink[fact])  { k.Handle(s, fn) }
func (k kindOfStream) handle(s *mono.Scope, fn mono.Sink[fact]) { k.Handle(s, fn) }

func (k kindOfBatch) handle(s *mono.Scope, fn mono.Sink[fact]) {
	k.HandleBatch(s, func(ctx context.Context, batch []mono.Message[fact]) error {
		return fn(ctx, batch[0].Value)
	}, mono.BatchSize(1))
}

// A panic in a handler of any kind is contained. Middleware of the receiver sees it as an
// internal error, middleware of the sender sees success, and the next message is handled.
func TestPanicInHandlerIsContainedForEachKind(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		for _, k := range everyKind {
			var tr trace
			received := make(chan fact, 1)
			app := p.app(t)
			app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
				return func(ctx context.Context, c *mono.Call) error {
					err := next(ctx, c)
					tr.add(fmt.Sprint(c.Side(), " ", c.Handle().Name(), " ", mono.CodeOf(err)))
					if c.Side() == mono.SideReceiver && err == nil {
						received <- fact{}
					}
					return err
				}
			}))
			app.Add(&lifecycle{name: "listener", bind: func(s *mono.Scope) error {
				k.handle(s, func(_ context.Context, f fact) error {
					if f.N == 0 {
						panic("kind panic")
					}
					return nil
				})
				return nil
			}})
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				if err := k.send(t.Context(), app, fact{N: n}); err != nil {
					t.Errorf("%s: %v", k.name, err)
				}
			}
			<-received
			if err := app.Stop(t.Context()); err != nil {
				t.Errorf("%s: %v", k.name, err)
			}
			got := slices.Sorted(slices.Values(tr.all()))
			want := []string{"receiving " + k.name + " ", "receiving " + k.name + " internal", "sending " + k.name + " ", "sending " + k.name + " "}
			if !slices.Equal(got, want) {
				t.Errorf("middleware saw %q, want %q", got, want)
			}
		}
	})
}

// A message above the payload limit of the transport is rejected at the sender, for each
// kind. The error contains its size and the limit.
func TestOversizedPayloadIsRejectedForEachKind(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t)
		app.Add(&lifecycle{name: "listener", bind: func(s *mono.Scope) error {
			for _, k := range everyKind {
				k.handle(s, func(_ context.Context, f fact) error {
					t.Errorf("%s: received %d bytes", k.name, len(f.Key))
					return nil
				})
			}
			return nil
		}})
		begin(t, app)
		for _, k := range everyKind {
			err := k.send(t.Context(), app, fact{Key: strings.Repeat("x", 2<<20)})
			if mono.CodeOf(err) != mono.InvalidArgument || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), k.name) ||
				!strings.Contains(err.Error(), " 2097") || !strings.Contains(err.Error(), " at most 104") {
				t.Errorf("%s: %v", k.name, err)
			}
		}
	})
}
