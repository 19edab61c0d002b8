package mono_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// A dead letter can be read, edited, discarded and replayed to the group of its message.
// A second replay or edit of the same dead letter is not found.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.life", mono.Groups("bad", "good"), mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Millisecond)))
	onBackends(t, func(t *testing.T, b backend) {
		bad, good := make(chan handled, 100), make(chan handled, 100)
		app := b.start(t, worker("bad", q, bad, func(h handled) error {
			if h.N < 100 {
				return mono.Errorf(mono.NotFound, "no %d\nat all", h.N)
			}
			return nil
		}), worker("good", q, good, succeed))
		dl := q.DeadLetters(app)
		for n := range 3 {
			if err := q.With(mono.Header("Tenant", "t"), mono.DedupID(string(rune('a'+n)))).Enqueue(t.Context(), app, job{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		all := awaitDeadLetters(t, dl, 3)
		for range 3 {
			next(t, good)
			next(t, bad)
			next(t, bad)
		}
		slices.SortFunc(all, func(a, b mono.DeadLetter[job]) int { return strings.Compare(a.ID, b.ID) })
		if l := all[0]; l.ID != "a" || l.Group != "bad" || l.Code != mono.NotFound || l.Error != "not_found: no 0\nat all" || l.Header.Get("Tenant") != "t" || string(l.Body) != `{"n":0}` {
			t.Errorf("got %+v", l)
		}
		if got := listDeadLetters(t, dl, mono.DeadLetterFilter{ID: "b", Group: "bad", Reason: mono.ReasonAttempts}); len(got) != 1 || got[0].ID != "b" {
			t.Errorf("got %+v", got)
		}
		if got := listDeadLetters(t, dl, mono.DeadLetterFilter{Group: "good"}); len(got) != 0 {
			t.Errorf("got %+v", got)
		}

		// An unchanged message fails again and becomes a dead letter at a new position.
		if err := dl.Replay(t.Context(), all[0]); err != nil {
			t.Fatal(err)
		}
		if h := next(t, bad); h.N != 0 || h.attempt != 1 || h.id != "a" {
			t.Errorf("replayed: %+v", h)
		}
		next(t, bad)
		if err := dl.Replay(t.Context(), all[0]); mono.CodeOf(err) != mono.NotFound {
			t.Errorf("a second replay: %v", err)
		}

		// An edited dead letter is handled.
		edited, err := dl.Edit(t.Context(), all[1], job{N: 101})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dl.Edit(t.Context(), all[1], job{N: 102}); mono.CodeOf(err) != mono.NotFound {
			t.Errorf("a second edit: %v", err)
		}
		if err := dl.Replay(t.Context(), edited); err != nil {
			t.Fatal(err)
		}
		if h := next(t, bad); h.N != 101 || h.id != "b" {
			t.Errorf("replayed: %+v", h)
		}

		for range 2 {
			if err := dl.Discard(t.Context(), all[2]); err != nil {
				t.Errorf("discard: %v", err)
			}
		}
		if left := awaitDeadLetters(t, dl, 1); len(left) != 1 || left[0].ID != "a" {
			t.Errorf("left: %+v", left)
		}
		if n, err := dl.DiscardAll(t.Context(), mono.DeadLetterFilter{}); n != 1 || err != nil {
			t.Errorf("DiscardAll: %d, %v", n, err)
		}
		none(t, good) // a replay reaches only the group of the dead letter
	})
}

// An undecodable message becomes a dead letter at its first attempt, does not delay other
// messages, and can be edited and replayed.
func TestUndecodableMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.undecodable")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		for _, m := range []*transport.Message{
			{Body: []byte(`{"n":`)},
			{Body: []byte(`{"n":1}`), Header: transport.Header{{Name: "Content-Type", Value: "text/poetry"}}},
			{Body: []byte(`{"n":2}`)},
		} {
			m.Subject = "queues.failed.undecodable"
			if err := mono.Raw(app).Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if h := next(t, got); h.N != 2 {
			t.Errorf("got %+v", h)
		}
		dl := q.DeadLetters(app)
		for _, l := range awaitDeadLetters(t, dl, 2) {
			if l.Reason != mono.ReasonUndecodable || l.Attempts != 1 || l.Code != mono.InvalidArgument {
				t.Errorf("got %+v", l)
			}
			if string(l.Body) == `{"n":` {
				if _, err := l.Value(); mono.CodeOf(err) != mono.InvalidArgument {
					t.Errorf("got %v", err)
				}
			}
			edited, err := dl.Edit(t.Context(), l, job{N: 9})
			if err == nil {
				err = dl.Replay(t.Context(), edited)
			}
			if err != nil {
				t.Fatal(err)
			}
			if h := next(t, got); h.N != 9 || h.attempt != 1 {
				t.Errorf("got %+v", h)
			}
		}
	})
}

