package mono

import (
	"context"
	"reflect"
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
	decl *declaration
	sent sending
}

// NewQueue declares a queue. It panics on a bad name or option.
func NewQueue[T any](name string, opts ...QueueOption) Queue[T] {
	return Queue[T]{decl: declare(KindQueue, name, opts, reflect.TypeFor[T]())}
}

// Name returns the name of the queue.
func (q Queue[T]) Name() string { return q.decl.name }

// Kind returns KindQueue.
func (q Queue[T]) Kind() Kind { return KindQueue }

func (q Queue[T]) declared() *declaration { return q.decl }

// With returns the queue with options for the jobs sent through it.
func (q Queue[T]) With(opts ...QueueSendOption) Queue[T] {
	for _, o := range opts {
		q.sent = q.sent.with(o)
	}
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

// Enqueuer returns Enqueue as a function. In Bind, with the module's Scope, it
// also declares that the module sends to the queue.
func (q Queue[T]) Enqueuer(b Binder) Sink[T] {
	sender := bind(b, q.decl)
	if sender == nil {
		return func(ctx context.Context, v T) error { return q.Enqueue(ctx, b, v) }
	}
	return func(ctx context.Context, v T) error { return postBy(ctx, sender, &q.sent, v) }
}

// Handle makes fn a worker of the queue. Its group is set by Group, or else named after
// the module, and must be one of the queue's Groups; a queue without Groups has one
// group. Nil completes the job, Permanent makes it a dead letter now, and RetryAfter
// sets the time of the next attempt. After any other error Backoff specifies that time.
func (q Queue[T]) Handle(sc *Scope, fn Sink[T], opts ...QueueHandlerOption) {
	r := receive(sc, q.decl, fn == nil, opts, newTicket[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}
