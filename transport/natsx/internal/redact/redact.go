// Package redact formats values that may hold credentials, without the credentials.
package redact

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
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

// Placeholders for texts that may contain credentials anywhere.
const (
	malformedURL     = "(malformed URL)"
	malformedAddress = "(malformed address)"
)

// Errors of Parse. They do not quote the URL.
var (
	errMalformed = errors.New("malformed: want scheme://host:port")
	errUnescaped = errors.New(`malformed: write "/", "?", "#" and "@" in a user, a password or a path as %2F, %3F, %23 and %40`)
)

// Parse parses a URL if its parts are unambiguous: credentials with an unescaped "/", "?" or
// "#" parse as a host with a path, a query or a fragment.
func Parse(raw string) (*url.URL, error) {
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errMalformed
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
		return nil, errUnescaped
	}
	u, err := url.Parse(raw)
	if err != nil || !isHost(u.Hostname()) || !isPort(u.Port()) || strings.HasSuffix(u.Host, ":") {
		return nil, errMalformed
	}
	if isIPv6(u.Hostname()) != strings.HasPrefix(u.Host, "[") {
		return nil, errMalformed
	}
	return u, nil
}

// URL returns the scheme, host and port of a URL.
func URL(raw string) string {
	u, err := Parse(raw)
	if err != nil {
		return malformedURL
	}
	return u.Scheme + "://" + u.Host
}

// URLs returns the result of URL for each element.
func URLs(raw []string) []string {
	shown := make([]string, len(raw))
	for i := range raw {
		shown[i] = URL(raw[i])
	}
	return shown
}

// Address returns an address of the form host:port unchanged, and a placeholder for any other
// text.
func Address(raw string) string {
	host, port, err := net.SplitHostPort(raw)
	switch {
	case raw == "":
		return ""
	case err != nil, host != "" && !isHost(host), isIPv6(host) != strings.HasPrefix(raw, "["), port != "-1" && !isNumber(port):
		return malformedAddress
	}
	return raw
}

// Addresses returns the result of Address for each element.
func Addresses(raw []string) []string {
	shown := make([]string, len(raw))
	for i := range raw {
		shown[i] = Address(raw[i])
	}
	return shown
}

var hostName = regexp.MustCompile(`^[\pL\pN_]([\pL\pN_.-]*[\pL\pN_.])?$`)

func isHost(host string) bool { return hostName.MatchString(host) || isIPv6(host) }

func isIPv6(host string) bool {
	address, zone, zoned := strings.Cut(host, "%")
	return strings.Contains(address, ":") && net.ParseIP(address) != nil && (!zoned || hostName.MatchString(zone))
}

// isPort reports whether text is a port to connect to, or empty.
func isPort(text string) bool { return text == "" || isNumber(text) && strings.Trim(text, "0") != "" }

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// Credentials lists the secrets in a URL: its password, or a user without a password, which
// is a token. It returns none for a malformed URL.
func Credentials(raw string) []string {
	u, err := Parse(raw)
	if err != nil || u.User == nil {
		return nil
	}
	if password, ok := u.User.Password(); ok {
		return []string{password}
	}
	return []string{u.User.Username()}
}

// path matches names of files. They contain no white space or braces, unlike other texts.
var path = regexp.MustCompile(`^([A-Za-z]:)?[\w./\\~+@-]{1,255}$`)

// File returns the name of a file. If the file is missing and the name may be the contents of
// a file instead, it returns a placeholder.
func File(name string) string {
	if name == "" {
		return ""
	}
	if _, err := os.Stat(name); err == nil || path.MatchString(name) && Text(name) == name {
		return name
	}
	return "(not the name of a file)"
}

// FileError returns why a file cannot be read, without its name.
func FileError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return errors.New("it cannot be read")
}
