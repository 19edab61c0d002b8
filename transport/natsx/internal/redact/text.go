package redact

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

const redacted = "(redacted)"

var (
	// urls matches URLs, well-formed or not.
	urls = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>\\]*`)

	// keys matches nkey seeds and JWTs.
	keys = regexp.MustCompile(`\bS[A-Z][A-Z2-7]{56}\b|\beyJ[\w-]*\.[\w-]+\.[\w-]*`)

	// connects matches the options of a connecting client, in a trace.
	connects = regexp.MustCompile(`\bCONNECT \{.*`)

	// headers matches a message header that is quoted in a trace.
	headers = regexp.MustCompile(`(?i)(\\r\\n[^\s:\\]*(?:auth|cookie|token|secret|passw|api-?key|credential)[^\s:\\]*:)(?:[^\\]|\\[^r])*`)
)

// Text returns a text from elsewhere without the credentials in URLs, without keys, and
// without the given secrets. It truncates the text at a malformed URL, since the rest may
// quote a part of it.
func Text(text string, secrets ...string) string {
	for _, secret := range secrets {
		text = without(text, secret)
	}
	text = keys.ReplaceAllString(text, redacted)
	text = connects.ReplaceAllString(text, "CONNECT "+redacted)
	text = headers.ReplaceAllString(text, "${1} "+redacted)
	return shortenURLs(text)
}

func shortenURLs(text string) string {
	var b strings.Builder
	for {
		at := urls.FindStringIndex(text)
		if at == nil {
			return b.String() + text
		}
		raw := strings.TrimRight(text[at[0]:at[1]], ".,:;)]}")
		shown := URL(raw)
		b.WriteString(text[:at[0]] + shown)
		if shown == malformedURL {
			return b.String()
		}
		text = text[at[0]+len(raw):]
	}
}

// minSecret is the length of the shortest secret that is removed: to remove a shorter text
// would remove too much else.
const minSecret = 4

// without removes a secret in each form in which a text may quote it.
func without(text, secret string) string {
	if len(secret) < minSecret {
		return text
	}
	quoted := strconv.Quote(secret)
	for _, form := range []string{secret, quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret)} {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}

// Error returns err if neither its text nor the text of a cause needs to be redacted.
// Otherwise it returns an error with only the redacted text.
func Error(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*url.Error](err); ok && e.Op == "parse" {
		return errors.New(malformedURL)
	}
	if clean(err, secrets) {
		return err
	}
	return errors.New(Text(err.Error(), secrets...))
}

func clean(err error, secrets []string) bool {
	if text := err.Error(); Text(text, secrets...) != text {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		cause := e.Unwrap()
		return cause == nil || clean(cause, secrets)
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if cause != nil && !clean(cause, secrets) {
				return false
			}
		}
	}
	return true
}
