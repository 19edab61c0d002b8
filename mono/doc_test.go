package mono_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// The Doc of a stored handle becomes the description of its log, regardless of the side
// that opens the log first. A receiver of the same or a newer generation changes the
// description; a sender does not.
func TestDocDescribesTheLog(t *testing.T) {
	t.Parallel()
	onBackends(t, func(t *testing.T, b backend) {
		for _, kind := range []struct {
			log     string
			declare func(doc string) (receive, send func(*mono.Scope))
		}{
			{"queues_doc_x", func(doc string) (receive, send func(*mono.Scope)) {
				h := mono.NewQueue[job]("doc.x", mono.Doc(doc))
				return func(s *mono.Scope) { h.Handle(s, nothing) }, func(s *mono.Scope) { h.Enqueuer(s) }
			}},
			{"streams_doc_x", func(doc string) (receive, send func(*mono.Scope)) {
				h := mono.NewStream[job]("doc.x", mono.Doc(doc)).KeyedBy(job.key)
				return func(s *mono.Scope) { h.Handle(s, nothing) }, func(s *mono.Scope) { h.Appender(s) }
			}},
			{"events_doc_x", func(doc string) (receive, send func(*mono.Scope)) {
				h := mono.NewEvent[job]("doc.x", mono.Durable(), mono.Doc(doc))
				return func(s *mono.Scope) { h.Handle(s, nothing) }, func(s *mono.Scope) { h.Publisher(s) }
			}},
		} {
			run := func(generation uint64, bind func(*mono.Scope)) string {
				t.Helper()
				app := mono.New(b.connect(), quiet(t), mono.Generation(generation))
				app.Add(module("doc", bind))
				if err := app.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := app.Stop(context.Background()); err != nil {
						t.Error(err)
					}
				}()
				return description(t, app, kind.log)
			}
			_, firstSends := kind.declare("the first, größtenteils")
			receives, _ := kind.declare("the second")
			newer, newerSends := kind.declare("the third")
			_, otherSends := kind.declare("by a sender")
			for i, step := range []struct {
				generation uint64
				bind       func(*mono.Scope)
				want       string
			}{
				{1, firstSends, "the first, größtenteils"},
				{1, receives, "the second"},
				{1, otherSends, "the second"},
				{3, newerSends, "the third"},
				{3, newer, "the third"},
				{3, otherSends, "the third"},
				{2, receives, "the third"},
			} {
				if got := run(step.generation, step.bind); got != step.want {
					t.Errorf("%s, step %d: the description is %q, want %q", kind.log, i, got, step.want)
				}
			}
		}
	})
}

// description returns the description of a log.
func description(t *testing.T, app *mono.App, name string) string {
	t.Helper()
	log, err := mono.Raw(app).Log(t.Context(), transport.LogConfig{Name: name, Subjects: []string{"none." + name}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Config.Description
}

// The tools of NATS show the Doc of a handle without support for mono.
func TestNATSToolsShowDoc(t *testing.T) {
	t.Parallel()
	b := backend{"nats", natsBackend(t)}
	q := mono.NewQueue[job]("doc.jobs", mono.Doc("receipts to print"))
	s := mono.NewService[question, reply]("doc.ask", mono.Doc("answers questions"))
	app := b.start(t, module("doc", func(sc *mono.Scope) {
		q.Handle(sc, nothing)
		s.Handle(sc, echo)
	}))
	listDeadLetters(t, q.DeadLetters(app), mono.DeadLetterFilter{})
	tools := newNATSTools(t, b)
	for stream, want := range map[string]string{"queues_doc_jobs": "receipts to print", "queues_doc_jobs__dead": "dead letters of queue doc.jobs"} {
		if got := tools.stream(stream).Config.Description; got != want {
			t.Errorf("%s is described as %q, want %q", stream, got, want)
		}
	}
	got, err := mono.Raw(app).Request(t.Context(), &transport.Message{Subject: "$SRV.INFO.doc"})
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Endpoints []struct{ Metadata map[string]string }
	}
	if err := json.Unmarshal(got.Body, &info); err != nil || len(info.Endpoints) != 1 || info.Endpoints[0].Metadata["doc"] != "answers questions" {
		t.Errorf("got %s, %v", got.Body, err)
	}
	for _, h := range app.Describe().Handles {
		if want := map[string]string{"doc.jobs": "receipts to print", "doc.ask": "answers questions"}[h.Name]; h.Doc != want {
			t.Errorf("Describe has %q for %s", h.Doc, h.Name)
		}
	}
}

// Doc accepts 1 to 4096 bytes of UTF-8.
func TestDocIsValidated(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"": false, "a": true, strings.Repeat("a", 4096): true, strings.Repeat("a", 4097): false, "\xff": false} {
		got := panicOf(func() { mono.NewQueue[job]("doc.checked", mono.Doc(text)) })
		if ok != (got == "") || !ok && !strings.Contains(got, "4096 bytes of UTF-8") {
			t.Errorf("%.10q of %d bytes: %q", text, len(text), got)
		}
	}
}
