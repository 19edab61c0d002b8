package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// A server with an operator accepts users with a credentials file: this process, which is
// given one, and others elsewhere.
func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	config, credentials := operator(t)
	tr := open(t, embedded.Options{
		Dir: t.TempDir(), ConfigFile: configFile(t, "listen: 127.0.0.1:-1\n"+config),
		Client: natsx.Options{CredentialsFile: credentials},
	})
	requireLogs(t, tr.Transport)
	urls := []string{tr.Server().ClientURL()}
	elsewhere, err := natsx.Connect(t.Context(), natsx.Options{URLs: urls, CredentialsFile: credentials})
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close(context.Background())
	requireLogs(t, elsewhere)
	if _, err := natsx.Connect(t.Context(), natsx.Options{URLs: urls}); transport.CodeOf(err) != transport.Unauthenticated {
		t.Errorf("a stranger: %v", err)
	}
	_, other := operator(t)
	if _, err := natsx.Connect(t.Context(), natsx.Options{URLs: urls, CredentialsFile: other}); transport.CodeOf(err) != transport.Unauthenticated {
		t.Errorf("a user of another operator: %v", err)
	}
}

// An nkey is named in the file of the server, and its seed is in the file of the client.
func TestNKey(t *testing.T) {
	t.Parallel()
	user, seed := key(t, nkeys.CreateUser)
	tr := open(t, embedded.Options{Dir: t.TempDir(),
		ConfigFile: configFile(t, fmt.Sprintf("listen: 127.0.0.1:-1\nauthorization { users: [ {nkey: %s} ] }", publicKey(t, user)))})
	requireLogs(t, tr.Transport)
	urls := []string{tr.Server().ClientURL()}
	elsewhere, err := natsx.Connect(t.Context(), natsx.Options{URLs: urls, NKeySeedFile: file(t, seed)})
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close(context.Background())
	requireLogs(t, elsewhere)
	_, other := key(t, nkeys.CreateUser)
	if _, err := natsx.Connect(t.Context(), natsx.Options{URLs: urls, NKeySeedFile: file(t, other)}); transport.CodeOf(err) != transport.Unauthenticated {
		t.Errorf("another key: %v", err)
	}
}

func requireLogs(t *testing.T, tr *natsx.Transport) {
	t.Helper()
	js, err := jetstream.New(tr.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Errorf("no logs: %v", err)
	}
}

// operator returns the configuration of a server for an operator with one account, and the
// credentials file of a user of the account.
func operator(t *testing.T) (config, credentials string) {
	t.Helper()
	operatorKey, _ := key(t, nkeys.CreateOperator)
	systemKey, _ := key(t, nkeys.CreateAccount)
	accountKey, _ := key(t, nkeys.CreateAccount)
	userKey, seed := key(t, nkeys.CreateUser)
	sign := func(c jwt.Claims, by nkeys.KeyPair) string {
		token, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	o := jwt.NewOperatorClaims(publicKey(t, operatorKey))
	o.SystemAccount = publicKey(t, systemKey)
	account := jwt.NewAccountClaims(publicKey(t, accountKey))
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1}
	creds, err := jwt.FormatUserConfig(sign(jwt.NewUserClaims(publicKey(t, userKey)), accountKey), seed)
	if err != nil {
		t.Fatal(err)
	}
	config = fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n", sign(o, operatorKey),
		publicKey(t, systemKey), sign(jwt.NewAccountClaims(publicKey(t, systemKey)), operatorKey),
		publicKey(t, accountKey), sign(account, operatorKey))
	return config, file(t, creds)
}

func key(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, seed []byte) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	return pair, seed
}

func publicKey(t *testing.T, pair nkeys.KeyPair) string {
	t.Helper()
	k, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
