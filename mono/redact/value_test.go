package redact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/mono/redact"
)

type login struct {
	User     string
	Password string
	tries    int
}

func TestValues(t *testing.T) {
	t.Parallel()
	secret := "hunter2"
	type pointers struct {
		Token *string `json:"token"`
		Next  *login  `json:"next"`
	}
	for _, c := range []struct {
		value      any
		text, json string
	}{
		{login{"bob", "hunter2", 3}, `"{User:bob Password:[REDACTED] tries:3}"`, `{"User":"bob","Password":"[REDACTED]"}`},
		{&login{"bob", "hunter2", 3}, `"&{User:bob Password:[REDACTED] tries:3}"`, `{"User":"bob","Password":"[REDACTED]"}`},
		{[]login{{"bob", "hunter2", 3}}, `"[{User:bob Password:[REDACTED] tries:3}]"`, `[{"User":"bob","Password":"[REDACTED]"}]`},
		{[1]login{{"bob", "hunter2", 3}}, `"[{User:bob Password:[REDACTED] tries:3}]"`, `[{"User":"bob","Password":"[REDACTED]"}]`},
		{map[string][]string{"tokens": {"a", "b"}, "users": {"bob"}}, `"map[tokens:[[REDACTED]] users:[bob]]"`, `{"tokens":["[REDACTED]"],"users":["bob"]}`},
		{map[string]map[string]string{"credentials": {"a": "b"}}, `map[credentials:map[[REDACTED]:[REDACTED]]]`, `{"credentials":{"[REDACTED]":"[REDACTED]"}}`},
		{struct {
			Credentials login
			At          time.Time `json:"-"`
		}{login{"bob", "hunter2", 3}, time.Time{}}, `"{Credentials:{User:[REDACTED] Password:[REDACTED] tries:0} At:0001-01-01 00:00:00 +0000 UTC}"`,
			`{"Credentials":{"User":"[REDACTED]","Password":"[REDACTED]"}}`},
		{struct {
			A string `json:"password"`
			B bool   `json:"token_seen"`
			C bool   `json:"token"`
		}{"hunter2", true, true}, `"{A:[REDACTED] B:true C:true}"`, `{"password":"[REDACTED]","token_seen":true,"token":true}`},
		{struct {
			PIN  int    `redact:"secret"`
			Card string `redact:"last4"`
			Code string `redact:"last4"`
			Odd  string `redact:"hide"`
			Jwt  string `redact:"public"`
		}{1234, "4242424242424242", "12345678", "x", "shown"}, `"{PIN:0 Card:[REDACTED]4242 Code:[REDACTED] Odd:[REDACTED] Jwt:shown}"`,
			`{"PIN":0,"Card":"[REDACTED]4242","Code":"[REDACTED]","Odd":"[REDACTED]","Jwt":"shown"}`},
		{[]any{"password=hunter2", 1, nil, []byte("token=abc"), json.RawMessage(`{"token":"abc"}`), map[string]any{"otp": 12}},
			"", `["password=[REDACTED]",1,null,"dG9rZW49W1JFREFDVEVEXQ==",{"token":"[REDACTED]"},{"otp":"[REDACTED]"}]`},
		{json.RawMessage(`{"token": "abc"}`), `"{\"token\": \"[REDACTED]\"}"`, `{"token":"[REDACTED]"}`},
		{[]byte(`{"token":"abc"}`), `"{\"token\":\"[REDACTED]\"}"`, `"eyJ0b2tlbiI6IltSRURBQ1RFRF0ifQ=="`},
		{pointers{&secret, &login{"bob", "hunter2", 3}}, "", `{"token":"[REDACTED]","next":{"User":"bob","Password":"[REDACTED]"}}`},
		{json.Number("12"), "12", "12"},
		{struct{ Token json.Number }{"12"}, "{Token:}", `{"Token":0}`},
		{(*login)(nil), "<nil>", "null"},
		{nil, "<nil>", "null"},
	} {
		before := fmt.Sprintf("%#v", c.value)
		text, js := lines(func(l *slog.Logger) { l.Info("m", "v", c.value) })
		if want := "msg=m v=" + c.text; c.text != "" && text != want {
			t.Errorf("text:\n got %s\nwant %s", text, want)
		}
		if want := `{"msg":"m","v":` + c.json + "}"; js != want {
			t.Errorf("JSON:\n got %s\nwant %s", js, want)
		}
		if after := fmt.Sprintf("%#v", c.value); after != before {
			t.Errorf("changed from %s to %s", before, after)
		}
	}
}

