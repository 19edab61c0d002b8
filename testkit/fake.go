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

// Fake answers a service with a function: a literal, or the handler of the real module. f may
// be called concurrently, and by every instance. Each program has its own fakes: one that is
// declared with the Harness belongs to the first program. The fakes of services with the same first part
// of the name are one module of that name.
func Fake[Req, Resp any](b Builder, s mono.Service[Req, Resp], f mono.Func[Req, Resp]) {
	p := b.program()
	p.h.t.Helper()
	p.fake(s, func(_ *fakeModule, sc *mono.Scope) { s.Handle(sc, f) })
}

// Stub answers a service with reply, or with the zero value. It is for a service that a module
// needs and the test does not examine.
func Stub[Req, Resp any](b Builder, s mono.Service[Req, Resp], reply ...Resp) {
	t := b.program().h.t
	t.Helper()
	if len(reply) > 1 {
		t.Fatalf("testkit: Stub of %s %s with %d replies: give one, or use Fake to choose by the request", s.Kind(), s.Name(), len(reply))
	}
	Fake(b, s, func(context.Context, Req) (resp Resp, err error) {
		if len(reply) == 1 {
			resp = reply[0]
		}
		return resp, nil
	})
}

// Provide provides a resource that a module needs. A value with a method Close is closed when
// the App stops.
func Provide[T any](b Builder, r mono.Resource[T], v T) {
	p := b.program()
	p.h.t.Helper()
	p.fake(r, func(_ *fakeModule, sc *mono.Scope) {
		r.Provide(sc, func(context.Context) (T, error) { return v, nil })
	})
}

// Discard receives the values of a channel from which no module under test receives.
func Discard[T any](b Builder, c mono.Channel[T]) {
	p := b.program()
	p.h.t.Helper()
	p.fake(c, func(f *fakeModule, sc *mono.Scope) {
		values := c.Receive(sc)
		f.runs = append(f.runs, func() {
			for range values {
			}
		})
	})
}

// fakeModule replaces a module.
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

func (p *Program) fake(handle mono.Handle, bind func(*fakeModule, *mono.Scope)) {
	p.h.t.Helper()
	p.notStarted("Fake")
	name, _, _ := strings.Cut(handle.Name(), ".")
	if p.fakes[name] == nil {
		p.fakes[name] = &fakeModule{name: name, places: make(map[handleKey]string)}
	}
	k := keyOf(handle)
	if place, ok := p.fakes[name].places[k]; ok {
		p.h.t.Fatalf("testkit: %s has a fake already, declared at %s: remove one, or let one function choose by the request", k, place)
	}
	p.fakes[name].places[k] = callerOutside()
	p.fakes[name].bind = append(p.fakes[name].bind, bind)
}

// fakeModules returns the fakes by name. A fake with the name of a real module gets another
// name.
func (p *Program) fakeModules(modules map[string]bool) []mono.Module {
	var all []mono.Module
	for _, name := range slices.Sorted(maps.Keys(p.fakes)) {
		f := &fakeModule{name: name, bind: p.fakes[name].bind}
		if modules[name] {
			f.name += "-fake"
		}
		all = append(all, f)
	}
	return all
}

// nameOf returns the name of a module in the App.
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
