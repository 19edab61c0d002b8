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

// A letter can be read, mended and replayed to the group that gave its message up,
// and each step can be repeated.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.life", mono.Groups("bad", "good"), mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Millisecond)))
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
		all := awaitLetters(t, dl, 3)
		for range 3 {
			next(t, good)
			next(t, bad)
			next(t, bad)
		}
		slices.SortFunc(all, func(a, b mono.Letter[job]) int { return strings.Compare(a.ID, b.ID) })
		if l := all[0]; l.ID != "a" || l.Group != "bad" || l.Code != mono.NotFound || l.Error != "not_found: no 0\nat all" || l.Header.Get("Tenant") != "t" || string(l.Body) != `{"n":0}` {
			t.Errorf("got %+v", l)
		}
		if got := letters(t, dl, mono.LetterFilter{ID: "b", Group: "bad", Reason: mono.ReasonAttempts}); len(got) != 1 || got[0].ID != "b" {
			t.Errorf("got %+v", got)
		}
		if got := letters(t, dl, mono.LetterFilter{Group: "good"}); len(got) != 0 {
			t.Errorf("got %+v", got)
		}

		// A replay as it is dies again, under a new position.
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

		// One that was mended is done.
		mended, err := dl.Edit(t.Context(), all[1], job{N: 101})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dl.Edit(t.Context(), all[1], job{N: 102}); mono.CodeOf(err) != mono.NotFound {
			t.Errorf("an edit of what was edited: %v", err)
		}
		if err := dl.Replay(t.Context(), mended); err != nil {
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
		if left := awaitLetters(t, dl, 1); len(left) != 1 || left[0].ID != "a" {
			t.Errorf("left: %+v", left)
		}
		if n, err := dl.DiscardAll(t.Context(), mono.LetterFilter{}); n != 1 || err != nil {
			t.Errorf("DiscardAll: %d, %v", n, err)
		}
		none(t, good) // a replay is for the group that gave up
	})
}

