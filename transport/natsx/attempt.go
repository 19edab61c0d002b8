package natsx

import (
	"context"
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
func (m *member) recall(d *delivery, about *nats.MsgMetadata) {
	d.number = about.NumDelivered
	history, known := d.from.record.History(d.Sequence, d.Stored)
	d.Attempt = history.Attempt(d.number)
	if early := time.Until(history.Due); known && early > 0 {
		m.postpone(d, history, early)
		return
	}
	if d.number > history.Delivery+1 { // other members had it in between, or nobody has begun with it
		if begun, known := d.from.record.Begun(d.Sequence, d.Stored); known {
			d.Attempt = begun.Attempts + 1
		} else {
			m.inquire(d)
		}
	}
	m.waiting.push(d)
}

// postpone holds a delivery until it is due, or hands it back if that takes long.
func (m *member) postpone(d *delivery, history journal.History, early time.Duration) {
	if early > earlyError {
		history.Delivery = d.number
		d.from.record.Put(d.Sequence, d.Stored, history)
		go d.postpone(early)
		return
	}
	time.AfterFunc(early, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if d.next != nil { // it was not handed back
			m.waiting.push(d)
			nudge(m.wake)
		}
	})
}

// inquire starts to read the hand-backs of other members. The delivery waits for the result.
// The caller holds the lock.
func (m *member) inquire(d *delivery) {
	d.unknown = true
	m.inquiries = append(m.inquiries, d)
	if len(m.inquiries) == 1 && !m.inquiring {
		m.inquiring = true
		go m.answerInquiries()
	}
}

func (m *member) answerInquiries() {
	for {
		asked := m.takeInquiries()
		if asked == nil {
			return
		}
		m.readReleased(asked)
		m.learn(asked)
	}
}

// readReleased reads the hand-backs for the consumers of some deliveries. If that fails,
// hand-backs by other members count as attempts.
func (m *member) readReleased(asked []*delivery) {
	var of []*consumer
	for _, d := range asked {
		if !slices.Contains(of, d.from) {
			of = append(of, d.from)
		}
	}
	errs := make([]error, len(of))
	var wait sync.WaitGroup
	for i, c := range of {
		wait.Go(func() { errs[i] = c.released.catchUp(m.l.t, c) })
	}
	wait.Wait()
	if err := firstError(errs...); err != nil && !m.l.t.closed.Load() {
		m.l.t.log.Warn("natsx: deliveries that members elsewhere handed back may count as attempts", "group", m.group, "log", m.l.config.Name, "error", err)
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

// takeInquiries returns the deliveries to look up, or nil if there are none.
func (m *member) takeInquiries() []*delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.inquiries
	m.inquiries, m.inquiring = nil, len(asked) > 0
	return asked
}

// learn sets the attempts of deliveries whose hand-backs were read.
func (m *member) learn(asked []*delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range asked {
		history, _ := d.from.record.History(d.Sequence, d.Stored)
		if r, ok := d.from.released.of(d.Sequence); ok && r.Delivery >= history.Delivery {
			history = r
		}
		d.Attempt, d.unknown = history.Attempt(d.number), false
	}
	nudge(m.wake)
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

// noteBoot updates tokenBase. It is called before the first delivery of each connection.
func (m *member) noteBoot(ctx context.Context) error {
	base, err := m.l.t.boots.tokenBase(ctx)
	if err == nil {
		m.raiseTokenBase(base)
	}
	return err
}

func (m *member) raiseTokenBase(base uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokenBase = max(m.tokenBase, base)
}
