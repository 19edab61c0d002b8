package mono_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// bill is a value whose JSON differs from what MessagePack decodes without its type.
type bill struct {
	Due   time.Time     `json:"due"`
	After time.Duration `json:"after" msgpack:"renamed"`
	Cents cents         `json:"cents"`
	Data  []byte        `json:"data"`
	Big   uint64        `json:"big"`
}

// cents is an amount that has its own JSON.
type cents int64

func (c cents) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `"%d.%02d"`, int64(c)/100, int64(c)%100), nil
}

func (c *cents) UnmarshalJSON(text []byte) error {
	var whole, rest int64
	_, err := fmt.Sscanf(string(text), `"%d.%d"`, &whole, &rest)
	*c = cents(whole*100 + rest)
	return err
}

var unpaid = mono.NewFailure[bill]("test.unpaid", mono.FailedPrecondition, mono.HTTPStatus(402))

// wantFailure checks what FailureOf returns for err.
func wantFailure(t testing.TB, err error, name string, code mono.Code, value string, status int) {
	t.Helper()
	f, ok := mono.FailureOf(err)
	if !ok || f.Name != name || f.Code != code || string(f.Value) != value || f.Status != status {
		t.Errorf("%v is the failure %s %s %s %d, %v; want %s %s %s %d", err, f.Name, f.Code, f.Value, f.Status, ok, name, code, value, status)
	}
}

// noFailure checks that FailureOf does not know err.
func noFailure(t testing.TB, err error) {
	t.Helper()
	if f, ok := mono.FailureOf(err); ok || f.Name != "" || f.Code != "" || f.Value != nil || f.Status != 0 {
		t.Errorf("%v is the failure %+v, %v", err, f, ok)
	}
}

// refusing provides services of each codec that return err, and one that passes it on.
func (s *caseRun) refusing(err error) []error {
	app := s.start(
		module("provider", func(sc *mono.Scope) {
			ask.Handle(sc, failing(err))
			askPack.Handle(sc, failing(err))
			askRaw.Handle(sc, func(context.Context, []byte) ([]byte, error) { return nil, err })
		}),
		module("outer", func(sc *mono.Scope) {
			client := askPack.Client(sc)
			askMinute.Handle(sc, func(ctx context.Context, q question) (reply, error) { return client(ctx, q) })
		}))
	_, inJSON := ask.Call(s.Context(), app, question{})
	_, inPack := askPack.Call(s.Context(), app, question{})
	_, inBytes := askRaw.Call(s.Context(), app, nil)
	_, passed := askMinute.Call(s.Context(), app, question{})
	return []error{inJSON, inPack, inBytes, passed}
}

var serviceFailureCases = []serviceCase{
	{"FailureOf has name, code, value and status without the type, for each codec", "", func(s *caseRun) {
		failure := short.With(shortage{Left: 3})
		for _, returned := range []error{
			failure, fmt.Errorf("row 5: %w", failure), fmt.Errorf("%w in %w", errors.New("row 5"), failure),
			errors.Join(errors.New("row 5"), failure), errors.Join(mono.ErrNotFound, mono.Errorf(mono.Internal, "row 5"), failure),
			errors.Join(failure, other.With(shortage{Left: 4})), mono.Permanent(failure), mono.RetryAfter(tick, failure),
		} {
			for _, err := range append(s.refusing(returned), returned) {
				wantFailure(s, err, "test.short", mono.FailedPrecondition, `{"left":3}`, 400)
			}
			for _, err := range s.refusing(returned) {
				s.want(err, mono.FailedPrecondition, mono.OutcomeAnswered)
				if got, ok := short.Match(err); !ok || got.Left != 3 {
					s.Errorf("got %v, %v", got, ok)
				}
			}
		}
		for _, err := range append(s.refusing(short), short) {
			wantFailure(s, err, "test.short", mono.FailedPrecondition, `{"left":0}`, 400)
		}
		for _, err := range append(s.refusing(linked), linked) {
			wantFailure(s, err, "test.linked", mono.NotFound, `null`, 404)
		}
	}},
	{"a failure has the HTTP status and the JSON of its declaration, for each codec", "", func(s *caseRun) {
		value := bill{Due: time.Unix(1e9, 5).UTC(), After: time.Second, Cents: 1990, Data: []byte("x"), Big: math.MaxUint64}
		want, err := json.Marshal(value)
		if err != nil {
			s.Fatal(err)
		}
		for _, err := range append(s.refusing(unpaid.With(value)), unpaid.With(value)) {
			wantFailure(s, err, "test.unpaid", mono.FailedPrecondition, string(want), 402)
			if got, ok := unpaid.Match(err); !ok || got.Cents != value.Cents || got.Big != value.Big || !got.Due.Equal(value.Due) {
				s.Errorf("got %+v, %v", got, ok)
			}
		}
	}},
	{"a failure that is the cause of an Error stays in the process", "", func(s *caseRun) {
		for _, hidden := range []error{
			mono.Errorf(mono.Internal, "the order: %w", short.With(shortage{Left: 3})),
			fmt.Errorf("row 5: %w", mono.Errorf(mono.Internal, "the order: %w", fmt.Errorf("stock: %w", short))),
			&mono.Error{Code: mono.Internal, Message: "the order", Err: short},
		} {
			if noFailure(s, hidden); !errors.Is(hidden, short) {
				s.Errorf("errors.Is does not find the cause of %v", hidden)
			}
			for _, err := range s.refusing(hidden) {
				s.want(err, mono.Internal, mono.OutcomeAnswered, "the order")
				if noFailure(s, err); errors.Is(err, short) {
					s.Errorf("the cause was transferred: %v", err)
				}
			}
		}
	}},
	{"other errors are not failures", "", func(s *caseRun) {
		noFailure(s, nil)
		for _, err := range []error{errors.New("plain"), mono.ErrNotFound, mono.Errorf(mono.NotFound, "gone"), context.Canceled, fmt.Errorf("row 5: %w", mono.ErrInternal)} {
			for _, err := range append(s.refusing(err), err) {
				noFailure(s, err)
			}
		}
		_, err := ask.Call(s.Context(), s.start(), question{}) // nobody provides it
		noFailure(s, err)
	}},
	{"FailureOf has no value if JSON cannot encode it", "", func(s *caseRun) {
		returned := precise.With(math.NaN())
		wantFailure(s, returned, "test.precise", mono.Aborted, "", 409)
		for _, err := range s.refusing(returned) {
			s.want(err, mono.Internal, mono.OutcomeAnswered, "test.precise")
			noFailure(s, err)
		}
	}},
	{"FailureOf has no value if it was over the transport's limit", unbounded, func(s *caseRun) {
		for _, err := range s.refusing(heavy.With(reply{Text: strings.Repeat("x", 2<<20)})) {
			f, ok := mono.FailureOf(err)
			if !ok || f.Name != "test.heavy" || f.Code != mono.ResourceExhausted || f.Status != 429 || (f.Value != nil) != s.local(unbounded) {
				s.Errorf("got %s %s %d, %d bytes, %v", f.Name, f.Code, f.Status, len(f.Value), ok)
			}
		}
	}},
}

