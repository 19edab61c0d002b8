package mono_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// parcel has a field of each kind that a value can contain.
type parcel struct {
	Label  string
	Count  int
	Weight float64
	Sent   time.Time
	Items  []string
	Tags   map[string]int
	Next   *parcel
	Seal   []byte
	Sides  [2]int
	Extra  any
	note   string
}

func newParcel() parcel {
	return parcel{
		Label: "box", Count: 7, Weight: 1.5, Sent: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC),
		Items: []string{"a", "b"}, Tags: map[string]int{"x": 1}, Next: &parcel{Label: "inner", Items: []string{"c"}},
		Seal: []byte{0, 255}, Sides: [2]int{1, 2}, Extra: "more",
	}
}

// spoil changes all memory that p refers to.
func (p parcel) spoil() {
	p.Items[0] = "spoiled"
	p.Tags["x"] = -1
	p.Tags["new"] = -1
	p.Next.Label = "spoiled"
	p.Next.Items[0] = "spoiled"
	p.Seal[0] = 99
}

// brittle is a type with custom JSON methods, some of which fail or panic.
type brittle struct{ Text string }

func (b brittle) MarshalJSON() ([]byte, error) {
	switch b.Text {
	case "fails":
		return nil, errors.New("cannot be written")
	case "panics":
		panic("during the write")
	}
	return fmt.Appendf(nil, "%q", b.Text), nil
}

func (b *brittle) UnmarshalJSON(text []byte) error {
	switch string(text) {
	case `"unreadable"`:
		return errors.New("cannot be read")
	case `"explosive"`:
		panic("during the read")
	}
	b.Text = "read " + string(text)
	return nil
}

var (
	send      = mono.NewService[parcel, parcel]("test.send")
	sendPack  = mono.NewService[parcel, parcel]("test.send-pack", mono.Codec(codec.MessagePack))
	sendLink  = mono.NewService[*parcel, *parcel]("test.send-link")
	sendFloat = mono.NewService[float64, float64]("test.send-float")
	sendAny   = mono.NewService[any, any]("test.send-any")
	sendNone  = mono.NewService[struct{}, struct{}]("test.send-none")
	sendOdd   = mono.NewService[brittle, brittle]("test.send-odd")
	sendTally = mono.NewService[tally, tally]("test.send-tally")
	packTally = mono.NewService[tally, tally]("test.pack-tally", mono.Codec(codec.MessagePack))
)

// tally is a type with text methods on its pointer.
type tally struct{ n byte }

func (t *tally) MarshalText() ([]byte, error) { return []byte{'0' + t.n}, nil }
func (t *tally) UnmarshalText(b []byte) error { t.n = b[0] - '0'; return nil }

// through provides a service by fn and calls it.
func through[Req, Resp any](s *caseRun, service mono.Service[Req, Resp], fn mono.Func[Req, Resp], req Req) (Resp, error) {
	app := s.start(module("provider", func(sc *mono.Scope) { service.Handle(sc, fn) }))
	return service.Call(s.Context(), app, req)
}

// same returns its argument.
func same[T any](_ context.Context, v T) (T, error) { return v, nil }

