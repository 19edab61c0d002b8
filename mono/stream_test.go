package mono_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
)

// consumer is a module that handles a stream. It forwards each message to a channel and
// returns the error of do.
func consumer(name string, s mono.Stream[job], got chan<- handled, do func(handled) error, opts ...mono.StreamHandlerOption) mono.Module {
	return module(name, func(sc *mono.Scope) {
		s.Handle(sc, func(ctx context.Context, j job) error {
			c := mono.CallFrom(ctx)
			h := handled{j, c.Attempt(), c.ID()}
			err := do(h)
			got <- h
			return err
		}, opts...)
	})
}

// A group receives all messages of a stream in order and resumes after a restart. A new
// group begins at its From position.
func TestStreamGroupsResume(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.resume")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 100)
		appendJobs := func(app *mono.App, from, to int) {
			for n := from; n < to; n++ {
				if err := s.Append(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.within(t, func(app *mono.App) {
			appendJobs(app, 0, 5)
			for n := range 5 {
				if h := next(t, got); h.N != n {
					t.Errorf("got %+v, want %d", h, n)
				}
			}
		}, consumer("first", s, got, succeed))
		late := make(chan handled, 100)
		app := b.start(t, consumer("first", s, got, succeed), consumer("late", s, late, succeed, mono.From(mono.End())))
		appendJobs(app, 5, 8)
		for n := 5; n < 8; n++ {
			if h, l := next(t, got), next(t, late); h.N != n || l.N != n {
				t.Errorf("got %+v and %+v, want %d", h, l, n)
			}
		}
	})
}

// Messages of a key are handled in order, including retries, and do not wait for other keys.
func TestStreamKeysKeepOrder(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.keys", mono.Backoff(mono.Constant(30*time.Millisecond))).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 1000)
		fails := func(h handled) error {
			if h.N%5 == 2 && h.attempt == 1 {
				return errors.New("once")
			}
			return nil
		}
		app := b.start(t, consumer("one", s, got, fails, mono.Concurrency(4), mono.Group("g")))
		b.start(t, consumer("two", s, got, fails, mono.Concurrency(4), mono.Group("g")))
		const keys, each = 8, 10
		for n := range each {
			for k := range keys {
				if err := s.Append(t.Context(), app, job{N: n, Key: fmt.Sprint("k", k)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		seen := make(map[string][]int)
		for range keys * (each + 2) {
			h := next(t, got)
			seen[h.Key] = append(seen[h.Key], h.N)
		}
		want := []int{0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9}
		for key, order := range seen {
			if !slices.Equal(order, want) {
				t.Errorf("%s was handled in the order %v, want %v", key, order, want)
			}
		}
	})
}

// A key becomes a token of a subject. An append with an illegal key is rejected and stores
// nothing.
func TestStreamRejectsIllegalKeys(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.illegal").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t)
		for _, key := range []string{"", "a.b", "*", ">", "a b", "\x00"} {
			err := s.Append(t.Context(), app, job{Key: key})
			if mono.CodeOf(err) != mono.InvalidArgument || !strings.Contains(err.Error(), "key function") {
				t.Errorf("key %q: %v", key, err)
			}
		}
		for range s.Read(t.Context(), app) {
			t.Error("a message was stored")
		}
	})
}

// Read returns the stored messages from the given position, and later ones with Follow.
func TestStreamRead(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.read").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t, module("reader", func(sc *mono.Scope) { s.Reader(sc) }))
		var middle time.Time
		for n := range 6 {
			if n == 3 {
				for m, err := range s.Read(t.Context(), app) { // use the clock of the store
					if err != nil {
						t.Fatal(err)
					}
					middle = m.Time.Add(1)
				}
			}
			if err := s.Append(t.Context(), app, job{N: n, Key: []string{"a", "b"}[n%2]}); err != nil {
				t.Fatal(err)
			}
		}
		read := func(opts ...mono.ReadOption) (numbers []int) {
			for m, err := range s.Read(t.Context(), app, opts...) {
				if err != nil {
					t.Fatal(err)
				}
				if m.Sequence != uint64(m.Value.N+1) || m.Key != m.Value.Key || m.ID == "" || m.Time.IsZero() {
					t.Errorf("got %+v", m)
				}
				numbers = append(numbers, m.Value.N)
			}
			return numbers
		}
		for want, opts := range map[string][]mono.ReadOption{
			"[0 1 2 3 4 5]": nil,
			"[3 4 5]":       {mono.From(mono.AtSequence(4))},
			"[]":            {mono.From(mono.AtSequence(99))},
			"[4 5]":         {mono.From(mono.LastPerKey())},
			"[0 2 4]":       {mono.Keys("a")},
			"[5]":           {mono.Keys("b"), mono.From(mono.LastPerKey())},
		} {
			if got := read(opts...); fmt.Sprint(got) != want {
				t.Errorf("got %v, want %s", got, want)
			}
		}
		if got := read(mono.From(mono.AtTime(middle))); fmt.Sprint(got) != "[3 4 5]" {
			t.Errorf("got %v from %v", got, middle)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		count := 0
		for m, err := range s.Read(ctx, app, mono.From(mono.AtSequence(6)), mono.Follow()) {
			if err != nil {
				t.Fatal(err)
			}
			if count++; count == 1 {
				if err := s.Append(t.Context(), app, job{N: 6, Key: "a"}); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if m.Value.N != 6 {
				t.Errorf("got %+v", m)
			}
			cancel()
		}
		if count != 2 {
			t.Errorf("followed %d messages, want 2", count)
		}
	})
}

// AppendAfter succeeds only with the last sequence of the key.
func TestStreamAppendAfter(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.after").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t)
		if err := s.Append(t.Context(), app, job{Key: "other"}); err != nil {
			t.Fatal(err)
		}
		last, err := s.AppendAfter(t.Context(), app, 0, job{N: 1, Key: "a"})
		if err != nil || last != 2 {
			t.Fatalf("got %d, %v", last, err)
		}
		if _, err := s.AppendAfter(t.Context(), app, 0, job{N: 2, Key: "a"}); mono.CodeOf(err) != mono.Aborted || mono.OutcomeOf(err) != mono.OutcomeNotDone {
			t.Errorf("got %v", err)
		}
		if last, err = s.AppendAfter(t.Context(), app, last, job{N: 3, Key: "a"}); err != nil || last != 3 {
			t.Errorf("got %d, %v", last, err)
		}
	})
}