// What cannot be decoded is a letter at once, holds up nobody, and can be mended.
func TestUndecodableIsALetter(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.undecodable")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, succeed))
		for _, m := range []*transport.Message{
			{Body: []byte(`{"n":`)},
			{Body: []byte(`{"n":1}`), Header: transport.Header{{Name: "Content-Type", Value: "text/poetry"}}},
			{Body: []byte(`{"n":2}`)},
		} {
			m.Subject = "queues.letters.undecodable"
			if err := mono.Raw(app).Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if h := next(t, got); h.N != 2 {
			t.Errorf("got %+v", h)
		}
		dl := q.DeadLetters(app)
		for _, l := range awaitLetters(t, dl, 2) {
			if l.Reason != mono.ReasonUndecodable || l.Attempts != 1 || l.Code != mono.InvalidArgument {
				t.Errorf("got %+v", l)
			}
			if string(l.Body) == `{"n":` {
				if _, err := l.Value(); mono.CodeOf(err) != mono.InvalidArgument {
					t.Errorf("got %v", err)
				}
			}
			mended, err := dl.Edit(t.Context(), l, job{N: 9})
			if err == nil {
				err = dl.Replay(t.Context(), mended)
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

// A replay to a group that is gone would be lost.
func TestReplayToAGroupThatIsGone(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("letters.gone")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		b.within(t, func(app *mono.App) {
			if err := s.Append(t.Context(), app, job{}); err != nil {
				t.Fatal(err)
			}
			awaitLetters(t, s.DeadLetters(app), 1)
			if err := mono.Retire(t.Context(), app, s, "c"); mono.CodeOf(err) != mono.FailedPrecondition {
				t.Errorf("a group in use was retired: %v", err)
			}
		}, consumer("c", s, got, func(handled) error { return mono.Drop(nil) }))
		var abandoned []string
		app := b.app(t, consumer("d", s, got, succeed))
		app.Observe(mono.ObserverFunc(func(o mono.Observation) {
			if g, ok := o.(mono.GroupAbandoned); ok {
				abandoned = append(abandoned, g.Group)
			}
		}))
		begin(t, app)
		if !slices.Equal(abandoned, []string{"c"}) {
			t.Errorf("abandoned groups: %q", abandoned)
		}
		if err := mono.Retire(t.Context(), app, s, "c"); err != nil {
			t.Fatal(err)
		}
		if err := mono.Retire(t.Context(), app, s, "c"); mono.CodeOf(err) != mono.NotFound {
			t.Errorf("a second time: %v", err)
		}
		dl := s.DeadLetters(app)
		l := letters(t, dl, mono.LetterFilter{})[0]
		if err := dl.Replay(t.Context(), l); mono.CodeOf(err) != mono.FailedPrecondition || !strings.Contains(err.Error(), `"c"`) {
			t.Errorf("got %v", err)
		}
		if err := dl.Discard(t.Context(), l); err != nil {
			t.Error(err)
		}
	})
}

// Handles that are not stored have no dead letters, and a letter of nobody's is
// none.
func TestDeadLettersBadUse(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.use")
	app := backend{connect: inprocBackend(t)}.start(t)
	for _, err := range told.DeadLetters(app).List(t.Context(), mono.LetterFilter{}) {
		if mono.CodeOf(err) != mono.FailedPrecondition {
			t.Errorf("got %v", err)
		}
	}
	if err := q.DeadLetters(app).Replay(t.Context(), mono.Letter[job]{}); mono.CodeOf(err) != mono.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if _, err := new(mono.Letter[job]).Value(); mono.CodeOf(err) != mono.FailedPrecondition {
		t.Errorf("got %v", err)
	}
	for _, err := range q.DeadLetters(app).List(t.Context(), mono.LetterFilter{Group: "a.b"}) {
		if mono.CodeOf(err) != mono.InvalidArgument {
			t.Errorf("got %v", err)
		}
	}
	stopped := mono.New(inprocBackend(t)(), quiet(t))
	for _, err := range q.DeadLetters(stopped).List(t.Context(), mono.LetterFilter{}) {
		if mono.CodeOf(err) != mono.Unavailable {
			t.Errorf("got %v", err)
		}
	}
	if err := stopped.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// A durable event is there for a module that was away, and fails like a job.
func TestDurableEvent(t *testing.T) {
	t.Parallel()
	e := mono.NewEvent[job]("letters.event", mono.Durable(), mono.MaxAttempts(2), mono.Backoff(mono.Constant(time.Millisecond))).KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		hears := func(do func(handled) error) mono.Module {
			return module("hearer", func(s *mono.Scope) {
				e.Handle(s, func(ctx context.Context, j job) error {
					h := handled{j, mono.CallFrom(ctx).Attempt(), mono.CallFrom(ctx).Key()}
					got <- h
					return do(h)
				})
			})
		}
		b.within(t, func(app *mono.App) {
			if err := e.Publish(t.Context(), app, job{N: 1, Key: "k"}); err != nil { // nobody has ever listened
				t.Fatal(err)
			}
		})
		b.within(t, func(*mono.App) {}, hears(succeed))
		none(t, got)
		b.within(t, func(app *mono.App) {
			for n := range 2 {
				if err := e.Publish(t.Context(), app, job{N: 2 + n, Key: "k"}); err != nil {
					t.Fatal(err)
				}
			}
		})
		app := b.start(t, hears(func(h handled) error {
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
		if l := awaitLetters(t, e.DeadLetters(app), 1); l[0].Group != "hearer" || l[0].Key != "k" {
			t.Errorf("got %+v", l)
		}
		if n, err := e.DeadLetters(app).ReplayAll(t.Context(), mono.LetterFilter{}); n != 1 || err != nil {
			t.Errorf("ReplayAll: %d, %v", n, err)
		}
		if h := next(t, got); h.N != 2 || h.attempt != 1 || h.id != "k" {
			t.Errorf("got %+v", h)
		}
	})
}

// Whatever a plain client stores can become a letter, so that it holds up nobody:
// what could not is not stored in the first place.
func TestEveryMessageCanBeALetter(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("letters.large")
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
			m.Subject = "streams.letters.large"
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
		for _, l := range letters(t, s.DeadLetters(app), mono.LetterFilter{}) {
			if l.Reason != mono.ReasonUndecodable {
				t.Errorf("got %s, %s", l.Reason, l.Error)
			}
			largest = max(largest, len(l.Body))
		}
		if largest != limit-4<<10 {
			t.Errorf("the largest body of a letter has %d bytes, want %d", largest, limit-4<<10)
		}
	})
}

// A job whose last attempt nobody told the end of is not begun once more, and not
// lost.
func TestOutcomeUnknownIsALetter(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.unknown", mono.MaxAttempts(1), mono.AckWait(time.Second))
	onBackends(t, func(t *testing.T, b backend) {
		begun, release := make(chan job, 10), make(chan struct{})
		t.Cleanup(func() { close(release) })
		hung := b.app(t, module("worker", func(s *mono.Scope) {
			q.Handle(s, func(_ context.Context, j job) error {
				begun <- j
				<-release // whatever its context says
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
		l := awaitLetters(t, q.DeadLetters(app), 1)[0]
		if l.Reason != mono.ReasonOutcomeUnknown || l.Attempts != 2 || !strings.Contains(l.Error, "how attempt 1 ended") {
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

// noLetters is a transport that cannot open logs of dead letters for a while.
type noLetters struct {
	transport.Transport
	refuse *atomic.Int64 // so many times
}

func (n noLetters) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
	if strings.HasSuffix(c.Name, "__dead") && n.refuse.Add(-1) >= 0 {
		return nil, mono.Errorf(mono.PermissionDenied, "no letters here")
	}
	return n.Transport.Log(ctx, c)
}

// A message whose letter cannot be kept is not ended: it comes again until it can.
func TestLetterThatCannotBeKept(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.refused")
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		var refuse atomic.Int64
		refuse.Store(1)
		app := mono.New(noLetters{b.connect(), &refuse}, quiet(t))
		app.Add(worker("worker", q, got, func(handled) error { return mono.Drop(errors.New("hopeless")) }))
		begin(t, app)
		if err := q.Enqueue(t.Context(), app, job{N: 1}); err != nil {
			t.Fatal(err)
		}
		if a, z := next(t, got), next(t, got); a.attempt != 1 || z.attempt != 2 {
			t.Errorf("got %+v and %+v", a, z)
		}
		if l := awaitLetters(t, q.DeadLetters(app), 1)[0]; l.Reason != mono.ReasonDropped || l.Attempts != 2 {
			t.Errorf("got %+v", l)
		}
	})
}

// A log of letters that somebody deletes under a running App is made anew, and what
// is replayed from it is told from what was replayed from the one before. If the queue's
// own log is deleted, the letters stay until it is recreated.
func TestLettersWhoseLogIsDeleted(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.deleted", mono.MaxAttempts(1))
	b := backend{"nats", natsBackend(t)}
	js := stockTools(t, b).js
	got := make(chan handled, 10)
	app := b.start(t, worker("worker", q, got, func(h handled) error { return mono.Drop(nil) }))
	dl := q.DeadLetters(app)
	for n := range 2 {
		if err := q.Enqueue(t.Context(), app, job{N: n}); err != nil {
			t.Fatal(err)
		}
		next(t, got)
		if l := awaitLetters(t, dl, 1); l[0].Reason != mono.ReasonDropped {
			t.Errorf("got %+v", l)
		}
		if n, err := dl.ReplayAll(t.Context(), mono.LetterFilter{}); n != 1 || err != nil {
			t.Fatalf("replayed %d, %v", n, err)
		}
		if h := next(t, got); h.N != n {
			t.Errorf("got %+v", h)
		}
		awaitLetters(t, dl, 1)
		if n == 0 {
			if err := js.DeleteStream(t.Context(), "queues_letters_deleted__dead"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := js.DeleteStream(t.Context(), "queues_letters_deleted"); err != nil {
		t.Fatal(err)
	}
	await(t, "the letter is replayed", func() bool {
		n, err := dl.ReplayAll(t.Context(), mono.LetterFilter{})
		if err != nil && len(letters(t, dl, mono.LetterFilter{})) != 1 {
			t.Errorf("the letter is lost: %v", err)
		}
		return n == 1
	})
	next(t, got)
	awaitLetters(t, dl, 1)
	if err := js.DeleteStream(t.Context(), "queues_letters_deleted__dead"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if left := letters(t, dl, mono.LetterFilter{}); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// Its letter says then what its last attempt ended with.
func TestLetterThatIsKeptLate(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.late", mono.MaxAttempts(1))
	s := mono.NewStream[job]("letters.late", mono.MaxAttempts(1))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		var refuse atomic.Int64
		refuse.Store(2)
		app := mono.New(noLetters{b.connect(), &refuse}, quiet(t))
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
		for refuse.Load() > 0 { // to list letters opens their log, too
			<-tick.C
		}
		for error, dl := range map[string]mono.DeadLetters[job]{"no such mailbox": q.DeadLetters(app), "no such ledger": s.DeadLetters(app)} {
			if l := awaitLetters(t, dl, 1)[0]; l.Reason != mono.ReasonAttempts || !strings.Contains(l.Error, error) || l.Attempts != 2 {
				t.Errorf("got %+v", l)
			}
		}
		next(t, got)
		none(t, got)
	})
}

// Each field of a filter counts.
func TestLetterFilter(t *testing.T) {
	t.Parallel()
	s := mono.NewStream[job]("letters.filter").KeyedBy(job.key)
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, consumer("c", s, got, func(h handled) error {
			if h.N == 1 {
				return mono.Drop(mono.Errorf(mono.DataLoss, "hopeless"))
			}
			return mono.Drop(nil)
		}))
		for n, key := range []string{"a", "b", "b"} {
			if err := s.With(mono.DedupID(fmt.Sprint("id", n))).Append(t.Context(), app, job{N: n, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		dl := s.DeadLetters(app)
		all := awaitLetters(t, dl, 3)
		for want, filter := range map[string]mono.LetterFilter{
			"id0 id1 id2": {Group: "c", Reason: mono.ReasonDropped},
			"id1 id2":     {Key: "b"},
			"id1":         {Code: mono.DataLoss},
			"id2":         {Key: "b", ID: "id2"},
			"":            {Reason: mono.ReasonAttempts},
		} {
			var ids []string
			for _, l := range letters(t, dl, filter) {
				ids = append(ids, l.ID)
			}
			slices.Sort(ids)
			if strings.Join(ids, " ") != want {
				t.Errorf("%+v: got %v, want %s", filter, ids, want)
			}
		}
		last := all[len(all)-1].Died
		after, before := letters(t, dl, mono.LetterFilter{After: last}), letters(t, dl, mono.LetterFilter{Before: last})
		if len(after) == 0 || len(after)+len(before) != 3 {
			t.Errorf("%d died at %v or later, %d earlier, want 3 together", len(after), last, len(before))
		}
		if n, err := dl.DiscardAll(t.Context(), mono.LetterFilter{Key: "b"}); n != 2 || err != nil {
			t.Errorf("DiscardAll: %d, %v", n, err)
		}
		if left := letters(t, dl, mono.LetterFilter{}); len(left) != 1 || left[0].ID != "id0" {
			t.Errorf("left: %+v", left)
		}
	})
}

// smallLetters is a transport whose logs of dead letters store nothing above a size.
type smallLetters struct {
	transport.Transport
	limit int
}

func (s smallLetters) Log(ctx context.Context, c transport.LogConfig) (transport.Log, error) {
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

// The text of the error in a letter that is too large is cut. The header of its message
// goes only if that is not enough.
func TestLetterThatIsTooLargeIsCut(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.small")
	text := strings.Repeat("hopeless ", 200)
	onBackends(t, func(t *testing.T, b backend) {
		for _, c := range []struct {
			limit       int
			least, most int // bytes of the text
			header      bool
		}{
			{2000, 1000, 1024, true},
			{1200, 200, 260, true},
			{520, 10, 64, true},
			{430, 10, 64, false},
			{340, 0, 0, false},
		} {
			got := make(chan handled, 10)
			app := mono.New(smallLetters{b.connect(), c.limit}, quiet(t))
			app.Add(worker("worker", q, got, func(handled) error { return mono.Drop(errors.New(text)) }))
			if err := app.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := q.With(mono.Header("Tenant", strings.Repeat("t", 100))).Enqueue(t.Context(), app, job{N: 1}); err != nil {
				t.Fatal(err)
			}
			l := awaitLetters(t, q.DeadLetters(app), 1)[0]
			if v, err := l.Value(); err != nil || v.N != 1 || l.Reason != mono.ReasonDropped || l.Code != mono.Unknown || l.Group != mono.DefaultGroup {
				t.Errorf("%d bytes: got %+v, %v", c.limit, l, err)
			}
			if n := len(l.Error); n < c.least || n > c.most || !strings.HasPrefix(text, l.Error) {
				t.Errorf("%d bytes: the text has %d bytes, want %d to %d: %s", c.limit, n, c.least, c.most, l.Error)
			}
			if has := l.Header.Has("Tenant"); has != c.header {
				t.Errorf("%d bytes: the header of the message is there: %v", c.limit, has)
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

// A header that leaves no room for the fields of a dead letter is refused at its sender.
func TestHeaderThatLeavesNoRoomForALetter(t *testing.T) {
	t.Parallel()
	q := mono.NewQueue[job]("letters.header", mono.MaxAttempts(1))
	onBackends(t, func(t *testing.T, b backend) {
		got := make(chan handled, 10)
		app := b.start(t, worker("worker", q, got, func(handled) error { return errors.New(strings.Repeat("ü", 1000)) }))
		send := func(size int) error {
			return q.With(mono.Header("Large", strings.Repeat("x", size))).Enqueue(t.Context(), app, job{N: 1})
		}
		err := send(52 << 10)
		if mono.CodeOf(err) != mono.InvalidArgument || mono.OutcomeOf(err) != mono.OutcomeNotDone || !strings.Contains(err.Error(), "at most 53248 can be stored") || !strings.Contains(err.Error(), "letters.header") {
			t.Errorf("got %v", err)
		}
		largest := 52<<10 - 200 // mono's own fields are there, too
		if err := send(largest); err != nil {
			t.Fatal(err)
		}
		l := awaitLetters(t, q.DeadLetters(app), 1)[0]
		if n := len(l.Header.Get("Large")); n != largest || len(l.Error) < 100 {
			t.Errorf("the letter has %d bytes of the header and the text %q", n, l.Error)
		}
	})
}
