package mono_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// optionTypes are the types of options. A place is one where options are used; the other
// types are unions of places.
var optionTypes = []struct {
	place string
	of    reflect.Type
}{
	{"service", reflect.TypeFor[mono.ServiceOption]()},
	{"queue", reflect.TypeFor[mono.QueueOption]()},
	{"event", reflect.TypeFor[mono.EventOption]()},
	{"stream", reflect.TypeFor[mono.StreamOption]()},
	{"channel", reflect.TypeFor[mono.ChannelOption]()},
	{"failure", reflect.TypeFor[mono.FailureOption]()},
	{"service handler", reflect.TypeFor[mono.ServiceHandlerOption]()},
	{"queue handler", reflect.TypeFor[mono.QueueHandlerOption]()},
	{"event handler", reflect.TypeFor[mono.EventHandlerOption]()},
	{"stream handler", reflect.TypeFor[mono.StreamHandlerOption]()},
	{"batch handler", reflect.TypeFor[mono.BatchHandlerOption]()},
	{"call", reflect.TypeFor[mono.ServiceSendOption]()},
	{"enqueue", reflect.TypeFor[mono.QueueSendOption]()},
	{"publish", reflect.TypeFor[mono.EventSendOption]()},
	{"append", reflect.TypeFor[mono.StreamSendOption]()},
	{"read", reflect.TypeFor[mono.ReadOption]()},
	{"", reflect.TypeFor[mono.MessageOption]()},
	{"", reflect.TypeFor[mono.StoredOption]()},
	{"", reflect.TypeFor[mono.HandlerOption]()},
	{"", reflect.TypeFor[mono.StoredHandlerOption]()},
	{"", reflect.TypeFor[mono.SendOption]()},
	{"", reflect.TypeFor[mono.StoredSendOption]()},
}

// An option compiles only if it fits: its type implements the option interfaces of its
// kinds and no others. The comment of each of these types lists all options that fit.
func TestOptionsFitOnlyTheirKinds(t *testing.T) {
	t.Parallel()
	documented, constructors := documentedOptions(t)
	listed := make(map[string][]string)
	messages := "service, queue, event, stream"
	for _, c := range []struct {
		name   string
		option any
		fits   string
	}{
		{"Annotate", mono.Annotate, messages + ", channel"},
		{"Version", mono.Version, messages},
		{"Doc", mono.Doc, messages},
		{"Formerly", mono.Formerly, messages},
		{"Codec", mono.Codec, messages},
		{"Upcasts", mono.Upcasts, "queue, event, stream"},
		{"Timeout", mono.Timeout, messages + ", queue handler, event handler, stream handler, batch handler"},
		{"LoadBalanced", mono.LoadBalanced, "service"},
		{"ByReference", mono.ByReference, "service"},
		{"Concurrency", mono.Concurrency, messages + ", service handler, queue handler, event handler, stream handler, batch handler"},
		{"MaxBuffered", mono.MaxBuffered, "service handler, event handler"},
		{"Group", mono.Group, "queue handler, event handler, stream handler, batch handler"},
		{"Broadcast", mono.Broadcast, "event, event handler"},
		{"Durable", mono.Durable, "event"},
		{"Keys", mono.Keys, "queue handler, event handler, stream handler, batch handler, read"},
		{"From", mono.From, "stream handler, batch handler, read"},
		{"Follow", mono.Follow, "read"},
		{"Last", mono.Last, "read"},
		{"Before", mono.Before, "read"},
		{"BatchSize", mono.BatchSize, "batch handler"},
		{"BatchWait", mono.BatchWait, "batch handler"},
		{"Capacity", mono.Capacity, "channel"},
		{"FanOut", mono.FanOut, "channel"},
		{"HTTPStatus", mono.HTTPStatus, "failure"},
		{"MaxAttempts", mono.MaxAttempts, "queue, event, stream"},
		{"Backoff", mono.Backoff, "queue, event, stream"},
		{"DedupWindow", mono.DedupWindow, "queue, event, stream"},
		{"AckWait", mono.AckWait, "queue, event, stream"},
		{"StuckAfter", mono.StuckAfter, "queue, event, stream, queue handler, event handler, stream handler, batch handler"},
		{"Groups", mono.Groups, "queue"},
		{"MaxPending", mono.MaxPending, "queue"},
		{"MaxDelayed", mono.MaxDelayed, "queue"},
		{"NonPersistent", mono.NonPersistent, "queue"},
		{"AssumeAccepted", mono.AssumeAccepted, "queue"},
		{"MaxAge", mono.MaxAge, "stream"},
		{"MaxMessages", mono.MaxMessages, "stream"},
		{"MaxBytes", mono.MaxBytes, "stream"},
		{"MaxPerKey", mono.MaxPerKey, "stream"},
		{"Partitions", mono.Partitions, "stream"},
		{"Unordered", mono.Unordered, "stream, stream handler"},
		{"Header", mono.Header, "call, enqueue, publish, append"},
		{"Delay", mono.Delay, "enqueue"},
		{"At", mono.At, "enqueue"},
		{"DedupID", mono.DedupID, "enqueue, publish, append"},
	} {
		fits := make(map[string]bool)
		for place := range strings.SplitSeq(c.fits, ", ") {
			fits[place] = true
		}
		if !constructors[c.name] {
			t.Errorf("%s is no option", c.name)
		}
		delete(constructors, c.name)
		returned := reflect.TypeOf(c.option).Out(0)
		for _, want := range optionTypes {
			got := returned.Implements(want.of)
			if want.place != "" && got != fits[want.place] {
				t.Errorf("%s fits %s: %v", c.name, want.place, got)
			}
			if got {
				listed[want.of.Name()] = append(listed[want.of.Name()], c.name)
			}
		}
	}
	for name := range constructors {
		t.Errorf("%s is an option, which this test does not have", name)
	}
	for name, options := range listed {
		slices.Sort(options)
		if !slices.Equal(documented[name], options) {
			t.Errorf("the comment of %s lists %q, want %q", name, documented[name], options)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is a type of options, which this test does not have", name)
	}
}

// documentedOptions returns, for each interface type of options, the links in its comment,
// and the functions of this package that return one or a union of several.
func documentedOptions(t *testing.T) (documented map[string][]string, constructors map[string]bool) {
	t.Helper()
	documented, constructors = make(map[string][]string), make(map[string]bool)
	link := regexp.MustCompile(`\[(\w+)\]`)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() && returnsOption(d.Type) {
					constructors[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					s, ok := spec.(*ast.TypeSpec)
					if !ok || !isOptionType(s) {
						continue
					}
					doc := s.Doc.Text() // of a type in a group
					if s.Doc == nil {
						doc = d.Doc.Text()
					}
					documented[s.Name.Name] = []string{}
					for _, found := range link.FindAllStringSubmatch(doc, -1) {
						documented[s.Name.Name] = append(documented[s.Name.Name], found[1])
					}
				}
			}
		}
	}
	return documented, constructors
}

