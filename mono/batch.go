package mono

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gomono.dev/transport"
)

// The defaults and bounds of batches.
const (
	DefaultBatchSize = 100
	DefaultBatchWait = 100 * time.Millisecond
	MaxBatchSize     = 10_000
)

// BatchSize bounds the number of messages of a batch, DefaultBatchSize by default, at
// most MaxBatchSize.
func BatchSize(n int) BatchHandlerOption {
	return set(n >= 1 && n <= MaxBatchSize, func(c *config) { c.BatchSize = n }, "BatchSize(%d): want 1 to %d", n, MaxBatchSize)
}

// BatchWait bounds the time that the first message of a batch waits for others,
// DefaultBatchWait by default.
func BatchWait(d time.Duration) BatchHandlerOption {
	return set(d >= time.Millisecond && d <= time.Minute, func(c *config) { c.BatchWait = d }, "BatchWait(%v): want 1ms to 1m", d)
}

// HandleBatch makes fn a consumer of the stream that gets many messages at once, in the
// order of their positions. Its group is Unordered: a message that is tried again comes
// after later ones.
//
// Nil acknowledges the batch. An error applies to each of its messages, unless it is
// made by PerMessage. Each message has attempts of its own. If the batch exceeds its
// Timeout, the attempt at each of its messages has failed. A message that cannot be
// decoded becomes a dead letter and is in no batch.
func (s Stream[T]) HandleBatch(sc *Scope, fn Sink[[]Message[T]], opts ...BatchHandlerOption) {
	r := receive(sc, s.decl, fn == nil, opts, newTicket[T])
	r.config.Unordered = true
	r.pack = func(calls []*Call) any {
		batch := make([]Message[T], len(calls))
		for i, c := range calls {
			batch[i] = Message[T]{
				Value: *c.payload.(*T), ID: c.ID(), Key: c.Key(), Sequence: c.Sequence(), Time: c.Time(), Attempt: c.Attempt(), Header: c.header,
			}
		}
		return &batch
	}
	r.invoke = func(ctx context.Context, c *Call) error { return fn(ctx, *c.payload.(*[]Message[T])) }
}

// PerMessage returns an error with one error per message of a batch: errs[i] is that of
// batch[i], nil for a message that is done. Permanent and RetryAfter have the same
// meaning as for one message. There must be as many errors as messages. If all are nil,
// so is the result.
func PerMessage(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return perMessage(errs)
		}
	}
	return nil
}

type perMessage []error

func (p perMessage) Error() string   { return errors.Join(p...).Error() }
func (p perMessage) Unwrap() []error { return p }

// batcher collects the deliveries of a receiver into batches.
type batcher struct {
	r       *receiver
	size    int
	wait    time.Duration
	arrived chan *transport.Delivery
	flush   chan struct{} // closed when batches are no longer waited for
	quit    chan struct{} // closed when no more deliveries come
}

func newBatcher(r *receiver) *batcher {
	b := &batcher{
		r: r, size: r.config.BatchSize, wait: r.config.BatchWait,
		arrived: make(chan *transport.Delivery), flush: make(chan struct{}), quit: make(chan struct{}),
	}
	if b.size == 0 {
		b.size = DefaultBatchSize
	}
	if b.wait == 0 {
		b.wait = DefaultBatchWait
	}
	go b.run()
	return b
}

// add adds a delivery. It blocks while the maximum number of batches is handled.
func (b *batcher) add(d *transport.Delivery) transport.Work {
	select {
	case b.arrived <- d:
	case <-b.quit:
		b.r.handBack(d)
	}
	return nil
}

func (b *batcher) run() {
	for {
		select {
		case first := <-b.arrived:
			b.handle(b.collect(first))
		case <-b.quit:
			return
		}
	}
}

// collect waits until a batch is full, its first message has waited long enough, or the
// receiver drains.
func (b *batcher) collect(first *transport.Delivery) []*transport.Delivery {
	batch := append(make([]*transport.Delivery, 0, b.size), first)
	enough := time.NewTimer(b.wait)
	defer enough.Stop()
	for len(batch) < b.size {
		select {
		case d := <-b.arrived:
			batch = append(batch, d)
		case <-enough.C:
			return batch
		case <-b.flush:
			return batch
		}
	}
	return batch
}

func (b *batcher) handle(batch []*transport.Delivery) {
	t := new(ticket)
	t.call.message = &batch[0].Message
	if !b.r.gate.enter(b.r.in.ctx, t) {
		b.r.leaveGroup()
		b.r.handBackAll(batch)
		return
	}
	go func() {
		defer b.r.gate.leave(t)
		b.r.workBatch(t, batch)
	}()
}

// workBatch makes one attempt at each message of a batch, and settles each separately.
func (r *receiver) workBatch(t *ticket, batch []*transport.Delivery) {
	var members []*Call
	var deliveries []*transport.Delivery
	for _, d := range batch {
		c := &r.newTicket().call
		r.describe(c, d)
		if err := r.open(c, d); err != nil {
			r.settle(c, d, err)
			continue
		}
		members, deliveries = append(members, c), append(deliveries, d)
	}
	if len(members) == 0 {
		return
	}
	var err error
	returned := false
	defer func() {
		if !returned {
			err = r.exited()
		}
		r.settleBatch(members, deliveries, err)
	}()
	err = r.runBatch(t, members)
	returned = true
}

// settleBatch settles each message of a batch. Those that are handed back are handed back
// at once.
func (r *receiver) settleBatch(members []*Call, deliveries []*transport.Delivery, err error) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for i, d := range deliveries {
		c, own := members[i], r.ownError(err, i, len(members))
		if r.isHandBack(c, own) {
			wait.Go(func() { r.settle(c, d, own) })
			continue
		}
		r.settle(c, d, own)
	}
}

// open decodes one message of a batch.
func (r *receiver) open(c *Call, d *transport.Delivery) error {
	if d.Attempt > r.config.maxAttempts() {
		return r.overdue(d)
	}
	k, err := r.codecOf(&d.Message)
	if err == nil {
		err = r.decodeInto(c, &d.Message, k, decode)
	}
	return err
}

// runBatch runs the handler and middleware once for all messages of a batch.
func (r *receiver) runBatch(t *ticket, members []*Call) error {
	began := r.in.clock.now()
	c := *members[0]
	c.payload, c.size = r.pack(members), 0
	for _, m := range members {
		c.size += m.size
	}
	t.batch = members[0]
	r.watch.begin(t, began)
	defer r.watch.end(t)
	err := r.runAttempt(r.in.ctx, &c)
	r.stats.record(&r.stats.received, r.in.clock.now()-began, err)
	return err
}

// ownError returns the error of one message of a batch.
func (r *receiver) ownError(err error, i, n int) error {
	if late, ok := err.(*overtime); ok {
		return r.exceeded(r.ownError(late.coded.Err, i, n))
	}
	each, ok := errors.AsType[perMessage](err)
	switch {
	case !ok:
		return err
	case len(each) != n:
		return Errorf(Internal, "%s: the handler's PerMessage has %d errors for a batch of %d: want one for each message", fmt.Sprint(r.decl), len(each), n)
	}
	return each[i]
}
