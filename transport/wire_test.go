package transport_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

// Any error can be sent. Only text that cannot be represented is lost.
func TestSetErrorAcceptsAnyError(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := &transport.Error{
			Code:    transport.Code(text.Draw(t, "code")),
			Outcome: transport.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")),
			Message: strings.Repeat(text.Draw(t, "message"), rapid.SampledFrom([]int{1, 1, 5000}).Draw(t, "times")),
		}
		h := transport.Header{{Name: transport.HeaderCode, Value: "stale"}, {Name: transport.HeaderOutcome, Value: "not-done"}}
		checkResent(t, &h, sent)
	})
}

// checkResent fails unless sent is received from h, except for what cannot be
// represented.
func checkResent(t interface{ Errorf(string, ...any) }, h *transport.Header, sent *transport.Error) {
	h.SetError(sent)
	if err := h.Validate(); err != nil {
		t.Errorf("%#v cannot be sent: %v", sent, err)
	}
	got := transport.ErrorFromHeader(parse(block(*h)))
	if got == nil || got.Outcome != sent.Outcome || got.Code != sent.Code && got.Code != transport.Unknown {
		t.Errorf("%#v came back as %#v", sent, got)
		return
	}
	if len(sent.Message) <= 4096 && got.Message != sent.Message {
		t.Errorf("%q came back as %q", sent.Message, got.Message)
	}
	if n := len(got.Message); n > 4096 || !strings.HasPrefix(sent.Message, got.Message) || n < 4090 && n < len(sent.Message) {
		t.Errorf("%d bytes came back as %d", len(sent.Message), n)
	}
	if code := string(sent.Code); code != "" && len(code) <= 64 && code == strings.TrimSpace(code) && !strings.ContainsFunc(code, func(r rune) bool { return r < ' ' || r == 0x7f }) && got.Code != sent.Code {
		t.Errorf("code %q came back as %q", sent.Code, got.Code)
	}
}

// Any error that is received can be sent again.
func FuzzPassErrorOn(f *testing.F) {
	f.Add("not_found", "a%20b", "not-done")
	f.Add("a\x00b", "%", "")
	f.Add(" x", strings.Repeat("\x80", 5000), "?")
	f.Fuzz(func(t *testing.T, code, message, outcome string) {
		received := transport.ErrorFromHeader(transport.Header{{Name: transport.HeaderCode, Value: code}, {Name: transport.HeaderMessage, Value: message}, {Name: transport.HeaderOutcome, Value: outcome}})
		var h transport.Header
		checkResent(t, &h, received)
		if again := transport.ErrorFromHeader(h); again.Code != received.Code {
			t.Errorf("code %q, received as %q, was passed on as %q", code, received.Code, again.Code)
		}
	})
}
