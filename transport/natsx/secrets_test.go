package natsx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/loopback"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
	"gomono.dev/transport/natsx/internal/canary"
)

// noSecret fails the test if a recorded text contains a secret.
func noSecret(t *testing.T, x *canary.Texts) {
	t.Helper()
	if leak := x.Leak(); leak != "" || x.Len() == 0 {
		t.Errorf("a secret in: %.300s", leak)
	}
}

// urlsOf returns URLs of the server at an address, with a secret in each place. The value is
// a word of the expected error, or "" if the URL is good.
func urlsOf(address string) map[string]string {
	return map[string]string{
		"nats://user:c4n4ry@" + address:                                    "",
		"nats://c4n4ry@" + address:                                         "",
		"nats://user:" + canary.Encoded + "@" + address:                    "",
		"nats://" + canary.Encoded + "@" + address:                         "",
		"nats://:c4n4ry@" + address:                                        "",
		"nats://user:a%2Fc4n4ry%3F%23@" + address:                          "",
		"nats://" + address + "?token=c4n4ry":                              "Token",
		"nats://" + address + "/?user=u&pass=c4n4ry":                       "User and Password",
		"nats://" + address + "?creds=c4n4ry":                              "CredentialsFile",
		"nats://" + address + "?nkey=c4n4ry":                               "NKeySeedFile",
		"nats://" + address + "?c4n4ry":                                    "query",
		"nats://" + address + "?c4n4ry=1":                                  "query",
		"nats://" + address + "?token=" + canary.Encoded:                   "Token",
		"nats://" + address + "#c4n4ry":                                    "fragment",
		"nats://" + address + "/c4n4ry":                                    "path",
		"nats://user:c4n4ry@" + address + ",nats://c4n4ry@" + address:      "comma",
		"nats://" + address + ",nats://user:c4n4ry@" + address:             "comma",
		"nats://user:c4n4ry@" + address + " nats://user:c4n4ry@" + address: "malformed",
		"http://user:c4n4ry@" + address:                                    "scheme",
		"user:c4n4ry@" + address:                                           "malformed",
		"c4n4ry@" + address:                                                "malformed",
		"//user:c4n4ry@" + address:                                         "malformed",
		"nats:/user:c4n4ry@" + address:                                     "malformed",
		"nats:user:c4n4ry@" + address:                                      "malformed",
		" nats://user:c4n4ry@" + address:                                   "malformed",
		"nats://user:c4n4ry%zz@" + address:                                 "malformed",
		"nats://user:%zzc4n4ry@" + address:                                 "malformed",
		"nats://user:c4n4ry/x@" + address:                                  "malformed",
		"nats://user:12/c4n4ry@" + address:                                 "malformed",
		"nats://c4n4ry/x@" + address:                                       "malformed",
		"nats://c4n4ry?x@" + address:                                       "malformed",
		"nats://c4n4ry#x@" + address:                                       "malformed",
		"nats://user:c4n4ry x@" + address:                                  "malformed",
		"nats://user:c4n4ry\"x@" + address:                                 "malformed",
		"nats://user:c4n4ry\nx@" + address:                                 "malformed",
		"nats://user:c4n4ry%40" + address:                                  "malformed",
		"nats://user:c4n4ry@":                                              "malformed",
		"nats://user:c4n4ry@" + address + "0":                              "malformed",
		"nats://user:c4n4ry@[::1":                                          "malformed",
		"nats://host:c4n4ry":                                               "malformed",
		"nats://[c4n4ry]:4222":                                             "malformed",
		"nats://user;c4n4ry":                                               "malformed",
	}
}

