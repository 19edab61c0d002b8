package mono

import (
	"context"
	"reflect"
)

// Queue is work that is stored until it is done.
//
// A job is accepted when it is stored. Each goes to one worker of every group,
// at least once, whether or not a worker is there yet: one that fails, or whose
// worker dies, is tried again as Backoff says, and becomes a dead letter after
// MaxAttempts. Jobs begin in order; one that waits for its next attempt holds up
// nobody.
//
// The deletion of a group in the backend deletes the jobs that wait in it. All processes
// that use the queue recreate the group at once; see [transport.LogConfig].Groups for
// the jobs that may be lost in between. Sends fail while that is impossible.
//
// It needs a transport that stores (transport.Capabilities.Logs); on another one
// the App does not start. A NonPersistent queue needs none.
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
// EnqueueStored returns which. In a volatile queue that is not AssumeAccepted, nil
// means that a worker of each group has the job. ResourceExhausted means that the queue
// is full (MaxPending, MaxDelayed). An error whose outcome is unknown may leave the job
// stored: with DedupID it can be sent again.
func (q Queue[T]) Enqueue(ctx context.Context, b Binder, v T) error {
	return post(ctx, b, q.decl, &q.sent, v)
}

// EnqueueStored is Enqueue, and returns the job's id and position, and whether it is a
// duplicate. The id is set even if an error leaves open whether the job is stored: it
// can be sent again with that DedupID. A volatile queue stores nothing, so the error is
// FailedPrecondition.
func (q Queue[T]) EnqueueStored(ctx context.Context, b Binder, v T) (Stored, error) {
	if q.decl.config.NonPersistent {
		return Stored{}, notDone(FailedPrecondition, "%s: a volatile queue stores nothing: use Enqueue, or declare it without mono.NonPersistent", q.decl)
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

// Handle makes fn a worker of the queue, in its one group, or in the one of its
// Groups that Group, or else the module's name, says. Nil ends the job; Drop makes
// it a dead letter now, RetryAfter says when it is tried again, and any other error
// leaves that to Backoff.
func (q Queue[T]) Handle(sc *Scope, fn Sink[T], opts ...QueueHandlerOption) {
	r := receive(sc, q.decl, fn == nil, opts, newTicket[T])
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*T)) }
}
