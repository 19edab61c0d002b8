package embedded

import (
	"errors"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

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