// Credentials in a URL appear in no text, whether the server accepts them, refuses them or is
// absent.
func TestNoTextHasCredentialsOfAURL(t *testing.T) {
	t.Parallel()
	open := startServer(t, nil)
	refuses := startServer(t, func(o *embedded.Options) { o.User, o.Password = "other", "other-password" })
	for who, address := range map[string]string{
		"a server that accepts": strings.TrimPrefix(open.ClientURL(), "nats://"),
		"a server that refuses": strings.TrimPrefix(refuses.ClientURL(), "nats://"),
		"no server":             loopback.Free(t),
	} {
		for url, want := range urlsOf(address) {
			var x canary.Texts
			o := natsx.Options{URLs: []string{url}, Logger: x.Log()}
			x.Value(o)
			x.Value(&o)
			x.Value(struct{ Nested natsx.Options }{o})
			x.Value(embedded.Options{Memory: true, Client: o})
			tr, err := natsx.Connect(t.Context(), o)
			x.Error(err)
			switch {
			case want != "" && (transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), want)):
				t.Errorf("%s at %q: got %v, want one with %q", who, url, err, want)
			case want == "" && who == "a server that accepts" && err != nil:
				t.Errorf("%s at %q: %v", who, url, err)
			case err == nil:
				x.Value(tr)
				x.Error(tr.Ping(t.Context()))
				_ = tr.Close(context.Background())
				x.Error(tr.Ping(t.Context()))
			}
			noSecret(t, &x)
		}
	}
}

// Credentials both in a URL and in the options are an error: nats.go would silently ignore
// some.
func TestCredentialsInAURLAndInTheOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []natsx.Options{{User: "u", Password: canary.Secret}, {Token: canary.Secret}, {NKeySeedFile: "x"}, {CredentialsFile: "x"}} {
		var x canary.Texts
		o.URLs = []string{"nats://127.0.0.1:4222", "nats://user:c4n4ry@127.0.0.1:4223"}
		_, err := natsx.Connect(t.Context(), o)
		if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), "in the URL") {
			t.Errorf("got %v", err)
		}
		x.Error(err)
		noSecret(t, &x)
	}
}

// A connection that is lost, refused and restored is reported without credentials, in logs,
// in errors and in the App's health.
func TestNoTextHasCredentialsWhileReconnecting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		client func(*natsx.Options)
		accept func(*embedded.Options)
	}{
		"a password":        {func(o *natsx.Options) { o.User, o.Password = "me", "s3"+canary.Secret }, user},
		"a token":           {func(o *natsx.Options) { o.Token = "s3" + canary.Secret }, token},
		"a password in URL": {func(o *natsx.Options) { o.URLs[0] = strings.Replace(o.URLs[0], "://", "://me:s3c4n4ry@", 1) }, user},
		"a token in URL":    {func(o *natsx.Options) { o.URLs[0] = strings.Replace(o.URLs[0], "://", "://s3"+canary.Encoded+"@", 1) }, token},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var x canary.Texts
			address := loopback.Free(t)
			start := func(accept func(*embedded.Options)) *embedded.Server {
				return startServer(t, func(o *embedded.Options) {
					o.Listen, o.Logger, o.Debug, o.Trace = address, x.Log(), true, true
					accept(o)
					x.Value(*o)
				})
			}
			s := start(c.accept)
			x.Value(s)
			o := natsx.Options{URLs: []string{s.ClientURL()}, Logger: x.Log(), ReconnectWait: time.Millisecond, ReconnectJitter: time.Millisecond}
			c.client(&o)
			x.Value(o)
			tr, err := natsx.Connect(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			app := mono.New(tr, mono.Logger(x.Log()))
			app.Observe(mono.ObserverFunc(func(o mono.Observation) { x.Value(o) }))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			health := func() transport.Code {
				x.Value(app.Health(t.Context()))
				x.Value(app.Describe())
				err := tr.Ping(t.Context())
				x.Error(err)
				x.Error(tr.Publish(t.Context(), &transport.Message{Subject: "a"}))
				_, err2 := tr.Request(t.Context(), &transport.Message{Subject: "a"})
				x.Error(err2)
				return transport.CodeOf(err)
			}
			health()
			restart := func(accept func(*embedded.Options), until func() bool) {
				if err := s.Shutdown(t.Context()); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the loss is noticed", func() bool { return health() != "" })
				s = start(accept)
				eventually(t, "the server's answer is known", until)
			}
			restart(func(o *embedded.Options) { o.User, o.Password = "other", "other-password" }, func() bool {
				_ = health()
				return strings.Contains(fmt.Sprint(tr.Ping(t.Context())), "refused the credentials")
			})
			restart(noRoom, func() bool { return health() == transport.ResourceExhausted })
			restart(c.accept, func() bool { return health() == "" })
			x.Error(app.Stop(context.Background()))
			health()
			noSecret(t, &x)
		})
	}
}

