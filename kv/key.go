package kv

import (
	"strings"

	"gomono.dev/kv/driver"
)

// A key is written to the bucket as it is, if it is a key by the rules of NATS (ADR-8) and
// has no "=". Each other byte is written as "=HH", in upper case: bytes outside
// -/_.A-Za-z0-9, "=" itself, and dots at the ends or after another dot. So every text has
// one written form, and `nats kv` lists it.

// writeKey returns the written form of a key.
func writeKey(key string) (string, error) {
	if key == "" {
		return "", invalid("the key is empty")
	}
	written := writeText(key, false)
	if len(written) > driver.MaxKey {
		return "", invalid("the key has %d bytes, where each byte outside -/_.A-Za-z0-9 counts three: at most %d are allowed", len(written), driver.MaxKey)
	}
	return written, nil
}

// writeText returns the written form of a text. If more follows, its last dot is not at an
// end.
func writeText(text string, more bool) string {
	i := 0
	for i < len(text) && isWrittenAsIs(text, i, more) {
		i++
	}
	if i == len(text) {
		return text
	}
	written := append(make([]byte, 0, len(text)+8), text[:i]...)
	for ; i < len(text); i++ {
		b := text[i]
		if isWrittenAsIs(text, i, more) {
			written = append(written, b)
			continue
		}
		written = append(written, '=', hexDigits[b>>4], hexDigits[b&15])
	}
	return string(written)
}

// isWrittenAsIs reports whether a byte of a text is written as it is. A dot may separate tokens.
func isWrittenAsIs(text string, i int, more bool) bool {
	if text[i] != '.' {
		return isPlain(text[i])
	}
	return i > 0 && text[i-1] != '.' && (more || i < len(text)-1)
}

const hexDigits = "0123456789ABCDEF"

// isPlain reports whether a byte is written as it is, wherever it stands.
func isPlain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-' || b == '/' || b == '_'
}

// readKey returns the key of a written form. A form that writeKey does not return, because
// another program wrote it, is the key itself.
func readKey(written string) string {
	if !strings.Contains(written, "=") {
		return written
	}
	key := make([]byte, 0, len(written))
	for i := 0; i < len(written); i++ {
		if written[i] != '=' {
			key = append(key, written[i])
			continue
		}
		if i+2 >= len(written) {
			return written
		}
		high, low := strings.IndexByte(hexDigits, written[i+1]), strings.IndexByte(hexDigits, written[i+2])
		if high < 0 || low < 0 {
			return written
		}
		key = append(key, byte(high<<4|low))
		i += 2
	}
	if again := writeText(string(key), false); again != written {
		return written
	}
	return string(key)
}
