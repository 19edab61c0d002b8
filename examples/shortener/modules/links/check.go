package links

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"gomono.dev/examples/shortener/links"
	"gomono.dev/mono"
)

var (
	validAlias = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{2,31}$`)

	// reserved aliases are paths of the web site.
	reserved = []string{"links", "health", "static"}
)

func checkAlias(alias string) error {
	switch {
	case !validAlias.MatchString(alias):
		return mono.Errorf(mono.InvalidArgument, "the alias %.40q: want 3 to 32 letters, digits, hyphens and underscores, and a letter or digit first", alias)
	case slices.Contains(reserved, strings.ToLower(alias)):
		return mono.Errorf(mono.InvalidArgument, "the alias %q is reserved: choose another one", alias)
	}
	return nil
}

// checkURL returns a URL in its normal form. It accepts absolute URLs of web pages. A name and
// a password in a URL are for deception only.
func checkURL(text string) (string, error) {
	if text == "" || len(text) > links.MaxURL {
		return "", mono.Errorf(mono.InvalidArgument, "the URL has %d bytes: want 1 to %d", len(text), links.MaxURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", mono.Errorf(mono.InvalidArgument, "the URL is malformed: %.200v", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", mono.Errorf(mono.InvalidArgument, "the URL has the scheme %.20q: want http or https", u.Scheme)
	case u.Hostname() == "":
		return "", mono.Errorf(mono.InvalidArgument, "the URL names no host: want one such as https://example.com")
	case u.User != nil:
		return "", mono.Errorf(mono.InvalidArgument, "the URL has a user name: leave it out")
	}
	if normal := u.String(); len(normal) <= links.MaxURL {
		return normal, nil
	}
	return "", mono.Errorf(mono.InvalidArgument, "the URL has over %d bytes when it is escaped: shorten it", links.MaxURL)
}

// checkLife returns a life in whole seconds.
func checkLife(life time.Duration) (time.Duration, error) {
	if life < links.MinLife || life > links.MaxLife {
		return 0, mono.Errorf(mono.InvalidArgument, "a link lives for %v: want %v to %v", life, links.MinLife, links.MaxLife)
	}
	return life.Truncate(time.Second), nil
}