func user(o *embedded.Options)  { o.User, o.Password = "me", "s3"+canary.Secret }
func token(o *embedded.Options) { o.Token = "s3" + canary.Secret }

// Contents of credential files appear in no text, also if they are passed instead of the name
// of a file.
func TestNoTextHasContentsOfCredentialFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, fmt.Sprintf("%x", text)[:8]+fmt.Sprint(len(text)))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const (
		pem  = "-----BEGIN PRIVATE KEY-----\nc4n4ry\n-----END PRIVATE KEY-----\n"
		jwt  = "eyJ0eXAiOiJKV1QifQ.c4n4ryc4n4ry.c4n4ry-c4n4ry"
		seed = "SUAC4N4RYC4N4RYC4N4RYC4N4RYC4N4RYC4N4RYC4N4RYC4N4RYC4N4RYC" // 58 characters, as a seed has
	)
	creds := "-----BEGIN NATS USER JWT-----\n" + jwt + "\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\nSUc4n4ry\n------END USER NKEY SEED------\n"
	for name, o := range map[string]natsx.Options{
		"credentials that are none":         {CredentialsFile: file("c4n4ry")},
		"credentials with a bad seed":       {CredentialsFile: file(creds)},
		"credentials for a name":            {CredentialsFile: creds},
		"a JWT for a name":                  {CredentialsFile: jwt},
		"a seed that is none":               {NKeySeedFile: file("SUc4n4ry")},
		"a bad seed":                        {NKeySeedFile: file(seed)},
		"a seed for a name":                 {NKeySeedFile: strings.ReplaceAll(seed, "4", "2")},
		"a key for a name":                  {CertFile: file(pem), KeyFile: pem},
		"a certificate for a name":          {CertFile: pem, KeyFile: file(pem)},
		"a key that is none":                {CertFile: file(pem), KeyFile: file(pem)},
		"authorities that are none":         {CAFile: file(pem)},
		"authorities for a name":            {CAFile: pem},
		"another server in an option":       {NATS: []nats.Option{func(o *nats.Options) error { o.Servers = []string{"nats://user:c4n4ry%zz@host"}; return nil }}},
		"an option that quotes a URL":       {NATS: []nats.Option{func(*nats.Options) error { return errors.New("no: nats://user:c4n4ry@host:1") }}},
		"an option that quotes a bad URL":   {NATS: []nats.Option{func(*nats.Options) error { return errors.New("no: nats://user:%zz@host:1: %zz c4n4ry") }}},
		"an option that quotes the options": {Token: canary.Secret + "-token", NATS: []nats.Option{func(*nats.Options) error { return errors.New("no: " + canary.Secret + "-token") }}},
	} {
		var x canary.Texts
		o.Logger = x.Log()
		x.Value(o)
		_, err := natsx.Connect(t.Context(), o)
		if err == nil {
			t.Errorf("%s: it connects", name)
		}
		x.Error(err)
		if strings.Contains(strings.ToUpper(fmt.Sprint(err)), "C2N2RY") {
			t.Errorf("%s: %v", name, err)
		}
		if t.Failed() {
			t.Log(name, err)
		}
		noSecret(t, &x)
	}
}

// leaky is a dialer whose errors quote a URL.
type leaky struct{ dialed atomic.Bool }

func (d *leaky) Dial(network, address string) (net.Conn, error) {
	if d.dialed.Swap(true) {
		return nil, errors.New("no way to nats://user:c4n4ry@" + address)
	}
	return net.Dial(network, address)
}

// Errors of the user's own functions are also logged and returned without credentials.
func TestNoTextHasCredentialsFromADialer(t *testing.T) {
	t.Parallel()
	var x canary.Texts
	s := startServer(t, nil)
	o := natsx.Options{URLs: []string{s.ClientURL()}, Logger: x.Log(), ReconnectWait: time.Millisecond, NATS: []nats.Option{nats.SetCustomDialer(new(leaky))}}
	tr, err := natsx.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close(context.Background())
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dialer is called again", func() bool { return strings.Contains(fmt.Sprint(tr.Ping(t.Context())), "no way to") })
	x.Error(tr.Ping(t.Context()))
	_, err = natsx.Connect(t.Context(), o)
	x.Error(err)
	if x.Leak("no way to") == "" {
		t.Error("the error of the dialer appears nowhere")
	}
	noSecret(t, &x)
}