func isOptionType(s *ast.TypeSpec) bool {
	_, ok := s.Type.(*ast.InterfaceType)
	return ok && s.Name.IsExported() && strings.HasSuffix(s.Name.Name, "Option")
}

// returnsOption reports whether a function returns an option of a handle. An AppOption and a
// DeleteGroupOption are none, and go doc lists those.
func returnsOption(f *ast.FuncType) bool {
	if f.Results == nil || len(f.Results.List) != 1 {
		return false
	}
	switch result := f.Results.List[0].Type.(type) {
	case *ast.InterfaceType:
		return true
	case *ast.Ident:
		return strings.HasSuffix(result.Name, "Option") && result.Name != "AppOption" && result.Name != "DeleteGroupOption"
	}
	return false
}

// Exponential doubles its wait up to the maximum and subtracts a random part of at most
// half. Waits repeats its last value, and Constant always returns the same value.
func TestBackoff(t *testing.T) {
	t.Parallel()
	exponential := mono.Exponential(time.Second, 10*time.Second)
	for attempt, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 5000: 10 * time.Second} {
		for range 100 {
			if wait := exponential.Wait(attempt); wait < most/2 || wait > most {
				t.Errorf("attempt %d waits %v, want %v to %v", attempt, wait, most/2, most)
			}
		}
	}
	if wait := mono.Exponential(math.MaxInt64/2+1, math.MaxInt64).Wait(2); wait < math.MaxInt64/2 {
		t.Errorf("the longest waits %v", wait)
	}
	list := mono.Waits(1, 2, 3)
	for attempt, want := range map[int]time.Duration{0: 1, 1: 1, 2: 2, 3: 3, 9: 3} {
		if got := list.Wait(attempt); got != want {
			t.Errorf("attempt %d waits %v, want %v", attempt, got, want)
		}
	}
	if got := mono.Constant(time.Minute).Wait(7); got != time.Minute {
		t.Errorf("got %v", got)
	}
}

// Events beyond the buffer of a slow handler are dropped, logged once per episode, and
// reported to observers.
func TestDroppedEventsAreReported(t *testing.T) {
	t.Parallel()
	onPaths(t, func(t *testing.T, p path) {
		var log logBuffer
		release, entered := make(chan struct{}), make(chan struct{}, 100)
		drops := make(chan mono.MessagesDropped, 100)
		app := p.app(t, log.option())
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if d, ok := o.(mono.MessagesDropped); ok {
				drops <- d
			}
		}))
		app.Add(module("slow", func(s *mono.Scope) {
			announced.Handle(s, func(context.Context, fact) error { entered <- struct{}{}; <-release; return nil }, mono.MaxBuffered(2))
		}))
		begin(t, app)
		for n := range 50 {
			if err := announced.Publish(t.Context(), app, fact{N: n}); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				<-entered
			}
		}
		d := <-drops
		close(release)
		if d.Module != "slow" || d.Handle.Name() != "test.announced" || d.Total == 0 {
			t.Errorf("got %+v", d)
		}
		if n := strings.Count(log.String(), "messages dropped"); n != 1 || !strings.Contains(log.String(), "module=slow") {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
	})
}

