package natsx

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport/natsx/internal/journal"
)

// The server numbers deliveries. Which attempt one is depends on what became of those
// before it: what was handed back was no attempt, and a server that ended may number
// anew. Three parties know of them: this process, the process before it (the journal),
// and members elsewhere that have handed something back (the state stream). Most
// deliveries are first ones, of which there is nothing to know.

// earlyError is how much too early the server may be that keeps times in whole
// seconds while it is not running.
const earlyError = 2 * time.Second

// recall finds out which attempt a delivery is, and lets it wait for the handler. One
// that came before its time waits for that first, or goes back; one about which others
// may know more is asked about. The lock is held.
func (m *member) recall(d *delivery, about *nats.MsgMetadata) {
	d.number = about.NumDelivered
	past, known := d.from.past.Past(d.Sequence, d.Stored)
	d.Attempt = past.Attempt(d.number)
	if early := time.Until(past.Due); known && early > 0 {
		m.postpone(d, past, early)
		return
	}
	if d.number > past.Delivery+1 { // those between were elsewhere
		m.inquire(d)
	}
	m.waiting.push(d)
}

// postpone keeps a delivery until it is due, or for the next delivery to be.
func (m *member) postpone(d *delivery, past journal.Past, early time.Duration) {
	if early > earlyError {
		past.Delivery = d.number
		d.from.past.Put(d.Sequence, d.Stored, past)
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

// inquire asks what members elsewhere know of a delivery, which waits for the answer.
// The lock is held.
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
		for _, d := range asked {
			d.from.released.update(m.l.t, d.from)
		}
		m.learn(asked)
	}
}

// takeInquiries returns what is to be asked for now, nil when that is nothing.
func (m *member) takeInquiries() []*delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.inquiries
	m.inquiries, m.inquiring = nil, len(asked) > 0
	return asked
}

// learn takes in what was found out about deliveries.
func (m *member) learn(asked []*delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range asked {
		past, _ := d.from.past.Past(d.Sequence, d.Stored)
		if r, ok := d.from.released.of(d.Sequence); ok && r.Delivery >= past.Delivery {
			past = r
		}
		d.Attempt, d.unknown = past.Attempt(d.number), false
	}
	nudge(m.wake)
}

// begin notes that the handler gets a delivery: its attempt counts even if the
// process ends now.
func (d *delivery) beginAttempt() {
	d.from.past.Begin(d.Sequence, d.Stored, journal.Past{Delivery: d.number, Attempts: d.Attempt})
}

// noteRetry notes when the next delivery is due.
func (d *delivery) noteRetry(delay time.Duration) {
	past := journal.Past{Delivery: d.number, Attempts: d.Attempt}
	if delay > 0 {
		past.Due = time.Now().Add(delay)
	}
	d.from.past.Put(d.Sequence, d.Stored, past)
}

// noteBoot lets fences grow over the end of the server. It is called before what a
// connection to another server delivers.
func (m *member) noteBoot(ctx context.Context) error {
	base, err := m.l.fenceBase(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fences = base
	return nil
}
