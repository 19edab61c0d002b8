package mono_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport"
)

// onSide is middleware of one side, which passes the ids of messages on when they were sent, or
// handled.
type onSide struct {
	side mono.Side
	ids  chan<- string
}

func (o *onSide) Selects(_ mono.Handle, side mono.Side, _ bool) bool { return side == o.side }

func (o *onSide) Wrap(next mono.Next) mono.Next {
	return func(ctx context.Context, c *mono.Call) error {
		err := next(ctx, c)
		o.ids <- c.ID()
		return err
	}
}

// identity is what the handler of an event knows about it.
type identity struct{ id, sender, tenant, request string }

// An event that is not stored has another id at each receiver and no sender, unless its sending side
// may know the id.
func TestIdentityOfEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []mono.AppOption
		use     mono.Side // middleware of this side
		send    []mono.EventSendOption
		event   []mono.EventOption
		carries bool
		id      string
		tenant  string
	}{
		"nothing":                          {},
		"a header":                         {send: []mono.EventSendOption{mono.Header("Tenant", "acme")}, tenant: "acme"},
		"a header that is passed on":       {options: []mono.AppOption{mono.Propagate("Tenant", nil)}, send: []mono.EventSendOption{mono.Header("Tenant", "acme")}, tenant: "acme"},
		"a header of other handles":        {options: []mono.AppOption{mono.PropagateTo("Token", func(mono.Handle) bool { return false })}},
		"request ids":                      {options: []mono.AppOption{requestid.Propagate()}, carries: true},
		"a dedup id":                       {send: []mono.EventSendOption{mono.DedupID("id-1")}, carries: true, id: "id-1"},
		"middleware of the receiving side": {use: mono.SideReceiver},
		"middleware of the sending side":   {use: mono.SideSender, carries: true},
		"MessagePack":                      {event: []mono.EventOption{mono.Codec(codec.MessagePack)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onPaths(t, func(t *testing.T, p path) {
				event := mono.NewEvent[fact]("test.identity", c.event...)
				got := make(chan identity, 2)
				handle := func(s *mono.Scope) {
					event.Handle(s, func(ctx context.Context, _ fact) error {
						call := mono.CallFrom(ctx)
						got <- identity{call.ID(), call.Sender(), call.Header("Tenant"), requestid.From(ctx)}
						return nil
					})
				}
				var scope *mono.Scope
				app := p.app(t, c.options...)
				ids := make(chan string, 2)
				if c.use != "" {
					app.Use(&onSide{c.use, ids})
				}
				app.Add(module("a", handle), module("b", handle), module("shop", func(s *mono.Scope) { s.Use(event); scope = s }))
				begin(t, app)
				if err := event.With(c.send...).Publish(t.Context(), scope, fact{N: 1}); err != nil {
					t.Fatal(err)
				}
				one, other := next(t, got), next(t, got)
				if one.id == "" || other.id == "" || (one.id == other.id) != c.carries || c.id != "" && one.id != c.id {
					t.Errorf("the receivers have the ids %q and %q", one.id, other.id)
				}
				want := ""
				if c.carries {
					want = "shop"
				}
				if one.sender != want || other.sender != want || one.tenant != c.tenant || one.request != other.request {
					t.Errorf("got %+v and %+v", one, other)
				}
				if c.use != "" {
					if id := next(t, ids); id != one.id && id != other.id {
						t.Errorf("the middleware sees the id %q, the receivers see %q and %q", id, one.id, other.id)
					}
				}
			})
		})
	}
}

// An event carries nothing beside its body, unless its codec or its sender needs it.
func TestFieldsOfEvents(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		app := p.app(t)
		begin(t, app)
		received := make(chan *transport.Message, 1)
		sub, err := mono.Raw(app).Subscribe(t.Context(), transport.Subscription{Subject: "events.>"}, transport.Serial(func(m *transport.Message) { received <- m }))
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		packed := mono.NewEvent[fact]("test.packed", mono.Codec(codec.MessagePack))
		for _, c := range []struct {
			publish func() error
			want    []string
		}{
			{func() error { return announced.Publish(t.Context(), app, fact{}) }, nil},
			{func() error { return rawEvent.Publish(t.Context(), app, []byte("x")) }, nil},
			{func() error { return packed.Publish(t.Context(), app, fact{}) }, []string{transport.HeaderContentType}},
			{func() error { return rawEvent.With(mono.DedupID("id-1")).Publish(t.Context(), app, []byte("x")) }, []string{transport.HeaderID}},
		} {
			if err := c.publish(); err != nil {
				t.Fatal(err)
			}
			m := next(t, received)
			var names []string
			for _, f := range m.Header {
				names = append(names, f.Name)
			}
			if !slices.Equal(names, c.want) {
				t.Errorf("%s has the header %v, want %v", m.Subject, m.Header, c.want)
			}
		}
	})
}

