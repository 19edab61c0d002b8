package mono_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// boundSenders are the bound senders of each kind that has send options.
type boundSenders struct {
	enqueue mono.Enqueuer[job]
	publish mono.Publisher[job]
	store   mono.Appender[job]
}

var (
	boundQueue  = mono.NewQueue[job]("bound.queue")
	boundEvent  = mono.NewEvent[job]("bound.event", mono.Durable())
	boundStream = mono.NewStream[job]("bound.stream")
)

// bindSenders binds handles that have a header already.
func bindSenders(b mono.Binder) boundSenders {
	own := mono.Header("Own", "1")
	return boundSenders{boundQueue.With(own).Enqueuer(b), boundEvent.With(own).Publisher(b), boundStream.With(own).Appender(b)}
}

// onBoundSenders runs a test with senders that a module got in Bind, and with senders of
// an App. Handlers forward the message with its id and headers to got.
func onBoundSenders(t *testing.T, test func(t *testing.T, send boundSenders, got <-chan string)) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan string, 100)
		forward := func(ctx context.Context, j job) error {
			c := mono.CallFrom(ctx)
			id := c.ID()
			if !strings.HasPrefix(id, "id-") {
				id = "random"
			}
			got <- fmt.Sprintf("%s %d %s %v%v", c.Handle().Name(), j.N, id, c.HeaderValues("Own"), c.HeaderValues("Tenant"))
			return nil
		}
		var inBind boundSenders
		app := b.start(t, module("receiver", func(s *mono.Scope) {
			boundQueue.Handle(s, forward)
			boundEvent.Handle(s, forward)
			boundStream.Handle(s, forward)
		}), module("sender", func(s *mono.Scope) { inBind = bindSenders(s) }))
		test(t, inBind, got)
		test(t, bindSenders(app), got)
	})
}

