package testkit

import (
	"context"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"gomono.dev/mono"
)

// Fake answers a service with a function: a literal, or the handler of the module
// that really provides it. f may be called concurrently, and by every instance. The
// fakes of services whose names begin alike are one module of that name.
func Fake[Req, Resp any](h *Harness, s mono.Service[Req, Resp], f mono.Func[Req, Resp]) {
	h.t.Helper()
	h.fake(s, func(sc *mono.Scope) { s.Handle(sc, f) })
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

// Provide gives a resource that a module needs.
func Provide[T any](h *Harness, r mono.Resource[T], v T) {
	h.t.Helper()
	h.fake(r, func(sc *mono.Scope) {
		r.Provide(sc, func(context.Context) (T, error) { return v, nil })
	})
}

// fakeModule is what stands in for a module.
type fakeModule struct {
	name string
	bind []func(*mono.Scope)
}

func (f *fakeModule) Name() string { return f.name }

func (f *fakeModule) Bind(s *mono.Scope) error {
	for _, bind := range f.bind {
		bind(s)
	}
	return nil
}

func (h *Harness) fake(handle mono.Handle, bind func(*mono.Scope)) {
	h.t.Helper()
	h.notStarted("Fake")
	name, _, _ := strings.Cut(handle.Name(), ".")
	if h.fakes[name] == nil {
		h.fakes[name] = &fakeModule{name: name}
	}
	h.fakes[name].bind = append(h.fakes[name].bind, bind)
}

// fakeModules returns the fakes by name. One whose name a real module has gets
// another.
func (h *Harness) fakeModules(modules map[string]bool) []mono.Module {
	var all []mono.Module
	for _, name := range slices.Sorted(maps.Keys(h.fakes)) {
		f := *h.fakes[name]
		if modules[name] {
			f.name += "-fake"
		}
		all = append(all, &f)
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
