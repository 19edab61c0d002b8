package mono_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/codec"
	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/testkit"
	"gomono.dev/testkit/natstest"
)

// declared is what one program of a test declares.
type declared = func(s *mono.Scope, name string)

// both sends and handles a queue of a payload, so that it is compared in both directions.
func both[T any](opts ...mono.QueueOption) declared {
	return func(s *mono.Scope, name string) {
		q := mono.NewQueue[T](name, opts...)
		s.Use(q)
		q.Handle(s, func(context.Context, T) error { return nil })
	}
}

// bothNew is both of a handle that was renamed.
func bothNew[T any]() declared {
	return func(s *mono.Scope, name string) { both[T](mono.Formerly(name))(s, "new-"+name) }
}

// bothNewest is bothNew, renamed again with the wrong name.
func bothNewest(s *mono.Scope, name string) {
	both[job](mono.Formerly("new-"+name))(s, "newest-"+name)
}

// typedWork is a worker that selects jobs.
func typedWork(key string) declared {
	return func(s *mono.Scope, name string) {
		mono.NewQueue[job](name).KeyedBy(job.key).Handle(s, func(context.Context, job) error { return nil }, mono.Keys(key))
	}
}

// hears sends and handles an event.
func hears(event func(name string) mono.Event[job], opts ...mono.EventHandlerOption) declared {
	return func(s *mono.Scope, name string) {
		e := event(name)
		s.Use(e)
		e.Handle(s, func(context.Context, job) error { return nil }, opts...)
	}
}

func plainEvent(name string) mono.Event[job] { return mono.NewEvent[job](name) }

// asks calls a service, which another program provides.
func asks[Req, Resp any]() declared {
	return func(s *mono.Scope, name string) { mono.NewService[Req, Resp](name).Client(s) }
}

func remote[Req, Resp any](name string) mono.Handle { return mono.NewService[Req, Resp](name) }

func provides[Req, Resp any]() declared {
	return func(s *mono.Scope, name string) {
		mono.NewService[Req, Resp](name).Handle(s, func(context.Context, Req) (resp Resp, err error) { return resp, nil })
	}
}

type (
	noted struct {
		N    int    `json:"n"`
		Key  string `json:"key"`
		Note string `json:"note"`
	}
	optional struct {
		Text *string `json:"text"`
	}
	required struct {
		Text string `json:"text"`
	}
	renamed struct {
		Text string `json:"body"`
	}
	of[T any]    struct{ F T }
	line[Q any]  struct{ Quantity Q }
	lines[Q any] struct {
		Lines []line[Q] `json:"lines"`
	}
	image   []byte
	picture []byte
)

// binary is a codec of a user: the package does not know what it writes.
type binary struct{ codec.Codec }

func (binary) ContentType() string { return "application/x-binary" }

func fails[T any](s *mono.Scope, name string) { s.Use(mono.NewFailure[T](name, mono.NotFound)) }

// The severities of the messages in one direction.
const (
	works   = ""
	warning = "warning"
	broken  = "broken"
)

// seed is a difference between two programs.
type seed struct {
	old, new declared
	forth    string                        // the severity for messages that old sends and new reads
	back     string                        // for those that new sends and old reads
	text     string                        // is in the texts of old
	remote   func(name string) mono.Handle // the service that old calls
}

// The seeds whose programs have different modules.
const (
	twoModules    = "a group of two modules"
	anotherModule = "a renamed module"
)

