package mono_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// Two releases of a shop. The second one has another shape of its jobs.
type (
	mailV1 struct{ To string }
	mailV2 struct{ To, Subject string }
)

func withSubject(m mailV1) (mailV2, error) {
	if m.To == "" {
		return mailV2{}, errors.New("a secret")
	}
	return mailV2{m.To, "news"}, nil
}

var upcastMail = codec.Upcast("1", withSubject)

func receiverOf[T any](received chan<- T) mono.Sink[T] {
	return func(_ context.Context, v T) error { received <- v; return nil }
}

// A message of an older release arrives in the newest shape, from every kind of handle and in
// every codec, and a new one as it is.
func TestUpcasts(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		for _, c := range codecs {
			received := make(chan mailV2, 4)
			name := func(of string) string { return "up." + strings.ToLower(c.name) + "-" + of }
			old := struct {
				queue          mono.Queue[mailV1]
				event, durable mono.Event[mailV1]
				stream         mono.Stream[mailV1]
			}{
				mono.NewQueue[mailV1](name("queue"), mono.Codec(c.codec)), mono.NewEvent[mailV1](name("event"), mono.Codec(c.codec)),
				mono.NewEvent[mailV1](name("durable"), mono.Codec(c.codec), mono.Durable()), mono.NewStream[mailV1](name("stream"), mono.Codec(c.codec)),
			}
			up := mono.Upcasts(upcastMail)
			queue, event := mono.NewQueue[mailV2](name("queue"), mono.Codec(c.codec), up), mono.NewEvent[mailV2](name("event"), mono.Codec(c.codec), up)
			durable, stream := mono.NewEvent[mailV2](name("durable"), mono.Codec(c.codec), mono.Durable(), up), mono.NewStream[mailV2](name("stream"), mono.Codec(c.codec), up)
			release2 := b.start(t, module("two", func(s *mono.Scope) {
				queue.Handle(s, receiverOf(received))
				event.Handle(s, receiverOf(received))
				durable.Handle(s, receiverOf(received))
				stream.Handle(s, receiverOf(received))
			}))
			release1 := b.start(t)
			ctx, sent := t.Context(), mailV1{"ada"}
			for _, err := range []error{old.queue.Enqueue(ctx, release1, sent), old.event.Publish(ctx, release1, sent), old.durable.Publish(ctx, release1, sent), old.stream.Append(ctx, release1, sent)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for range 4 {
				if got := next(t, received); got != (mailV2{"ada", "news"}) {
					t.Errorf("%s: got %+v", c.name, got)
				}
			}
			added := mailV2{"bob", "hello"}
			for _, err := range []error{queue.Enqueue(ctx, release2, added), event.Publish(ctx, release2, added), durable.Publish(ctx, release2, added), stream.Append(ctx, release2, added)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for range 4 {
				if got := next(t, received); got != added {
					t.Errorf("%s: got %+v", c.name, got)
				}
			}
			var read []mailV2
			for m, err := range stream.Read(ctx, release2) {
				if err != nil {
					t.Fatal(err)
				}
				read = append(read, m.Value)
			}
			if len(read) < 2 || read[len(read)-2] != (mailV2{"ada", "news"}) || read[len(read)-1] != added {
				t.Errorf("%s: read %+v", c.name, read)
			}
		}
	})
}

// An older release makes a dead letter of a newer job and does not misread it. The newer
// release handles it when it is replayed.
func TestOlderReleaseMeetsNewerJob(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		old, queue := mono.NewQueue[mailV1]("up.jobs"), mono.NewQueue[mailV2]("up.jobs", mono.Upcasts(upcastMail))
		misread := make(chan mailV1, 1)
		release1 := b.start(t, module("one", func(s *mono.Scope) { old.Handle(s, receiverOf(misread)) }))
		sent := mailV2{"bob", "hello"}
		if err := queue.Enqueue(t.Context(), b.start(t), sent); err != nil {
			t.Fatal(err)
		}
		dead := awaitDeadLetters(t, old.DeadLetters(release1), 1)[0]
		if dead.Reason != mono.ReasonUndecodable || dead.Code != mono.InvalidArgument || !strings.Contains(dead.Error, "version 2 is newer than 1") {
			t.Errorf("got %+v", dead)
		}
		if _, err := dead.Value(); mono.CodeOf(err) != mono.InvalidArgument || !strings.Contains(err.Error(), "version 2 is newer than 1") {
			t.Errorf("the older release reads %v", err)
		}
		none(t, misread)
		if err := release1.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		received := make(chan mailV2, 2)
		release2 := b.start(t, module("two", func(s *mono.Scope) { queue.Handle(s, receiverOf(received)) }))
		letters := queue.DeadLetters(release2)
		kept := awaitDeadLetters(t, letters, 1)[0]
		if got, err := kept.Value(); err != nil || got != sent {
			t.Errorf("the newer release reads %+v, %v", got, err)
		}
		edited, err := letters.Edit(t.Context(), kept, mailV2{"eve", "hello"})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := edited.Value(); err != nil || got.To != "eve" || edited.Header.Get(transport.HeaderContentType) != "application/json; version=2" {
			t.Errorf("edited: %+v, %v, %v", got, err, edited.Header)
		}
		if err := letters.Replay(t.Context(), edited); err != nil {
			t.Fatal(err)
		}
		if got := next(t, received); got != (mailV2{"eve", "hello"}) {
			t.Errorf("replayed: %+v", got)
		}
	})
}