// A FailureInfo is the body of a response. Its value may be changed.
func TestFailureInfo(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		short.With(shortage{Left: 3}): `{"name":"test.short","code":"failed_precondition","value":{"left":3}}`,
		precise.With(math.Inf(1)):     `{"name":"test.precise","code":"aborted"}`,
	} {
		f, _ := mono.FailureOf(err)
		if text, err := json.Marshal(f); err != nil || string(text) != want {
			t.Errorf("got %s, %v; want %s", text, err, want)
		}
		clear(f.Value)
		f, _ = mono.FailureOf(err)
		if text, err := json.Marshal(f); err != nil || string(text) != want {
			t.Errorf("then %s, %v; want %s", text, err, want)
		}
	}
}

// A failure of another process, of a client in another language too, is known as far as its
// content type allows: the App knows the codecs of its handles.
func TestFailuresOfOtherProcesses(t *testing.T) {
	t.Parallel()
	packed, err := codec.MessagePack.Marshal(&shortage{Left: 3})
	if err != nil {
		t.Fatal(err)
	}
	onBackends(t, func(t *testing.T, b backend) {
		app := b.app(t, module("web", func(s *mono.Scope) { s.Use(ask, askPack) }))
		app.Remote(ask, askPack)
		begin(t, app)
		provider := b.connect()
		t.Cleanup(func() { _ = provider.Close(context.Background()) })
		for name, c := range map[string]struct {
			header transport.Header
			body   []byte
			value  string
			status int
		}{
			"JSON":                     {transport.Header{{Name: "Content-Type", Value: "application/json"}}, []byte(`{"left":3}`), `{"left":3}`, 400},
			"JSON with a parameter":    {transport.Header{{Name: "Content-Type", Value: "application/json; charset=utf-8"}}, []byte(`{"left": 3}`), `{"left": 3}`, 400},
			"JSON without a type":      {nil, []byte(`[1]`), `[1]`, 400},
			"broken JSON":              {nil, []byte(`{"left":`), "", 400},
			"MessagePack":              {transport.Header{{Name: "Content-Type", Value: "application/msgpack"}}, packed, `{"left":3}`, 400},
			"broken MessagePack":       {transport.Header{{Name: "Content-Type", Value: "application/msgpack"}}, []byte{0x81}, "", 400},
			"MessagePack without JSON": {transport.Header{{Name: "Content-Type", Value: "application/msgpack"}}, []byte{0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}, "", 400}, // NaN
			"another encoding":         {transport.Header{{Name: "Content-Type", Value: "application/cbor"}}, packed, "", 400},
			"bytes":                    {transport.Header{{Name: "Content-Type", Value: "application/octet-stream"}}, []byte("x"), "", 400},
			"no value":                 {nil, nil, "", 400},
			"a status":                 {transport.Header{{Name: transport.HeaderFailureStatus, Value: "409"}}, nil, "", 409},
			"the status of a success":  {transport.Header{{Name: transport.HeaderFailureStatus, Value: "200"}}, nil, "", 400},
			"a status that is none":    {transport.Header{{Name: transport.HeaderFailureStatus, Value: "600"}}, nil, "", 400},
			"a status that is a word":  {transport.Header{{Name: transport.HeaderFailureStatus, Value: "conflict"}}, nil, "", 400},
		} {
			header := append(transport.Header{{Name: transport.HeaderCode, Value: "out_of_range"}, {Name: transport.HeaderFailure, Value: "elsewhere.declared"}}, c.header...)
			sub, err := provider.Subscribe(t.Context(), transport.Subscription{Subject: "services.test.ask"}, transport.Serial(func(m *transport.Message) {
				if err := provider.Publish(context.Background(), &transport.Message{Subject: m.Reply, Header: header, Body: c.body}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = ask.Call(t.Context(), app, question{})
			wantFailure(t, fmt.Errorf("%s: %w", name, err), "elsewhere.declared", mono.OutOfRange, c.value, c.status)
			if err := sub.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