// AppendAfter ignores replays and expired messages, which a writer cannot read.
func TestStreamAppendAfterIgnoresReplaysAndExpiredMessages(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.after-replay", mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Millisecond)))
	short := mono.NewStream[job]("stream.after-age", mono.MaxAge(100*time.Millisecond))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, consumer("c", s, got, func(handled) error { return mono.Permanent(nil) }))
		first, err := s.AppendAfter(t.Context(), app, 0, job{N: 1})
		if err != nil {
			t.Fatal(err)
		}
		next(t, got)
		if err := s.DeadLetters(app).Replay(t.Context(), awaitDeadLetters(t, s.DeadLetters(app), 1)[0]); err != nil {
			t.Fatal(err)
		}
		next(t, got)
		second, err := s.AppendAfter(t.Context(), app, first, job{N: 2})
		if err != nil {
			t.Fatalf("after a replay: %v", err)
		}
		if _, err := s.AppendAfter(t.Context(), app, first, job{N: 3}); mono.CodeOf(err) != mono.Aborted {
			t.Errorf("got %v", err)
		}
		if _, err := s.AppendAfter(t.Context(), app, second, job{N: 4}); err != nil {
			t.Error(err)
		}

		if err := short.Append(t.Context(), app, job{}); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for left := 1; left > 0; <-tick.C {
			left = 0
			for _, err := range short.Read(t.Context(), app) {
				if left++; err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := short.AppendAfter(t.Context(), app, 0, job{}); err != nil {
			t.Errorf("after all messages expired: %v", err)
		}
	})
}