// The options of a bound sender apply to one message, in addition to those of its handle.
func TestBoundSendersAcceptOptions(t *testing.T) {
	onBoundSenders(t, func(t *testing.T, send boundSenders, got <-chan string) {
		id := "id-" + rand.Text()
		tenant := mono.Header("Tenant", "t")
		ctx := t.Context()
		for i, err := range []error{
			send.enqueue(ctx, job{N: 1}, mono.DedupID(id), tenant),
			send.enqueue(ctx, job{N: 2}, mono.DedupID(id)), // a duplicate
			send.enqueue(ctx, job{N: 3}, mono.Delay(time.Hour)),
			send.enqueue(ctx, job{N: 4}, mono.At(time.Now().Add(time.Hour)), mono.Delay(0)),
			send.enqueue(ctx, job{N: 5}),
			send.store(ctx, job{N: 1}, mono.DedupID(id), tenant),
			send.store(ctx, job{N: 2}, mono.DedupID(id)),
			send.store(ctx, job{N: 3}, nil...),
			send.publish(ctx, job{N: 1}, tenant, mono.Header("Tenant", "u")),
			send.publish(ctx, job{N: 2}),
		} {
			if err != nil {
				t.Errorf("send %d: %v", i, err)
			}
		}
		want := []string{
			"bound.event 1 random [1][t u]", "bound.event 2 random [1][]",
			"bound.queue 1 " + id + " [1][t]", "bound.queue 4 random [1][]", "bound.queue 5 random [1][]",
			"bound.stream 1 " + id + " [1][t]", "bound.stream 3 random [1][]",
		}
		var all []string
		for range want {
			all = append(all, next(t, got))
		}
		slices.Sort(all)
		if !slices.Equal(all, want) {
			t.Errorf("received\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
		}
		none(t, got)
	})
}

// A wrong value of an option is an error of the send that has it, and of no other.
func TestBoundSendersRejectWrongOptions(t *testing.T) {
	onBoundSenders(t, func(t *testing.T, send boundSenders, got <-chan string) {
		ctx := t.Context()
		reserved, far := mono.Header("Mono-Id", "x"), time.Duration(1<<63-1)
		for _, c := range []struct {
			name string
			err  error
		}{
			{"a reserved header of a job", send.enqueue(ctx, job{}, reserved)},
			{"a reserved header of an event", send.publish(ctx, job{}, reserved)},
			{"a reserved header of a message", send.store(ctx, job{}, reserved)},
			{"a header with an invalid name", send.publish(ctx, job{}, mono.Header("two words", "x"))},
			{"an id with a control character", send.enqueue(ctx, job{}, mono.DedupID("a\nb"))},
			{"an id that is too long", send.store(ctx, job{}, mono.DedupID(strings.Repeat("x", 257)))},
			{"a nil option of a job", send.enqueue(ctx, job{}, nil, mono.Delay(0))},
			{"a nil option of an event", send.publish(ctx, job{}, nil)},
			{"a nil option of a message", send.store(ctx, job{}, nil)},
			{"a delay beyond 2261", send.enqueue(ctx, job{}, mono.Delay(far))},
		} {
			if mono.CodeOf(c.err) != mono.InvalidArgument || mono.OutcomeOf(c.err) != mono.OutcomeNotDone || !strings.Contains(c.err.Error(), "bound.") {
				t.Errorf("%s: %v", c.name, c.err)
			}
		}
		if err := errors.Join(send.enqueue(ctx, job{N: 9}), send.publish(ctx, job{N: 9}), send.store(ctx, job{N: 9})); err != nil {
			t.Error(err)
		}
		for range 3 {
			if text := next(t, got); !strings.HasSuffix(text, " 9 random [1][]") {
				t.Errorf("received %s", text)
			}
		}
	})
}

// A bound sender can be used concurrently: no message gets the options of another.
func TestBoundSenderConcurrently(t *testing.T) {
	onBoundSenders(t, func(t *testing.T, send boundSenders, got <-chan string) {
		const n = 20
		failed := make(chan error, n)
		for i := range n {
			go func() { failed <- send.store(t.Context(), job{N: i}, mono.Header("Tenant", fmt.Sprint(i))) }()
		}
		for range n {
			if err := next(t, failed); err != nil {
				t.Error(err)
			}
		}
		for range n {
			text := next(t, got)
			var i int
			if _, err := fmt.Sscanf(text, "bound.stream %d random", &i); err != nil || text != fmt.Sprintf("bound.stream %d random [1][%d]", i, i) {
				t.Errorf("received %s, %v", text, err)
			}
		}
	})
}

// A bound sender without options allocates what the send of its handle allocates.
func TestBoundSenderAllocations(t *testing.T) {
	e := mono.NewEvent[[]byte]("bound.allocations", mono.Codec(codec.Raw)) // the other codecs use a sync.Pool
	var inBind mono.Publisher[[]byte]
	app := paths[1].start(t, module("sender", func(s *mono.Scope) { inBind = e.Publisher(s) }))
	ofApp := e.Publisher(app)
	measure := func(send func() error) float64 {
		return testing.AllocsPerRun(100, func() {
			if err := send(); err != nil {
				t.Error(err)
			}
		})
	}
	body := []byte("x")
	want := measure(func() error { return e.Publish(t.Context(), app, body) })
	for name, publish := range map[string]mono.Publisher[[]byte]{"in Bind": inBind, "of an App": ofApp} {
		if n := measure(func() error { return publish(t.Context(), body) }); n > want {
			t.Errorf("a sender %s allocates %v times, Publish %v", name, n, want)
		}
	}
	discards := mono.AsPublisher(func(context.Context, []byte) error { return nil })
	if n := measure(func() error { return discards(t.Context(), body) }); n != 0 {
		t.Errorf("a handler as a sender allocates %v times", n)
	}
}

// A handler stands in for each kind of bound sender. It gets the values, and its error is
// that of the send.
func TestHandlerAsSender(t *testing.T) {
	t.Parallel()
	var got []int
	handler := func(_ context.Context, j job) error {
		got = append(got, j.N)
		if j.N < 0 {
			return short
		}
		return nil
	}
	send := boundSenders{mono.AsEnqueuer(handler), mono.AsPublisher(handler), mono.AsAppender(handler)}
	ctx := t.Context()
	for i, err := range []error{
		send.enqueue(ctx, job{N: 0}, mono.Delay(time.Hour), mono.DedupID("x")), send.enqueue(ctx, job{N: 1}),
		send.publish(ctx, job{N: 2}, mono.Header("H", "x")), send.publish(ctx, job{N: 3}),
		send.store(ctx, job{N: 4}, mono.DedupID("x")), send.store(ctx, job{N: 5}),
	} {
		if err != nil {
			t.Errorf("send %d: %v", i, err)
		}
	}
	if !slices.Equal(got, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("the handler got %v", got)
	}
	for _, err := range []error{send.enqueue(ctx, job{N: -1}), send.publish(ctx, job{N: -1}), send.store(ctx, job{N: -1})} {
		if !errors.Is(err, short) {
			t.Errorf("got %v", err)
		}
	}
	if text := panicOf(func() { mono.AsPublisher[job](nil) }); !strings.Contains(text, "AsPublisher") {
		t.Errorf("a nil handler: %q", text)
	}
}