// A replay to a deleted group fails, because the message would be lost.
func TestReplayToADeletedGroup(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("failed.gone")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		b.within(t, func(app *mono.App) {
			if err := s.Append(t.Context(), app, job{}); err != nil {
				t.Fatal(err)
			}
			awaitDeadLetters(t, s.DeadLetters(app), 1)
			if err := mono.DeleteGroup(t.Context(), app, s, "c"); mono.CodeOf(err) != mono.FailedPrecondition {
				t.Errorf("a group in use was deleted: %v", err)
			}
		}, consumer("c", s, got, func(handled) error { return mono.Permanent(nil) }))
		var unused []string
		app := b.app(t, consumer("d", s, got, succeed))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if g, ok := o.(mono.GroupUnused); ok {
				unused = append(unused, g.Group)
			}
		}))
		begin(t, app)
		if !slices.Equal(unused, []string{"c"}) {
			t.Errorf("unused groups: %q", unused)
		}
		if err := mono.DeleteGroup(t.Context(), app, s, "c"); err != nil {
			t.Fatal(err)
		}
		if err := mono.DeleteGroup(t.Context(), app, s, "c"); mono.CodeOf(err) != mono.NotFound {
			t.Errorf("a second time: %v", err)
		}
		dl := s.DeadLetters(app)
		l := listDeadLetters(t, dl, mono.DeadLetterFilter{})[0]
		if err := dl.Replay(t.Context(), l); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), `"c"`) {
			t.Errorf("got %v", err)
		}
		if err := dl.Discard(t.Context(), l); err != nil {
			t.Error(err)
		}
	})
}

// DeadLetters returns errors for a handle that is not stored, a zero dead letter, an invalid
// group and an App that has not started.
func TestDeadLettersErrors(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.use")
	app := backend{connect: inprocBackend(t)}.start(t)
	for _, err := range announced.DeadLetters(app).List(t.Context(), mono.DeadLetterFilter{}) {
		if mono.CodeOf(err) != mono.FailedPrecondition {
			t.Errorf("got %v", err)
		}
	}
	if err := q.DeadLetters(app).Replay(t.Context(), mono.DeadLetter[job]{}); mono.CodeOf(err) != mono.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if _, err := new(mono.DeadLetter[job]).Value(); mono.CodeOf(err) != mono.FailedPrecondition {
		t.Errorf("got %v", err)
	}
	for _, err := range q.DeadLetters(app).List(t.Context(), mono.DeadLetterFilter{Group: "a.b"}) {
		if mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("got %v", err)
		}
	}
	stopped := mono.New(inprocBackend(t)(), quiet(t))
	for _, err := range q.DeadLetters(stopped).List(t.Context(), mono.DeadLetterFilter{}) {
		if mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("got %v", err)
		}
	}
	if err := stopped.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// A durable event waits for a subscriber that has run before and is not running now. It is
