package transport

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSubject is the maximum length of a subject or a pattern, in bytes.
const MaxSubject = 1024

// ValidateSubject returns an InvalidArgument unless subject is a subject to publish on.
func ValidateSubject(subject string) error {
	return validate(subject, false)
}

// ValidatePattern returns an InvalidArgument unless pattern is a subject or a pattern.
func ValidatePattern(pattern string) error {
	return validate(pattern, true)
}

// ValidateToken returns an InvalidArgument unless token is a single token of a subject,
// such as a key or the name of a group.
func ValidateToken(token string) error {
	if why := badToken(token, false, false); why != "" {
		return invalid("%q is not a token of a subject: %s", token, why)
	}
	if strings.Contains(token, ".") {
		return invalid("%q is not a token of a subject: it has a dot", token)
	}
	if len(token) > MaxSubject/2 {
		return invalid("a token of %d bytes: at most %d can be carried", len(token), MaxSubject/2)
	}
	return nil
}

func validate(subject string, wildcards bool) error {
	if plain(subject) {
		return nil
	}
	what := "subject"
	if wildcards {
		what = "pattern"
	}
	if len(subject) > MaxSubject {
		return invalid("a %s of %d bytes: at most %d can be carried", what, len(subject), MaxSubject)
	}
	rest, more := subject, true
	for more {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if why := badToken(token, wildcards, !more); why != "" {
			return invalid("%s %q: %s", what, subject, why)
		}
	}
	return nil
}

// plain reports whether a subject is valid, without wildcards and all ASCII, like nearly
// all subjects. False does not mean that the subject is invalid.
func plain(subject string) bool {
	n := len(subject)
	if n < 8 || n > MaxSubject {
		return plainBytes(subject)
	}
	if subject[0] == '.' || subject[n-1] == '.' {
		return false
	}
	for i := 0; i < n-1; i += 7 { // overlapping, so that each pair is in one word
		w := wordAt(subject, min(i, n-8))
		if w&tops|anyBelow(w, '!')|anyIs(w, 0x7f)|anyIs(w, '*')|anyIs(w, '>') != 0 {
			return false
		}
		if dots := eachIs(w, '.'); dots&(dots>>8) != 0 {
			return false
		}
	}
	return true
}

func plainBytes(subject string) bool {
	if len(subject) > MaxSubject {
		return false
	}
	last := byte('.')
	for i := 0; i < len(subject); i++ {
		c := subject[i]
		if c <= ' ' || c >= 0x7f || c == '*' || c == '>' || c == '.' && last == '.' {
			return false
		}
		last = c
	}
	return last != '.'
}

func badToken(token string, wildcards, last bool) string {
	if token == "" {
		return "a token is empty"
	}
	if wildcards && (token == "*" || token == ">" && last) {
		return ""
	}
	ascii := true
	for i := 0; i < len(token); i++ {
		switch c := token[i]; {
		case c <= ' ' || c == 0x7f:
			return "a token has white space or a control character"
		case c == '*' || c == '>':
			if wildcards {
				return "a wildcard must be a whole token, and > the last one"
			}
			return "wildcards are only valid in patterns"
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if ascii {
		return ""
	}
	if !utf8.ValidString(token) {
		return "a token is not UTF-8"
	}
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "a token has white space or a control character"
	}
	return ""
}

// Match reports whether pattern matches subject. Both must be valid.
func Match(pattern, subject string) bool {
	for {
		p, pRest, pMore := strings.Cut(pattern, ".")
		if p == ">" {
			return true
		}
		s, sRest, sMore := strings.Cut(subject, ".")
		if p != "*" && p != s {
			return false
		}
		if !pMore || !sMore {
			return pMore == sMore
		}
		pattern, subject = pRest, sRest
	}
}
