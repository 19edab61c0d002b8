package transport

import (
	"testing"

	"pgregory.net/rapid"
)

// Scanning eight bytes at a time has the same result as scanning byte by byte.
func TestWordScanMatchesByteScan(t *testing.T) {
	t.Parallel()
	text := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("ab.")), rapid.RuneFrom([]rune("a.*> \t\x00\x1f\x7f~!\x80é\u2028"))))
	any8 := rapid.OneOf(text, rapid.StringMatching(`[ -~]{0,40}`), rapid.StringMatching(`([a-z]{1,5}\.){0,8}[a-z]{1,5}\.?`))
	rapid.Check(t, func(t *rapid.T) {
		s := any8.Draw(t, "text")
		if cut := rapid.IntRange(0, len(s)).Draw(t, "cut"); rapid.Bool().Draw(t, "cuts") {
			s = s[cut:] // not always UTF-8
		}
		if plain(s) != plainBytes(s) {
			t.Errorf("plain(%q) is %v", s, plain(s))
		}
		if hasControl(s) != hasControlByte(s) {
			t.Errorf("hasControl(%q) is %v", s, hasControl(s))
		}
	})
}