// AppendAsync stores messages in the order of the calls.
func TestStreamAppendAsync(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.async")
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t)
		const n = 2000
		var wait sync.WaitGroup
		for i := range n {
			wait.Add(1)
			if err := s.AppendAsync(t.Context(), app, job{N: i}, func(err error) {
				defer wait.Done()
				if err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		wait.Wait()
		i := 0
		for m, err := range s.Read(t.Context(), app) {
			if err != nil || m.Value.N != i {
				t.Fatalf("got %+v, %v, want %d", m, err, i)
			}
			i++
		}
		if i != n {
			t.Errorf("read %d, want %d", i, n)
		}
	})
}

// PerMessage decides the result of each message of a batch.
func TestStreamHandleBatch(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.batch", mono.MaxAttempts(2), mono.Backoff(mono.Constant(10*time.Millisecond)))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan []mono.Message[job], 100)
		b.within(t, func(app *mono.App) {
			for n := range 25 {
				if err := s.Append(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		})
		app := b.start(t, module("batches", func(sc *mono.Scope) {
			s.HandleBatch(sc, func(_ context.Context, batch []mono.Message[job]) error {
				errs := make([]error, len(batch))
				for i, m := range batch {
					switch {
					case m.Value.N == 3:
						errs[i] = mono.Permanent(errors.New("never"))
					case m.Value.N == 7 && m.Attempt == 1:
						errs[i] = errors.New("once")
					}
				}
				got <- batch
				return mono.PerMessage(errs...)
			}, mono.BatchSize(10))
		}))
		seen := make(map[int]int)
		for total := 0; total < 26; {
			batch := next(t, got)
			if len(batch) > 10 {
				t.Errorf("a batch has %d messages", len(batch))
			}
			total += len(batch)
			for _, m := range batch {
				seen[m.Value.N]++
			}
		}
		if len(seen) != 25 || seen[7] != 2 || seen[3] != 1 {
			t.Errorf("got %v", seen)
		}
		if l := awaitDeadLetters(t, s.DeadLetters(app), 1); len(l) != 1 || l[0].Reason != mono.ReasonPermanent || l[0].Sequence != 4 {
			t.Errorf("got %+v", l)
		}
	})
}

// Stop does not wait until a batch is full.
func TestStreamBatchDoesNotDelayStop(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.batch-stop")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan int, 10)
		app := b.app(t, module("batches", func(sc *mono.Scope) {
			sc.Use(s)
			s.HandleBatch(sc, func(_ context.Context, batch []mono.Message[job]) error {
				got <- len(batch)
				return nil
			}, mono.BatchSize(2), mono.BatchWait(time.Minute))
		}))
		if err := app.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if err := s.Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		next(t, got)
		if err := app.Stop(realtime.Patient(t)); err != nil {
			t.Error(err)
		}
	})
}

