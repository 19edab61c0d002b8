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
	announced = mono.NewEvent[fact]("test.told")
	keyed     = mono.NewEvent[fact]("test.keyed").KeyedBy(func(f fact) string { return f.Key })
	all       = mono.NewEvent[fact]("test.all", mono.Broadcast())
)

// hearer is a module that sends what it hears to a channel.
func listener[T any](name string, e mono.Event[T], heard chan<- T, opts ...mono.EventHandlerOption) mono.Module {
	return module(name, func(s *mono.Scope) {
		e.Handle(s, func(_ context.Context, v T) error { heard <- v; return nil }, opts...)
	})
}

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
				t.Fatalf("heard %v and %v, want %d", x, y, n)
			}
		}
	})
}

// Instances of one module share an event; a broadcast reaches them all. A marker
// that only a broadcast carries shows that nothing more comes.
func TestEventReachesOneInstancePerModule(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		tr := p.open(t)
		shared, everyone := make(chan fact, 100), make(chan fact, 100)
		var apps []*mono.App
		for range 2 {
			app := mono.New(borrowed{tr}, quiet(t))
			app.Add(module("listener", func(s *mono.Scope) {
				announced.Handle(s, func(_ context.Context, f fact) error { shared <- f; return nil })
				all.Handle(s, func(_ context.Context, f fact) error { everyone <- f; return nil })
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
			count[(<-everyone).N]++
		}
		seen := make(map[int]int)
		for range 10 {
			seen[(<-shared).N]++
		}
		for n := range 10 {
			if count[n] != 2 || seen[n] != 1 {
				t.Errorf("event %d: broadcast to %d, shared with %d", n, count[n], seen[n])
			}
		}
	})
}

// borrowed is a transport that somebody else closes.
type borrowed struct{ transport.Transport }

func (borrowed) Close(context.Context) error { return nil }

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
			t.Errorf("some heard %v", got)
		}
		for _, key := range []string{"a", "b", "c", "d"} {
			if f := <-every; f.Key != key {
				t.Errorf("every heard %v, want %s", f, key)
			}
		}
		for _, key := range []string{"", "a.b", "a b", "*", ">", "a\n"} {
			if err := keyed.Publish(t.Context(), app, fact{Key: key}); mono.CodeOf(err) != mono.InvalidArgument || !strings.Contains(err.Error(), "test.keyed") {
				t.Errorf("key %q: %v", key, err)
			}
		}
	})
}

// An event that nobody hears is no error.
func TestEventWithoutSubscribers(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		if err := announced.Publish(t.Context(), p.start(t), fact{}); err != nil {
			t.Error(err)
		}
	})
}

// Handlers of events run one at a time, unless told otherwise.
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

// What is buffered when the App stops is heard; nothing that was published
// before is lost.
func TestEventDrain(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var heard atomic.Int32
		release := make(chan struct{})
		app := p.app(t)
		app.Add(module("slow", func(s *mono.Scope) {
			announced.Handle(s, func(context.Context, fact) error { <-release; heard.Add(1); return nil })
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
		if err := <-stopped; err != nil || heard.Load() != 100 {
			t.Errorf("Stop: %v, %d of 100 heard", err, heard.Load())
		}
	})
}

// An error and a panic of a handler are logged, and the next event is heard.
func TestErrorsAndPanicsOfHandlersAreLogged(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var log logBuffer
		heard := make(chan fact, 1)
		app := p.app(t, log.option())
		app.Add(module("listener", func(s *mono.Scope) {
			announced.Handle(s, func(_ context.Context, f fact) error {
				switch f.N {
				case 0:
					panic("event panic")
				case 1:
					return errors.New("event error")
				}
				heard <- f
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
		if f := <-heard; f.N != 2 {
			t.Errorf("heard %v", f)
		}
		if _, err := ask.Call(t.Context(), app, question{}); mono.CodeOf(err) != mono.Internal {
			t.Errorf("the call: %v", err)
		}
		for _, want := range []string{"event panic", "event error", "service panic", "event_test.go", "handle=test.told"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, log.String())
			}
		}
	})
}

// Ten calls to a handler of 100 ms take 100 ms.
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

// An undecodable event is logged and holds up nobody.
func TestUndecodableEventIsLogged(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var log logBuffer
		heard := make(chan fact, 1)
		app := p.app(t, log.option())
		app.Add(listener("listener", announced, heard))
		begin(t, app)
		if err := mono.Raw(app).Publish(t.Context(), &transport.Message{Subject: "events.test.told", Body: []byte("{")}); err != nil {
			t.Fatal(err)
		}
		if err := announced.Publish(t.Context(), app, fact{N: 1}); err != nil {
			t.Fatal(err)
		}
		if f := <-heard; f.N != 1 || !strings.Contains(log.String(), "event test.told") || !strings.Contains(log.String(), "byte") {
			t.Errorf("heard %v, log:\n%s", f, log.String())
		}
	})
}

// Raw sees what handles send, wildcards included.
func TestRawReceivesEvents(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t, mono.Namespace("shop"))
		begin(t, app)
		heard := make(chan *transport.Message, 2)
		sub, err := mono.Raw(app).Subscribe(t.Context(), transport.Subscription{Subject: "shop.events.>"}, func(m *transport.Message) { heard <- m })
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
		if m := <-heard; m.Subject != "shop.events.test.told" || string(m.Body) != `{"key":"","n":1}` || m.Header.Get("A") != "b" || m.Header.Get(transport.HeaderID) == "" {
			t.Errorf("got %v %s", m, m.Body)
		}
		if m := <-heard; m.Subject != "shop.events.test.keyed._k.k" {
			t.Errorf("got %v", m)
		}
	})
}

// headersTo sends what the header H of each event holds to a channel.
func headersTo(heard chan<- []string) mono.Sink[fact] {
	return func(ctx context.Context, _ fact) error {
		heard <- mono.CallFrom(ctx).HeaderValues("H")
		return nil
	}
}

func toText(list []string) string { return fmt.Sprint(list) }
