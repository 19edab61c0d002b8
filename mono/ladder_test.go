package mono_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// shape is the handles of a ladder as one release declares them. Texts stand for the payloads, so
// that releases with different types can be compared.
type shape struct {
	name string
	bind func(s *mono.Scope, got chan<- string) // receives, unless got is nil
	send func(ctx context.Context, b mono.Binder, text string) []error
	ask  func(ctx context.Context, b mono.Binder, text string) (string, error) // nil without a service
	read func(ctx context.Context, b mono.Binder) ([]string, error)
}

// options are those of the handles of a release: of all, and of those that can be stored. Their
// names begin with area, by default "ladder", and began with formerly before, if it is not "".
type options struct {
	all            []mono.MessageOption
	stored         []mono.StoredOption
	area, formerly string
}

// storedHandles is the number of handles to which a shape sends.
const storedHandles = 3

func shapeOf[T any](name string, o options, wrap func(string) T, unwrap func(T) string) shape {
	var queue []mono.QueueOption
	event, stream, service := []mono.EventOption{mono.Durable()}, []mono.StreamOption(nil), []mono.ServiceOption(nil)
	for _, option := range o.all {
		queue, event, stream, service = append(queue, option), append(event, option), append(stream, option), append(service, option)
	}
	for _, option := range o.stored {
		queue, event, stream = append(queue, option), append(event, option), append(stream, option)
	}
	if o.formerly != "" {
		queue, event = append(queue, mono.Formerly(o.formerly+".jobs")), append(event, mono.Formerly(o.formerly+".told"))
		stream, service = append(stream, mono.Formerly(o.formerly+".ledger")), append(service, mono.Formerly(o.formerly+".asked"))
	}
	area := cmp.Or(o.area, "ladder")
	jobs, told := mono.NewQueue[T](area+".jobs", queue...), mono.NewEvent[T](area+".told", event...)
	ledger, asked := mono.NewStream[T](area+".ledger", stream...), mono.NewService[T, T](area+".asked", service...)
	s := shape{
		name: name,
		bind: func(sc *mono.Scope, got chan<- string) {
			if got == nil {
				sc.Use(jobs, told, ledger)
				return
			}
			take := func(_ context.Context, v T) error { got <- unwrap(v); return nil }
			jobs.Handle(sc, take)
			told.Handle(sc, take)
			ledger.Handle(sc, take)
			if o.stored == nil {
				asked.Handle(sc, func(_ context.Context, v T) (T, error) { return wrap(unwrap(v) + "!"), nil })
			}
		},
		send: func(ctx context.Context, b mono.Binder, text string) []error {
			return []error{jobs.Enqueue(ctx, b, wrap(text)), told.Publish(ctx, b, wrap(text)), ledger.Append(ctx, b, wrap(text))}
		},
		read: func(ctx context.Context, b mono.Binder) (all []string, err error) {
			for m, err := range ledger.Read(ctx, b) {
				if err != nil {
					return nil, err
				}
				all = append(all, unwrap(m.Value))
			}
			return all, nil
		},
	}
	if o.stored == nil {
		s.ask = func(ctx context.Context, b mono.Binder, text string) (string, error) {
			reply, err := asked.Call(ctx, b, wrap(text))
			return unwrap(reply), err
		}
	}
	return s
}

// exchange runs two releases at once: one sends, and the other one receives. Then it stops the
// receiver, sends, and starts it again, as a deploy or a roll-back does with stored messages.
func (b backend) exchange(t testing.TB, from, to shape) {
	t.Helper()
	got := make(chan string, 2*storedHandles)
	what := from.name + " to " + to.name
	receive := func() (stop func()) {
		return starts(t, b.release(t, 1, func(s *mono.Scope) { to.bind(s, got) }))
	}
	stop := receive()
	sender := b.release(t, 1, func(s *mono.Scope) { from.bind(s, nil) })
	stopSender := starts(t, sender)
	send := func(text string) {
		t.Helper()
		for _, err := range from.send(t.Context(), sender, text) {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	arrives := func(text string) {
		t.Helper()
		for range storedHandles {
			if arrived := next(t, got); arrived != text {
				t.Errorf("%s: got %q, want %q", what, arrived, text)
			}
		}
	}
	send(what)
	arrives(what)
	if from.ask != nil && to.ask != nil {
		if reply, err := from.ask(t.Context(), sender, what); err != nil || reply != what+"!" {
			t.Errorf("%s: the reply is %q, %v", what, reply, err)
		}
	}
	stop()
	send(what + ", stored")
	stopSender()
	stop = receive()
	arrives(what + ", stored")
	stop()
}

// climb runs the releases of a ladder beside each other, each with the one before it, in both
// directions, with stored messages of each for the other.
func (b backend) climb(t testing.TB, ladder ...shape) {
	t.Helper()
	for i := range ladder[1:] {
		b.exchange(t, ladder[i], ladder[i+1])
		b.exchange(t, ladder[i+1], ladder[i])
	}
}

// history fails the test unless a release reads all messages of a stream, which have this number.
func (b backend) history(t testing.TB, s shape, n int) {
	t.Helper()
	b.within(t, func(app *mono.App) {
		all, err := s.read(t.Context(), app)
		if err != nil || len(all) != n || slices.ContainsFunc(all, func(text string) bool { return !strings.Contains(text, " to ") }) {
			t.Errorf("%s reads %q, %v, want %d messages", s.name, all, err, n)
		}
	}, module("m", func(sc *mono.Scope) { s.bind(sc, nil) }))
}

// onCodecs runs a test on each backend with each codec that encodes values.
func onCodecs(t *testing.T, test func(t *testing.T, b backend, make func(...codec.Option) mono.MessageOption)) {
	for name, of := range map[string]func(...codec.Option) codec.Codec{"json": codec.NewJSON, "msgpack": codec.NewMessagePack} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBackends(t, func(t *testing.T, b backend) {
				test(t, b, func(opts ...codec.Option) mono.MessageOption { return mono.Codec(of(opts...)) })
			})
		})
	}
}

func with(o ...mono.MessageOption) options { return options{all: o} }
