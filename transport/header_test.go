package transport_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

// block writes a header as ADR-4 does.
func block(h transport.Header) string {
	if len(h) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("NATS/1.0\r\n")
	for _, f := range h {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// parse reads a header as clients do: lines, cut at the first colon, trimmed.
func parse(block string) transport.Header {
	var h transport.Header
	lines := strings.Split(block, "\r\n")
	for _, line := range lines[1:] {
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.Trim(value, " \t"))
	}
	return h
}

var text = rapid.OneOf(
	rapid.StringOf(rapid.SampledFrom([]rune("aZ09-_.:; \t\r\n\x00\x7f()\"ö日"))),
	rapid.StringMatching(`[A-Za-z0-9!#$%&'*+.^_|~-]{1,8}`),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
)

// A header that Validate accepts is received unchanged and counts as many bytes as it
// takes in transit.
func TestValidHeadersSurvive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h transport.Header
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			f := transport.Field{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")}
			if (transport.Header{f}).Validate() == nil {
				h = append(h, f)
			}
		}
		if err := h.Validate(); err != nil {
			t.Fatalf("each field is valid, all together: %v", err)
		}
		if got := parse(block(h)); !slices.Equal(got, h) {
			t.Errorf("%q came back as %q", h, got)
		}
		m := transport.Message{Header: h, Body: []byte("body")}
		if want := len(block(h)) + len("body"); m.Size() != want {
			t.Errorf("%q: size %d, want %d", h, m.Size(), want)
		}
	})
}

// A Header is a list of names and values. Names are case-sensitive.
func TestHeaderIsAList(t *testing.T) {
	t.Parallel()
	name := rapid.SampledFrom([]string{"A", "a", "B"})
	rapid.Check(t, func(t *rapid.T) {
		var h transport.Header
		var want []transport.Field
		without := func(name string) []transport.Field {
			return slices.DeleteFunc(slices.Clone(want), func(f transport.Field) bool { return f.Name == name })
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				f := transport.Field{Name: name.Draw(t, "name"), Value: rapid.StringN(0, 2, -1).Draw(t, "value")}
				h.Add(f.Name, f.Value)
				want = append(want, f)
			},
			"set": func(t *rapid.T) {
				f := transport.Field{Name: name.Draw(t, "name"), Value: "set"}
				h.Set(f.Name, f.Value)
				want = append(without(f.Name), f)
			},
			"del": func(t *rapid.T) {
				gone := name.Draw(t, "name")
				h.Del(gone)
				want = without(gone)
			},
			"": func(t *rapid.T) {
				if !slices.Equal(h, want) {
					t.Fatalf("got %q, want %q", h, want)
				}
				for _, n := range []string{"A", "a", "B", "b"} {
					values := h.Values(n)
					first := ""
					if len(values) > 0 {
						first = values[0]
					}
					if h.Get(n) != first || h.Has(n) != (len(values) > 0) {
						t.Fatalf("%s of %q: %q, %t, %q", n, h, h.Get(n), h.Has(n), values)
					}
				}
			},
		})
	})
}
