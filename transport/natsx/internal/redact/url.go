// Package redact formats values that may hold credentials, without the credentials.
package redact

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

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
