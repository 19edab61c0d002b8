package redact_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gomono.dev/mono/redact"
)

const (
	jwt  = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl-_0"
	seed = "SUAM5XWZSYPQEPYHXLAVXDXEXHBTXNMUQTFOHPMTPB3EBQGWNVL4MRZBRQ"
	pem  = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
)

func TestText(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte("ada:hunter2"))
	for _, c := range []struct{ text, want string }{
		// key=value
		{"login user=ada password=hunter2 ok", "login user=ada password=[REDACTED] ok"},
		{"password = hunter2", "password = [REDACTED]"},
		{"password='correct horse' user=ada", "password='[REDACTED]' user=ada"},
		{`password="correct \"horse\"" user=ada`, `password="[REDACTED]" user=ada`},
		{"host=db user=ada password=a,b sslmode=off", "host=db user=ada password=[REDACTED] sslmode=off"},
		{"password=hunter2, user=ada", "password=[REDACTED], user=ada"},
		{"Server=db;Pwd=hunter2;Database=x", "Server=db;Pwd=[REDACTED];Database=x"},
		{"(password=hunter2)", "(password=[REDACTED])"},
		{"got 'token=abc'", "got 'token=[REDACTED]'"},
		{"password := secret1", "password := [REDACTED]"},
		{"password={a b}", "password=[REDACTED]"},
		{"password=[REDACTED]hunter2", "password=[REDACTED]"},
		{"password=[REDACTED] user=ada", "password=[REDACTED] user=ada"},
		{"password=", "password="},
		// key: value
		{"password: hunter2\nuser: ada", "password: [REDACTED]\nuser: ada"},
		{"invalid token: \"abc\"", "invalid token: \"[REDACTED]\""},
		{"GET /\r\nAuthorization: Digest a=b, c=d\r\nAccept: *", "GET /\r\nAuthorization: [REDACTED]\r\nAccept: *"},
		{"Cookie: a=b; c=d\nHost: x", "Cookie: [REDACTED]\nHost: x"},
		{"authorization=Bearer abc x", "authorization=[REDACTED] x"},
		// flags
		{"run --user ada --password hunter2 --dry", "run --user ada --password [REDACTED] --dry"},
		{"run --token=abc -v", "run --token=[REDACTED] -v"},
		{"run --password --dry", "run --password --dry"},
		// printed values
		{fmt.Sprintf("%+v", struct{ User, Password string }{"bob", "hunter2"}), "{User:bob Password:[REDACTED]}"},
		{fmt.Sprintf("%+v", struct{ Password, User string }{"correct horse battery", "bob"}), "{Password:[REDACTED] User:bob}"},
		{fmt.Sprintf("%+v", struct{ Password, User string }{"a}b", "bob"}), "{Password:[REDACTED] User:bob}"},
		{fmt.Sprintf("%+v", struct{ A struct{ Token string } }{}), "{A:{Token:}}"},
		{fmt.Sprintf("%#v", struct{ Token, User string }{"a", "b"}), `struct { Token string; User string }{Token:"[REDACTED]", User:"b"}`},
		{fmt.Sprint(map[string]string{"password": "a b", "user": "bob"}), "map[password:[REDACTED] user:bob]"},
		{fmt.Sprint(http.Header{"Authorization": {"Bearer abc"}, "Host": {"x"}}), "map[Authorization:[REDACTED] Host:[x]]"},
		// JSON in a text
		{`sent {"user":"bob","password":"hunter2"} to db`, `sent {"user":"bob","password":"[REDACTED]"} to db`},
		{`sent {"pin":1,"otp":1234,"user":"bob"}`, `sent {"pin":1,"otp":"[REDACTED]","user":"bob"}`},
		{`sent {"secrets":["a","b"],"user":"bob"}`, `sent {"secrets":"[REDACTED]","user":"bob"}`},
		{`body "{\"password\":\"hunt\\\"er2\",\"user\":\"bob\"}" sent`, `body "{\"password\":\"[REDACTED]\",\"user\":\"bob\"}" sent`},
		// URLs and addresses
		{"dial postgres://ada:hunter2@db:5432/x: refused", "dial postgres://ada:[REDACTED]@db:5432/x: refused"},
		{"redis://:hunter2@cache/0", "redis://:[REDACTED]@cache/0"},
		{"postgres://ada:p/w:rd@db/x", "postgres://ada:[REDACTED]@db/x"},
		{"nats://s3cret@localhost:4222", "nats://[REDACTED]@localhost:4222"},
		{"ssh://git@github.com/x", "ssh://git@github.com/x"},
		{"http://localhost:8080/a@b", "http://localhost:8080/a@b"},
		{"https://x/cb?code=1&access_token=abc&state=2", "https://x/cb?code=1&access_token=[REDACTED]&state=2"},
		{"https://x/b?X-Amz-Expires=3&X-Amz-Signature=ab12&y=z", "https://x/b?X-Amz-Expires=3&X-Amz-Signature=[REDACTED]&y=z"},
		{"root:hunter2@tcp(127.0.0.1:3306)/db", "root:[REDACTED]@tcp(127.0.0.1:3306)/db"},
		{"root:p@ss@tcp(db)/x", "root:[REDACTED]@tcp(db)/x"},
		{"ada:hunter2@example.com", "ada:[REDACTED]@example.com"},
		{"{Email:ada@example.com}", "{Email:ada@example.com}"},
		{"{User:ada@example.com}", "{User:ada@example.com}"},
		{"user:pass@host", "user:[REDACTED]@host"},
		{"mailto:ada@example.com", "mailto:ada@example.com"},
		// forms
		{"Bearer abc.def rest", "Bearer [REDACTED] rest"},
		{"a bearer token is needed", "a bearer token is needed"},
		{"Basic " + basic + " x", "Basic [REDACTED] x"},
		{"Basic knowledge", "Basic knowledge"},
		{"got " + jwt + ".", "got [REDACTED]"},
		{"got (" + jwt + ")", "got ([REDACTED])"},
		{"eyJhbGciOiJIUzI1NiJ9 is a part", "eyJhbGciOiJIUzI1NiJ9 is a part"},
		{"seed " + seed + ",", "seed [REDACTED],"},
		{"A" + seed, "A" + seed},
		{"x\n" + pem + "\ny", "x\n-----BEGIN RSA PRIVATE KEY-----[REDACTED]-----END RSA PRIVATE KEY-----\ny"},
		{"-----BEGIN PRIVATE KEY-----\nMII", "-----BEGIN PRIVATE KEY-----[REDACTED]"},
		// unchanged
		{"", ""},
		{"at 12:30:45 module:orders attempt=3 key=a/b", "at 12:30:45 module:orders attempt=3 key=a/b"},
		{"tokens_used=12 author=ada", "tokens_used=12 author=ada"},
	} {
		got := redact.New().Text(c.text)
		if got != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.text, got, c.want)
		}
		if again := redact.New().Text(got); again != got {
			t.Errorf("%q is not stable: %q", got, again)
		}
	}
}

