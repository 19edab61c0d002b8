package mono_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// box returns a component that notes what happens to it.
func box(name string, note func(string)) transport.Component {
	return transport.Component{
		Kind: "box", Name: name, Place: "here", Declared: "box.go:1", Type: "int", Settings: map[string]string{"Size": "7"},
		StoredAs: func(namespace string) string { return namespace + "/" + name },
		Open:     func(context.Context, transport.Environment) error { note("open " + name); return nil },
		Close:    func(context.Context) error { note("close " + name); return nil },
	}
}

// shelf is a module that uses components.
type shelf struct {
	name string
	uses []transport.Component
	note func(string)
}

func (m *shelf) Name() string { return m.name }

func (m *shelf) Bind(s *mono.Scope) error {
	for _, c := range m.uses {
		s.Attach(c)
	}
	return nil
}

func (m *shelf) Start(context.Context) error { m.note("start " + m.name); return nil }
func (m *shelf) Stop(context.Context) error  { m.note("stop " + m.name); return nil }

// A component is open before its module starts, and until it has stopped. Observers learn who
// uses it.
func TestComponentsOpenAndClose(t *testing.T) {
	t.Parallel()
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	broken := box("b", note)
	broken.Close = func(context.Context) error { return errors.New("it is jammed") }
	app := newApp(t)
	app.Observe(mono.ObserverFunc(func(o mono.Observation) {
		switch o := o.(type) {
		case mono.ComponentOpened:
			note(fmt.Sprintf("%s opened for %q", o.Name, o.Module))
		case mono.ComponentClosed:
			note(fmt.Sprintf("%s closed for %q: %v", o.Name, o.Module, o.Err))
		}
	}))
	app.Attach(box("root", note))
	app.Add(&shelf{"one", []transport.Component{box("a", note)}, note}, &shelf{"two", []transport.Component{box("a", note), broken}, note})
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := app.Stop(context.Background())
	if err == nil || !strings.Contains(err.Error(), "closing box b: it is jammed") {
		t.Errorf("Stop: %v", err)
	}
	want := []string{
		"open root", `root opened for ""`,
		"open a", `a opened for "one"`, "start one",
		"open a", `a opened for "two"`, "open b", `b opened for "two"`, "start two",
		"stop two", `b closed for "two": closing box b: it is jammed`, "close a", `a closed for "two": <nil>`,
		"stop one", "close a", `a closed for "one": <nil>`,
		"close root", `root closed for "": <nil>`,
	}
	if !reflect.DeepEqual(notes, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(notes, "\n"), strings.Join(want, "\n"))
	}
}