// retried and dead-lettered like a job.
func TestDurableEvent(t *testing.T) {
	t.Parallel()
	e := mono.NewEvent[job]("failed.event", mono.Durable(), mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Millisecond))).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		subscriber := func(do func(handled) error) mono.Module {
			return module("subscriber", func(s *mono.Scope) {
				e.Handle(s, func(ctx context.Context, j job) error {
					h := handled{j, mono.CallFrom(ctx).Attempt(), mono.CallFrom(ctx).Key()}
					got <- h
					return do(h)
				})
			})
		}
		b.within(t, func(app *mono.App) {
			if err := e.Publish(t.Context(), app, job{N: 1, Key: "k"}); err != nil { // before the first subscriber
				t.Fatal(err)
			}
		})
		b.within(t, func(*mono.App) {}, subscriber(succeed))
		none(t, got)
		b.within(t, func(app *mono.App) {
			for n := range 2 {
				if err := e.Publish(t.Context(), app, job{N: 2 + n, Key: "k"}); err != nil {
					t.Fatal(err)
				}
			}
		})
		app := b.start(t, subscriber(func(h handled) error {
			if h.N == 2 {
				return errors.New("no")
			}
			return nil
		}))
		count := make(map[int]int)
		for range 3 {
			h := next(t, got)
			count[h.N]++
			if h.id != "k" {
				t.Errorf("the key is %q", h.id)
			}
		}
		if count[2] != 2 || count[3] != 1 {
			t.Errorf("got %v", count)
		}
		if l := awaitDeadLetters(t, e.DeadLetters(app), 1); l[0].Group != "subscriber" || l[0].Key != "k" {
			t.Errorf("got %+v", l)
		}
		if n, err := e.DeadLetters(app).ReplayAll(t.Context(), mono.DeadLetterFilter{}); n != 1 || err != nil {
			t.Errorf("ReplayAll: %d, %v", n, err)
		}
		if h := next(t, got); h.N != 2 || h.attempt != 1 || h.id != "k" {
			t.Errorf("got %+v", h)
		}
	})
}

// Every message that a plain client can store also fits a dead letter, so it does not
// delay other messages. A larger message is not stored.
func TestEveryStoredMessageFitsADeadLetter(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("failed.large")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, consumer("c", s, got, succeed))
		limit := mono.Raw(app).Capabilities().MaxPayload
		if limit == 0 {
			limit = 1 << 20
		}
		header := func(name, value string) transport.Header { return transport.Header{{Name: name, Value: value}} }
		for _, m := range []*transport.Message{
			{Body: bytes.Repeat([]byte("x"), limit)},
			{Body: bytes.Repeat([]byte("x"), limit-4<<10)},
			{Body: []byte("x"), Header: header("Large", strings.Repeat("x", 55<<10))},
			{Body: []byte("x"), Header: header("Large", strings.Repeat("x", 63<<10))},
			{Body: []byte("x"), Header: header("Mono-Id", strings.Repeat("x", 1000))},
		} {
			m.Subject = "streams.failed.large"
			if err := mono.Raw(app).Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(t.Context(), app, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != 1 {
			t.Errorf("got %+v", h)
		}
		largest := 0
		for _, l := range listDeadLetters(t, s.DeadLetters(app), mono.DeadLetterFilter{}) {
			if l.Reason != mono.ReasonUndecodable {
				t.Errorf("got %s, %s", l.Reason, l.Error)
			}
			largest = max(largest, len(l.Body))
		}
		if largest != limit-4<<10 {
			t.Errorf("the largest body of a dead letter has %d bytes, want %d", largest, limit-4<<10)
		}
	})
}

// A job whose last attempt ended with an unknown outcome is not tried again. It becomes a
// dead letter.
func TestUnknownOutcomeIsDeadLettered(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.unknown", mono.MaxAttempts(1), mono.AckWait(time.Second))
	onBackends(t, func(t *testing.T, b backend) {
		begun, release := make(chan job, 10), make(chan struct{})
		t.Cleanup(func() { close(release) })
		hung := b.app(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, func(_ context.Context, j job) error {
				begun <- j
				<-release // regardless of its context
				return nil
			})
		}))
		if err := hung.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := q.Enqueue(t.Context(), hung, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		next(t, begun)
		die(mono.Raw(hung))
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		l := awaitDeadLetters(t, q.DeadLetters(app), 1)[0]
		if l.Reason != mono.ReasonOutcomeUnknown || l.Attempts != 2 || !strings.Contains(l.Error, "outcome of attempt 1") {
			t.Errorf("got %+v", l)
		}
		none(t, got)
		if err := q.DeadLetters(app).Replay(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if h := next(t, got); h.N != 1 || h.attempt != 1 {
			t.Errorf("got %+v", h)
		}
	})
}