// An event of an older build carries its id, its sender and the content type of bytes.
func TestEventsOfOlderBuilds(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		got := make(chan identity, 1)
		app := p.start(t, module("listener", func(s *mono.Scope) {
			rawEvent.Handle(s, func(ctx context.Context, body []byte) error {
				c := mono.CallFrom(ctx)
				got <- identity{id: c.ID(), sender: c.Sender(), tenant: string(body)}
				return nil
			})
		}))
		older := &transport.Message{Subject: "events.test.raw-event", Body: []byte("x"), Header: transport.Header{
			{Name: transport.HeaderID, Value: "id-1"}, {Name: transport.HeaderSender, Value: "shop"}, {Name: transport.HeaderContentType, Value: "application/octet-stream"},
		}}
		if err := mono.Raw(app).Publish(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		if is := next(t, got); is != (identity{id: "id-1", sender: "shop", tenant: "x"}) {
			t.Errorf("got %+v", is)
		}
	})
}

// An event with a header and one without have the same Call, for several goroutines of the handler and
// also after it has returned.
func TestCallOfAnEvent(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		described, contexts := make(chan string, 1), make(chan context.Context, 1)
		app := p.start(t, module("listener", func(s *mono.Scope) {
			keyed.Handle(s, func(ctx context.Context, f fact) error {
				calls := make(chan *mono.Call, 2)
				for range cap(calls) {
					go func() { calls <- mono.CallFrom(ctx) }()
				}
				c := next(t, calls)
				if other := next(t, calls); c != other || c != mono.CallFrom(ctx) {
					t.Error("two Calls of one event")
				}
				id := c.ID()
				if ctx.Err() != nil || c.Payload() != f || id == "" || c.ID() != id {
					t.Errorf("the Call has the id %q and the payload %v, its context the error %v", c.ID(), c.Payload(), ctx.Err())
				}
				described <- fmt.Sprint(c.Side(), c.Handle().Name(), c.Module(), c.Group(), c.Key(), c.Size(), c.Attempt(), c.Sequence(), c.Count(), c.Partition(), c.Local(), c.Reply(), ctx.Done() != nil)
				contexts <- ctx
				return nil
			})
		}))
		var seen []string
		for _, e := range []mono.Event[fact]{keyed, keyed.With(mono.Header("Tenant", "acme"))} {
			if err := e.Publish(t.Context(), app, fact{Key: "k", N: 1}); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, next(t, described))
			if ctx := next(t, contexts); ctx.Err() != nil || mono.CallFrom(ctx).Module() != "listener" {
				t.Errorf("after its handler, the context has the error %v", ctx.Err())
			}
		}
		if seen[0] != seen[1] {
			t.Errorf("got %s\nand %s", seen[0], seen[1])
		}
	})
}

// The memory of an event is used again: each receiver gets its own value, however many send at once.
func TestConcurrentEvents(t *testing.T) {
	t.Parallel()
	const senders, each = 8, 50
	onPaths(t, func(t *testing.T, p path) {
		got := make(chan fact, senders*each)
		app := p.start(t, listener("listener", announced, got, mono.Concurrency(4)))
		for n := range senders {
			go func() {
				for i := range each {
					if err := announced.Publish(t.Context(), app, fact{Key: fmt.Sprint(n, " ", i), N: n*each + i}); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		seen := make(map[int]bool)
		for range senders * each {
			f := next(t, got)
			if seen[f.N] || f.Key != fmt.Sprint(f.N/each, " ", f.N%each) {
				t.Errorf("got %v", f)
			}
			seen[f.N] = true
		}
	})
}
