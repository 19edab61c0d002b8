package mono

import (
	"cmp"
	"context"
	"errors"
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
	r := receive(sc, s.decl, fn == nil, opts, newInbound[T])
	r.config.Unordered = true
	r.pack = func(messages []*inbound) any {
		batch := make([]Message[T], len(messages))
		for i, m := range messages {
			c := &m.call
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

// batcher collects the messages of a receiver into batches.
type batcher struct {
	r       *receiver
	size    int
	wait    time.Duration
	arrived chan *inbound
	flush   chan struct{} // closed when batches are no longer waited for
	quit    chan struct{} // closed when no more messages come
}

func newBatcher(r *receiver) *batcher {
	b := &batcher{
		r: r, size: cmp.Or(r.config.BatchSize, DefaultBatchSize), wait: cmp.Or(r.config.BatchWait, DefaultBatchWait),
		arrived: make(chan *inbound), flush: make(chan struct{}), quit: make(chan struct{}),
	}
	go b.run()
	return b
}

// add adds a message. It blocks while the maximum number of batches is handled.
func (b *batcher) add(m *inbound) transport.Work {
	select {
	case b.arrived <- m:
	case <-b.quit:
		b.r.settler.handBack(m.call.delivery)
	}
	return nil
}

func (b *batcher) run() {
	for {
		select {
		case first := <-b.arrived:
			if w := b.r.admit(b.collect(first)); w != nil {
				go w.Run()
			}
		case <-b.quit:
			return
		}
	}
}

// collect waits until a batch is full, its first message has waited long enough, or the
// receiver drains. It returns the batch as one message.
func (b *batcher) collect(first *inbound) *inbound {
	m := &inbound{batch: append(make([]*inbound, 0, b.size), first)}
	m.call.at, m.call.message = b.r, first.call.message
	enough := time.NewTimer(b.wait)
	defer enough.Stop()
	for len(m.batch) < b.size {
		select {
		case next := <-b.arrived:
			m.batch = append(m.batch, next)
		case <-enough.C:
			return m
		case <-b.flush:
			return m
		}
	}
	return m
}

// decodeBatch decodes the messages of a batch, and makes its Call. The messages that
// cannot be decoded are finished and leave the batch. If a codec ends the goroutine, its
// message is one of them, and the others are handed back.
func (r *receiver) decodeBatch(m *inbound) {
	left := m.batch
	m.batch = make([]*inbound, 0, len(left))
	var current *inbound // in its codec
	decoded := false
	defer func() {
		if decoded {
			return
		}
		if current != nil {
			r.finisher.finish(current, r.exited(current))
		}
		r.settler.handBackAll(append(m.batch, left...))
		m.batch = m.batch[:0]
	}()
	for len(left) > 0 {
		current, left = left[0], left[1:]
		one, res := current, r.decode(current)
		current = nil
		if res.err != nil {
			r.finisher.finish(one, res)
			continue
		}
		m.batch = append(m.batch, one)
	}
	decoded = true
	if len(m.batch) == 0 {
		return
	}
	m.call, m.decoded = m.batch[0].call, true
	m.call.payload, m.call.size, m.call.batch = r.pack(m.batch), 0, m
	for _, one := range m.batch {
		m.call.size += one.call.size
	}
}

// finishBatch settles each message of a batch. Those that are handed back are handed back
// at once.
func (r *settler) finishBatch(batch []*inbound, res result) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for i, m := range batch {
		own := res
		own.err = r.ownError(res.err, i, len(batch))
		if r.isHandBack(own) {
			wait.Go(func() { r.finish(m, own) })
			continue
		}
		r.finish(m, own)
	}
}

// ownError returns the error of one message of a batch.
func (r *settler) ownError(err error, i, n int) error {
	each, ok := errors.AsType[perMessage](err)
	switch {
	case !ok:
		return err
	case len(each) != n:
		return Errorf(Internal, "%s: the handler's PerMessage has %d errors for a batch of %d: want one for each message", r.decl, len(each), n)
	}
	return each[i]
}