var serviceValueCases = []serviceCase{
	{"a reply comes back", "", func(s *caseRun) {
		got, err := ask.Call(s.Context(), s.serve(echo), question{Text: "x", Tags: []string{"a"}})
		if err != nil || got.Text != "x" || len(got.Tags) != 1 {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"a bound client calls as its module", "", func(s *caseRun) {
		var client handler
		s.start(module("caller", func(sc *mono.Scope) { client = ask.Client(sc) }), provider(func(ctx context.Context, q question) (reply, error) {
			return reply{Text: mono.CallFrom(ctx).Sender() + q.Text}, nil
		}))
		for _, text := range []string{"1", "2"} {
			if got, err := client(s.Context(), question{Text: text}); err != nil || got.Text != "caller"+text {
				s.Errorf("got %v, %v", got, err)
			}
		}
	}},
	{"a module can call its own service", "", func(s *caseRun) {
		var client handler
		s.start(module("both", func(sc *mono.Scope) {
			client = ask.Client(sc)
			ask.Handle(sc, echo)
		}))
		if got, err := client(s.Context(), question{Text: "x"}); err != nil || got.Text != "x" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"handlers can call other services, and each call gets its own reply", "", func(s *caseRun) {
		app := s.start(provider(echo), module("outer", func(sc *mono.Scope) {
			client := ask.Client(sc)
			askPack.Handle(sc, func(ctx context.Context, q question) (reply, error) {
				got, err := client(ctx, question{Text: "inner " + q.Text})
				return reply{Text: "outer " + got.Text}, err
			})
		}))
		var wait sync.WaitGroup
		for i := range 50 {
			wait.Go(func() {
				got, err := askPack.Call(s.Context(), app, question{Text: fmt.Sprint(i)})
				if want := fmt.Sprint("outer inner ", i); err != nil || got.Text != want {
					s.Errorf("got %v, %v, want %s", got, err, want)
				}
			})
		}
		wait.Wait()
	}},
	{"each kind of field arrives as its codec defines", "", func(s *caseRun) {
		sent := newParcel()
		sent.note = "not exported"
		want := newParcel()
		for _, service := range []mono.Service[parcel, parcel]{send, sendPack} {
			got, err := through(s, service, same, sent)
			if err != nil || !got.Sent.Equal(want.Sent) {
				s.Errorf("%s: got %+v, %v", service.Name(), got, err)
			}
			if got.Sent = want.Sent; !reflect.DeepEqual(got, want) {
				s.Errorf("%s: got %+v, want %+v", service.Name(), got, want)
			}
		}
	}},
	{"a value is encoded by the methods of its pointer", "", func(s *caseRun) {
		for _, service := range []mono.Service[tally, tally]{sendTally, packTally} {
			if got, err := through(s, service, same, tally{7}); err != nil || got.n != 7 {
				s.Errorf("%s: got %+v, %v", service.Name(), got, err)
			}
		}
	}},
	{"bytes arrive unchanged", "", func(s *caseRun) {
		got, err := through(s, askRaw, func(_ context.Context, b []byte) ([]byte, error) { return append(b, 0xff), nil }, []byte{0, 1})
		if err != nil || string(got) != "\x00\x01\xff" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"a struct without fields can be sent", "", func(s *caseRun) {
		if got, err := through(s, sendNone, same, struct{}{}); err != nil || got != struct{}{} {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"zero, nil and empty values arrive as their codec defines", "", func(s *caseRun) {
		for _, service := range []mono.Service[parcel, parcel]{send, sendPack} {
			for _, v := range []parcel{{}, {Items: []string{}, Tags: map[string]int{}, Seal: []byte{}, Next: &parcel{}}} {
				got, err := through(s, service, same, v)
				if err != nil || (got.Items == nil) != (v.Items == nil) || (got.Tags == nil) != (v.Tags == nil) || (got.Next == nil) != (v.Next == nil) || got.Extra != nil || !got.Sent.IsZero() {
					s.Errorf("%s: got %#v, want %#v, %v", service.Name(), got, v, err)
				}
			}
		}
	}},
	{"a nil pointer arrives as a nil pointer", "", func(s *caseRun) {
		if got, err := through(s, sendLink, same, nil); err != nil || got != nil {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"the value of an interface arrives as its codec decodes it", "", func(s *caseRun) {
		got, err := through(s, sendAny, func(_ context.Context, v any) (any, error) { return fmt.Sprintf("%T", v), nil }, any(7))
		if err != nil || got != "float64" {
			s.Errorf("got %v, %v", got, err)
		}
	}},
	{"text that is not UTF-8 arrives as its codec defines", "", func(s *caseRun) {
		got, err := ask.Call(s.Context(), s.serve(echo), question{Text: "a\xffb"})
		if err != nil || got.Text != "a\ufffdb" {
			s.Errorf("got %q, %v", got.Text, err)
		}
	}},
	{"custom methods of a type encode and decode it", "", func(s *caseRun) {
		got, err := through(s, sendOdd, same, brittle{"x"})
		if want := `read "read \"x\""`; err != nil || got.Text != want {
			s.Errorf("got %q, %v, want %q", got.Text, err, want)
		}
	}},

	{"the handler has its own copy of the request", "", func(s *caseRun) {
		mine := newParcel()
		app := s.start(module("provider", func(sc *mono.Scope) {
			send.Handle(sc, func(_ context.Context, p parcel) (parcel, error) {
				p.spoil()
				return parcel{}, nil
			})
		}))
		if _, err := send.Call(s.Context(), app, mine); err != nil || !reflect.DeepEqual(mine, newParcel()) {
			s.Errorf("the caller's value changed: %+v, %v", mine, err)
		}
	}},
	{"later changes of a request by the caller do not reach the handler", "", func(s *caseRun) {
		var kept parcel
		app := s.start(module("provider", func(sc *mono.Scope) {
			send.Handle(sc, func(_ context.Context, p parcel) (parcel, error) { kept = p; return parcel{}, nil })
		}))
		mine := newParcel()
		if _, err := send.Call(s.Context(), app, mine); err != nil {
			s.Fatal(err)
		}
		if mine.spoil(); kept.Items[0] != "a" || kept.Tags["x"] != 1 || kept.Next.Label != "inner" || kept.Seal[0] != 0 {
			s.Errorf("the handler's value changed: %+v", kept)
		}
	}},
	{"each caller has its own copy of the reply", "", func(s *caseRun) {
		cached := newParcel()
		app := s.start(module("provider", func(sc *mono.Scope) {
			send.Handle(sc, func(context.Context, parcel) (parcel, error) { return cached, nil })
		}))
		for range 2 {
			got, err := send.Call(s.Context(), app, parcel{})
			if err != nil || got.Items[0] != "a" || got.Tags["x"] != 1 || got.Next.Label != "inner" || got.Seal[0] != 0 {
				s.Fatalf("got %+v, %v", got, err)
			}
			got.spoil()
		}
		if !reflect.DeepEqual(cached, newParcel()) {
			s.Errorf("the handler's value changed: %+v", cached)
		}
	}},
	{"a request that a handler returns is a copy", "", func(s *caseRun) {
		mine := newParcel()
		got, err := through(s, sendLink, same, &mine)
		if err != nil || got == &mine {
			s.Fatalf("got %p, %v, sent %p", got, err, &mine)
		}
		if got.spoil(); mine.Items[0] != "a" || mine.Next.Label != "inner" {
			s.Errorf("the caller's value changed: %+v", mine)
		}
	}},

	{"a request that cannot be encoded is not sent", "", func(s *caseRun) {
		_, err := through(s, sendFloat, func(context.Context, float64) (float64, error) { panic("it was called") }, math.NaN())
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "test.send-float")
	}},
	{"a reply that cannot be encoded is an internal error", "", func(s *caseRun) {
		_, err := through(s, sendFloat, func(context.Context, float64) (float64, error) { return math.Inf(1), nil }, 1)
		s.want(err, mono.Internal, mono.OutcomeAnswered, "test.send-float")
	}},
	{"a request that contains itself is not sent", "", func(s *caseRun) {
		loop := &parcel{}
		loop.Next = loop
		_, err := through(s, sendLink, same, loop)
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "test.send-link")
	}},
	{"a request whose type fails to encode is not sent", "", func(s *caseRun) {
		_, err := through(s, sendOdd, same, brittle{"fails"})
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "cannot be written")
	}},
	{"a request whose type fails to decode is an invalid argument, reported by the provider", "", func(s *caseRun) {
		_, err := through(s, sendOdd, func(context.Context, brittle) (brittle, error) { panic("it was called") }, brittle{"unreadable"})
		s.want(err, mono.InvalidArgument, mono.OutcomeAnswered, "test.send-odd")
	}},
	{"a reply whose type fails to decode is internal, with an unknown outcome", "", func(s *caseRun) {
		_, err := through(s, sendOdd, func(context.Context, brittle) (brittle, error) { return brittle{"unreadable"}, nil }, brittle{"x"})
		s.want(err, mono.Internal, mono.OutcomeUnknown, "reply of service test.send-odd")
	}},
	{"a panic in the methods of a type ends neither side", "", func(s *caseRun) {
		_, err := through(s, sendOdd, same, brittle{"panics"})
		s.want(err, mono.InvalidArgument, mono.OutcomeNotDone, "test.send-odd", "panicked")
		_, err = through(s, sendOdd, same, brittle{"explosive"})
		s.want(err, mono.InvalidArgument, mono.OutcomeAnswered, "test.send-odd", "panicked")
		_, err = through(s, sendOdd, func(context.Context, brittle) (brittle, error) { return brittle{"panics"}, nil }, brittle{"x"})
		s.want(err, mono.Internal, mono.OutcomeAnswered, "test.send-odd", "panicked")
		_, err = through(s, sendOdd, func(context.Context, brittle) (brittle, error) { return brittle{"explosive"}, nil }, brittle{"x"})
		s.want(err, mono.Internal, mono.OutcomeUnknown, "test.send-odd", "panicked")
	}},
}
