package accesslog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/mono"
	"gomono.dev/mono/accesslog"
	"gomono.dev/mono/requestid"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// faulty is a handler of a log with faults.
type faulty struct {
	slog.Handler
	fault *atomic.Pointer[func() error] // nil: none
}

func newFaulty(out *output) faulty { return faulty{out.json(), new(atomic.Pointer[func() error])} }

func (f faulty) set(fault func() error) { f.fault.Store(&fault) }

func (f faulty) Handle(ctx context.Context, r slog.Record) error {
	if fault := f.fault.Load(); fault != nil && *fault != nil {
		if err := (*fault)(); err != nil {
			return err
		}
	}
	return f.Handler.Handle(ctx, r)
}

func (f faulty) WithAttrs(attrs []slog.Attr) slog.Handler {
	return faulty{f.Handler.WithAttrs(attrs), f.fault}
}

// A log that blocks delays no message. The records that the buffer cannot hold are dropped and
// counted, and reported once when the log can be written again.
func TestALogThatBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		h := newFaulty(&out)
		log := accesslog.New(h, accesslog.Buffer(10))
		app := newApp(t, nil, log)
		app.Add(serving(same))
		start(t, app)
		for episode := range 2 {
			blocked := make(chan struct{})
			h.set(func() error { <-blocked; return nil })
			began := time.Now()
			call(t, app)
			<-time.After(time.Second) // the record is at the log
			for range 25 {
				call(t, app)
			}
			if took := time.Since(began); took != time.Second {
				t.Errorf("the messages took %v", took)
			}
			if dropped, failed := log.Lost(); dropped != uint64(15*(episode+1)) || failed != 0 {
				t.Errorf("%d were dropped, %d have failed", dropped, failed)
			}
			h.set(nil)
			close(blocked)
			<-time.After(time.Second)
		}
		stop(t, app)
		var reports []string
		lines := out.lines(t)
		for _, l := range lines {
			if l["msg"] != "handled" {
				reports = append(reports, l.text("level", "msg", "mono.dropped", "mono.failed", "error.message"))
			}
		}
		want := "WARN access log records lost 15 0 the buffer is full"
		if len(lines) != 2*(11+1) || strings.Join(reports, "; ") != want+"; "+want {
			t.Errorf("got %d lines with %q", len(lines), reports)
		}
	})
}

// During a long loss there is a report each minute.
func TestALogThatIsTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		h := newFaulty(&out)
		log := accesslog.New(h, accesslog.Buffer(10))
		app := newApp(t, nil, log)
		app.Add(serving(same))
		start(t, app)
		h.set(func() error { <-time.After(time.Second); return nil })
		for range 5 * 60 * 2 {
			call(t, app)
			<-time.After(500 * time.Millisecond)
		}
		stop(t, app)
		sum, reports, written := 0, 0, 0
		for _, l := range out.lines(t) {
			if l["msg"] == "handled" {
				written++
				continue
			}
			reports++
			sum += int(l["mono.dropped"].(float64))
		}
		if reports < 3 || reports > 7 || sum+written != 600 {
			t.Errorf("%d reports of %d dropped records, %d were written", reports, sum, written)
		}
	})
}

// A log that returns an error, panics or ends its goroutine fails no message. Its records have failed,
// and are reported once when it works again.
func TestALogThatFails(t *testing.T) {
	t.Parallel()
	for want, fault := range map[string]func() error{
		"disk full":           func() error { return errors.New("disk full") },
		"panic: broken":       func() error { panic("broken") },
		"ended its goroutine": func() error { runtime.Goexit(); return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			var out output
			h := newFaulty(&out)
			log := accesslog.New(h)
			app := newApp(t, nil, log)
			app.Add(serving(same))
			start(t, app)
			call(t, app)
			<-time.After(time.Second)
			h.set(fault)
			for range 3 {
				call(t, app)
				<-time.After(time.Second)
			}
			if dropped, failed := log.Lost(); dropped != 0 || failed != 3 {
				t.Errorf("%s: %d were dropped, %d have failed", want, dropped, failed)
			}
			h.set(nil)
			for range 2 {
				call(t, app)
				<-time.After(time.Second)
			}
			stop(t, app)
			lines := out.lines(t)
			if len(lines) != 4 || lines[2].text("mono.dropped", "mono.failed") != "0 3" || !strings.Contains(lines[2].text("error.message"), want) {
				t.Errorf("%s: got %v", want, lines)
			}
		})
	}
}