func seeds() map[string]seed {
	strict := mono.Codec(codec.NewJSON(codec.DisallowUnknownFields()))
	raw, own := mono.Codec(codec.Raw), mono.Codec(binary{codec.JSON})
	widen := func(v of[int8]) (of[string], error) { return of[string]{fmt.Sprint(v.F)}, nil }
	narrow := func(of[string]) (of[int8], error) { return of[int8]{}, nil }
	stream := func(opts ...mono.StreamOption) declared {
		return func(s *mono.Scope, name string) { s.Use(mono.NewStream[job](name, opts...)) }
	}
	grouped := func(s *mono.Scope, name string) {
		mono.NewQueue[job](name, mono.Groups("workers", "audit")).Handle(s, func(context.Context, job) error { return nil }, mono.Group("workers"))
	}
	keyed := func(name string) mono.Event[job] { return plainEvent(name).KeyedBy(job.key) }
	return map[string]seed{
		"nothing":                    {both[job](), both[job](), works, works, "", nil},
		"a field is added":           {both[job](), both[noted](), warning, works, "message field note", nil},
		"a field is removed":         {both[noted](), both[job](), works, warning, "message field note", nil},
		"a field is made required":   {both[optional](), both[required](), warning, works, "nil may be sent", nil},
		"a field is narrowed":        {both[of[int64]](), both[of[int8]](), broken, works, "an int64 is sent, and an int8 is read", nil},
		"a field is widened":         {both[of[int8]](), both[of[int64]](), works, broken, "let the reader accept the larger type first", nil},
		"a field is retyped":         {both[of[string]](), both[of[int]](), broken, broken, "a string is sent", nil},
		"a field becomes a list":     {both[of[string]](), both[of[[]string]](), broken, broken, "", nil},
		"a field becomes a float":    {both[of[int64]](), both[of[float64]](), warning, broken, "loses digits", nil},
		"a field of a list":          {both[lines[int]](), both[lines[string]](), broken, broken, "field lines[].Quantity", nil},
		"a field is renamed":         {both[required](), both[renamed](), warning, warning, "field body", nil},
		"renamed, strict decoding":   {both[required](), both[renamed](strict), broken, warning, "refuses unknown fields", nil},
		"renamed, with an alias":     {both[required](), both[renamed](mono.Codec(codec.NewJSON(codec.Aliases[renamed]("body", "text")))), works, warning, "", nil},
		"a map becomes a struct":     {both[map[string]string](), both[required](), warning, works, "a map is sent", nil},
		"another codec":              {both[job](), both[job](mono.Codec(codec.MessagePack)), warning, broken, "application/msgpack", nil},
		"raw bytes of another type":  {both[image](raw), both[picture](raw), warning, warning, "gomono.dev/mono_test.image", nil},
		"a custom codec":             {both[job](own), both[job](own), works, works, "", nil},
		"a custom codec, other type": {both[job](own), both[noted](own), warning, warning, "compared by their names", nil},
		"a version":                  {both[of[int8]](), both[of[string]](mono.Upcasts(codec.Upcast("1", widen))), works, broken, "version 2 of the payload", nil},
		"a transition":               {both[of[int8]](), both[of[string]](mono.Upcasts(codec.Transition("1", widen, narrow))), works, works, "", nil},
		"a request is narrowed":      {asks[of[int64], job](), provides[of[int8], job](), broken, works, "request field F", remote[of[int64], job]},
		"a reply is widened":         {asks[job, of[int8]](), provides[job, of[int64]](), works, broken, "reply field F", remote[job, of[int8]]},
		"a key of an event":          {hears(plainEvent), hears(keyed), broken, broken, "a key there, and not here", nil},
		"durability":                 {hears(func(name string) mono.Event[job] { return mono.NewEvent[job](name, mono.Durable()) }), hears(plainEvent), warning, warning, "mono.Durable", nil},
		twoModules:                   {hears(plainEvent, mono.Group("g")), hears(plainEvent, mono.Group("g")), broken, broken, "share the group g", nil},
		anotherModule:                {hears(plainEvent), hears(plainEvent), works, works, "", nil},
		"keys of a queue's group":    {typedWork("x"), typedWork("y"), warning, warning, "mono.Keys(x)", nil},
		"a second name":              {bothNew[job](), bothNewest, broken, broken, "", nil},
		"keys of a group":            {hears(keyed, mono.Group("g"), mono.Keys("eu")), hears(keyed, mono.Group("g"), mono.Keys("us")), broken, broken, "mono.Keys(eu)", nil},
		"a group of a queue":         {both[job](), grouped, warning, warning, "audit", nil},
		"an option of a group":       {both[job](mono.MaxAttempts(5)), both[job](mono.MaxAttempts(9)), warning, warning, "mono.MaxAttempts(9)", nil},
		"an option of a log":         {stream(mono.MaxAge(time.Hour)), stream(mono.MaxAge(2 * time.Hour)), warning, warning, "mono.MaxAge(1h0m0s)", nil},
		"an option of one process":   {both[job](mono.Concurrency(2), mono.Doc("a")), both[job](mono.Concurrency(9)), works, works, "", nil},
		"another name":               {both[job](), bothNew[job](), works, works, "", nil},
		"another name and type":      {both[of[int8]](), bothNew[of[int64]](), works, broken, "message field F", nil},
		"the value of a failure":     {fails[of[int8]], fails[of[int64]], works, broken, "value field F", nil},
		"a version of the handle":    {both[job](mono.Version("1.2.0")), both[job](mono.Version("2.0.0")), warning, warning, "mono.Version(1.2.0)", nil},
	}
}

