package redact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gomono.dev/mono/redact"
	"pgregory.net/rapid"
)

// planted is in every secret that a test draws, kept in every other text.
const planted, kept = "s3cr3t", "k3pt"

// drawn counts the texts that must be printed.
type drawn struct {
	*rapid.T
	kept   int
	serial int // values around that are serialised: their types and tags are lost
}

// unnamed returns a secret that only its type or tag shows.
func (d *drawn) unnamed() string {
	if d.serial > 0 {
		return d.text()
	}
	return d.anySecret()
}

// marshal returns the value that draw draws as JSON.
func (d *drawn) marshal(draw func() any) []byte {
	d.serial++
	out, err := json.Marshal(draw())
	d.serial--
	if err != nil {
		d.Fatal(err)
	}
	return out
}

func (d *drawn) pick(what string, n int) int { return rapid.IntRange(0, n-1).Draw(d.T, what) }

// anySecret returns a secret of any characters.
func (d *drawn) anySecret() string { return planted + rapid.String().Draw(d.T, "secret") }

// secret returns a secret that a text may have without quotes.
func (d *drawn) secret() string {
	return rapid.StringMatching(planted+`[A-Za-z0-9!$%*+/?^_~.-]{0,20}[A-Za-z0-9]`).Draw(d.T, "secret in a text")
}

func (d *drawn) secretName() string {
	return rapid.SampledFrom([]string{"password", "DB_PASSWORD", "apiKey", "X-Api-Key", "sessionToken", "Authorization", "jwt", "dsn"}).Draw(d.T, "name")
}

// text returns a text with a secret.
func (d *drawn) text() string {
	s, name := d.secret(), d.secretName()
	switch d.pick("text", 13) {
	case 0:
		return "user=bob " + name + "=" + s + " ok"
	case 1:
		return fmt.Sprintf("%+v", login{User: "bob", Password: s + " " + s})
	case 2:
		return fmt.Sprintf("at %+v", map[string]any{name: s, "user": "bob", "x": []string{"a"}})
	case 3:
		return `{"user":"bob","` + name + `":"` + s + `"}`
	case 4:
		return "dial postgres://bob:" + url.QueryEscape(s) + "@db:5432/x: refused"
	case 5:
		return "Bearer " + s
	case 6:
		return "Authorization: Basic " + s + "\nAccept: */*"
	case 7:
		return "root:" + s + "@tcp(db:3306)/x"
	case 8:
		return "run --" + name + " " + s + " -v"
	case 9:
		return fmt.Sprintf("%s=%q user=bob", name, d.anySecret())
	case 10:
		return fmt.Sprintf("%#v", login{User: "bob", Password: d.anySecret()})
	case 11:
		return fmt.Sprintf("sent %q", `{"`+name+`":"`+s+`"}`)
	}
	return "https://x.example/?a=1&" + name + "=" + url.QueryEscape(s) + "&b=2"
}

type tree struct {
	Name  string
	Any   any
	inner any
	Map   map[string]any
	Next  *tree
	login
	Headers http.Header
	Tagged  string `redact:"secret"`
	Raw     json.RawMessage
}

// value returns a value with secrets, and with texts that must be printed.
func (d *drawn) value(depth int) any {
	if depth == 0 {
		if d.pick("leaf", 2) == 0 {
			d.kept++
			return kept
		}
		return d.text()
	}
	switch d.pick("value", 12) {
	case 0:
		return map[string]any{"a": d.value(depth - 1), d.secretName(): d.anySecret(), "b": d.value(depth - 1)}
	case 1:
		return []any{d.value(depth - 1), mask(d.unnamed()), d.value(depth - 1)}
	case 2:
		d.kept++
		return login{kept, d.anySecret(), 1}
	case 3:
		t := &tree{Any: d.value(depth - 1), inner: d.text(), Tagged: d.unnamed(), Map: map[string]any{d.secretName(): []string{d.anySecret()}}}
		t.Name, t.Password, t.Raw = d.text(), d.anySecret(), json.RawMessage(`"`+kept+`"`)
		t.Next = &tree{Name: kept, Any: d.value(depth - 1), Raw: json.RawMessage(`{"` + d.secretName() + `":{"a":"` + planted + `"}}`)}
		t.Headers = http.Header{"Authorization": {"Bearer " + d.anySecret()}, "Accept": {kept}}
		d.kept += 3
		return t
	case 4:
		return json.RawMessage(d.marshal(func() any { return d.value(depth - 1) }))
	case 5:
		return string(d.marshal(func() any { return map[string]any{"a": d.value(depth - 1), d.secretName(): d.anySecret()} }))
	case 6:
		return printer{d.text()}
	case 7:
		return errors.New(d.text())
	case 8:
		return &url.URL{Scheme: "https", User: url.UserPassword("bob", d.secret()), Host: "x", RawQuery: "token=" + d.secret()}
	case 9:
		return [2]*login{{"bob", d.anySecret(), 1}, nil}
	case 10:
		s := d.anySecret()
		return map[string]*string{d.secretName(): &s}
	}
	return fmt.Errorf("failed: %w", errors.New(d.text()))
}

// No secret is printed, wherever it is, and everything else is.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := &drawn{T: t}
		v := d.value(rapid.IntRange(0, 4).Draw(t, "depth"))
		text, js := lines(func(l *slog.Logger) {
			l.With("with", v, d.secretName(), d.anySecret()).WithGroup("g").Info(d.text(), "v", v, slog.Group("h", "v", v, d.secretName(), v))
		})
		if strings.Contains(text, planted) || strings.Contains(js, planted) {
			t.Fatalf("%#v:\n%s\n%s", v, text, js)
		}
		if got := strings.Count(js, kept); !json.Valid([]byte(js)) || got != 3*d.kept {
			t.Fatalf("%d texts, want %d: %#v:\n%s", got, 3*d.kept, v, js)
		}
	})
}

// FuzzJSON redacts valid JSON to valid JSON with the same names.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"password":"x","a":[1,{"token":{"b":null}}]}`, `[" password=x ","\ud800"]`, `"{\"token\":\"x\"}"`, "{\"a\" : 1 ,\n\"secret\": [ ] }",
		`"\"token\":1"`, `"-----BEGIN PRIVATE KEY-----\n"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := redact.New().Text(s)
		if !json.Valid([]byte(s)) {
			return
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%q became %q", s, got)
		}
		if again := redact.New().Text(got); again != got {
			t.Errorf("%q became %q, then %q", s, got, again)
		}
		if raw := redact.Value(json.RawMessage(s)).(json.RawMessage); string(raw) != got {
			t.Errorf("%q became %q as a text, and %q as a value", s, got, raw)
		}
	})
}

// FuzzText hides a secret between other texts.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "{User:bob ", `"`, `\"`, "token=", "://", "a@", "[", "Bearer ", "--token ", "`", "-----BEGIN PRIVATE KEY-----", "tokens:1", "eyJ."} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(before+after, planted) {
			return
		}
		for _, s := range []string{"password=" + planted, `"token":"` + planted + `"`, "https://ada:" + planted + "@db/x", "Bearer " + planted + ".x"} {
			if got := redact.New().Text(before + " " + s + " " + after); strings.Contains(got, planted) {
				t.Errorf("%q: %q became %q", s, before+" "+s+" "+after, got)
			}
		}
	})
}
