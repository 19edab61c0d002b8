package embedded_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
	"gomono.dev/transport/natsx/internal/canary"
)

func noSecret(t *testing.T, x *canary.Texts, others ...string) {
	t.Helper()
	if leak := x.Leak(others...); leak != "" || x.Len() == 0 {
		t.Errorf("a secret in: %.300s", leak)
	}
}

// Credentials in an address appear in no text.
func TestNoTextHasCredentialsOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"nats-route://user:c4n4ry@127.0.0.1:6222", "nats://c4n4ry@127.0.0.1:6222", "user:c4n4ry@127.0.0.1:6222", "c4n4ry@127.0.0.1:6222",
		"c4n4ry%40127.0.0.1:6222", "user:" + canary.Encoded + "@127.0.0.1:6222", "127.0.0.1:6222?token=c4n4ry", "127.0.0.1:6222/c4n4ry",
		"127.0.0.1:6222#c4n4ry", "127.0.0.1:c4n4ry", "c4n4ry", "[c4n4ry]:6222", "127.0.0.1:6222,user:c4n4ry@127.0.0.1:6223", "c4n4ry x:1", "user:c4n4ry%zz@h:1",
	} {
		cluster := func(c embedded.Cluster) *embedded.Cluster {
			c.Name, c.User, c.Password = "c", "route", "c4n4ry"
			return &c
		}
		for name, o := range map[string]embedded.Options{
			"Listen":            {Listen: address},
			"Monitor":           {Monitor: address},
			"Cluster.Listen":    {Cluster: cluster(embedded.Cluster{Listen: address, Routes: []string{"127.0.0.1:1"}})},
			"Cluster.Routes[1]": {Cluster: cluster(embedded.Cluster{Listen: "127.0.0.1:0", Routes: []string{"127.0.0.1:1", address}})},
		} {
			var x canary.Texts
			o.Memory, o.User, o.Password, o.Logger = true, "user", "c4n4ry", x.Log()
			o.Client = natsx.Options{User: "user", Password: "c4n4ry", URLs: []string{"nats://c4n4ry@h"}}
			x.Value(o)
			x.Value(&o)
			x.Value(o.Cluster)
			_, err := embedded.Start(t.Context(), o)
			if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "host:port") {
				t.Errorf("%s %q: %v", name, address, err)
			}
			x.Error(err)
			noSecret(t, &x)
		}
	}
}

// An error in a configuration file is reported by its position, without the text.
func TestNoTextHasTextOfAConfigurationFile(t *testing.T) {
	t.Parallel()
	for text, where := range map[string]string{
		"\nauthorization { password: 'c4n4ry }":                                      "line 2",
		"authorization { user: a, password: c4n4ry":                                  "line 1",
		"\n\nauthorization { user: a, password: \"c4n4ry\" ]":                        "line 3",
		"authorization { user: a, password: \"c4n4ry\\q\" }":                         "line 1",
		"authorization { user: a, password: \"\\xzzc4n4ry\" }":                       "line 1",
		"authorization { user: a }\nc4n4ry: 1":                                       "an unknown field in line 2",
		"authorization { user: a, c4n4ry: 1 }":                                       "line 1",
		"authorization: c4n4ry":                                                      "line 1",
		"authorization { users: c4n4ry }":                                            "line 1",
		"authorization { users: [ { user: a, password: b, permissions: c4n4ry } ] }": "line 1",
		"authorization { user: a, password: b, token: c4n4ry, timeout: c4n4ry }":     "line 1",
		"authorization { nkey: c4n4ry, users: [ { nkey: c4n4ry } ] }":                "line 1",
		"accounts { A: { users: [ { nkey: SUc4n4ry } ] } }":                          "line 1",
		"port: c4n4ry":                       "line 1",
		"listen: \"nats://user:c4n4ry@h:x\"": "line 1",
		"max_payload: \"c4n4ry\"":            "line 1",
		"cluster { name: c, listen: 127.0.0.1:-1, routes: [ \"nats://u:c4n4ry%zz@h:1\" ] }":         "line 1",
		"cluster { name: c, routes: \"nats://u:c4n4ry%zz@h:1\" }":                                   "line 1",
		"gateway { name: c, gateways: [ { name: b, urls: [ \"nats://u:c4n4ry%zz@h:1\" ] } ] }":      "line 1",
		"leafnodes { remotes: [ { url: \"nats://u:c4n4ry%zz@h:1\" } ] }":                            "line 1",
		"leafnodes { remotes: [ { url: \"nats://u:p@h:1\", credentials: c4n4ry, nkey: c4n4ry } ] }": "line 1",
		"include c4n4ry":                                           "included file",
		"authorization { password: $C4N4RY }":                      "line 1",
		"operator: c4n4ry":                                         "cannot read",
		"resolver: \"URL(http://u:c4n4ry@h\"":                      "refuses",
		"tls { cert_file: c4n4ry, key_file: \"c4n4ry\" }":          "cannot read",
		"jetstream { key: c4n4ry, cipher: c4n4ry }":                "line 1",
		"websocket { port: 1, token: c4n4ry, password: [c4n4ry] }": "line 1",
		"mqtt { port: 1, authorization { token: [c4n4ry] } }":      "line 1",
	} {
		var x canary.Texts
		file := configFile(t, text)
		o := embedded.Options{Memory: true, ConfigFile: file, Logger: x.Log()}
		x.Value(o)
		s, err := embedded.Start(t.Context(), o)
		if err == nil {
			_ = s.Shutdown(context.Background())
		}
		if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), where) {
			t.Errorf("%q: got %v, want %s", text, err, where)
		}
		x.Error(err)
		noSecret(t, &x)
	}
}

