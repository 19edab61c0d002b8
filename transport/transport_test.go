package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct{ subject, pattern bool }{
		"a":                       {true, true},
		"a.b-c._k.ÖL":             {true, true},
		"$SRV.PING":               {true, true},
		"a.*":                     {false, true},
		"*":                       {false, true},
		">":                       {false, true},
		"a.>":                     {false, true},
		"":                        {false, false},
		".":                       {false, false},
		"a.":                      {false, false},
		".a":                      {false, false},
		"a..b":                    {false, false},
		"a b":                     {false, false},
		"a\tb":                    {false, false},
		"a\u00a0b":                {false, false},
		"a\x7f":                   {false, false},
		"a\xff":                   {false, false},
		"a.>.b":                   {false, false},
		"a.b*":                    {false, false},
		"a.*b.c":                  {false, false},
		strings.Repeat("x", 1024): {true, true},
		strings.Repeat("x", 1025): {false, false},
	} {
		if err := transport.ValidateSubject(subject); (err == nil) != want.subject || err != nil && transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("subject %q: %v", subject, err)
		}
		if err := transport.ValidatePattern(subject); (err == nil) != want.pattern {
			t.Errorf("pattern %q: %v", subject, err)
		}
		if err := transport.ValidateToken(subject); err == nil && (!want.subject || strings.Contains(subject, ".")) {
			t.Errorf("token %q is accepted", subject)
		}
	}
}

// matches is the reference implementation of Match, token by token.
func matches(pattern, subject []string) bool {
	switch {
	case len(pattern) == 0 || len(subject) == 0:
		return len(pattern) == len(subject)
	case pattern[0] == ">":
		return true
	case pattern[0] != "*" && pattern[0] != subject[0]:
		return false
	}
	return matches(pattern[1:], subject[1:])
}

func TestMatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		subject := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa"}), 1, 4).Draw(t, "subject")
		pattern := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa", "*"}), 1, 4).Draw(t, "pattern")
		if rapid.Bool().Draw(t, "rest") {
			pattern[len(pattern)-1] = ">"
		}
		p, s := strings.Join(pattern, "."), strings.Join(subject, ".")
		if got, want := transport.Match(p, s), matches(pattern, subject); got != want {
			t.Errorf("Match(%q, %q) is %v", p, s, got)
		}
	})
}

func TestHeader(t *testing.T) {
	t.Parallel()
	var h transport.Header
	h.Add("A", "1")
	h.Add("a", "2")
	h.Add("A", "3")
	if h.Get("A") != "1" || fmt.Sprint(h.Values("A")) != "[1 3]" || !h.Has("a") || h.Has("B") || h.Get("B") != "" {
		t.Errorf("got %v", h)
	}
	h.Set("A", "4")
	if fmt.Sprint(h) != "[{a 2} {A 4}]" {
		t.Errorf("after Set: %v", h)
	}
	h.Del("a")
	if fmt.Sprint(h) != "[{A 4}]" {
		t.Errorf("after Del: %v", h)
	}
	for f, ok := range map[transport.Field]bool{
		{Name: "X-a_1!", Value: "tab\tinside, ö"}: true,
		{Name: "X", Value: ""}:                    true,
		{Name: "", Value: "x"}:                    false,
		{Name: "a b", Value: "x"}:                 false,
		{Name: "a:b", Value: "x"}:                 false,
		{Name: "ö", Value: "x"}:                   false,
		{Name: "X", Value: "a\r\nb"}:              false,
		{Name: "X", Value: "a\x00b"}:              false,
		{Name: "X", Value: " a"}:                  false,
		{Name: "X", Value: "a\t"}:                 false,
		{Name: "Nats-Msg-Id", Value: "x"}:         false,
		{Name: "Status", Value: "503"}:            false,
	} {
		if err := (transport.Header{f}).Validate(); (err == nil) != ok || err != nil && transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%q: %v", f, err)
		}
	}
}

