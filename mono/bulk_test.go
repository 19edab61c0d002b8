package mono_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// failures returns the codes of the errors of many sends, "" for none.
func failures(errs []error) (codes []mono.Code) {
	for _, err := range errs {
		codes = append(codes, mono.CodeOf(err))
	}
	return codes
}

// numbered returns jobs with the numbers from 0 to n-1.
func numbered(n int) []job {
	all := make([]job, n)
	for i := range all {
		all[i] = job{N: i, Key: "k"}
	}
	return all
}

// numbersOf returns the numbers of the messages of a stream.
func numbersOf(t testing.TB, s mono.Stream[job], b mono.Binder) (all []int) {
	t.Helper()
	for m, err := range s.Read(t.Context(), b) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Value.N)
	}
	return all
}

// EnqueueAll and AppendAll store values in their order, more than can be in flight at once.
func TestAllKeepTheOrder(t *testing.T) {
	t.Parallel()
	const n = 2000
	q, s := mono.NewQueue[job]("all.queue"), mono.NewStream[job]("all.stream").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, n)
		app := b.start(t, worker("worker", q, got, succeed))
		if errs := q.EnqueueAll(t.Context(), app, numbered(n)...); errs != nil {
			t.Fatal(errors.Join(errs...))
		}
		if errs := s.AppendAll(t.Context(), app, numbered(n)...); errs != nil {
			t.Fatal(errors.Join(errs...))
		}
		for i := range n {
			if h := next(t, got); h.N != i {
				t.Fatalf("job %d is %d", i, h.N)
			}
		}
		for i, got := range numbersOf(t, s, app) {
			if got != i {
				t.Fatalf("message %d is %d", i, got)
			}
		}
	})
}

// The failure of one value has its place in the errors, and does not affect the others.
func TestAllReportEachError(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("all.errors").KeyedBy(job.key)
	full := mono.NewQueue[job]("all.full", mono.MaxPending(2))
	onBackends(t, func(t *testing.T, b backend) {
		app := b.start(t)
		values := numbered(5)
		values[1].Key, values[3].Key = "two words", ""
		errs := s.AppendAll(t.Context(), app, values...)
		if got := failures(errs); !slices.Equal(got, []mono.Code{"", mono.InvalidArgument, "", mono.InvalidArgument, ""}) {
			t.Errorf("got %v", errs)
		}
		if mono.OutcomeOf(errs[1]) != mono.OutcomeNotDone || !strings.Contains(errs[1].Error(), "stream all.errors") {
			t.Errorf("got %v", errs[1])
		}
		if got := numbersOf(t, s, app); !slices.Equal(got, []int{0, 2, 4}) {
			t.Errorf("stored %v", got)
		}
		if got := failures(full.EnqueueAll(t.Context(), app, numbered(4)...)); !slices.Equal(got, []mono.Code{"", "", mono.ResourceExhausted, mono.ResourceExhausted}) {
			t.Errorf("a full queue: got %v", got)
		}
	})
}

// Each value fails if the handle cannot be used, and none without values.
func TestAllOfAnUnusableHandle(t *testing.T) {
	t.Parallel()
	q, s := mono.NewQueue[job]("all.none"), mono.NewStream[job]("all.none")
	onBackends(t, func(t *testing.T, b backend) {
		var scope *mono.Scope
		app := b.app(t, module("stranger", func(sc *mono.Scope) { scope = sc }))
		if got := failures(s.AppendAll(t.Context(), app, numbered(2)...)); !slices.Equal(got, []mono.Code{mono.Unavailable, mono.Unavailable}) {
			t.Errorf("before the start: %v", got)
		}
		begin(t, app)
		if got := failures(q.EnqueueAll(t.Context(), scope, numbered(2)...)); !slices.Equal(got, []mono.Code{mono.FailedPrecondition, mono.FailedPrecondition}) {
			t.Errorf("an undeclared queue: %v", got)
		}
		if errs := q.EnqueueAll(t.Context(), app); errs != nil {
			t.Errorf("no values: %v", errs)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		errs := q.EnqueueAll(ctx, app, numbered(2)...)
		if got := failures(errs); !slices.Equal(got, []mono.Code{mono.Canceled, mono.Canceled}) || mono.OutcomeOf(errs[1]) != mono.OutcomeNotDone {
			t.Errorf("an ended context: %v", errs)
		}
		for id, want := range map[string]mono.Code{strings.Repeat("x", 256): mono.InvalidArgument, " x": mono.InvalidArgument, strings.Repeat("x", 254): ""} {
			if got := mono.CodeOf(errors.Join(q.With(mono.DedupID(id)).EnqueueAll(t.Context(), app, job{})...)); got != want {
				t.Errorf("an id of %d bytes: %v", len(id), got)
			}
		}
	})
}

// With a DedupID each value has its own id, so that the call can be repeated.
func TestAllWithDedupID(t *testing.T) {
	t.Parallel()
	q, s := mono.NewQueue[job]("all.dedup"), mono.NewStream[job]("all.dedup")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 20)
		app := b.start(t, worker("worker", q, got, succeed))
		for range 2 {
			if errs := q.With(mono.DedupID("day-7")).EnqueueAll(t.Context(), app, numbered(3)...); errs != nil {
				t.Error(errs)
			}
			if errs := s.With(mono.DedupID("day-7"), mono.Header("Tenant", "t1")).AppendAll(t.Context(), app, numbered(3)...); errs != nil {
				t.Error(errs)
			}
		}
		if err := q.Enqueue(t.Context(), app, job{N: 9}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"day-7#0", "day-7#1", "day-7#2"} {
			if h := next(t, got); h.N != i || h.id != want {
				t.Errorf("got %+v, want %d with the id %s", h, i, want)
			}
		}
		if h := next(t, got); h.N != 9 {
			t.Errorf("got %+v", h)
		}
		n := 0
		for m, err := range s.Read(t.Context(), app) {
			if err != nil || m.Value.N != n || m.ID != []string{"day-7#0", "day-7#1", "day-7#2"}[n] || m.Header.Get("Tenant") != "t1" {
				t.Errorf("message %d is %+v, %v", n, m, err)
			}
			n++
		}
		if n != 3 {
			t.Errorf("%d messages are stored", n)
		}
	})
}