// noDeadLetters is a transport that refuses to open logs of dead letters at first.
type noDeadLetters struct {
	transport.Transport
	refuse *atomic.Int64 // number of refusals left
}

func (n noDeadLetters) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if strings.HasSuffix(c.Name, "__dead") && n.refuse.Add(-1) >= 0 {
		return nil, mono.Errorf(mono.PermissionDenied, "no dead letters here")
	}
	return n.Transport.Log(ctx, c)
}

// A message whose dead letter cannot be stored is redelivered until it can.
func TestDeadLetterThatCannotBeStored(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.refused")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		var refuse atomic.Int64
		refuse.Store(1)
		app := mono.New(noDeadLetters{b.connect(), &refuse}, quiet(t))
		app.Add(worker("worker", q, got, func(handled) error { return mono.Permanent(errors.New("hopeless")) }))
		begin(t, app)
		if err := q.Enqueue(t.Context(), app, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		if a, z := next(t, got), next(t, got); a.attempt != 1 || z.attempt != 2 {
			t.Errorf("got %+v and %+v", a, z)
		}
		if l := awaitDeadLetters(t, q.DeadLetters(app), 1)[0]; l.Reason != mono.ReasonPermanent || l.Attempts != 2 {
			t.Errorf("got %+v", l)
		}
	})
}