func TestJSONText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{"user": "bob",  "password":"hunter2", "n":1.50e3}`, `{"user": "bob",  "password":"[REDACTED]", "n":1.50e3}`},
		{`[{"token":{"a":["x"]}},{"api_key":["x"]},{"secret":12}]`, `[{"token":"[REDACTED]"},{"api_key":"[REDACTED]"},{"secret":"[REDACTED]"}]`},
		{`{"password":null,"secret":false,"tokens":12,"token":""}`, `{"password":null,"secret":false,"tokens":12,"token":"[REDACTED]"}`},
		{`{"p\u0061ssword":"x<y"}`, `{"p\u0061ssword":"[REDACTED]"}`},
		{`{"url":"postgres:\/\/a:hunter2@db<","x":"\u00e9"}`, `{"url":"postgres://a:[REDACTED]@db<","x":"\u00e9"}`},
		{`{"body":"{\"password\":\"hunter2\",\"user\":\"bob\"}"}`, `{"body":"{\"password\":\"[REDACTED]\",\"user\":\"bob\"}"}`},
		{`{"user":"bob"}`, `{"user":"bob"}`},
		{` [] `, ` [] `},
		{`{"a":"` + jwt + `"}`, `{"a":"[REDACTED]"}`},
	} {
		if got := redact.New().Text(c.text); got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// A long text takes time in proportion to its length. The test would take minutes if the rest were
// searched again for each part.
func TestLongText(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		"://", "a://b:c/", "eyJ-", "Bearer ", "basic (", "password=", "password: {", `"token":"`, `\"token\":\"`, "@", "a:b@", "to:b@c",
		"tokens=1 ", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "--password ", "{", "a.", `{"a":`, `"`, `\`, "token='", "http://a:1/@",
	} {
		text := strings.Repeat(part, 1<<18/len(part)) + " password=hunter2"
		if got := redact.New().Text(text); strings.Contains(got, "hunter2") {
			t.Errorf("%s: got %s", part, got[max(0, len(got)-100):])
		}
	}
	text := strings.Repeat("a ", 1<<19)
	if got := redact.New().Text(text + "hunter2"); got != text+"[TRUNCATED]" {
		t.Errorf("got %s", got[max(0, len(got)-100):])
	}
	if got, want := redact.New().Text(text[:1<<20-20]+seed), text[:1<<20-20]+"[TRUNCATED]"; got != want {
		t.Errorf("got %s", got[max(0, len(got)-100):])
	}
	if got := redact.Value(json.RawMessage(`"` + text + `"`)).(json.RawMessage); string(got) != `"[TRUNCATED]"` {
		t.Errorf("got %.100s", got)
	}
}

func TestURLsAndErrors(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("https://ada:hunter2@db/x?token=abc&y=1")
	if err != nil {
		t.Fatal(err)
	}
	prints(t, "url", u, `"https://ada:[REDACTED]@db/x?token=[REDACTED]&y=1"`,
		`{"Scheme":"https","Opaque":"","User":{},"Host":"db","Path":"/x","Fragment":"","RawQuery":"token=[REDACTED]&y=1","RawPath":"","RawFragment":"","ForceQuery":false,"OmitHost":false}`)
	dial := fmt.Errorf("dial %s: %w", "nats://ada:hunter2@db", errors.New("refused"))
	prints(t, "error", dial, `"dial nats://ada:[REDACTED]@db: refused"`, `"dial nats://ada:[REDACTED]@db: refused"`)
	prints(t, "error", errors.New("refused"), "refused", `"refused"`)
}