// A stream with partitions also has receivers without them: batches and Unordered.
func TestStreamReceiversWithoutPartitions(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.partitions", mono.Partitions(2)).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		batched, unordered, ordered := make(chan job, 10), make(chan job, 10), make(chan job, 10)
		into := func(c chan<- job) mono.Sink[job] {
			return func(_ context.Context, j job) error { c <- j; return nil }
		}
		app := b.start(t, module("receivers", func(sc *mono.Scope) {
			s.HandleBatch(sc, func(_ context.Context, batch []mono.Message[job]) error {
				for _, m := range batch {
					batched <- m.Value
				}
				return nil
			}, mono.Group("batched"))
			s.Handle(sc, into(unordered), mono.Group("unordered"), mono.Unordered())
			s.Handle(sc, into(ordered), mono.Group("ordered"))
		}))
		for n := range 5 {
			if err := s.Append(t.Context(), app, job{Key: "a", N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 5 {
			next(t, batched)
			next(t, unordered)
			if j := next(t, ordered); j.N != n {
				t.Errorf("got %d, want %d", j.N, n)
			}
		}
	})
}

// If the number of PerMessage results differs from the batch size, all messages have failed.
func TestStreamBatchResultsMustMatchMessages(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.outcomes", mono.MaxAttempts(1))
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t, module("batches", func(sc *mono.Scope) {
			s.HandleBatch(sc, func(context.Context, []mono.Message[job]) error { return mono.PerMessage(nil, nil, errors.New("x")) }, mono.BatchSize(2))
		}))
		for n := range 2 {
			if err := s.Append(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range awaitDeadLetters(t, s.DeadLetters(app), 2) {
			if l.Code != mono.Internal || !strings.Contains(l.Error, "want one for each message") {
				t.Errorf("got %+v", l)
			}
		}
	})
}

// Start reports invalid options of streams and their receivers.
func TestStreamStartErrors(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.wrong")
	fn := func(context.Context, []mono.Message[job]) error { return nil }
	for want, bind := range map[string]func(*mono.Scope){
		"BatchSize(0): want 1 to":       func(sc *mono.Scope) { s.HandleBatch(sc, fn, mono.BatchSize(0)) },
		"BatchSize(10001): want 1":      func(sc *mono.Scope) { s.HandleBatch(sc, fn, mono.BatchSize(10_001)) },
		"declare it with KeyedBy":       func(sc *mono.Scope) { s.Handle(sc, nothing, mono.Keys("a")) },
		"is handled by nil":             func(sc *mono.Scope) { s.HandleBatch(sc, nil) },
		"declared with MaxPerKey":       func(sc *mono.Scope) { sc.Use(mono.NewStream[job]("stream.no-key", mono.MaxPerKey(2))) },
		"or Partitions, but has no key": func(sc *mono.Scope) { sc.Use(mono.NewStream[job]("stream.no-key", mono.Partitions(2))) },
	} {
		app := backend{connect: inprocBackend(t)}.app(t, module("m", bind))
		if err := app.Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		_ = app.Stop(context.Background())
	}
}

// Retention limits remove the oldest messages.
func TestStreamRetention(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s    mono.Stream[job]
		want string
	}{
		"messages": {mono.NewStream[job]("retention.messages", mono.MaxMessages(3)).KeyedBy(job.key), "[7 8 9]"},
		"per key":  {mono.NewStream[job]("retention.keys", mono.MaxPerKey(2)).KeyedBy(job.key), "[6 7 8 9]"},
		"bytes":    {mono.NewStream[job]("retention.bytes", mono.MaxBytes(700)).KeyedBy(job.key), ""},
		"age":      {mono.NewStream[job]("retention.age", mono.MaxAge(500*time.Millisecond)).KeyedBy(job.key), "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			onBackends(t, func(t *testing.T, b backend) {
				app := b.start(t)
				for n := range 10 {
					if err := c.s.Append(t.Context(), app, job{N: n, Key: fmt.Sprint(n % 2)}); err != nil {
						t.Fatal(err)
					}
				}
				read := func() (got []int) {
					for m, err := range c.s.Read(t.Context(), app) {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, m.Value.N)
					}
					return got
				}
				got := read()
				for name == "age" && len(got) > 0 {
					got = read()
				}
				if name == "bytes" && len(got) > 0 && len(got) < 10 && got[len(got)-1] == 9 {
					return // the number that fits depends on the backend
				}
				if fmt.Sprint(got) != c.want {
					t.Errorf("got %v, want %s", got, c.want)
				}
			})
		})
	}
}

