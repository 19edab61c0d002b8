package embedded

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/internal/redact"
)

// fromFile reads the configuration file. The server's errors quote its text, which may hold
// credentials, so they are reduced to positions.
func (o *Options) fromFile() (*server.Options, error) {
	if o.ConfigFile == "" {
		return &server.Options{}, nil
	}
	so, err := server.ProcessConfigFile(o.ConfigFile)
	if err == nil {
		return so, nil
	}
	file := redact.File(o.ConfigFile)
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == o.ConfigFile {
		return nil, invalid("ConfigFile %s cannot be read: %w: want the name of a file, not its contents", file, redact.FileError(err))
	}
	return nil, invalid("ConfigFile %s is invalid: %s: run nats-server -t -c %s to see the text", file, strings.Join(faults(err), "; "), file)
}

// faults lists the errors of a configuration file, without its text.
func faults(err error) (all []string) {
	list, ok := err.(interface{ Errors() []error }) // of a file that parses
	if !ok {
		return []string{fault(err.Error())}
	}
	for _, err := range list.Errors() {
		all = append(all, fault(err.Error()))
	}
	return all
}

// The forms in which the server reports a position.
var (
	lineAndColumn = regexp.MustCompile(`^[^\n]*?:(\d+):(\d+): (unknown field )?`)
	endOfFile     = regexp.MustCompile(`^config is invalid \([^\n]*:(\d+):(\d+)\)$`)
	lineAlone     = regexp.MustCompile(`\bon line (\d+)\b`)
)

func fault(text string) string {
	what := "a setting that the server cannot read"
	if strings.HasPrefix(text, "error parsing include file") {
		what = "an included file that the server cannot read"
	}
	if at := lineAndColumn.FindStringSubmatch(text); at != nil {
		if at[3] != "" {
			what = "an unknown field"
		}
		return what + " in line " + at[1] + ", column " + at[2]
	}
	if at := endOfFile.FindStringSubmatch(text); at != nil {
		return what + " in line " + at[1] + ", column " + at[2]
	}
	if at := lineAlone.FindStringSubmatch(text); at != nil {
		return what + " in line " + at[1]
	}
	return what
}

// secrets lists the credentials in the server's options, which must not appear in its log.
func secrets(so *server.Options) []string {
	all := []string{
		so.Password, so.Authorization, so.JetStreamKey, so.JetStreamOldKey,
		so.Cluster.Password, so.Gateway.Password, so.LeafNode.Password,
		so.MQTT.Password, so.MQTT.Token, so.Websocket.Password, so.Websocket.Token,
	}
	for _, u := range so.Users {
		all = append(all, u.Password)
	}
	for _, u := range so.LeafNode.Users {
		all = append(all, u.Password)
	}
	for _, u := range remotes(so) {
		all = append(all, redact.Credentials(u.String())...)
	}
	return all
}

// remotes lists the addresses of other servers.
func remotes(so *server.Options) []*url.URL {
	all := slices.Clone(so.Routes)
	for _, gateway := range so.Gateway.Gateways {
		all = append(all, gateway.URLs...)
	}
	for _, leaf := range so.LeafNode.Remotes {
		all = append(all, leaf.URLs...)
	}
	return all
}

// setAuth sets the credentials that the server requires of clients.
func (o *Options) setAuth(so *server.Options) error {
	if (o.User == "") != (o.Password == "") {
		return invalid("only one of User and Password is set: set both")
	}
	if o.User != "" && o.Token != "" {
		return invalid("both User and Token are set: choose one")
	}
	if o.User == "" && o.Token == "" {
		return nil
	}
	if requiresCredentials(so) {
		return invalid("both the options and ConfigFile %s hold credentials for clients: use one of them", redact.File(o.ConfigFile))
	}
	so.Username, so.Password, so.Authorization = o.User, o.Password, o.Token
	return nil
}

// requiresCredentials reports whether the server requires credentials that an internal user
// can have. With operators it does not: then only JWTs count.
func requiresCredentials(so *server.Options) bool {
	return so.Username != "" || so.Authorization != "" || len(so.Users) > 0 || len(so.Nkeys) > 0
}

// admitClient adds a user for the client of this process: connections within the process are
// authenticated like all others. The credentials in a file may be hashes, so the client gets
// its own user, with a random password.
func (o *Options) admitClient(so *server.Options) error {
	if hasCredentials(&o.Client) || len(so.TrustedOperators) > 0 || len(so.TrustedKeys) > 0 || !requiresCredentials(so) {
		return nil
	}
	if so.NoAuthUser != "" && o.Account == "" {
		return nil
	}
	account, err := o.account(so)
	if err != nil {
		return err
	}
	if so.Username != "" { // the server supports either one user or a list
		so.Users = append(so.Users, &server.User{Username: so.Username, Password: so.Password, ProxyRequired: so.ProxyRequired})
		so.Username, so.Password = "", ""
	}
	user := internalUser(account)
	so.Users = append(so.Users, user)
	if so.AuthCallout != nil {
		so.AuthCallout.AuthUsers = append(so.AuthCallout.AuthUsers, user.Username)
	}
	o.Client.User, o.Client.Password = user.Username, user.Password
	return nil
}

// account returns the account for this process, or nil for the global account. If accounts
// are configured, the global account has no logs and no users.
func (o *Options) account(so *server.Options) (*server.Account, error) {
	var names []string
	var found *server.Account
	for _, a := range so.Accounts {
		if a.Name == so.SystemAccount || a.Name == server.DEFAULT_SYSTEM_ACCOUNT || a.Name == server.DEFAULT_GLOBAL_ACCOUNT {
			continue
		}
		names = append(names, a.Name)
		if o.Account == "" || o.Account == a.Name {
			found = a
		}
	}
	slices.Sort(names)
	switch {
	case len(names) > 1 && o.Account == "":
		return nil, invalid("the server has the accounts %s: set Account to one of them", strings.Join(names, ", "))
	case o.Account != "" && found == nil:
		return nil, invalid("the server has no account %q, but: %s", o.Account, strings.Join(names, ", "))
	}
	return found, nil
}

func hasCredentials(c *natsx.Options) bool {
	return c.CredentialsFile != "" || c.NKeySeedFile != "" || c.User != "" || c.Token != "" || len(c.NATS) > 0
}

// internalUser returns a user that can only connect from within the process.
func internalUser(account *server.Account) *server.User {
	return &server.User{
		Username:               "mono-" + rand.Text(),
		Password:               rand.Text(),
		Account:                account,
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeInProcess: {}},
	}
}