// Options apply to each value.
func TestAllWithDelay(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("all.later")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		began := time.Now()
		if errs := q.With(mono.Delay(300*time.Millisecond)).EnqueueAll(t.Context(), app, numbered(3)...); errs != nil {
			t.Fatal(errs)
		}
		seen := 0
		for range 3 {
			seen += 1 << next(t, got).N
		}
		if took := time.Since(began); seen != 7 || took < 300*time.Millisecond {
			t.Errorf("got the jobs %b after %v", seen, took)
		}
	})
}

// A NonPersistent queue sends one job after another.
func TestAllOfANonPersistentQueue(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("all.non-persistent", mono.NonPersistent())
	onBackends(t, func(t *testing.T, b backend) {
		sender := b.start(t)
		if got := failures(q.EnqueueAll(t.Context(), sender, numbered(2)...)); !slices.Equal(got, []mono.Code{mono.Unavailable, mono.Unavailable}) {
			t.Errorf("without a worker: %v", got)
		}
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		if errs := q.EnqueueAll(t.Context(), app, numbered(3)...); errs != nil {
			t.Error(errs)
		}
		for i := range 3 {
			if h := next(t, got); h.N != i {
				t.Errorf("job %d is %d", i, h.N)
			}
		}
	})
}

// The result of middleware is the result of its value: also if it does not send the value, or
// fails after it has sent it.
func TestAllWithMiddleware(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("all.middleware")
	onBackends(t, func(t *testing.T, b backend) {
		app := b.app(t)
		app.Use(around(func(ctx context.Context, c *mono.Call, next mono.Next) error {
			switch c.Payload().(job).N {
			case 1:
				return nil
			case 2:
				err := next(ctx, c)
				audited := s.AppendAll(ctx, app, job{N: 10}) // after that the first one is acknowledged too
				return errors.Join(err, errors.Join(audited...), errors.New("not audited"))
			case 3:
				return mono.Errorf(mono.PermissionDenied, "not today")
			case 4:
				return errors.Join(next(ctx, c), next(ctx, c))
			}
			return next(ctx, c)
		}))
		begin(t, app)
		errs := s.AppendAll(t.Context(), app, numbered(6)...)
		if got := failures(errs); !slices.Equal(got, []mono.Code{"", "", mono.Unknown, mono.PermissionDenied, "", ""}) {
			t.Errorf("got %v", errs)
		}
		if got := numbersOf(t, s, app); !slices.Equal(got, []int{0, 2, 10, 4, 5}) {
			t.Errorf("stored %v", got)
		}
	})
}

// unacknowledged is a transport whose asynchronous appends have no result until release is
// closed. Then those of odd numbers are in doubt. Each append is counted in begun.
type unacknowledged struct {
	transport.Transport
	release chan bool
	begun   chan bool
}

func (u unacknowledged) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := u.Transport.Log(ctx, c)
	return unacknowledgedLog{l, u.release, u.begun}, err
}

type unacknowledgedLog struct {
	transport.Log
	release chan bool
	begun   chan bool
}

func (l unacknowledgedLog) AppendAsync(ctx context.Context, m *transport.Message, o transport.AppendOptions, done func(transport.Appended, error)) error {
	odd := strings.Contains(string(m.Body), `"n":1`)
	defer func() { l.begun <- true }()
	return l.Log.AppendAsync(ctx, m, o, func(at transport.Appended, err error) {
		<-l.release
		if odd {
			err = transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "the acknowledgement is lost")
		}
		done(at, err)
	})
}

// If ctx ends before an acknowledgement arrives, or the acknowledgement is lost, the outcome
// is unknown. Results that arrive later change nothing.
func TestAllWithoutAcknowledgement(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("all.lost")
	onBackends(t, func(t *testing.T, b backend) {
		release, begun := make(chan bool), make(chan bool, 100)
		app := mono.New(unacknowledged{b.connect(), release, begun}, quiet(t))
		begin(t, app)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range 3 {
				<-begun
			}
			cancel()
		}()
		errs := s.AppendAll(ctx, app, numbered(3)...)
		want := []mono.Code{mono.Canceled, mono.Canceled, mono.Canceled}
		check := func() {
			t.Helper()
			if !slices.Equal(failures(errs), want) || mono.OutcomeOf(errs[2]) != mono.OutcomeUnknown || !strings.Contains(errs[2].Error(), "stream all.lost") {
				t.Errorf("got %v", errs)
			}
		}
		check()
		close(release)
		again := s.With(mono.DedupID("again"))
		for range 2 {
			lost := again.AppendAll(t.Context(), app, numbered(3)...)
			if got := failures(lost); !slices.Equal(got, []mono.Code{"", mono.Unavailable, ""}) || mono.OutcomeOf(lost[1]) != mono.OutcomeUnknown {
				t.Errorf("got %v", lost)
			}
		}
		check()
		if got := numbersOf(t, s, app); !slices.Equal(got, []int{0, 1, 2, 0, 1, 2}) {
			t.Errorf("stored %v", got)
		}
	})
}