// If the log of dead letters is deleted while an App runs, it is recreated. Replays from
// the new log are distinguished from replays from the old one. If the log of the queue is
// deleted, the dead letters are kept until it is recreated.
func TestDeletedLogOfDeadLettersIsRecreated(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.deleted", mono.MaxAttempts(1))
	b := backend{"nats", natsBackend(t)}
	js := newNATSTools(t, b).js
	got := make(chan handled, 10)
	app := b.start(t, worker("worker", q, got, func(h handled) error { return mono.Permanent(nil) }))
	dl := q.DeadLetters(app)
	for n := range 2 {
		if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
			t.Fatal(err)
		}
		next(t, got)
		if l := awaitDeadLetters(t, dl, 1); l[0].Reason != mono.ReasonPermanent {
			t.Errorf("got %+v", l)
		}
		if n, err := dl.ReplayAll(t.Context(), mono.DeadLetterFilter{}); n != 1 || err != nil {
			t.Fatalf("replayed %d, %v", n, err)
		}
		if h := next(t, got); h.N != n {
			t.Errorf("got %+v", h)
		}
		awaitDeadLetters(t, dl, 1)
		if n == 0 {
			if err := js.DeleteStream(t.Context(), "queues_failed_deleted__dead"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := js.DeleteStream(t.Context(), "queues_failed_deleted"); err != nil {
		t.Fatal(err)
	}
	await(t, "the dead letter is replayed", func() bool {
		n, err := dl.ReplayAll(t.Context(), mono.DeadLetterFilter{})
		if err != nil && len(listDeadLetters(t, dl, mono.DeadLetterFilter{})) != 1 {
			t.Errorf("the dead letter is lost: %v", err)
		}
		return n == 1
	})
	next(t, got)
	awaitDeadLetters(t, dl, 1)
	if err := js.DeleteStream(t.Context(), "queues_failed_deleted__dead"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if left := listDeadLetters(t, dl, mono.DeadLetterFilter{}); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// A dead letter that is stored late has the error of the last attempt.
func TestDeadLetterStoredLateKeepsItsError(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.late", mono.MaxAttempts(1))
	s := mono.NewStream[job]("failed.late", mono.MaxAttempts(1))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		var refuse atomic.Int64
		refuse.Store(2)
		app := mono.New(noDeadLetters{b.connect(), &refuse}, quiet(t))
		app.Add(worker("worker", q, got, func(handled) error { return mono.Errorf(mono.NotFound, "no such mailbox") }), module("batches", func(sc *mono.Scope) {
			sc.Use(s)
			s.HandleBatch(sc, func(context.Context, []mono.Message[job]) error { return errors.New("no such ledger") }, mono.BatchSize(1))
		}))
		begin(t, app)
		if err := errors.Join(q.Enqueue(t.Context(), app, job{N: 1}), s.Append(t.Context(), app, job{N: 1})); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for refuse.Load() > 0 { // listing dead letters also opens their log
			<-tick.C
		}
		for error, dl := range map[string]mono.DeadLetters[job]{"no such mailbox": q.DeadLetters(app), "no such ledger": s.DeadLetters(app)} {
			if l := awaitDeadLetters(t, dl, 1)[0]; l.Reason != mono.ReasonAttempts || !strings.Contains(l.Error, error) || l.Attempts != 2 {
				t.Errorf("got %+v", l)
			}
		}
		next(t, got)
		none(t, got)
	})
}

// A dead letter must match every field of a filter.
func TestDeadLetterFilter(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("failed.filter").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, consumer("c", s, got, func(h handled) error {
			if h.N == 1 {
				return mono.Permanent(mono.Errorf(mono.DataLoss, "hopeless"))
			}
			return mono.Permanent(nil)
		}))
		for n, key := range []string{"a", "b", "b"} {
			if err := s.With(mono.DedupID(fmt.Sprint("id", n))).Append(t.Context(), app, job{N: n, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		dl := s.DeadLetters(app)
		all := awaitDeadLetters(t, dl, 3)
		for want, filter := range map[string]mono.DeadLetterFilter{
			"id0 id1 id2": {Group: "c", Reason: mono.ReasonPermanent},
			"id1 id2":     {Key: "b"},
			"id1":         {Code: mono.DataLoss},
			"id2":         {Key: "b", ID: "id2"},
			"":            {Reason: mono.ReasonAttempts},
		} {
			var ids []string
			for _, l := range listDeadLetters(t, dl, filter) {
				ids = append(ids, l.ID)
			}
			slices.Sort(ids)
			if strings.Join(ids, " ") != want {
				t.Errorf("%+v: got %v, want %s", filter, ids, want)
			}
		}
		last := all[len(all)-1].DeadLettered
		after, before := listDeadLetters(t, dl, mono.DeadLetterFilter{After: last}), listDeadLetters(t, dl, mono.DeadLetterFilter{Before: last})
		if len(after) == 0 || len(after)+len(before) != 3 {
			t.Errorf("%d dead letters at %v or later, %d earlier, want 3 together", len(after), last, len(before))
		}
		if n, err := dl.DiscardAll(t.Context(), mono.DeadLetterFilter{Key: "b"}); n != 2 || err != nil {
			t.Errorf("DiscardAll: %d, %v", n, err)
		}
		if left := listDeadLetters(t, dl, mono.DeadLetterFilter{}); len(left) != 1 || left[0].ID != "id0" {
			t.Errorf("left: %+v", left)
		}
	})
}

// smallDeadLetters is a transport whose logs of dead letters reject messages above a limit.
type smallDeadLetters struct {
	transport.Transport
	limit int
}

func (s smallDeadLetters) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	l, err := s.Transport.Log(ctx, c)
	if err == nil && strings.HasSuffix(c.Name, "__dead") {
		l = smallLog{l, s.limit}
	}
	return l, err
}

type smallLog struct {
	transport.Log
	limit int
}

func (l smallLog) Append(ctx context.Context, m *transport.Message, o transport.AppendOptions) (transport.Appended, error) {
	if err := m.CheckSize(l.limit); err != nil {
		return transport.Appended{}, err
	}
	return l.Log.Append(ctx, m, o)
}

// If a dead letter is too large, its error text is cut. The header of its message is
// dropped only if that is not enough.
func TestOversizedDeadLetterIsTruncated(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.small")
	text := strings.Repeat("hopeless ", 200)
	onBackends(t, func(t *testing.T, b backend) {
		for _, c := range []struct {
			limit       int
			least, most int // bytes of the text
			header      bool
		}{
			{2000, 1000, 1024, true},
			{1200, 200, 260, true},
			{560, 10, 64, true},
			{470, 10, 64, false},
			{380, 0, 0, false},
		} {
			got := make(chan handled, 10)
			app := mono.New(smallDeadLetters{b.connect(), c.limit}, quiet(t))
			app.Add(worker("worker", q, got, func(handled) error { return mono.Permanent(errors.New(text)) }))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := q.With(mono.Header("Tenant", strings.Repeat("t", 100))).Enqueue(t.Context(), app, job{N: 1}); err != nil {
				t.Fatal(err)
			}
			l := awaitDeadLetters(t, q.DeadLetters(app), 1)[0]
			if v, err := l.Value(); err != nil || v.N != 1 || l.Reason != mono.ReasonPermanent || l.Code != mono.Unknown || l.Group != mono.DefaultGroup {
				t.Errorf("%d bytes: got %+v, %v", c.limit, l, err)
			}
			if n := len(l.Error); n < c.least || n > c.most || !strings.HasPrefix(text, l.Error) {
				t.Errorf("%d bytes: the text has %d bytes, want %d to %d: %s", c.limit, n, c.least, c.most, l.Error)
			}
			if has := l.Header.Has("Tenant"); has != c.header {
				t.Errorf("%d bytes: has the header of the message: %v", c.limit, has)
			}
			if err := q.DeadLetters(app).Discard(t.Context(), l); err != nil {
				t.Error(err)
			}
			if err := app.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}

// A header that leaves no room for the fields of a dead letter is rejected at the sender.
func TestHeaderTooLargeForADeadLetter(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.header", mono.MaxAttempts(1))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, func(handled) error { return errors.New(strings.Repeat("ü", 1000)) }))
		send := func(size int) error {
			return q.With(mono.Header("Large", strings.Repeat("x", size))).Enqueue(t.Context(), app, job{N: 1})
		}
		err := send(52 << 10)
		if mono.CodeOf(err) != mono.InvalidArgument || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), "at most 53248 can be stored") || !strings.Contains(err.Error(), "failed.header") {
			t.Errorf("got %v", err)
		}
		largest := 52<<10 - 200 // leaves room for the fields of mono
		if err := send(largest); err != nil {
			t.Fatal(err)
		}
		l := awaitDeadLetters(t, q.DeadLetters(app), 1)[0]
		if n := len(l.Header.Get("Large")); n != largest || len(l.Error) < 100 {
			t.Errorf("the dead letter has %d bytes of the header and the text %q", n, l.Error)
		}
	})
}