// differing collects the differences that a program reports to observers.
type differing struct {
	mu  sync.Mutex
	all []mono.Difference
}

func (d *differing) Observe(o mono.Observation) {
	if is, ok := o.(mono.ContractDiffers); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all = append(d.all, is.Difference)
	}
}

func (d *differing) list() []mono.Difference {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.all)
}

// severities returns the greatest severity of the differences that a program finds, for the
// messages that it sends and for those that it reads.
func severities(all []mono.Difference) (sent, read string) {
	for _, d := range all {
		severity := warning
		if d.Broken {
			severity = broken
		}
		if d.Direction != "incoming" && sent != broken {
			sent = severity
		}
		if d.Direction != "outgoing" && read != broken {
			read = severity
		}
	}
	return sent, read
}

// othersOf returns the contracts of the other processes, once there are as many as wanted. One that
// a slow machine has delayed is missing at first.
func othersOf(t testing.TB, app *mono.App, want int) (others []mono.Contract) {
	t.Helper()
	realtime.Until(t, fmt.Sprintf("%d contracts of other processes", want), func() bool {
		all, err := app.Contracts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		others = all[1:]
		return len(others) == want
	})
	return others
}

// Each seeded difference between two programs is classified right, by both of them.
func TestDifferencesBetweenPrograms(t *testing.T) {
	t.Parallel()
	body := func(t *testing.T, h *testkit.Harness) {
		number := 0
		for what, seed := range seeds() {
			number++
			name := fmt.Sprintf("contract.seed%d", number)
			program := func(release, m string, bind declared) (*testkit.Program, *differing) {
				var of mono.Module = module(m, func(s *mono.Scope) { bind(s, name) })
				if what == anotherModule && m == "other" {
					of = &renamedModule{name: m, formerly: "m", bind: func(s *mono.Scope) { bind(s, name) }}
				}
				p, seen := h.Program(release+fmt.Sprint(number), of), new(differing)
				p.Setup(func(a *mono.App) {
					a.Observe(seen)
					if seed.remote != nil && release == "old" {
						a.Remote(seed.remote(name))
					}
				})
				return p, seen
			}
			other := "m"
			if what == twoModules || what == anotherModule {
				other = "other"
			}
			old, seenByOld := program("old", "m", seed.old)
			next, seenByNew := program("new", other, seed.new)
			old.Options(mono.Generation(1))
			next.Options(mono.Generation(2))
			old.MustStart()
			next.MustStart()
			check := func(p *testkit.Program, seen *differing, sent, read string) {
				t.Helper()
				all := othersOf(t, p.App(), 1)[0].Differences
				if gotSent, gotRead := severities(all); gotSent != sent || gotRead != read {
					t.Errorf("%s, for %s: what it sends is %q, what it reads is %q, want %q and %q: %+v", what, p, gotSent, gotRead, sent, read, all)
				}
				if observed := seen.list(); !slices.Equal(observed, all) {
					t.Errorf("%s, for %s: observed %+v, want %+v", what, p, observed, all)
				}
				for _, d := range all {
					if !strings.Contains(d.Text, name) || strings.Count(d.Text, "contracts_test.go:") != 2 || !strings.Contains(d.Text, "module "+other) || !strings.Contains(d.Text, "module m ") {
						t.Errorf("%s: %q lacks a place", what, d.Text)
					}
				}
				if text := fmt.Sprint(all); p == old && !strings.Contains(text, seed.text) {
					t.Errorf("%s: %s does not contain %q", what, text, seed.text)
				}
			}
			check(old, seenByOld, seed.forth, seed.back)
			check(next, seenByNew, seed.back, seed.forth)
			next.Stop()
			old.Stop()
		}
	}
	t.Run("inproc", func(t *testing.T) {
		t.Parallel()
		testkit.Run(t, body)
	})
	t.Run("nats", func(t *testing.T) {
		t.Parallel()
		testkit.RunOn(t, natstest.Server(), body)
	})
}