// Stop writes the buffer, and returns an error if the log does not take it, or has not taken records
// before. The next App with the log works.
func TestStopReportsWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		h := newFaulty(&out)
		log := accesslog.New(h)
		open := func() *mono.App {
			app := newApp(t, []mono.AppOption{mono.StopTimeout(5 * time.Second)}, log)
			app.Add(serving(same))
			start(t, app)
			return app
		}
		app := open()
		blocked := make(chan struct{})
		h.set(func() error { <-blocked; return nil })
		for range 3 {
			call(t, app)
		}
		if err := app.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "the last 3 records are not written yet") {
			t.Errorf("got %v", err)
		}
		h.set(nil)
		close(blocked)
		synctest.Wait()
		h.set(func() error { return errors.New("disk full") })
		app = open()
		call(t, app)
		if err := app.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "0 records were dropped and 1 have failed, which the log does not have: disk full") {
			t.Errorf("got %v", err)
		}
		h.set(nil)
		app = open()
		call(t, app)
		stop(t, app)
		if n := len(out.lines(t)); n != 3+1+1 {
			t.Errorf("got %d lines", n)
		}
	})
}

// Before Start and after Stop a message waits for its record, 100 ms at most.
func TestOutsideOfStartAndStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out output
		h := newFaulty(&out)
		log := accesslog.New(h)
		handle := log.Wrap(func(context.Context, *mono.Call) error { return nil })
		var c *mono.Call
		app := newApp(t, nil, mono.MiddlewareFunc(func(next mono.Next) mono.Next {
			return func(ctx context.Context, got *mono.Call) error { c = got; return next(ctx, got) }
		}))
		app.Add(serving(same))
		start(t, app)
		call(t, app)
		once := func(want time.Duration, lines int) {
			t.Helper()
			began := time.Now()
			if err := handle(t.Context(), c); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("it took %v, want %v", took, want)
			}
			if n := len(out.lines(t)); n != lines {
				t.Errorf("got %d lines, want %d", n, lines)
			}
		}
		once(0, 1)
		if err := log.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		once(0, 1)
		if err := log.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		once(0, 3)
		blocked := make(chan struct{})
		h.set(func() error { <-blocked; return nil })
		once(100*time.Millisecond, 3)
		h.set(nil)
		close(blocked)
		synctest.Wait()
		once(0, 5)
		stop(t, app)
	})
}

// A function of the program that panics fails no message, and its record has failed.
func TestFunctionsThatPanic(t *testing.T) {
	t.Parallel()
	for _, opt := range []accesslog.Option{
		accesslog.Attrs(func(context.Context, *mono.Call) []slog.Attr { panic("broken") }),
		accesslog.Level(func(*mono.Call, error, time.Duration) slog.Level { panic("broken") }),
	} {
		var out output
		log := accesslog.New(out.json(), opt)
		app := newApp(t, nil, log)
		app.Add(serving(same))
		start(t, app)
		call(t, app)
		if err := app.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "1 have failed, which the log does not have: panic: broken") {
			t.Errorf("got %v", err)
		}
		if _, failed := log.Lost(); failed != 1 || out.String() != "" {
			t.Errorf("%d have failed, got %s", failed, out.String())
		}
	}
}