// A handler of stored messages may return a Failure itself: the dead letter is that of
// the failure with a zero value, for each kind.
func TestDeadLetterOfAFailureWithoutAValue(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("failed.bare-queue", mono.MaxAttempts(1))
	st := mono.NewStream[job]("failed.bare-stream", mono.MaxAttempts(1))
	batch := mono.NewStream[job]("failed.bare-batch", mono.MaxAttempts(1))
	e := mono.NewEvent[job]("failed.bare-event", mono.Durable(), mono.MaxAttempts(1))
	results := []error{short, short.With(shortage{}), mono.Permanent(short)}
	fail := func(_ context.Context, j job) error { return results[j.N] }
	onBackends(t, func(t *testing.T, b backend) {
		died := make(chan error, 100)
		app := b.app(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, fail)
			st.Handle(s, fail)
			e.Handle(s, fail)
			batch.HandleBatch(s, func(_ context.Context, all []mono.Message[job]) error {
				errs := make([]error, len(all))
				for i, m := range all {
					errs[i] = results[m.Value.N]
				}
				return mono.PerMessage(errs...)
			})
		}))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if d, ok := o.(mono.MessageDeadLettered); ok {
				died <- d.Err
			}
		}))
		begin(t, app)
		for n := range results {
			for _, send := range []func(context.Context, mono.Binder, job) error{q.Enqueue, st.Append, batch.Append, e.Publish} {
				if err := send(t.Context(), app, job{N: n}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, dl := range []mono.DeadLetters[job]{q.DeadLetters(app), st.DeadLetters(app), batch.DeadLetters(app), e.DeadLetters(app)} {
			for _, l := range awaitDeadLetters(t, dl, len(results)) {
				if l.Code != mono.FailedPrecondition || l.Error != "failed_precondition: test.short" {
					t.Errorf("the dead letter is %+v", l)
				}
			}
		}
		for range 4 * len(results) {
			err := next(t, died)
			if got, ok := short.Match(err); !ok || got != (shortage{}) || !errors.Is(err, short) {
				t.Errorf("observed %v", err)
			}
		}
	})
}