// The partitions of an existing stream cannot be changed. Other options can.
func TestStreamChangedOptions(t *testing.T) {
	t.Parallel()
	declare := func(opts ...mono.StreamOption) mono.Stream[job] {
		return mono.NewStream[job]("stream.changed", opts...).KeyedBy(job.key)
	}
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		b.within(t, func(*mono.App) {}, consumer("c", declare(mono.Partitions(4)), got, succeed))
		b.within(t, func(app *mono.App) {
			for n := range 10 {
				if err := declare(mono.Partitions(4), mono.MaxMessages(5)).Append(t.Context(), app, job{N: n, Key: "a"}); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for range declare(mono.Partitions(4), mono.MaxMessages(5)).Read(t.Context(), app) {
				n++
			}
			if n != 5 {
				t.Errorf("%d messages are kept, want 5", n)
			}
		}, consumer("c", declare(mono.Partitions(4), mono.MaxMessages(5)), make(chan handled, 10), succeed))
		app := b.app(t, consumer("c", declare(mono.Partitions(8)), got, succeed))
		err := app.Start(t.Context())
		if mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), "Partitions") || !strings.Contains(err.Error(), "4") || !strings.Contains(err.Error(), "8") {
			t.Errorf("got %v", err)
		}
		_ = app.Stop(context.Background())
	})
}

// A binary of an older generation does not change the options of a stream.
func TestStreamOlderBinaryChangesNothing(t *testing.T) {
	t.Parallel()
	declare := func(kept uint64) mono.Stream[job] {
		return mono.NewStream[job]("stream.versions", mono.MaxMessages(kept), mono.Unordered())
	}
	onBackends(t, func(t *testing.T, b backend) {
		start := func(generation, kept uint64) *mono.App {
			app := mono.New(b.connect(), quiet(t), mono.Generation(generation))
			app.Add(consumer("c", declare(kept), make(chan handled, 100), succeed))
			begin(t, app)
			return app
		}
		for _, c := range []struct {
			generation, declared uint64
			kept                 int
		}{{1, 5, 5}, {2, 3, 3}, {1, 5, 3}, {2, 4, 4}} {
			app, s, n := start(c.generation, c.declared), declare(c.declared), 0
			for i := range 10 {
				if err := s.Append(t.Context(), app, job{N: i}); err != nil {
					t.Fatal(err)
				}
			}
			for range s.Read(t.Context(), app) {
				n++
			}
			if n != c.kept {
				t.Errorf("generation %d, which declares %d: %d messages are kept, want %d", c.generation, c.declared, n, c.kept)
			}
		}
	})
}

// If the group of a stream is deleted, its module becomes unhealthy, and other groups still
// receive messages.
func TestStreamGroupDeletedWhileRunning(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("stream.vanished")
	onBackends(t, func(t *testing.T, b backend) {
		got, lost := make(chan handled, 10), make(chan mono.GroupLost, 10)
		app := b.app(t, consumer("gone", s, make(chan handled, 10), succeed), consumer("stays", s, got, succeed))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if g, ok := o.(mono.GroupLost); ok {
				lost <- g
			}
		}))
		begin(t, app)
		if err := mono.DeleteGroup(t.Context(), b.start(t), s, "gone", mono.Force()); err != nil {
			t.Fatal(err)
		}
		if g := next(t, lost); g.Module != "gone" || g.Group != "gone" || g.Handle.Name() != s.Name() || mono.CodeOf(g.Err) != mono.NotFound {
			t.Errorf("got %+v", g)
		}
		h := app.Health(t.Context())
		for h.Healthy {
			h = app.Health(t.Context())
		}
		if c := h.Modules["gone"]; c.Healthy || !strings.Contains(c.Message, `"gone" is gone`) || !strings.Contains(c.Message, "restart the App") {
			t.Errorf("the health is %+v", c)
		}
		if err := s.Append(t.Context(), app, job{N: 7}); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != 7 {
			t.Errorf("got %+v", h)
		}
		if !app.Health(t.Context()).Modules["stays"].Healthy {
			t.Error("the other module is not healthy")
		}
	})
}