// Describe lists components by kind and name, with the modules that use them.
func TestDescribeComponents(t *testing.T) {
	t.Parallel()
	ignore := func(string) {}
	app := newApp(t, mono.Namespace("shop"))
	app.Attach(box("b", ignore))
	app.Add(
		&shelf{"one", []transport.Component{box("b", ignore), box("b", ignore)}, ignore},
		&shelf{"two", []transport.Component{box("b", ignore), {Kind: "bag", Name: "c", Open: box("c", ignore).Open, Close: box("c", ignore).Close}}, ignore})
	begin(t, app)
	got, err := json.Marshal(struct {
		Modules    []mono.ModuleInfo    `json:"modules"`
		Components []mono.ComponentInfo `json:"components"`
	}{app.Describe().Modules, app.Describe().Components})
	const want = `{"modules":[` +
		`{"name":"one","version":"0.0.0","uses":["box b"]},` +
		`{"name":"two","version":"0.0.0","uses":["box b","bag c"]}],` +
		`"components":[` +
		`{"kind":"bag","name":"c","declared":"","usedBy":["two"]},` +
		`{"kind":"box","name":"b","storedAs":"shop/b","type":"int","declared":"box.go:1","settings":{"Size":"7"},"usedBy":["one","two"]}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	plain := newApp(t)
	begin(t, plain)
	if text, err := json.Marshal(plain.Describe()); err != nil || strings.Contains(string(text), "components") {
		t.Errorf("without components: %s, %v", text, err)
	}
}

// Health checks each component once, however many modules use it.
func TestHealthOfComponents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ignore := func(string) {}
		checks := 0
		good, bad, hangs, none := box("good", ignore), box("bad", ignore), box("hangs", ignore), box("none", ignore)
		good.Health = func(context.Context) error { checks++; return nil }
		bad.Health = func(context.Context) error { return errors.New("it is empty") }
		hangs.Health = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		app := newApp(t, mono.HealthTimeout(time.Second))
		app.Attach(none)
		app.Add(&shelf{"one", []transport.Component{good, bad}, ignore}, &shelf{"two", []transport.Component{good, hangs}, ignore})
		if h := app.Health(t.Context()); len(h.Components) != 0 || h.Healthy {
			t.Errorf("before the start: %+v", h)
		}
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		h := app.Health(t.Context())
		if checks != 1 || len(h.Components) != 4 || !h.Components["box good"].Healthy || !h.Components["box good"].Checked || !h.Components["box none"].Healthy || h.Components["box none"].Checked {
			t.Errorf("%d checks: %+v", checks, h.Components)
		}
		if c := h.Components["box bad"]; c.Healthy || c.Message != "it is empty" {
			t.Errorf("got %+v", c)
		}
		if h.Components["box hangs"].Healthy || h.Healthy || h.Message != "unhealthy: [box bad box hangs]" {
			t.Errorf("got %+v", h)
		}
		if err := app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// The mistakes of components are reported with all others, before anything is opened.
func TestStartChecksComponents(t *testing.T) {
	t.Parallel()
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	wrong, coded, panics := box("wrong", note), box("coded", note), box("panics", note)
	wrong.Check = func(transport.Environment) error { return errors.New("it is too small") }
	coded.Check = func(e transport.Environment) error {
		return mono.Errorf(mono.InvalidArgument, "it does not fit %q on %s", e.Namespace, e.Transport.Capabilities().Name)
	}
	panics.Check = func(transport.Environment) error { panic("a check") }
	app := newApp(t, mono.Namespace("shop"))
	app.Attach(wrong)
	app.Add(
		&shelf{"one", []transport.Component{box("fine", note), coded, panics}, note},
		module("two", func(s *mono.Scope) { ask.Client(s) }))
	err := app.Start(t.Context())
	report, ok := errors.AsType[*mono.StartError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range report.Problems {
		got = append(got, p.String())
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"box wrong: it is too small",
		`module one: box coded: it does not fit "shop" on inproc`,
		"module one: box panics: the check of box panics panicked",
		"module two: service test.ask: no module provides it",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(got) != 4 || len(notes) != 0 {
		t.Errorf("got\n%s\n%q", text, notes)
	}
}

// A component that does not open ends the start, and those that are open are closed.
func TestComponentThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	stuck := box("stuck", note)
	fails := true
	stuck.Open = func(context.Context, transport.Environment) error {
		if fails {
			return errors.New("it is locked")
		}
		return nil
	}
	app := newApp(t)
	app.Add(&shelf{"one", []transport.Component{box("a", note), stuck}, note})
	err := app.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "module one: opening box stuck: it is locked") {
		t.Errorf("got %v", err)
	}
	if want := []string{"open a", "close a"}; !reflect.DeepEqual(notes, want) {
		t.Errorf("got %q, want %q", notes, want)
	}
	fails = false
	begin(t, app)
}

// A component is attached in Bind, or to an App before its start.
func TestAttachTooLate(t *testing.T) {
	t.Parallel()
	var kept *mono.Scope
	app := newApp(t)
	app.Add(module("one", func(s *mono.Scope) { kept = s }))
	begin(t, app)
	ignore := func(string) {}
	if got := panicOf(func() { kept.Attach(box("late", ignore)) }); !strings.Contains(got, "box late is opened outside Bind, at here") {
		t.Errorf("got %q", got)
	}
	if got := panicOf(func() { app.Attach(box("late", ignore)) }); !strings.Contains(got, "Attach after Start") {
		t.Errorf("got %q", got)
	}
}
