package redact

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// form redacts a word at the position that is a secret by its form.
func (t *scanner) form() bool {
	switch s := t.s[t.i:]; s[0] {
	case 'e':
		if t.i < t.noJWT {
			return false
		}
		n, ok := jwtLen(s)
		if ok {
			t.replace(t.i, t.i+n, Mark)
			return true
		}
		t.noJWT = t.i + n
	case 'S':
		if isSeed(s) {
			t.replace(t.i, t.i+seedLen, Mark)
			return true
		}
	default:
		return t.credentials()
	}
	return false
}

// jwtLen reports whether a text begins with a JSON Web Token, and the length of the run of its characters.
func jwtLen(s string) (n int, ok bool) {
	if !strings.HasPrefix(s, "eyJ") {
		return 0, false
	}
	for ; n < len(s); n++ {
		c := s[n]
		if c == '.' {
			ok = true
		} else if c >= 0x80 || !isWord(c) && c != '_' && c != '-' {
			break
		}
	}
	return n, ok
}

// seedLen is the length of a NATS seed.
const seedLen = 58

// isSeed reports whether a text begins with a NATS seed.
func isSeed(s string) bool {
	if len(s) < seedLen || len(s) > seedLen && isWord(s[seedLen]) || strings.IndexByte("OAUNCX", s[1]) < 0 {
		return false
	}
	for i := range seedLen {
		if !isUpper(s[i]) && (s[i] < '2' || s[i] > '7') {
			return false
		}
	}
	return true
}

// credentials redacts the word behind Bearer, and behind Basic if it is user:password in base64.
func (t *scanner) credentials() bool {
	s := t.s[t.i:]
	for _, scheme := range [...]string{"bearer ", "basic "} {
		if len(s) <= len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
			continue
		}
		from := t.i + len(scheme)
		for from < len(t.s) && t.s[from] == ' ' {
			from++
		}
		if scheme == "basic " && !isBasic(t.s[from:]) {
			return false
		}
		if quoteAt(t.s[from:]) > 0 {
			return t.value(from, value{})
		}
		to := t.endOfWord(from)
		switch strings.ToLower(t.s[from:to]) {
		case "", "bearer", "basic", "token", "tokens", "auth", "authentication", "authorization":
			return false
		}
		t.replace(from, to, Mark)
		return true
	}
	return false
}

// isBasic reports whether a text begins with user:password in base64.
func isBasic(s string) bool {
	n := 0
	for n < len(s) && (isWord(s[n]) || strings.IndexByte("+/=", s[n]) >= 0) {
		n++
	}
	decoded, err := base64.StdEncoding.DecodeString(s[:n])
	return err == nil && bytes.IndexByte(decoded, ':') >= 0
}

// pem redacts a private key in PEM that begins at the position.
func (t *scanner) pem() bool {
	const begin, dashes = "-----BEGIN ", "-----"
	s := t.s[t.i:]
	if !strings.HasPrefix(s, begin) {
		return false
	}
	header := strings.Index(s[len(begin):], dashes)
	if header < 0 || header > maxName || !strings.HasSuffix(s[len(begin):len(begin)+header], "PRIVATE KEY") {
		return false
	}
	from := len(begin) + header + len(dashes)
	to := len(s)
	if i := strings.Index(s[from:], "-----END "); i >= 0 {
		to = from + i
	}
	t.replace(t.i+from, t.i+to, Mark)
	return true
}
