package redact_test

import (
	"log/slog"
	"strings"
	"testing"

	"gomono.dev/mono/redact"
)

// lines prints one record through the handlers of log/slog, without time and level.
func lines(print func(*slog.Logger), opts ...redact.Option) (text, json string) {
	var a, b strings.Builder
	o := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}}
	print(slog.New(redact.Handler(slog.NewTextHandler(&a, o), opts...)))
	print(slog.New(redact.Handler(slog.NewJSONHandler(&b, o), opts...)))
	return strings.TrimSpace(a.String()), strings.TrimSpace(b.String())
}

// prints checks the two lines of a record with one attribute. The text may be left out.
func prints(t *testing.T, key string, v any, text, json string, opts ...redact.Option) {
	t.Helper()
	gotText, gotJSON := lines(func(l *slog.Logger) { l.Info("m", key, v) }, opts...)
	if want := "msg=m " + key + "=" + text; text != "" && gotText != want {
		t.Errorf("text:\n got %s\nwant %s", gotText, want)
	}
	if want := `{"msg":"m","` + key + `":` + json + "}"; gotJSON != want {
		t.Errorf("JSON:\n got %s\nwant %s", gotJSON, want)
	}
}
