package natsx

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gomono.dev/transport/natsx/internal/redact"
)

// checkURLs reports URLs that nats.go cannot use, and parts of them that it would ignore.
// Errors quote only the scheme, host and port of a URL.
func (o *Options) checkURLs() error {
	for i, raw := range o.URLs {
		if err := checkURL("URLs["+strconv.Itoa(i)+"]", raw); err != nil {
			return err
		}
	}
	return nil
}

func checkURL(what, raw string) error {
	if strings.Contains(raw, ",") {
		return invalid("%s has a comma: make each URL an element of URLs, and write %%2C in a password", what)
	}
	u, err := redact.Parse(raw)
	if err != nil {
		return invalid("%s is %w, such as nats://127.0.0.1:4222", what, err)
	}
	what += " (" + redact.URL(raw) + ")"
	if !slices.Contains(schemes, u.Scheme) {
		return invalid("%s has the scheme %q: want nats, tls, ws or wss", what, u.Scheme)
	}
	return checkRest(what, u)
}

var schemes = []string{"nats", "tls", "ws", "wss"}

// checkRest reports parts after the address that nats.go ignores.
func checkRest(what string, u *url.URL) error {
	switch {
	case u.RawQuery != "" || u.ForceQuery:
		return invalid("%s has a query, which NATS ignores: %s", what, adviseQuery(u.Query()))
	case u.Fragment != "":
		return invalid("%s has a fragment, which NATS ignores: remove it, or write %%23 for # in a password", what)
	case u.Path != "" && u.Path != "/" && !strings.HasPrefix(u.Scheme, "ws"):
		return invalid("%s has a path, which NATS ignores: remove it", what)
	}
	return nil
}

// adviseQuery names the options for the settings in a query. It does not name unknown
// settings, which may be credentials.
func adviseQuery(query url.Values) string {
	var options []string
	for name := range query {
		if option, ok := settings[strings.ToLower(name)]; ok && !slices.Contains(options, option) {
			options = append(options, option)
		}
	}
	if len(options) == 0 {
		return "remove it, and use the fields of natsx.Options"
	}
	slices.Sort(options)
	return "use " + strings.Join(options, ", ") + " in natsx.Options"
}

// settings maps settings in queries to options.
var settings = map[string]string{
	"token": "Token", "auth_token": "Token", "access_token": "Token",
	"user": "User and Password", "username": "User and Password", "pass": "User and Password", "password": "User and Password",
	"creds": "CredentialsFile", "credentials": "CredentialsFile", "jwt": "CredentialsFile",
	"nkey": "NKeySeedFile", "seed": "NKeySeedFile",
	"tls": "TLS", "tls_ca": "CAFile", "ca": "CAFile", "tls_cert": "CertFile", "cert": "CertFile", "tls_key": "KeyFile", "key": "KeyFile",
	"name": "Name", "timeout": "ConnectTimeout", "inbox_prefix": "InboxPrefix", "domain": "Domain",
}

// hasCredentials reports whether a URL has a user. nats.go also sends an empty user, and then
// ignores the options.
func hasCredentials(raw string) bool {
	u, err := redact.Parse(raw)
	if err != nil {
		return strings.Contains(raw, "@")
	}
	return u.User != nil
}
