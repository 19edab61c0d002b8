package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

type fact struct {
	Key string `json:"key"`
	N   int    `json:"n"`
}

var (
	announced = mono.NewEvent[fact]("test.announced")
	keyed     = mono.NewEvent[fact]("test.keyed").KeyedBy(func(f fact) string { return f.Key })
	all       = mono.NewEvent[fact]("test.all", mono.Broadcast())
)

// listener is a module that forwards the events it receives to a channel.
func listener[T any](name string, e mono.Event[T], received chan<- T, opts ...mono.EventHandlerOption) mono.Module {
	return module(name, func(s *mono.Scope) {
		e.Handle(s, func(_ context.Context, v T) error { received <- v; return nil }, opts...)
	})
}

// Each subscribed module receives all events of a publisher in order.
func TestEventReachesEveryModuleInOrder(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		a, b := make(chan fact, 100), make(chan fact, 100)
		app := p.start(t, listener("a", announced, a), listener("b", announced, b))
		for n := range 100 {
			if err := announced.Publish(t.Context(), app, fact{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 100 {
			if x, y := <-a, <-b; x.N != n || y.N != n {
				t.Fatalf("received %v and %v, want %d", x, y, n)
			}
		}
	})
}

// An event reaches one instance of a module, and a broadcast reaches all instances.
func TestEventReachesOneInstancePerModule(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		tr := p.open(t)
		one, every := make(chan fact, 100), make(chan fact, 100)
		var apps []*mono.App
		for range 2 {
			app := mono.New(borrowed{tr}, quiet(t))
			app.Add(module("listener", func(s *mono.Scope) {
				announced.Handle(s, func(_ context.Context, f fact) error { one <- f; return nil })
				all.Handle(s, func(_ context.Context, f fact) error { every <- f; return nil })
			}))
			begin(t, app)
			apps = append(apps, app)
		}
		for n := range 10 {
			if err := announced.Publish(t.Context(), apps[0], fact{N: n}); err != nil {
				t.Fatal(err)
			}
			if err := all.Publish(t.Context(), apps[0], fact{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		count := make(map[int]int)
		for range 20 {
			count[(<-every).N]++
		}
		seen := make(map[int]int)
		for range 10 {
			seen[(<-one).N]++
		}
		for n := range 10 {
			if count[n] != 2 || seen[n] != 1 {
				t.Errorf("event %d: %d instances received the broadcast, %d the event, want 2 and 1", n, count[n], seen[n])
			}
		}
	})
}

// borrowed is a transport whose Close does nothing: its owner closes it.
type borrowed struct{ transport.Transport }

func (borrowed) Close(context.Context) error { return nil }

// A subscriber with Keys receives only events with these keys. A key that is not a single
// token is rejected.
func TestEventKeys(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		every, some := make(chan fact, 10), make(chan fact, 10)
		app := p.start(t, listener("every", keyed, every), listener("some", keyed, some, mono.Keys("b", "d")))
		for _, key := range []string{"a", "b", "c", "d"} {
			if err := keyed.Publish(t.Context(), app, fact{Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		got := []string{(<-some).Key, (<-some).Key}
		slices.Sort(got)
		if !slices.Equal(got, []string{"b", "d"}) {
			t.Errorf("the module some received %v", got)
		}
		for _, key := range []string{"a", "b", "c", "d"} {
			if f := <-every; f.Key != key {
				t.Errorf("the module every received %v, want %s", f, key)
			}
		}
		for _, key := range []string{"", "a.b", "a b", "*", ">", "a\n"} {
			if err := keyed.Publish(t.Context(), app, fact{Key: key}); mono.CodeOf(err) != mono.InvalidArgument || !strings.Contains(err.Error(), "test.keyed") {
				t.Errorf("key %q: %v", key, err)
			}
		}
	})
}

// An event without subscribers can be published.
func TestEventWithoutSubscribers(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		if err := announced.Publish(t.Context(), p.start(t), fact{}); err != nil {
			t.Error(err)
		}
	})
}

// An event handler runs one at a time by default, and up to Concurrency at once.
func TestEventConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, most [2]atomic.Int32
		slow := func(i int) mono.Sink[fact] {
			return func(context.Context, fact) error {
				if n := running[i].Add(1); n > most[i].Load() {
					most[i].Store(n)
				}
				<-time.After(time.Second)
				running[i].Add(-1)
				return nil
			}
		}
		app := newApp(t)
		app.Add(
			module("one", func(s *mono.Scope) { announced.Handle(s, slow(0)) }),
			module("four", func(s *mono.Scope) { announced.Handle(s, slow(1), mono.Concurrency(4)) }))
		begin(t, app)
		for n := range 8 {
			if err := announced.Publish(t.Context(), app, fact{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(10 * time.Second)
		if most[0].Load() != 1 || most[1].Load() != 4 {
			t.Errorf("%d and %d at once, want 1 and 4", most[0].Load(), most[1].Load())
		}
	})
}

// Events that are buffered when Stop begins are handled: no event published before Stop is
// lost.
func TestEventDrain(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var received atomic.Int32
		release := make(chan struct{})
		app := p.app(t)
		app.Add(module("slow", func(s *mono.Scope) {
			announced.Handle(s, func(context.Context, fact) error { <-release; received.Add(1); return nil })
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range 100 {
			if err := announced.Publish(t.Context(), app, fact{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		stopped := make(chan error)
		go func() { stopped <- app.Stop(context.Background()) }()
		close(release)
		if err := <-stopped; err != nil || received.Load() != 100 {
			t.Errorf("Stop: %v, %d of 100 received", err, received.Load())
		}
	})
}

// Errors and panics of event handlers are logged, and the next event is handled. A panic
// in a service handler is an internal error of the call.
func TestErrorsAndPanicsOfHandlersAreLogged(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var log logBuffer
		received := make(chan fact, 1)
		app := p.app(t, log.option())
		app.Add(module("listener", func(s *mono.Scope) {
			announced.Handle(s, func(_ context.Context, f fact) error {
				switch f.N {
				case 0:
					panic("event panic")
				case 1:
					return errors.New("event error")
				}
				received <- f
				return nil
			})
			ask.Handle(s, func(context.Context, question) (reply, error) { panic(errors.New("service panic")) })
		}))
		begin(t, app)
		for n := range 3 {
			if err := announced.Publish(t.Context(), app, fact{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		if f := <-received; f.N != 2 {
			t.Errorf("received %v", f)
		}
		if _, err := ask.Call(t.Context(), app, question{}); mono.CodeOf(err) != mono.Internal {
			t.Errorf("the call: %v", err)
		}
		for _, want := range []string{"event panic", "event error", "service panic", "event_test.go", "handle=test.announced"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not contain %q:\n%s", want, log.String())
			}
		}
	})
}

// Calls to one service run concurrently: ten calls of 100 ms each take 100 ms. Each
// handler has the deadline of its caller.
func TestCallsRunConcurrently(t *testing.T) {
	t.Parallel()
	for _, p := range paths[:2] {
		synctest.Test(t, func(t *testing.T) {
			app := p.start(t, provider(func(ctx context.Context, _ question) (reply, error) {
				deadline, ok := ctx.Deadline()
				<-time.After(100 * time.Millisecond)
				return reply{Text: fmt.Sprint(ok, time.Until(deadline) > time.Hour)}, nil
			}))
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			done := make(chan string)
			for range 10 {
				go func() {
					got, err := ask.Call(ctx, app, question{})
					done <- fmt.Sprint(got.Text, err)
				}()
			}
			for range 10 {
				if got := <-done; got != "true true<nil>" {
					t.Errorf("got %s", got)
				}
			}
			if took := time.Since(began); took != 100*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

// An undecodable event is logged and does not delay other events.
func TestUndecodableEventIsLogged(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var log logBuffer
		received := make(chan fact, 1)
		app := p.app(t, log.option())
		app.Add(listener("listener", announced, received))
		begin(t, app)
		if err := mono.Raw(app).Publish(t.Context(), &transport.Message{Subject: "events.test.announced", Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		if err := announced.Publish(t.Context(), app, fact{N: 1}); err != nil {
			t.Fatal(err)
		}
		if f := <-received; f.N != 1 || !strings.Contains(log.String(), "event test.announced") || !strings.Contains(log.String(), "byte") {
			t.Errorf("received %v, log:\n%s", f, log.String())
		}
	})
}

// Of many messages that cannot be decoded, one in a second is logged, with the number of the others.
func TestUndecodableMessagesDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		app := newApp(t, log.option())
		app.Add(listener("listener", announced, make(chan fact, 1)), provider(echo))
		begin(t, app)
		for range 2 {
			for range 100 {
				if err := mono.Raw(app).Publish(t.Context(), &transport.Message{Subject: "events.test.announced", Body: []byte("{")}); err != nil {
					t.Fatal(err)
				}
				if _, err := mono.Raw(app).Request(t.Context(), &transport.Message{Subject: "services.test.ask", Body: []byte("{")}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			<-time.After(time.Second)
		}
		for _, handle := range []string{"handle=test.announced", "handle=test.ask"} {
			var lines []string
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "not decoded") && strings.Contains(line, handle+" ") {
					lines = append(lines, line)
				}
			}
			if len(lines) != 2 || !strings.Contains(lines[0], "others=0") || !strings.Contains(lines[1], "others=99") {
				t.Errorf("%s: got %q", handle, lines)
			}
		}
	})
}

// A raw subscription, also with wildcards, receives the messages that handles send.
func TestRawReceivesEvents(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, mono.Namespace("shop"))
		begin(t, app)
		received := make(chan *transport.Message, 2)
		sub, err := mono.Raw(app).Subscribe(t.Context(), transport.Subscription{Subject: "shop.events.>"}, transport.Serial(func(m *transport.Message) { received <- m }))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		if err := announced.With(mono.Header("A", "b")).Publish(t.Context(), app, fact{N: 1}); err != nil {
			t.Fatal(err)
		}
		if err := keyed.Publish(t.Context(), app, fact{Key: "k"}); err != nil {
			t.Fatal(err)
		}
		if m := <-received; m.Subject != "shop.events.test.announced" || string(m.Body) != `{"key":"","n":1}` || m.Header.Get("A") != "b" || len(m.Header) != 1 {
			t.Errorf("got %v %s", m, m.Body)
		}
		if m := <-received; m.Subject != "shop.events.test.keyed._k.k" {
			t.Errorf("got %v", m)
		}
	})
}

// headersTo forwards the values of the header H of each event to a channel.
func headersTo(received chan<- []string) mono.Sink[fact] {
	return func(ctx context.Context, _ fact) error {
		received <- mono.CallFrom(ctx).HeaderValues("H")
		return nil
	}
}

func toText(list []string) string { return fmt.Sprint(list) }