// A dead letter of an older release is read, edited and replayed in the newest shape. A step
// that fails makes one.
func TestUpcastsOfDeadLetters(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		old, queue := mono.NewQueue[mailV1]("up.dead"), mono.NewQueue[mailV2]("up.dead", mono.Upcasts(upcastMail))
		refuse := func(context.Context, mailV2) error { return mono.Permanent(errors.New("no")) }
		app := b.start(t, module("two", func(s *mono.Scope) { queue.Handle(s, refuse) }))
		for _, sent := range []mailV1{{"ada"}, {""}} {
			if err := old.Enqueue(t.Context(), b.start(t), sent); err != nil {
				t.Fatal(err)
			}
		}
		letters := awaitDeadLetters(t, queue.DeadLetters(app), 2)
		if got, err := letters[0].Value(); err != nil || got != (mailV2{"ada", "news"}) {
			t.Errorf("got %+v, %v", got, err)
		}
		failed := letters[1]
		if failed.Reason != mono.ReasonUndecodable || !strings.Contains(failed.Error, "the upcast from version 1 failed") || strings.Contains(failed.Error, "secret") {
			t.Errorf("got %+v", failed)
		}
	})
}

// A service has no versions, so a parameter of the content type has no effect.
func TestServiceIgnoresVersion(t *testing.T) {
	t.Parallel()
	app := newApp(t)
	s := mono.NewService[question, reply]("up.ask")
	app.Add(module("asked", func(sc *mono.Scope) { s.Handle(sc, echo) }))
	begin(t, app)
	m := &transport.Message{Subject: "services.up.ask", Body: []byte(`{"text":"x"}`), Header: transport.Header{{Name: transport.HeaderContentType, Value: "application/json; version=7"}}}
	got, err := mono.Raw(app).Request(t.Context(), m)
	if err != nil || string(got.Body) != `{"text":"x"}` {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestWrongUpcastsPanic(t *testing.T) {
	t.Parallel()
	for want, declare := range map[string]func(){
		"the last upcast, from version 1, makes a mono_test.mailV2: want a mono_test.mailV1": func() { mono.NewQueue[mailV1]("up.wrong", mono.Upcasts(upcastMail)) },
		"makes a mono_test.mailV2: want a int":                                               func() { mono.NewStream[int]("up.wrong", mono.Upcasts(upcastMail)) },
		"an upcast from version 1 follows the one from version 1":                            func() { mono.NewEvent[mailV2]("up.wrong", mono.Upcasts(upcastMail, upcastMail)) },
		"without a step": func() { mono.NewEvent[mailV2]("up.wrong", mono.Upcasts()) },
		`the upcast from version "1" has no function`: func() { mono.NewEvent[mailV2]("up.wrong", mono.Upcasts(codec.Upcast[mailV1, mailV2]("1", nil))) },
	} {
		if got := panicOf(declare); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Start reports the types of older versions that cannot be decoded, and two declarations of a
// handle with different Upcasts. Describe shows the version.
func TestStartChecksUpcasts(t *testing.T) {
	t.Parallel()
	type odd struct{ C chan int }
	app := newApp(t)
	app.Add(module("m", func(s *mono.Scope) {
		mono.NewQueue[mailV2]("up.odd", mono.Upcasts(codec.Upcast("1", func(odd) (mailV2, error) { return mailV2{}, nil }))).Enqueuer(s)
		mono.NewQueue[mailV2]("up.twice", mono.Upcasts(upcastMail)).Enqueuer(s)
		mono.NewQueue[mailV2]("up.twice").Enqueuer(s)
		mono.NewQueue[mailV2]("up.same", mono.Upcasts(upcastMail)).Enqueuer(s)
		mono.NewQueue[mailV2]("up.same", mono.Upcasts(codec.Upcast("1", withSubject))).Enqueuer(s)
	}))
	err := app.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "2 problem(s)") || !strings.Contains(err.Error(), "chan int has no encoding") || !strings.Contains(err.Error(), "with Upcasts(1 mono_test.mailV1) at ") {
		t.Errorf("got %v", err)
	}
	app = newApp(t)
	app.Add(module("m", func(s *mono.Scope) { mono.NewQueue[mailV2]("up.good", mono.Upcasts(upcastMail)).Enqueuer(s) }))
	begin(t, app)
	if h := app.Describe().Handles[0]; h.Codec != "application/json; version=2" || h.Settings["Upcasts"] != "1 mono_test.mailV1" {
		t.Errorf("got %+v", h)
	}
}
