package mono_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

var (
	rawAsk   = mono.NewService[[]byte, []byte]("test.raw-ask", mono.Codec(codec.Raw))
	rawEvent = mono.NewEvent[[]byte]("test.raw-event", mono.Codec(codec.Raw))
	rawQueue = mono.NewQueue[[]byte]("test.raw-queue", mono.Codec(codec.Raw))
)

// overwrite changes every byte of a payload, as its owner may.
func overwrite(b []byte) {
	for i := range b {
		b[i] = 'x'
	}
}

// The Raw codec copies bytes: the caller, the handler and each subscriber own their payload
// and may overwrite it.
func TestRawBytesAreCopied(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		kept := make(chan []byte, 1)
		received := make(chan []byte, 2)
		receive := func(_ context.Context, b []byte) error {
			received <- bytes.Clone(b)
			overwrite(b)
			return nil
		}
		app := p.start(t,
			module("answers", func(s *mono.Scope) {
				rawAsk.Handle(s, func(_ context.Context, b []byte) ([]byte, error) {
					reply := bytes.Clone(b)
					overwrite(b)
					kept <- reply
					return reply, nil
				})
			}),
			module("first", func(s *mono.Scope) { rawEvent.Handle(s, receive) }),
			module("second", func(s *mono.Scope) { rawEvent.Handle(s, receive) }))

		question := []byte("question")
		answer, err := rawAsk.Call(t.Context(), app, question)
		overwrite(<-kept)
		if err != nil || string(answer) != "question" || string(question) != "question" {
			t.Errorf("asked %q, got %q, %v", question, answer, err)
		}

		sent := []byte("sent")
		if err := rawEvent.Publish(t.Context(), app, sent); err != nil {
			t.Fatal(err)
		}
		overwrite(sent)
		for range 2 {
			if got := <-received; string(got) != "sent" {
				t.Errorf("received %q", got)
			}
		}
	})
}

// A dead letter holds the original message, even if the handler overwrote its payload.
func TestRawDeadLetterHoldsTheOriginalMessage(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t, module("worker", func(s *mono.Scope) {
			rawQueue.Handle(s, func(_ context.Context, b []byte) error {
				overwrite(b)
				return mono.Permanent(errors.New("no use"))
			})
		}))
		job := []byte("job")
		if err := rawQueue.Enqueue(t.Context(), app, job); err != nil {
			t.Fatal(err)
		}
		overwrite(job)
		stored := awaitDeadLetters(t, rawQueue.DeadLetters(app), 1)
		if held, err := stored[0].Value(); err != nil || string(held) != "job" {
			t.Errorf("the dead letter holds %q, %v", held, err)
		}
	})
}