// Value keeps the type of a value without methods.
func TestValueKeepsTypes(t *testing.T) {
	t.Parallel()
	for _, v := range []any{
		login{"bob", "hunter2", 3}, &login{}, map[string]any{"password": 1}, []any{"password=x"}, "token=x", []byte("token=x"), 7, nil,
	} {
		if got := redact.Value(v); reflect.TypeOf(got) != reflect.TypeOf(v) {
			t.Errorf("%T became %T", v, got)
		}
	}
	same := map[string]any{"user": "bob"}
	redact.Value(same).(map[string]any)["user"] = "eve"
	if same["user"] != "eve" {
		t.Error("a value without secrets was copied")
	}
}

type (
	mask    string
	vault   struct{ key, Name string }
	account struct{ Name, Token string }
)

func (mask) LogValue() slog.Value   { return slog.StringValue("***") }
func (*vault) LogValue() slog.Value { return slog.StringValue("vault") }
func (a account) LogValue() slog.Value {
	return slog.GroupValue(slog.Any("name", a.Name), slog.Any("token", a.Token))
}
func (t *temperature) LogValue() slog.Value { panic("password=hunter2") }

type temperature int

// A LogValuer is printed as LogValue returns, in other values too.
func TestLogValuer(t *testing.T) {
	t.Parallel()
	prints(t, "v", account{"bob", "hunter2"}, "", `{"name":"bob","token":"[REDACTED]"}`)
	prints(t, "v", []any{mask("hunter2"), account{"bob", "hunter2"}, &vault{"a", "b"}, vault{"a", "b"}}, "",
		`["***",{"name":"bob","token":"[REDACTED]"},"vault","vault"]`)
	prints(t, "v", struct {
		A mask
		B vault
		C *vault
		D account
	}{"hunter2", vault{"a", "b"}, &vault{"a", "b"}, account{"bob", "x"}}, "",
		`{"A":"***","B":{"Name":"[REDACTED]"},"C":{"Name":"[REDACTED]"},"D":{"Name":"[REDACTED]","Token":"[REDACTED]"}}`)
	prints(t, "v", vault{"a", "b"}, "vault", `"vault"`)
	text, js := lines(func(l *slog.Logger) { l.Info("m", "v", new(temperature), "w", []any{new(temperature)}) })
	if strings.Contains(text+js, "hunter2") || !strings.Contains(text, "panicked") {
		t.Errorf("%s\n%s", text, js)
	}
}

type (
	printer  struct{ text string }
	verbose  struct{ Token, Note string }
	weekday  int
	failing  struct{ Text string }
	panicker struct{ A string }
	denied   struct{ Token string }
	detailed struct{ denied }
)

func (p printer) String() string { return p.text }
func (v verbose) MarshalText() ([]byte, error) {
	return []byte("note=" + v.Note + " token=" + v.Token), nil
}
func (weekday) String() string                  { return "monday" }
func (f failing) MarshalJSON() ([]byte, error)  { return nil, errors.New("password=" + f.Text) }
func (p panicker) String() string               { panic("password=" + p.A) }
func (p panicker) MarshalJSON() ([]byte, error) { panic("password=" + p.A) }
func (d denied) Error() string                  { return "denied token=" + d.Token }
func (d detailed) Format(s fmt.State, _ rune)   { fmt.Fprint(s, d.Error(), " at line 1") }

// A value that prints itself is printed through its methods, and the result is searched.
func TestPrinters(t *testing.T) {
	t.Parallel()
	prints(t, "v", printer{"user=bob password=hunter2"}, `"user=bob password=[REDACTED]"`, "{}")
	prints(t, "v", struct{ P printer }{printer{"password=hunter2"}}, `"{P:password=[REDACTED]}"`, `{"P":{}}`)
	prints(t, "v", verbose{"hunter2", "x"}, `"note=x token=[REDACTED]"`, `"note=x token=[REDACTED]"`)
	prints(t, "v", weekday(1), "monday", "1")
	prints(t, "v", map[weekday]string{1: "token=x"}, `"map[monday:token=[REDACTED]]"`, `{"1":"token=[REDACTED]"}`)
	prints(t, "error", denied{"hunter2"}, `"denied token=[REDACTED]"`, `"denied token=[REDACTED]"`)
	prints(t, "error", detailed{denied{"hunter2"}}, `"denied token=[REDACTED] at line 1"`, `"denied token=[REDACTED]"`)
	prints(t, "v", struct {
		When  weekday
		Token string `redact:"public"`
		Code  int    `redact:"secret"`
		JWT   int
	}{1, "shown", 12, 34}, `"{When:monday Token:shown Code:0 JWT:[REDACTED]}"`, `{"When":1,"Token":"shown","Code":0,"JWT":"[REDACTED]"}`)
	for _, v := range []any{failing{"hunter2"}, panicker{"hunter2"}, []any{failing{"hunter2"}}, []any{panicker{"hunter2"}}, &panicker{"hunter2"}} {
		text, js := lines(func(l *slog.Logger) { l.Info("m", "v", v) })
		if strings.Contains(text+js, "password=hunter2") || !strings.Contains(js, "password=[REDACTED]") {
			t.Errorf("%s\n%s", text, js)
		}
	}
}

