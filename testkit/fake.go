package testkit

import (
	"context"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gomono.dev/mono"
)

// Fake answers a service with a function: a literal, or the handler of the module
// that really provides it. f may be called concurrently, and by every instance. The
// fakes of services whose names begin alike are one module of that name.
func Fake[Req, Resp any](h *Harness, s mono.Service[Req, Resp], f mono.Func[Req, Resp]) {
	h.t.Helper()
	h.fake(s, func(_ *fakeModule, sc *mono.Scope) { s.Handle(sc, f) })
}

// Stub answers a service that a module needs and the test does not care about,
// with reply, or with the zero value.
func Stub[Req, Resp any](h *Harness, s mono.Service[Req, Resp], reply ...Resp) {
	h.t.Helper()
	if len(reply) > 1 {
		h.t.Fatalf("testkit: Stub of %s %s with %d replies: give one; Fake decides by what it is asked", s.Kind(), s.Name(), len(reply))
	}
	Fake(h, s, func(context.Context, Req) (resp Resp, err error) {
		if len(reply) == 1 {
			resp = reply[0]
		}
		return resp, nil
	})
}

// Provide gives a resource that a module needs. One with a method Close is closed
// when the App stops.
func Provide[T any](h *Harness, r mono.Resource[T], v T) {
	h.t.Helper()
	h.fake(r, func(_ *fakeModule, sc *mono.Scope) {
		r.Provide(sc, func(context.Context) (T, error) { return v, nil })
	})
}

// Discard takes what a module sends on a channel from which no module under test
// receives.
func Discard[T any](h *Harness, c mono.Channel[T]) {
	h.t.Helper()
	h.fake(c, func(f *fakeModule, sc *mono.Scope) {
		values := c.Receive(sc)
		f.runs = append(f.runs, func() {
			for range values {
			}
		})
	})
}

// fakeModule is what stands in for a module.
type fakeModule struct {
	name   string
	bind   []func(*fakeModule, *mono.Scope)
	places map[handleKey]string // where each fake was declared

	runs    []func() // from the start until the channels are closed
	running sync.WaitGroup
}

func (f *fakeModule) Name() string { return f.name }

func (f *fakeModule) Bind(s *mono.Scope) error {
	f.runs = nil
	for _, bind := range f.bind {
		bind(f, s)
	}
	return nil
}

func (f *fakeModule) Start(context.Context) error {
	for _, run := range f.runs {
		f.running.Go(run)
	}
	return nil
}

func (f *fakeModule) Stop(context.Context) error {
	f.running.Wait()
	return nil
}

func (h *Harness) fake(handle mono.Handle, bind func(*fakeModule, *mono.Scope)) {
	h.t.Helper()
	h.notStarted("Fake")
	name, _, _ := strings.Cut(handle.Name(), ".")
	if h.fakes[name] == nil {
		h.fakes[name] = &fakeModule{name: name, places: make(map[handleKey]string)}
	}
	k := keyOf(handle)
	if place, ok := h.fakes[name].places[k]; ok {
		h.t.Fatalf("testkit: %s has a fake already, declared at %s: remove one, or let one function decide by what it is asked", k, place)
	}
	h.fakes[name].places[k] = callerOutside()
	h.fakes[name].bind = append(h.fakes[name].bind, bind)
}

// fakeModules returns the fakes by name. One whose name a real module has gets
// another.
func (h *Harness) fakeModules(modules map[string]bool) []mono.Module {
	var all []mono.Module
	for _, name := range slices.Sorted(maps.Keys(h.fakes)) {
		f := &fakeModule{name: name, bind: h.fakes[name].bind}
		if modules[name] {
			f.name += "-fake"
		}
		all = append(all, f)
	}
	return all
}

// nameOf returns what the App calls a module.
func nameOf(m mono.Module) string {
	if n, ok := m.(interface{ Name() string }); ok {
		return n.Name()
	}
	t := reflect.TypeOf(m)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return ""
	}
	return path.Base(t.PkgPath())
}
