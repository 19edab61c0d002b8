package transport

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSubject is the length of the longest subject or pattern, in bytes.
const MaxSubject = 1024

// ValidateSubject reports, as an InvalidArgument, what is no subject to publish
// on.
func ValidateSubject(subject string) error {
	return validate(subject, false)
}

// ValidatePattern reports, as an InvalidArgument, what is neither a subject nor
// a pattern.
func ValidatePattern(pattern string) error {
	return validate(pattern, true)
}

// ValidateToken reports, as an InvalidArgument, what is no single token of a
// subject: a key, or the name of a group.
func ValidateToken(token string) error {
	if why := badToken(token, false, false); why != "" {
		return Errorf(InvalidArgument, OutcomeNotDone, "%q is no token of a subject: %s", token, why)
	}
	if strings.Contains(token, ".") {
		return Errorf(InvalidArgument, OutcomeNotDone, "%q is no token of a subject: it has a dot", token)
	}
	if len(token) > MaxSubject/2 {
		return Errorf(InvalidArgument, OutcomeNotDone, "a token of %d bytes: at most %d can be carried", len(token), MaxSubject/2)
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
		return Errorf(InvalidArgument, OutcomeNotDone, "a %s of %d bytes: at most %d can be carried", what, len(subject), MaxSubject)
	}
	rest, more := subject, true
	for more {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if why := badToken(token, wildcards, !more); why != "" {
			return Errorf(InvalidArgument, OutcomeNotDone, "%s %q: %s", what, subject, why)
		}
	}
	return nil
}

// plain reports whether a subject is one, without wildcards and all ASCII, as nearly
// all are. It says nothing about others.
func plain(subject string) bool {
	n := len(subject)
	if n < 8 || n > MaxSubject {
		return plainBytes(subject)
	}
	if subject[0] == '.' || subject[n-1] == '.' {
		return false
	}
	for i := 0; i < n-1; i += 7 { // so that each pair is in one word
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
				return "a wildcard stands for a whole token, and > for the last ones"
			}
			return "wildcards are for subscribing"
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
