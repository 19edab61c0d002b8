package mono_test

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// An option compiles only if it fits: its type implements the option interfaces of its
// kinds and no others.
func TestOptionsFitOnlyTheirKinds(t *testing.T) {
	t.Parallel()
	places := map[string]reflect.Type{
		"service": reflect.TypeFor[mono.ServiceOption](), "queue": reflect.TypeFor[mono.QueueOption](),
		"event": reflect.TypeFor[mono.EventOption](), "stream": reflect.TypeFor[mono.StreamOption](),
		"channel":         reflect.TypeFor[mono.ChannelOption](),
		"service handler": reflect.TypeFor[mono.ServiceHandlerOption](), "queue handler": reflect.TypeFor[mono.QueueHandlerOption](),
		"event handler": reflect.TypeFor[mono.EventHandlerOption](), "stream handler": reflect.TypeFor[mono.StreamHandlerOption](),
		"call": reflect.TypeFor[mono.ServiceSendOption](), "enqueue": reflect.TypeFor[mono.QueueSendOption](),
		"read":    reflect.TypeFor[mono.ReadOption](),
		"publish": reflect.TypeFor[mono.EventSendOption](), "append": reflect.TypeFor[mono.StreamSendOption](),
	}
	messages := "service, queue, event, stream"
	for _, c := range []struct {
		name   string
		option any
		fits   string
	}{
		{"Version", mono.Version, messages},
		{"Doc", mono.Doc, messages},
		{"Codec", mono.Codec, messages},
		{"Timeout", mono.Timeout, "service"},
		{"Concurrency", mono.Concurrency, messages + ", service handler, queue handler, event handler, stream handler"},
		{"MaxBuffered", mono.MaxBuffered, "service handler, event handler"},
		{"Group", mono.Group, "queue handler, event handler, stream handler"},
		{"Broadcast", mono.Broadcast, "event, event handler"},
		{"Durable", mono.Durable, "event"},
		{"Keys", mono.Keys, "event handler, stream handler, read"},
		{"From", mono.From, "stream handler, read"},
		{"Follow", mono.Follow, "read"},
		{"BatchSize", mono.BatchSize, "stream handler"},
		{"BatchWait", mono.BatchWait, "stream handler"},
		{"Capacity", mono.Capacity, "channel"},
		{"FanOut", mono.FanOut, "channel"},
		{"MaxAttempts", mono.MaxAttempts, "queue, event, stream"},
		{"Backoff", mono.Backoff, "queue, event, stream"},
		{"DedupWindow", mono.DedupWindow, "queue, event, stream"},
		{"AckWait", mono.AckWait, "queue, event, stream"},
		{"StuckAfter", mono.StuckAfter, "queue, event, stream, queue handler, event handler, stream handler"},
		{"Groups", mono.Groups, "queue"},
		{"MaxPending", mono.MaxPending, "queue"},
		{"MaxDelayed", mono.MaxDelayed, "queue"},
		{"NonPersistent", mono.NonPersistent, "queue"},
		{"AssumeAccepted", mono.AssumeAccepted, "queue"},
		{"MaxAge", mono.MaxAge, "stream"},
		{"MaxMessages", mono.MaxMessages, "stream"},
		{"MaxBytes", mono.MaxBytes, "stream"},
		{"MaxPerKey", mono.MaxPerKey, "stream"},
		{"Lanes", mono.Lanes, "stream"},
		{"Unordered", mono.Unordered, "stream, stream handler"},
		{"Header", mono.Header, "call, enqueue, publish, append"},
		{"Delay", mono.Delay, "enqueue"},
		{"At", mono.At, "enqueue"},
		{"DedupID", mono.DedupID, "enqueue, append"},
	} {
		fits := make(map[string]bool)
		for place := range strings.SplitSeq(c.fits, ", ") {
			fits[place] = true
		}
		returned := reflect.TypeOf(c.option).Out(0)
		for place, want := range places {
			if got := returned.Implements(want); got != fits[place] {
				t.Errorf("%s fits %s: %v", c.name, place, got)
			}
		}
	}
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

// HandleBatch leaves the memory of the caller's options alone.
func TestHandleBatchKeepsTheOptionsOfItsCaller(t *testing.T) {
	t.Parallel()
	st := mono.NewStream[job]("option.batch")
	opts := append(make([]mono.StreamHandlerOption, 0, 2), mono.BatchSize(1))
	backend{"inproc", inprocBackend(t)}.start(t, module("worker", func(s *mono.Scope) {
		st.HandleBatch(s, func(context.Context, []mono.Message[job]) error { return nil }, opts...)
	}))
	if next := opts[:2][1]; next != nil {
		t.Errorf("the option after those of the caller is %v", next)
	}
}
