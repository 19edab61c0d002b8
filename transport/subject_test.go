package transport_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"gomono.dev/transport"
)

// validPattern reports whether s is valid by the package's documentation of subjects and
// patterns.
func validPattern(s string, wildcards bool) bool {
	tokens := strings.Split(s, ".")
	for i, token := range tokens {
		switch {
		case wildcards && token == "*":
		case wildcards && token == ">" && i == len(tokens)-1:
		case token == "", !utf8.ValidString(token), strings.ContainsAny(token, "*>"), strings.ContainsFunc(token, unicode.IsSpace), strings.ContainsFunc(token, unicode.IsControl):
			return false
		}
	}
	return len(s) <= transport.MaxSubject
}

// bits are the parts of valid and invalid subjects.
var bits = rapid.SampledFrom([]string{".", ".", "a", "b", "_k", "*", ">", " ", "\t", "\r\n", "\x00", "\x7f", "\u0085", "\u00a0", "\u2028", "\xff", "\xc3", "ö", "日", "$", "\\"})

func TestSubjectsMatchDocumentation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(bits, 0, 8).Draw(t, "bits"), "")
		check := func(what string, err error, valid bool) {
			if (err == nil) != valid || err != nil && transport.CodeOf(err) != transport.InvalidArgument {
				t.Errorf("%s %q: %v, want valid %t", what, s, err, valid)
			}
		}
		check("subject", transport.ValidateSubject(s), validPattern(s, false))
		check("pattern", transport.ValidatePattern(s), validPattern(s, true))
		check("token", transport.ValidateToken(s), validPattern(s, false) && !strings.Contains(s, "."))
	})
}

func FuzzValidateSubject(f *testing.F) {
	for _, s := range []string{"a", "a.b", "a.*.>", "a..b", "\xff", "a\u00a0b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := transport.ValidateSubject(s); (err == nil) != validPattern(s, false) {
			t.Errorf("subject %q: %v", s, err)
		}
		if err := transport.ValidatePattern(s); (err == nil) != validPattern(s, true) {
			t.Errorf("pattern %q: %v", s, err)
		}
		if transport.ValidateSubject(s) == nil && !transport.Match(s, s) {
			t.Errorf("%q does not match itself", s)
		}
	})
}
