package mono_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/mono"
	"gomono.dev/transport"
)

// natsTools reads streams and consumers through the JetStream API, without mono.
type natsTools struct {
	t  *testing.T
	js jetstream.JetStream
}

func newNATSTools(t *testing.T, b backend) natsTools {
	tr := b.connect()
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	js, err := jetstream.New(tr.(interface{ Conn() *nats.Conn }).Conn())
	if err != nil {
		t.Fatal(err)
	}
	return natsTools{t, js}
}

func (s natsTools) streams() (names []string) {
	list := s.js.StreamNames(s.t.Context())
	for name := range list.Name() {
		names = append(names, name)
	}
	if list.Err() != nil {
		s.t.Fatal(list.Err())
	}
	slices.Sort(names)
	return names
}

func (s natsTools) stream(name string) *jetstream.StreamInfo {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream.CachedInfo()
}

func (s natsTools) consumer(stream, name string) *jetstream.ConsumerInfo {
	s.t.Helper()
	c, err := s.js.Consumer(s.t.Context(), stream, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return c.CachedInfo()
}

// NATS tools see the streams and durable consumers of mono with a description and correct
// counts. Settings that could stall, lose or stop work are not set.
func TestNATSToolsSeeStreamsAndConsumers(t *testing.T) {
	t.Parallel()
	b := backend{"nats", natsBackend(t)}
	q := mono.NewQueue[job]("stock.jobs", mono.MaxPending(100))
	s := mono.NewStream[job]("stock.history", mono.Partitions(2), mono.MaxAge(time.Hour)).KeyedBy(job.key)
	begun, release := make(chan job, 10), make(chan struct{})
	app := b.start(t, module("stock", func(sc *mono.Scope) {
		q.Handle(sc, func(_ context.Context, j job) error {
			if j.N == 0 {
				return mono.Permanent(nil)
			}
			begun <- j
			<-release
			return nil
		}, mono.Concurrency(2))
		s.Handle(sc, nothing)
	}))
	for n := range 5 {
		if err := q.With(mono.DedupID(string(rune('a'+n)))).Enqueue(t.Context(), app, job{N: n}); err != nil {
			t.Fatal(err)
		}
	}
	next(t, begun)
	next(t, begun)
	awaitDeadLetters(t, q.DeadLetters(app), 1)
	tools := newNATSTools(t, b)
	if got := tools.streams(); !slices.Equal(got, []string{"mono_state", "queues_stock_jobs", "queues_stock_jobs__dead", "queues_stock_jobs__later", "streams_stock_history"}) {
		t.Errorf("the streams are %q", got)
	}

	realtime.Until(t, "the dead job has left the queue", func() bool { return tools.stream("queues_stock_jobs").State.Msgs == 4 })
	jobs := tools.stream("queues_stock_jobs")
	if c := jobs.Config; jobs.State.Msgs != 4 || c.Retention != jetstream.InterestPolicy || c.Discard != jetstream.DiscardNew || c.MaxMsgs != 100 ||
		c.Metadata["mono-handle"] != "queue stock.jobs" || !slices.Equal(c.Subjects, []string{"queues.stock.jobs", "queues.stock.jobs._to.*", "queues.stock.jobs._k.*", "queues.stock.jobs._to.*._k.*"}) {
		t.Errorf("the queue is %+v, %+v", c, jobs.State)
	}
	workers := tools.consumer("queues_stock_jobs", "workers")
	if c := workers.Config; c.Durable != "workers" || c.AckPolicy != jetstream.AckExplicitPolicy || c.MaxDeliver != -1 || c.MaxAckPending != -1 ||
		len(c.BackOff) > 0 || c.InactiveThreshold != 0 || c.FilterSubject != "" || len(c.FilterSubjects) > 0 {
		t.Errorf("the group is %+v", c)
	}
	if workers.NumAckPending < 2 || workers.NumAckPending+int(workers.NumPending) != 4 {
		t.Errorf("%d are in flight and %d wait, want 4 together", workers.NumAckPending, workers.NumPending)
	}

	history := tools.stream("streams_stock_history")
	if c := history.Config; c.Retention != jetstream.LimitsPolicy || c.MaxAge != time.Hour || c.Metadata["mono-handle"] != "stream stock.history" {
		t.Errorf("the stream is %+v", c)
	}
	for _, partition := range []string{"stock_partition_0", "stock_partition_1"} {
		if c := tools.consumer("streams_stock_history", partition).Config; c.Durable != partition || c.MaxAckPending < 1000 || c.PriorityPolicy != jetstream.PriorityPolicyPinned || c.MaxDeliver != -1 || c.InactiveThreshold != 0 {
			t.Errorf("the partition is %+v", c)
		}
	}

	stream, err := tools.js.Stream(t.Context(), "queues_stock_jobs")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 2)
	if err != nil || m.Subject != "queues.stock.jobs" || string(m.Data) != `{"n":1}` || m.Header.Get(jetstream.MsgIDHeader) != "b" || m.Header.Get(transport.HeaderID) != "" {
		t.Errorf("a job is %+v, %v", m, err)
	}
	close(release)
	for tools.stream("queues_stock_jobs").State.Msgs > 0 {
	}
	if c := tools.consumer("queues_stock_jobs", "workers"); c.NumAckPending != 0 || c.NumPending != 0 || c.AckFloor.Stream != 5 {
		t.Errorf("after all jobs the group is %+v", c)
	}
}

// The id of a stored message is that of its append. A message of an earlier release has it in a
// second header, and one of a plain client perhaps only there.
func TestIDOfStoredMessages(t *testing.T) {
	t.Parallel()
	b := backend{"nats", natsBackend(t)}
	q := mono.NewQueue[job]("stock.jobs")
	ids := make(chan string, 1)
	app := b.start(t, module("stock", func(sc *mono.Scope) {
		q.Handle(sc, func(ctx context.Context, _ job) error {
			ids <- mono.CallFrom(ctx).ID()
			return nil
		})
	}))
	if err := q.With(mono.DedupID("new")).Enqueue(t.Context(), app, job{}); err != nil {
		t.Fatal(err)
	}
	if got := next(t, ids); got != "new" {
		t.Errorf("the id is %q, want that of the append", got)
	}
	tools := newNATSTools(t, b)
	for want, header := range map[string]nats.Header{
		"both":     {transport.HeaderID: {"both"}, jetstream.MsgIDHeader: {"both"}},
		"replayed": {transport.HeaderID: {"replayed"}, jetstream.MsgIDHeader: {"replay-1"}},
		"plain":    {transport.HeaderID: {"plain"}},
		"append":   {jetstream.MsgIDHeader: {"append"}},
	} {
		if _, err := tools.js.PublishMsg(t.Context(), &nats.Msg{Subject: "queues.stock.jobs", Header: header, Data: []byte(`{"n":1}`)}); err != nil {
			t.Fatal(err)
		}
		if got := next(t, ids); got != want {
			t.Errorf("the id is %q, want %q", got, want)
		}
	}
}
