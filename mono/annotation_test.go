package mono_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"gomono.dev/mono"
)

type price struct{ Cents int }

var (
	pricedService = mono.NewService[job, job]("annotated.service", mono.Annotate("test.Price", price{3}), mono.Annotate("test.Free", false))
	pricedQueue   = mono.NewQueue[job]("annotated.queue", mono.Annotate("test.Price", price{4}))
	pricedEvent   = mono.NewEvent[job]("annotated.event", mono.Annotate("test.Price", price{5}))
	pricedStream  = mono.NewStream[job]("annotated.stream", mono.Annotate("test.Price", price{6}))
	pricedChannel = mono.NewChannel[job]("annotated.channel", mono.Annotate("test.Price", price{7}))
)

// Middleware on both sides, other code and Describe see the annotations of a handle.
func TestAnnotations(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var mu sync.Mutex
		seen := make(map[string]any)
		app := p.app(t)
		app.Use(mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, c *mono.Call) error {
				mu.Lock()
				seen[string(c.Side())+" "+c.Handle().Name()] = c.Annotation("test.Price")
				mu.Unlock()
				return next(ctx, c)
			}
		}))
		handled := make(chan struct{}, 3)
		done := func(context.Context, job) error { handled <- struct{}{}; return nil }
		app.Add(module("priced", func(s *mono.Scope) {
			pricedService.Handle(s, func(_ context.Context, j job) (job, error) { return j, nil })
			pricedQueue.Handle(s, done)
			pricedEvent.Handle(s, done)
			pricedStream.Handle(s, done)
			pricedChannel.Receive(s)
		}))
		begin(t, app)
		ctx := t.Context()
		if _, err := pricedService.Call(ctx, app, job{}); err != nil {
			t.Fatal(err)
		}
		for _, send := range []func() error{
			func() error { return pricedQueue.Enqueue(ctx, app, job{}) },
			func() error { return pricedEvent.Publish(ctx, app, job{}) },
			func() error { return pricedStream.Append(ctx, app, job{}) },
		} {
			if err := send(); err != nil {
				t.Fatal(err)
			}
			<-handled
		}
		for name, want := range map[string]price{"annotated.service": {3}, "annotated.queue": {4}, "annotated.event": {5}, "annotated.stream": {6}} {
			for _, side := range []mono.Side{mono.SideSender, mono.SideReceiver} {
				mu.Lock()
				if got := seen[string(side)+" "+name]; got != want {
					t.Errorf("the %s side of %s has %v, want %v", side, name, got, want)
				}
				mu.Unlock()
			}
		}
		texts := make(map[string]string)
		for _, h := range app.Describe().Handles {
			texts[h.Name] = h.Annotations["test.Price"]
			if _, ok := h.Settings["Annotations"]; ok {
				t.Errorf("the settings of %s have its annotations", h.Name)
			}
		}
		if texts["annotated.channel"] != "{7}" || texts["annotated.service"] != "{3}" {
			t.Errorf("Describe has %v", texts)
		}
	})
	if got := mono.AnnotationOf(pricedChannel, "test.Price"); got != (price{7}) {
		t.Errorf("got %v", got)
	}
	if got := mono.AnnotationOf(pricedService, "test.Free"); got != false {
		t.Errorf("got %v", got)
	}
	if got := mono.AnnotationOf(pricedService, "test.Other"); got != nil {
		t.Errorf("got %v", got)
	}
	if got := mono.CallFrom(t.Context()).Annotation("test.Price"); got != nil {
		t.Errorf("an empty Call has %v", got)
	}
}

func TestBadAnnotations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		options []mono.QueueOption
		want    string
	}{
		{[]mono.QueueOption{mono.Annotate("", 1)}, "the key is empty"},
		{[]mono.QueueOption{mono.Annotate("test.Price", nil)}, `Annotate("test.Price", nil): want a value`},
		{[]mono.QueueOption{mono.Annotate("test.Price", 1), mono.Annotate("test.Price", 1)}, `Annotate("test.Price", …) is given twice`},
	} {
		if got := panicOf(func() { mono.NewQueue[job]("annotated.bad", c.options...) }); !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	one := mono.NewQueue[job]("annotated.twice", mono.Annotate("test.Price", 1))
	other := mono.NewQueue[job]("annotated.twice", mono.Annotate("test.Price", 2))
	app := newApp(t)
	app.Add(module("twice", func(s *mono.Scope) {
		one.Handle(s, nothing)
		other.Enqueuer(s)
	}))
	if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "with Annotations(map[test.Price:1])") && !strings.Contains(err.Error(), "Annotations(map[test.Price:2])") {
		t.Errorf("got %v", err)
	}
}