// A text from another process cannot forge a line, is bounded, and keeps its meaning: the reference
// system wrote texts without quotes.
func TestTextsOfOthers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1<<19)
	for _, id := range []string{long, "a\nlevel=INFO msg=forged", "a\x00\x1b[31m", "a b=\"c\"", "\xff\xfe"} {
		var text, out output
		app := newApp(t, []mono.AppOption{mono.NoLocalCalls()}, accesslog.New(slog.NewMultiHandler(out.json(), slog.NewTextHandler(&text, nil))))
		app.Add(serving(func(context.Context, order) (order, error) { return order{}, mono.Errorf(mono.Internal, "%s", id) }))
		start(t, app)
		m := &transport.Message{Subject: "services.orders.place", Body: []byte(`{}`)}
		for _, name := range []string{transport.HeaderID, transport.HeaderSender, requestid.Header} {
			m.Header.Add(name, id)
		}
		if _, err := mono.Raw(app).Request(t.Context(), m); err != nil && mono.CodeOf(err) != mono.InvalidArgument {
			t.Fatal(err)
		}
		stop(t, app)
		if lines := strings.Count(text.String(), "\n"); lines != len(out.lines(t)) || len(text.String()) > 4<<10 || strings.ContainsAny(text.String(), "\x00\x1b") {
			t.Errorf("%.20q: got %d lines: %.300s", id, lines, text.String())
		}
		for _, l := range out.lines(t) {
			for _, name := range []string{"messaging.message.id", "mono.sender", requestid.LogKey} {
				got, want := l.text(name), strings.ToValidUTF8(id, "\ufffd")
				if len(got) > 256 || !strings.HasPrefix(want, strings.TrimSuffix(got, "…")) && !strings.Contains(want, "\ufffd") {
					t.Errorf("%.20q: %s is %.100q", id, name, got)
				}
			}
		}
	}
}

// ahead is a transport whose stored messages come from the future.
type ahead struct{ transport.Transport }

type aheadLog struct{ transport.Log }

func (a ahead) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := a.Transport.Log(ctx, c)
	return aheadLog{l}, err
}

func (a aheadLog) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	return a.Log.Consume(ctx, c, func(d *transport.Delivery) transport.Work {
		d.Stored = d.Stored.Add(time.Hour)
		return h(d)
	})
}

// If the clock of the store is ahead, or this one was set back, a message has not waited.
func TestClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	var out output
	app := mono.New(ahead{inproc.New(inproc.Options{})}, mono.Logger(slog.New(slog.DiscardHandler)))
	app.Use(accesslog.New(out.json()))
	done := make(chan bool)
	app.Add(module("warehouse", func(s *mono.Scope) {
		ship.Handle(s, func(context.Context, order) error { done <- true; return nil })
	}))
	start(t, app)
	if err := ship.Enqueue(t.Context(), app, order{}); err != nil {
		t.Fatal(err)
	}
	<-done
	stop(t, app)
	if got := out.lines(t); len(got) != 1 || got[0].text("mono.wait") != "0" {
		t.Errorf("got %v", got)
	}
}

// A record costs few allocations: two for an id, and one in the writer for more than five
// attributes. If the level is off, it costs none: the Call is a part of the call's memory.
func TestAllocations(t *testing.T) {
	for _, test := range []struct {
		name string
		log  *accesslog.Log
		opts []mono.AppOption
		most float64
	}{
		{"no log", nil, nil, 1},
		{"level is off", accesslog.New(slog.DiscardHandler), nil, 1},
		{"on", accesslog.New(discarding{}), nil, 4},
		{"without an id", accesslog.New(discarding{}, accesslog.Fields(accesslog.Handle, accesslog.Duration)), nil, 2},
		{"with request ids", accesslog.New(discarding{}), []mono.AppOption{requestid.Propagate()}, 4},
	} {
		app := newApp(t, test.opts)
		if test.log != nil {
			app.Use(test.log)
		}
		var place2 mono.Func[order, order]
		app.Add(serving(same), module("shop", func(s *mono.Scope) { place2 = place.Client(s) }))
		start(t, app)
		ctx := t.Context()
		if n := testing.AllocsPerRun(2000, func() {
			if got, err := place2(ctx, order{ID: "a1"}); err != nil || got.ID != "a1" {
				t.Error(got, err)
			}
		}); n > test.most {
			t.Errorf("%s: a call allocates %v times, want at most %v", test.name, n, test.most)
		}
		stop(t, app)
	}
}

// discarding is a handler that takes all records, and writes none.
type discarding struct{}

func (discarding) Enabled(context.Context, slog.Level) bool  { return true }
func (discarding) Handle(context.Context, slog.Record) error { return nil }
func (d discarding) WithAttrs([]slog.Attr) slog.Handler      { return d }
func (d discarding) WithGroup(string) slog.Handler           { return d }

// Fields have the names of their attributes.
func TestFieldNames(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(accesslog.Handle, accesslog.ReplySize, accesslog.Field(99)); got != "messaging.destination.name mono.reply.size Field(99)" {
		t.Errorf("got %s", got)
	}
}
