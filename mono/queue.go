package mono

import (
	"context"
	"reflect"

	"gomono.dev/transport"
)

// Queue is a queue of jobs, which are stored until they are done.
//
// A job is accepted when it is stored. Each job goes to one worker of every group, at
// least once, whether or not a worker exists yet. If a job fails or its worker dies, it
// is tried again as Backoff specifies. After MaxAttempts it becomes a dead letter. Jobs
// begin in order. A job that waits for its next attempt does not delay others.
//
// The deletion of a group in the backend deletes the jobs that wait in it. All
// processes that use the queue recreate the group at once; see
// [transport.LogConfig].Groups for the jobs that may be lost in between. Sends fail
// while the group cannot be recreated.
//
// A queue needs a transport that stores messages (transport.Capabilities.Logs); on
// another one the App does not start. A NonPersistent queue works on every transport.
type Queue[T any] struct {
	handle
	sent sending
}

// NewQueue declares a queue. It panics on a bad name or option.
func NewQueue[T any](name string, opts ...QueueOption) Queue[T] {
	return Queue[T]{handle: handle{declare(KindQueue, name, opts, reflect.TypeFor[T]())}}
}

// KeyedBy returns the queue with a key, such as the type of a job, as Event.KeyedBy does.
// Workers can select some Keys. All workers of a group have the same Keys: declare one of
// the Groups for each kind of worker.
//
//	var Jobs = mono.NewQueue[Job]("jobs", mono.Groups("email", "image")).KeyedBy(Job.Type)
//
//	Jobs.Handle(s, m.send, mono.Group("email"), mono.Keys("welcome", "digest"))
//	Jobs.Handle(s, m.resize, mono.Group("image"), mono.Keys("resize"))
//
// Each group still gets every job, and its workers pass over the jobs of other keys: that is
// not an attempt, and middleware does not run. So a job is kept until a worker of each group
// has seen it. While one group has no workers, all jobs wait in it, and count for MaxPending.
//
// A job whose key no group takes becomes a dead letter, as [ReasonUnclaimed], once a worker
// sees it. Replay it when a group takes its key. A group takes all keys if its workers have no
// Keys, or while none has started yet. If a queue is NonPersistent, the send of such a job fails with
// FailedPrecondition instead.
//
// If the Keys of a group change, they apply to the jobs that wait, too. While two releases run,
// those of the newer one count: workers of the older one may get jobs of the new Keys.
//
// The jobs of one key have no order, as in every queue. For order within a key, declare a
// Stream.
func (q Queue[T]) KeyedBy(key func(T) string) Queue[T] {
	q.decl = keyed(q.decl, key)
	return q
}

// With returns the queue with options for the jobs sent through it.
func (q Queue[T]) With(opts ...QueueSendOption) Queue[T] {
	q.sent = derive(q.sent, opts)
	return q
}

// Enqueue stores a job. Nil means that it is stored: now, or, with a DedupID, by an
// earlier Enqueue within the DedupWindow, whatever has become of that job since.
// EnqueueStored returns which of the two.
//
// In a NonPersistent queue without AssumeAccepted, nil means that a worker of each
// group has the job. ResourceExhausted means that the queue is full (MaxPending,
// MaxDelayed). After an error with OutcomeUnknown the job may be stored: with DedupID
// it can be sent again.
func (q Queue[T]) Enqueue(ctx context.Context, b Binder, v T) error {
	return post(ctx, b, q.decl, &q.sent, v)
}

// EnqueueStored is like Enqueue, and also returns the job's id and position, and
// whether it is a duplicate. The id is set even if the error leaves open whether the
// job is stored: it can be sent again with that DedupID. A NonPersistent queue stores
// nothing, so the error is FailedPrecondition.
func (q Queue[T]) EnqueueStored(ctx context.Context, b Binder, v T) (Stored, error) {
	if q.decl.config.NonPersistent {
		return Stored{}, notDone(FailedPrecondition, "%s: a NonPersistent queue stores nothing: use Enqueue, or declare it without mono.NonPersistent", q.decl)
	}
	return postStored(ctx, b, q.decl, q.sent, v)
}

// EnqueueAll is like Enqueue for many jobs, but does not wait for one to be stored before
// it sends the next. The jobs are stored in the order of values. It returns when all have
// their result, or ctx ends: nil if all are stored, otherwise one error for each value,
// nil for a job that is stored.
//
// The failure of one job does not keep later ones from being stored. A job whose
// acknowledgement is lost is not sent again, as it would come after later ones: its error
// has OutcomeUnknown. With a DedupID the id of values[i] is "<id>#<i>", so the whole call
// can be repeated within the DedupWindow: each job is stored once, but those that were
// missing come last. Other options apply to each job. A NonPersistent queue sends one job
// after another. Middleware runs for each job, around the hand-over to the transport.
func (q Queue[T]) EnqueueAll(ctx context.Context, b Binder, values ...T) []error {
	return postAll(ctx, b, q.decl, q.sent, values)
}

// Cancel removes a job that no worker of any group has received: one that waits for its Delay, or
// for a worker of every group. Nil means that no group handles it. The id is that of
// EnqueueStored, or the job's DedupID; it stays known for the DedupWindow.
//
// The error is NotFound if there is no such job: it is done, was cancelled, or was never sent.
// It is FailedPrecondition if a worker of some group has received it. A job that a process has
// fetched in advance counts as received, and so does one that waits for another attempt. Aborted,
// with OutcomeUnknown, means that the job is removed, but a worker may have received it before,
// because someone resumed a group meanwhile. After any other error with OutcomeUnknown, call
// Cancel again.
//
// Cancel reads the delayed jobs one after another, and then those in the queue, until it finds the
// id. On NATS each of them costs a request. ctx bounds the search. All groups pause for a few
// requests while the job is removed; a pause by PauseGroup stays as it is. A job that is due
// within two seconds is first awaited.
//
// The error is FailedPrecondition for a NonPersistent queue, and Unimplemented on a server that
// cannot pause groups (nats-server before 2.11).
func (q Queue[T]) Cancel(ctx context.Context, b Binder, id string) error {
	return b.Scope().in.withGroups(ctx, q.decl, func(log transport.Log) error { return log.Cancel(ctx, id) })
}

// Enqueuer is the type of a bound Queue.Enqueue. The options are those of Queue.With,
// for this job:
//
//	err := enqueue(ctx, receipt, mono.DedupID(receipt.Order))
type Enqueuer[T any] = func(ctx context.Context, v T, opts ...QueueSendOption) error

// AsEnqueuer returns a handler as an Enqueuer that ignores its options. So a handler
// stands in for a queue in a unit test of a module. It panics on a nil handler.
func AsEnqueuer[T any](fn Sink[T]) Enqueuer[T] {
	return ignoreOptions[QueueSendOption]("AsEnqueuer", fn)
}

// Enqueuer returns Enqueue as a function. In Bind, with the module's Scope, it
// also declares that the module sends to the queue.
func (q Queue[T]) Enqueuer(b Binder) Enqueuer[T] {
	return boundSender[T, QueueSendOption](b, q.decl, q.sent)
}

// Handle makes fn a worker of the queue. Its group is set by Group, or else named after
// the module, and must be one of the queue's Groups; a queue without Groups has one
// group. Nil completes the job, Permanent makes it a dead letter now, and RetryAfter
// sets the time of the next attempt. After any other error Backoff specifies that time.
func (q Queue[T]) Handle(sc *Scope, fn Sink[T], opts ...QueueHandlerOption) {
	r := receive(sc, q.decl, fn == nil, opts, newInbound[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}
