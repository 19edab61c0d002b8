package redact_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gomono.dev/mono/redact"
)

// The gaps that other libraries have, each as a case.
func TestGaps(t *testing.T) {
	t.Parallel()

	// m-mizutani/masq#25: a map[string]any became null.
	t.Run("map of any keeps its other values", func(t *testing.T) {
		t.Parallel()
		prints(t, "v", map[string]any{"name": "bob", "phones": []any{"1", map[string]any{"password": "hunter2"}}}, "",
			`{"name":"bob","phones":["1",{"password":"[REDACTED]"}]}`)
		prints(t, "v", map[string]any{"cpf": "123", "name": "bob"}, "", `{"cpf":"[REDACTED]","name":"bob"}`, redact.Names("CPF"))
	})

	// m-mizutani/masq#28: an embedded struct was not printed.
	t.Run("embedded struct is printed", func(t *testing.T) {
		t.Parallel()
		type input struct {
			Trigger    *string `json:"trigger"`
			UseSecrets *bool   `json:"use_secrets"`
			Password   string
		}
		type request struct{ *input }
		trigger, use := "example", true
		prints(t, "v", request{&input{&trigger, &use, "hunter2"}}, "", `{"trigger":"example","use_secrets":true,"Password":"[REDACTED]"}`)
	})

	// aerospike/aerospike-backup-service#674: a struct with unexported fields was printed blank.
	t.Run("unexported fields are printed, and redacted", func(t *testing.T) {
		t.Parallel()
		type credentials struct{ user, password string }
		type cluster struct {
			name string
			auth credentials
			Port int
			tags map[string]string
		}
		prints(t, "v", &cluster{"a", credentials{"bob", "hunter2"}, 3000, map[string]string{"token": "abc", "zone": "b"}},
			`"&{name:a auth:{user:bob password:[REDACTED]} Port:3000 tags:map[token:[REDACTED] zone:b]}"`, `{"Port":3000}`)
	})

	// opentdf/platform#751: a configuration was logged with a password in a struct within.
	t.Run("struct in a struct printed by fmt", func(t *testing.T) {
		t.Parallel()
		type db struct{ Host, User, Password, Schema string }
		type config struct {
			DB  db
			OPA *struct{}
		}
		c := &config{DB: db{"localhost", "postgres", "changeme", "opentdf"}}
		prints(t, "config", c, `"&{DB:{Host:localhost User:postgres Password:[REDACTED] Schema:opentdf} OPA:<nil>}"`,
			`{"DB":{"Host":"localhost","User":"postgres","Password":"[REDACTED]","Schema":"opentdf"},"OPA":null}`)
		text, _ := lines(func(l *slog.Logger) { l.Info(fmt.Sprintf("config loaded: %+v", c)) })
		if want := `msg="config loaded: &{DB:{Host:localhost User:postgres Password:[REDACTED] Schema:opentdf} OPA:<nil>}"`; text != want {
			t.Errorf("got %s", text)
		}
	})

	// cloudfoundry/bosh-utils#155: secrets in text that was serialised before, such as signed URLs.
	t.Run("serialised JSON", func(t *testing.T) {
		t.Parallel()
		prints(t, "body", `{"url":"https://b.example/x?X-Amz-Date=1&X-Amz-Signature=abcdef","n":1,"password":"hunter2"}`, "",
			`"{\"url\":\"https://b.example/x?X-Amz-Date=1&X-Amz-Signature=[REDACTED]\",\"n\":1,\"password\":\"[REDACTED]\"}"`)
	})

	// Redaction of serialised JSON by patterns made it invalid (paperclipai/paperclip#9856,
	// kolega-ai/kolega-code#341).
	t.Run("JSON in JSON stays valid", func(t *testing.T) {
		t.Parallel()
		prints(t, "v", map[string]string{"line": `{"cmd":"f \"...token=hunter2\" x","result":"{\"Cookie\":{\"a\":\"b\"}}"}`}, "",
			`{"line":"{\"cmd\":\"f \\\"...token=[REDACTED]\\\" x\",\"result\":\"{\\\"Cookie\\\":\\\"[REDACTED]\\\"}\"}"}`)
	})

	// slog calls the LogValue of an attribute, and not of its parts.
	t.Run("LogValuer in a slice", func(t *testing.T) {
		t.Parallel()
		prints(t, "v", []any{mask("hunter2")}, "[***]", `["***"]`)
	})

	// A list of substrings redacts author, keyboard and tokens_used.
	t.Run("substrings are not names", func(t *testing.T) {
		t.Parallel()
		text, _ := lines(func(l *slog.Logger) { l.Info("m", "author", "ada", "keyboard", "qwerty", "tokens_used", 12) })
		if strings.Contains(text, redact.Mark) {
			t.Errorf("got %s", text)
		}
	})
}