// The contents of a file, passed instead of its name, are not quoted.
func TestNoTextHasAConfigurationInThePlaceOfItsFile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"authorization { password: c4n4ry }", "password: c4n4ry", "authorization{\n}\nc4n4ry", "nats://user:c4n4ry@h", strings.Repeat("c4n4ry", 60)} {
		var x canary.Texts
		o := embedded.Options{Memory: true, ConfigFile: text, Logger: x.Log()}
		x.Value(o)
		_, err := embedded.Start(t.Context(), o)
		if transport.CodeOf(err) != transport.InvalidArgument || !strings.Contains(err.Error(), "ConfigFile") {
			t.Errorf("got %v", err)
		}
		x.Error(err)
		noSecret(t, &x)
	}
}

// The server's log contains no credentials, including traces of clients and of other servers.
func TestNoLogLineOfTheServerHasCredentials(t *testing.T) {
	t.Parallel()
	var x canary.Texts
	unreachable := loopback.Free(t)
	config, credentials := operator(t)
	for name, o := range map[string]embedded.Options{
		"a password": {User: "user", Password: "c4n4ry,\"}c4n4ry"},
		"a client":   {ConfigFile: configFile(t, `authorization { users: [ { user: user, password: "c4n4ry" } ] }`), Client: natsx.Options{User: "user", Password: "c4n4ry"}},
		"a token":    {Token: "c4n4ry,\"}c4n4ry"},
		"a JWT":      {ConfigFile: configFile(t, config), Client: natsx.Options{CredentialsFile: credentials}},
		"remote":     {ConfigFile: configFile(t, fmt.Sprintf(`leafnodes { remotes: [ { url: "nats://user:c4n4ry@%s" }, { url: "nats://c4n4ry@%s" } ] }`, unreachable, unreachable))},
		"routes":     {Cluster: &embedded.Cluster{Name: "c", Listen: loopback.Free(t), Routes: []string{loopback.Free(t)}, User: "route", Password: "c4n4ry"}, StartTimeout: 1},
	} {
		t.Run(name, func(t *testing.T) {
			o.Dir, o.Listen, o.Logger, o.Debug, o.Trace, o.TraceSystem = t.TempDir(), "127.0.0.1:0", x.Log(), true, true, true
			x.Value(o)
			tr, err := embedded.Open(t.Context(), o)
			if err != nil {
				x.Error(err)
				return
			}
			x.Value(tr)
			x.Value(tr.Server())
			for _, client := range []natsx.Options{
				{User: o.User, Password: o.Password, Token: o.Token, CredentialsFile: o.Client.CredentialsFile},
				{User: "user", Password: "wrong,c4n4ry"},
				{Token: "wrong,c4n4ry"},
			} {
				client.URLs, client.Logger = []string{tr.Server().ClientURL()}, x.Log()
				elsewhere, err := natsx.Connect(t.Context(), client)
				if err != nil {
					x.Error(err)
					continue
				}
				m := transport.Message{Subject: "a", Header: transport.Header{{Name: "Authorization", Value: "Bearer c4n4ry"}, {Name: "X-Api-Key", Value: "c4n4ry"}, {Name: "Cookie", Value: "c4n4ry"}}}
				if err := elsewhere.Publish(t.Context(), &m); err != nil {
					t.Error(err)
				}
				if err := elsewhere.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err := tr.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	noSecret(t, &x, keysIn(t, credentials)...)
}

// keysIn returns the JWT and the seed in a credentials file.
func keysIn(t *testing.T, credentials string) []string {
	t.Helper()
	text, err := os.ReadFile(credentials)
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`(?m)^(eyJ|SU)\S+$`).FindAllString(string(text), -1)
	if len(keys) != 2 {
		t.Fatalf("%d keys in %s", len(keys), credentials)
	}
	return keys
}

// Members of a cluster whose routes have credentials, valid or not, log none.
func TestNoLogLineOfAClusterHasCredentials(t *testing.T) {
	t.Parallel()
	var x canary.Texts
	addresses := []string{loopback.Free(t), loopback.Free(t)}
	options := func(address, password string) embedded.Options {
		return embedded.Options{Memory: true, Logger: x.Log(), Debug: true, Trace: true, TraceSystem: true,
			Cluster: &embedded.Cluster{Name: "c", Listen: address, Routes: addresses, User: "route", Password: password}}
	}
	done := make(chan *embedded.Server)
	for _, address := range addresses {
		go func() {
			o := options(address, "c4n4ry")
			o.StartTimeout = time.Minute
			s, err := embedded.Start(t.Context(), o)
			if err != nil {
				t.Error(err)
			}
			done <- s
		}()
	}
	for range addresses {
		if s := <-done; s != nil {
			x.Value(s)
			defer s.Shutdown(context.Background())
		}
	}
	stranger := options(loopback.Free(t), "wrong-c4n4ry")
	stranger.StartTimeout = time.Second
	s, err := embedded.Start(t.Context(), stranger)
	if err == nil {
		defer s.Shutdown(context.Background())
		t.Error("a server with a wrong password joins the cluster")
	}
	x.Error(err)
	noSecret(t, &x)
}