// FuzzServiceRequest sends arbitrary requests: each gets a reply or an error, and none ends
// the process.
func FuzzServiceRequest(f *testing.F) {
	f.Add("", "{}", "", "")
	f.Add("application/json", `{"text":1}`, "100", "x")
	f.Add("application/msgpack", "\x81\xa4text\xa1x", "-1", "")
	f.Fuzz(func(t *testing.T, contentType, body, timeout, id string) {
		app := paths[1].start(t, provider(echo), module("pack", func(s *mono.Scope) { askPack.Handle(s, echo) }))
		m := &transport.Message{Subject: "services.test.ask", Body: []byte(body)}
		for name, value := range map[string]string{transport.HeaderContentType: contentType, transport.HeaderTimeout: timeout, transport.HeaderID: id} {
			if value != "" {
				m.Header.Add(name, value)
			}
		}
		if _, err := mono.Raw(app).Request(realtime.Patient(t), m); err != nil && mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("no reply: %v", err)
		}
	})
}

// An option that has no effect on a handle is a mistake. Each declaration panics, and the
// start reports each handler, with the names of the option and of the handle.
func TestOptionWithoutEffectIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option mono.EventOption
		name   string
	}{
		{mono.MaxAttempts(3), "MaxAttempts"},
		{mono.Backoff(mono.Constant(time.Second)), "Backoff"},
		{mono.Timeout(time.Second), "Timeout"},
		{mono.DedupWindow(time.Minute), "DedupWindow"},
		{mono.AckWait(time.Minute), "AckWait"},
		{mono.StuckAfter(time.Minute), "StuckAfter"},
	} {
		got := panicOf(func() { mono.NewEvent[job]("option.event", c.option) })
		if !strings.Contains(got, `"option.event"`) || !strings.Contains(got, "want Durable with "+c.name+":") {
			t.Errorf("an event that is not durable with %s: %q", c.name, got)
		}
		if got := panicOf(func() { mono.NewEvent[job]("option.event", mono.Durable(), c.option) }); got != "" {
			t.Errorf("a durable event with %s: %q", c.name, got)
		}
		got = panicOf(func() { mono.NewQueue[job]("option.queue", mono.NonPersistent(), c.option.(mono.QueueOption)) })
		if !strings.Contains(got, `"option.queue"`) || !strings.Contains(got, "NonPersistent excludes "+c.name+":") {
			t.Errorf("a non-persistent queue with %s: %q", c.name, got)
		}
	}
	got := panicOf(func() {
		mono.NewQueue[job]("option.queue", mono.NonPersistent(), mono.MaxDelayed(1), mono.MaxPending(1), mono.AckWait(time.Minute))
	})
	if !strings.Contains(got, "NonPersistent excludes MaxPending, MaxDelayed, AckWait:") {
		t.Errorf("got %q", got)
	}

	event, durable := mono.NewEvent[job]("option.brief"), mono.NewEvent[job]("option.durable", mono.Durable())
	queue := mono.NewQueue[job]("option.non-persistent", mono.NonPersistent())
	app := newApp(t)
	app.Add(module("handlers", func(s *mono.Scope) {
		event.Handle(s, nothing, mono.StuckAfter(time.Minute), mono.Timeout(time.Second))
		durable.Handle(s, nothing, mono.MaxBuffered(5))
		queue.Handle(s, nothing, mono.Timeout(time.Second))
	}))
	found := problems(t, app)
	requireProblem(t, found, "module handlers", "event option.brief", "option_test.go", "want Durable with Timeout, StuckAfter:")
	requireProblem(t, found, "module handlers", "event option.durable", "option_test.go", "MaxBuffered", "not Durable")
	requireProblem(t, found, "module handlers", "queue option.non-persistent", "option_test.go", "NonPersistent excludes Timeout:")
}

// HandleBatch leaves the memory of the caller's options alone.
func TestHandleBatchKeepsTheOptionsOfItsCaller(t *testing.T) {
	t.Parallel()
	st := mono.NewStream[job]("option.batch")
	opts := append(make([]mono.BatchHandlerOption, 0, 2), mono.BatchSize(1))
	backend{"inproc", inprocBackend(t)}.start(t, module("worker", func(s *mono.Scope) {
		st.HandleBatch(s, func(context.Context, []mono.Message[job]) error { return nil }, opts...)
	}))
	if next := opts[:2][1]; next != nil {
		t.Errorf("the option after those of the caller is %v", next)
	}
}
