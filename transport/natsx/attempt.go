package natsx

import (
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport/natsx/internal/journal"
)

// The server numbers deliveries. The number of the attempt also depends on earlier
// deliveries: a delivery that was handed back is not an attempt, and a restarted server may
// repeat numbers. Earlier deliveries are recorded in three places: in this process, in the
// journal of the process before it, and in the state stream for hand-backs by other members.
// Most deliveries are first deliveries and need none of them.

// earlyError bounds how early a restarted server redelivers: it stores times in whole
// seconds.
const earlyError = 2 * time.Second

// recall sets the attempt of a delivery and queues it for the handler. An early delivery is
// postponed. If other members may have handed the message back, the handler waits until the
// state stream is read. The caller holds the lock.
func (f *inFlight) recall(d *delivery, about *nats.MsgMetadata) {
	d.number = about.NumDelivered
	history, known := d.from.record.History(d.Sequence, d.Stored)
	d.Attempt = history.Attempt(d.number)
	if early := time.Until(history.Due); known && early > 0 {
		f.postpone(d, history, early)
		return
	}
	if d.number > history.Delivery+1 { // other members had it in between, or nobody has begun with it
		if begun, known := d.from.record.Begun(d.Sequence, d.Stored); known {
			d.Attempt = begun.Attempts + 1
		} else {
			f.m.inquiries.inquire(d)
		}
	}
	f.waiting.push(d)
}

// postpone holds a delivery until it is due, or hands it back if that takes long.
func (f *inFlight) postpone(d *delivery, history journal.History, early time.Duration) {
	if early > earlyError {
		history.Delivery = d.number
		d.from.record.Put(d.Sequence, d.Stored, history)
		go d.postpone(early)
		return
	}
	time.AfterFunc(early, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if d.next != nil { // it was not handed back
			f.waiting.push(d)
			nudge(f.wake)
		}
	})
}

// inquiries look up the deliveries that other members may have handed back. The member's lock
// guards them.
type inquiries struct {
	m       *member
	asked   []*delivery
	running bool
}

// inquire starts to read the hand-backs of other members. The delivery waits for the result.
// The caller holds the lock.
func (q *inquiries) inquire(d *delivery) {
	d.unknown = true
	q.asked = append(q.asked, d)
	if len(q.asked) == 1 && !q.running {
		q.running = true
		go q.answer()
	}
}

func (q *inquiries) answer() {
	for {
		asked := q.take()
		if asked == nil {
			return
		}
		q.read(asked)
		q.learn(asked)
	}
}

// read reads the hand-backs for the consumers of some deliveries. If that fails,
// hand-backs by other members count as attempts.
func (q *inquiries) read(asked []*delivery) {
	var of []*consumer
	for _, d := range asked {
		if !slices.Contains(of, d.from) {
			of = append(of, d.from)
		}
	}
	errs := make([]error, len(of))
	var wait sync.WaitGroup
	for i, c := range of {
		wait.Go(func() { errs[i] = c.released.catchUp(q.m.l.t, c) })
	}
	wait.Wait()
	if err := firstError(errs...); err != nil && !q.m.l.t.closed.Load() {
		q.m.l.t.log.Warn("natsx: deliveries that members elsewhere handed back may count as attempts", "group", q.m.group, "log", q.m.l.config.Name, "error", err)
	}
}

// readTimeout bounds each of two reads of hand-backs, for which deliveries wait.
const readTimeout = 5 * time.Second

// catchUp updates the hand-backs, and tries a second time if the first attempt fails. After
// that it makes one short attempt in each call, until the state stream answers. It returns
// the error of the second attempt.
func (r *released) catchUp(t *Transport, c *consumer) error {
	r.checked = false
	if r.silent {
		r.silent = r.update(t, c, noteTimeout) != nil
		return nil
	}
	err := r.update(t, c, readTimeout)
	if err != nil {
		err = r.update(t, c, readTimeout)
	}
	r.silent = err != nil
	return err
}

// take returns the deliveries to look up, or nil if there are none.
func (q *inquiries) take() []*delivery {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	asked := q.asked
	q.asked, q.running = nil, len(asked) > 0
	return asked
}

// learn sets the attempts of deliveries whose hand-backs were read.
func (q *inquiries) learn(asked []*delivery) {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	for _, d := range asked {
		history, _ := d.from.record.History(d.Sequence, d.Stored)
		if r, ok := d.from.released.of(d.Sequence); ok && r.Delivery >= history.Delivery {
			history = r
		}
		d.Attempt, d.unknown = history.Attempt(d.number), false
	}
	nudge(q.m.wake)
}

// beginAttempt records the attempt before the handler begins, so that it counts even
// if the process ends in the handler.
func (d *delivery) beginAttempt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return // it was handed back meanwhile
	}
	d.attempt = d.from.record.Begin(d.Sequence, d.Stored, journal.History{Delivery: d.number, Attempts: d.Attempt})
}

// endAttempt records the end of the attempt, if there is one.
func (d *delivery) endAttempt() {
	d.mu.Lock()
	attempt := d.attempt
	d.attempt = journal.Attempt{}
	d.mu.Unlock()
	attempt.End()
}

// noteRetry records the time of the next delivery.
func (d *delivery) noteRetry(delay time.Duration) {
	history := journal.History{Delivery: d.number, Attempts: d.Attempt}
	if delay > 0 {
		history.Due = time.Now().Add(delay)
	}
	d.from.record.Put(d.Sequence, d.Stored, history)
}