type panicError struct{}

func (*panicError) Error() string { panic("password=hunter2") }

func TestErrorPanics(t *testing.T) {
	t.Parallel()
	prints(t, "error", &panicError{}, `"!PANIC: password=[REDACTED]"`, `"!PANIC: password=[REDACTED]"`)
	prints(t, "error", (*panicError)(nil), "<nil>", `"<nil>"`)
}

type node struct {
	Name string
	Next *node
	Any  any
}

// Cycles end, and so do deep and large values.
func TestLimits(t *testing.T) {
	t.Parallel()
	n := &node{Name: "token=hunter2"}
	n.Next, n.Any = n, n
	m := map[string]any{"token": "hunter2"}
	m["self"] = m
	s := []any{"token=hunter2", nil}
	s[1] = s
	prints(t, "v", n, "", `{"Name":"token=[REDACTED]","Next":null,"Any":null}`)
	prints(t, "v", m, `"map[self:map[] token:[REDACTED]]"`, `{"self":null,"token":"[REDACTED]"}`)
	prints(t, "v", s, "", `["token=[REDACTED]",null]`)
	var deep any = "token=hunter2"
	for range 100 {
		deep = []any{deep}
	}
	wide := make([]string, 100_000)
	for i := range wide {
		wide[i] = "token=hunter2"
	}
	var tree func(depth int) *node
	tree = func(depth int) *node {
		if depth == 0 {
			return nil
		}
		return &node{"token=hunter2", tree(depth - 1), tree(depth - 1)}
	}
	for _, v := range []any{deep, wide, tree(16), map[int]any{1: wide, 2: wide, 3: deep}} {
		text, js := lines(func(l *slog.Logger) { l.Info("m", "v", v) })
		if strings.Contains(text+js, "hunter2") || !json.Valid([]byte(js)) || len(js) > 1<<20 {
			t.Errorf("%.1000s\n%.1000s", text, js)
		}
	}
	if v := redact.Value(deep); !strings.Contains(fmt.Sprint(v), "[TRUNCATED]") {
		t.Errorf("got %v", v)
	}
	group := slog.AnyValue(&endless{})
	text, _ := lines(func(l *slog.Logger) { l.LogAttrs(t.Context(), 0, "m", slog.Attr{Key: "v", Value: group}) })
	if !strings.Contains(text, "[TRUNCATED]") {
		t.Errorf("%.1000s", text)
	}
}

type endless struct{}

func (e *endless) LogValue() slog.Value { return slog.GroupValue(slog.Any("a", e), slog.Any("b", e)) }

type locked struct {
	mu       sync.Mutex
	calls    atomic.Int64
	Name     string
	Token    string
	password string
}

type lockedPrinter struct {
	mu   sync.Mutex
	text string
}

func (l *lockedPrinter) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}

// A lock is neither copied nor read.
func TestLocks(t *testing.T) {
	t.Parallel()
	l, p := &locked{Name: "bob", Token: "hunter2", password: "hunter2"}, &lockedPrinter{text: "password=hunter2"}
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			l.mu.Lock()
			l.calls.Add(1)
			l.password = "hunter" + l.password[6:]
			l.mu.Unlock()
			p.mu.Lock()
			p.text = "password=hunter2"
			p.mu.Unlock()
		}
	})
	for range 100 {
		prints(t, "v", []any{l, p}, "", `[{"Name":"bob","Token":"[REDACTED]"},{}]`)
		if got := fmt.Sprintf("%+v", redact.Value(p)); got != "password=[REDACTED]" {
			t.Fatal(got)
		}
	}
	close(stop)
	wait.Wait()
}

type key [2]uint64

type token interface{ secret() }

func (key) secret() {}

func TestTypes(t *testing.T) {
	t.Parallel()
	v := map[string]any{"a": key{1, 2}, "b": &key{1, 2}, "c": []key{{1, 2}}, "d": login{User: "bob"}}
	for _, o := range []redact.Option{redact.Type[key](), redact.Type[token]()} {
		prints(t, "v", v, "", `{"a":"[REDACTED]","b":"[REDACTED]","c":[[0,0]],"d":{"User":"bob","Password":"[REDACTED]"}}`, o)
		prints(t, "v", key{1, 2}, "[REDACTED]", `"[REDACTED]"`, o)
		prints(t, "v", &key{1, 2}, "[REDACTED]", `"[REDACTED]"`, o)
	}
	prints(t, "v", key{1, 2}, `"[1 2]"`, "[1,2]")
}
