package brief_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/brief"
)

const inbox = "_INBOX.0123456789abcdefABCDEF."

// A header that a brief request can have is read from its reply subject, which has one token more
// than the inbox.
func TestFieldsSurvive(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9.:=/+_-]{1,40}`),
		rapid.StringMatching(`[ -~]{0,8}`),
		rapid.SampledFrom([]string{brief.Bytes, "2000", strings.Repeat("x", 200), strings.Repeat("x", 201), "a~b", "a,b", "ö", "*", ">", ""}),
	)
	name := rapid.SampledFrom([]string{transport.HeaderContentType, transport.HeaderID, transport.HeaderSender, transport.HeaderTimeout, "Tenant"})
	rapid.Check(t, func(t *rapid.T) {
		var h transport.Header
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			h.Add(name.Draw(t, "name"), value.Draw(t, "value"))
		}
		f, ok := brief.Of(h)
		if !ok {
			return
		}
		reply := inbox + "1z" + string(brief.Mark) + string(f.AppendTo(nil))
		if err := transport.ValidateSubject(reply); err != nil || strings.Count(reply, ".") != 2 || len(reply) > 300 {
			t.Errorf("%q: %v", reply, err)
		}
		for _, before := range []string{"", "_GR_.cluster.server."} {
			text, ok := brief.Cut(before + reply)
			got, parsed := brief.Parse(text)
			if !ok || !parsed || got != f {
				t.Errorf("%q: got %+v, want %+v", before+reply, got, f)
			}
		}
		byName := func(a, b transport.Field) int { return strings.Compare(a.Name, b.Name) }
		got := f.Message().Header
		slices.SortFunc(got, byName)
		slices.SortFunc(h, byName)
		if !slices.Equal(got, h) {
			t.Errorf("%q came back as %q", h, got)
		}
	})
}

// Headers of other names, of other content types, and with values that a token cannot have, stay
// headers.
func TestWhatStaysAHeader(t *testing.T) {
	t.Parallel()
	field := func(name, value string) transport.Header { return transport.Header{{Name: name, Value: value}} }
	for name, h := range map[string]transport.Header{
		"another name":           field("Tenant", "acme"),
		"JSON":                   field(transport.HeaderContentType, "application/json"),
		"a version":              field(transport.HeaderContentType, brief.Bytes+"; version=2"),
		"MessagePack":            field(transport.HeaderContentType, "application/msgpack"),
		"two content types":      append(field(transport.HeaderContentType, brief.Bytes), field(transport.HeaderContentType, brief.Bytes)...),
		"two ids":                append(field(transport.HeaderID, "a"), field(transport.HeaderID, "b")...),
		"an empty id":            field(transport.HeaderID, ""),
		"a space":                field(transport.HeaderID, "a b"),
		"a comma":                field(transport.HeaderID, "a,b"),
		"a mark":                 field(transport.HeaderID, "a~b"),
		"a wildcard":             field(transport.HeaderID, ">"),
		"a letter beyond ASCII":  field(transport.HeaderSender, "ö"),
		"values of 201 bytes":    append(field(transport.HeaderID, strings.Repeat("x", 199)), field(transport.HeaderTimeout, "10")...),
		"the id of another case": field("mono-id", "a"),
	} {
		if f, ok := brief.Of(h); ok {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestForeignReplySubjects(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{
		"", ".", "~", "1~", "a", "_INBOX.1~", inbox, inbox + "1", inbox + "~", inbox + "0~", inbox + "A~", inbox + "1-~", inbox + "1234567890123~",
		"events.orders._k.1~", "short.1~", "0123456789abcdefABCDEF.1~", "_INBOX.0123456789abcdefABCDE_.1~", "_INBOX.x0123456789abcdefABCDEF.1~", inbox + "1~b.c",
	} {
		if text, ok := brief.Cut(reply); ok {
			t.Errorf("%q: %q", reply, text)
		}
	}
	for _, text := range []string{
		"", "n", "b", "n~", "n~~", "n~~~~", "x~a~b~1", "nn~a~b~1", "n~a~b~1~", "n~a~b", "n~a b~c~1", "n~a.b~c~1", "n~ö~c~1", "n~\x00~~", "~a~b~1",
		"n~" + strings.Repeat("x", 300) + "~~",
	} {
		if f, ok := brief.Parse(text); ok {
			t.Errorf("%q: %+v", text, f)
		}
	}
}

func FuzzReplySubject(f *testing.F) {
	f.Add(inbox + "1z~b~id~a,b~2000")
	f.Add("_GR_.c.s." + inbox + "1~n~~~")
	f.Add("_R_.abc.1~b")
	f.Fuzz(func(t *testing.T, reply string) {
		text, _ := brief.Cut(reply) // the text of other subjects must be harmless too
		fields, ok := brief.Parse(text)
		if !ok {
			return
		}
		if err := fields.Message().Header.Validate(); err != nil {
			t.Errorf("%q: %v", reply, err)
		}
		if again := string(fields.AppendTo(nil)); again != text {
			t.Errorf("%q was read from %q", again, text)
		}
	})
}

var message *transport.Message

// A brief request costs one allocation, for its message.
func TestAllocations(t *testing.T) {
	f, _ := brief.Of(transport.Header{{Name: transport.HeaderID, Value: "id"}, {Name: transport.HeaderSender, Value: "shop"}, {Name: transport.HeaderTimeout, Value: "2000"}})
	reply := inbox + "1z~" + string(f.AppendTo(nil))
	if n := testing.AllocsPerRun(100, func() {
		text, _ := brief.Cut(reply)
		f, _ := brief.Parse(text)
		message = f.Message()
	}); n > 1 {
		t.Errorf("reading a brief request allocates %v times, want once", n)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 1<<61).Draw(t, "n")
		for _, rest := range []string{"", "~", "~b~1~2~3"} {
			if got := brief.Number(strconv.FormatUint(n, 36) + rest); got != n {
				t.Errorf("got %d, want %d", got, n)
			}
		}
	})
}

// Requests are brief as long as every reply confirms that they are understood.
func TestProviders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ps brief.Providers
		want := func(what string, is bool) {
			t.Helper()
			if got := ps.Of("a").Understands(); got != is {
				t.Errorf("%s: %t, want %t", what, got, is)
			}
			if ps.Of("b").Understands() {
				t.Error("another subject")
			}
		}
		want("at first", false)
		ps.Of("a").Replied(true)
		want("after a confirmation", true)
		ps.Of("a").Silent()
		want("after a request without a reply", false)
		ps.Of("a").Replied(true)
		ps.Of("a").Replied(false)
		want("after a reply of an older build", false)
		<-time.After(brief.MixedTime - 1)
		ps.Of("a").Silent()
		ps.Of("a").Replied(true)
		want("soon after it", false)
		<-time.After(1)
		want("without another reply", false)
		ps.Of("a").Replied(true)
		want("when newer builds alone reply", true)
		ps.Forget()
		want("on a new connection", false)
		ps.Of("a").Replied(true)
		for i := range 5000 {
			ps.Of(fmt.Sprint("x.", i))
		}
		want("after many other subjects", false)
	})
}
