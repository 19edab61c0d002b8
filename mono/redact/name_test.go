package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"gomono.dev/mono/redact"
)

func TestNames(t *testing.T) {
	t.Parallel()
	r := redact.New()
	check := func(names string, want bool) {
		for _, name := range strings.Fields(names) {
			if got := r.Value(map[string]string{name: "x"}).(map[string]string)[name] == redact.Mark; got != want {
				t.Errorf("%s: redacted %v, want %v", name, got, want)
			}
			if got := r.Text(name+"=x1") == name+"="+redact.Mark; got != want {
				t.Errorf("%s: redacted in a text %v, want %v", name, got, want)
			}
		}
	}
	check(`password Password PASSWORD passwd DB_PASSWORD db-password dbPassword userPASSWORD password2 password_hash
		dbpassword clientSecret client_secret secret_key SecretKey token accessToken access_token authtoken
		refresh-token tokens Authorization Proxy-Authorization Cookie Set-Cookie cookies api_key apiKey APIKey
		api-key apikey X-API-Key XApiKey privateKey private_key PRIVATE-KEY seed nkey_seed session session_id
		sessionID credential credentials jwt JWTs user.jwt dsn DATABASE_DSN connectionString passphrase otp
		X-Amz-Signature`, true)
	check(`tokens_used tokenCount token_type TokenURL author authorized authority keyboard monkey key keys secretary
		password_policy passwordLength password_changed_at session_timeout cookie_name secret_name PrivateKeyPath
		private compass bypass passenger passed obsession description user name id handle kind`, false)
}

func TestCounts(t *testing.T) {
	t.Parallel()
	prints(t, "tokens", 512, "512", "512")
	prints(t, "seed", 42, "42", "42")
	prints(t, "pin", map[string]any{"otp": 1234, "tokens": 3, "token": 4}, `"map[otp:[REDACTED] token:[REDACTED] tokens:3]"`,
		`{"otp":"[REDACTED]","token":"[REDACTED]","tokens":3}`)
	for _, s := range []string{"tokens=512 seed: 42", `{"tokens": 512, "seed": 42}`, `password=true secret=<nil> token: null`} {
		if got := redact.New().Text(s); got != s {
			t.Errorf("got %s, want it unchanged: %s", got, s)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	r := redact.New(redact.Names("IBAN", "account number"), redact.Except("session"))
	got := fmt.Sprint(r.Value(map[string]string{
		"iban": "a", "customerIBAN": "b", "AccountNumber": "c", "old_account_number_2": "d", "accountName": "e", "number": "f",
		"session": "g", "session_id": "h",
	}))
	want := "map[AccountNumber:[REDACTED] accountName:e customerIBAN:[REDACTED] iban:[REDACTED] number:f " +
		"old_account_number_2:[REDACTED] session:g session_id:[REDACTED]]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	text := "auth.session: not found"
	if got := redact.New(redact.Except("auth.session")).Text(text); got != text {
		t.Errorf("got %s", got)
	}
}