// Size returns what NATS counts: the header block of ADR-4 and the body.
func TestSize(t *testing.T) {
	t.Parallel()
	m := transport.Message{Body: make([]byte, 10)}
	if m.Size() != 10 {
		t.Errorf("without a header: %d", m.Size())
	}
	m.Header.Add("Key", "value")
	if want := len("NATS/1.0\r\nKey: value\r\n\r\n") + 10; m.Size() != want {
		t.Errorf("got %d, want %d", m.Size(), want)
	}
	if err := m.CheckSize(m.Size()); err != nil {
		t.Error(err)
	}
	if err := m.CheckSize(0); err != nil {
		t.Error(err)
	}
	if err := m.CheckSize(m.Size() - 1); transport.CodeOf(err) != transport.InvalidArgument || !errors.Is(err, transport.ErrTooLarge) || !strings.Contains(err.Error(), "34 bytes") || !strings.Contains(err.Error(), "at most 33") {
		t.Errorf("got %v", err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	m := &transport.Message{Subject: "a", Header: transport.Header{{Name: "A", Value: "1"}}, Body: []byte("x")}
	c := m.Clone()
	c.Body[0], c.Header[0].Value = 'y', "2"
	if m.Body[0] != 'x' || m.Header[0].Value != "1" {
		t.Errorf("the original changed: %v", m)
	}
}

// An error is sent in valid headers, whatever its text.
func TestErrorRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := &transport.Error{
			Code:    transport.Code(rapid.StringMatching(`[a-z_]{1,64}`).Draw(t, "code")),
			Outcome: transport.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")),
			Message: rapid.StringN(0, 200, 800).Draw(t, "message"),
		}
		var h transport.Header
		h.SetError(sent)
		if err := h.Validate(); err != nil {
			t.Fatal(err)
		}
		got := transport.ErrorFromHeader(h)
		if got == nil || got.Code != sent.Code || got.Outcome != sent.Outcome || got.Message != sent.Message {
			t.Errorf("got %#v, want %#v", got, sent)
		}
	})
}

func TestErrorTextIsBounded(t *testing.T) {
	t.Parallel()
	var h transport.Header
	h.SetError(&transport.Error{Code: transport.Internal, Message: strings.Repeat("ö", 1<<20)})
	if got := transport.ErrorFromHeader(h); len(got.Message) > 4096 || !strings.HasSuffix(got.Message, "ö") {
		t.Errorf("%d bytes", len(got.Message))
	}
}

func FuzzErrorFromHeader(f *testing.F) {
	f.Add("not_found", "a%20b", "not-done")
	f.Add("", "%", "")
	f.Add(strings.Repeat("x", 100), "%zz\x00", "?")
	f.Fuzz(func(t *testing.T, code, message, outcome string) {
		e := transport.ErrorFromHeader(transport.Header{{Name: transport.HeaderCode, Value: code}, {Name: transport.HeaderMessage, Value: message}, {Name: transport.HeaderOutcome, Value: outcome}})
		if e == nil || e.Code == "" || len(e.Code) > 64 {
			t.Errorf("got %#v", e)
		}
	})
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	late := transport.Errorf(transport.DeadlineExceeded, transport.OutcomeUnknown, "late")
	if !errors.Is(late, context.DeadlineExceeded) || errors.Is(late, context.Canceled) {
		t.Error("a DeadlineExceeded error must match only context.DeadlineExceeded")
	}
	cause := errors.New("cause")
	e := transport.Errorf(transport.Internal, transport.OutcomeNotDone, "failed: %w", cause)
	if !errors.Is(e, cause) || e.Error() != "internal: failed: cause" {
		t.Errorf("got %v", e)
	}
	for err, want := range map[error]transport.Code{
		nil:                          "",
		cause:                        transport.Unknown,
		context.Canceled:             transport.Canceled,
		context.DeadlineExceeded:     transport.DeadlineExceeded,
		fmt.Errorf("wrapped: %w", e): transport.Internal,
	} {
		if got := transport.CodeOf(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// Every one of the sixteen codes has its HTTP status; an unknown code is a server error.
func TestHTTPStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[transport.Code]int{
		transport.Canceled: 499, transport.Unknown: 500, transport.InvalidArgument: 400, transport.DeadlineExceeded: 504,
		transport.NotFound: 404, transport.AlreadyExists: 409, transport.PermissionDenied: 403, transport.ResourceExhausted: 429,
		transport.FailedPrecondition: 400, transport.Aborted: 409, transport.OutOfRange: 400, transport.Unimplemented: 501,
		transport.Internal: 500, transport.Unavailable: 503, transport.DataLoss: 500, transport.Unauthenticated: 401, "teapot": 500,
	} {
		if got := code.HTTPStatus(); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

func TestValidateMessage(t *testing.T) {
	t.Parallel()
	for _, m := range []transport.Message{
		{},
		{Subject: "a.*"},
		{Subject: "a", Reply: "b..c"},
		{Subject: "a", Header: transport.Header{{Name: " ", Value: ""}}},
	} {
		if err := m.Validate(); transport.CodeOf(err) != transport.InvalidArgument {
			t.Errorf("%+v: %v", m, err)
		}
	}
	if err := (&transport.Message{Subject: "a", Reply: "_INBOX.x", Body: bytes.Repeat([]byte{0}, 10)}).Validate(); err != nil {
		t.Error(err)
	}
}
