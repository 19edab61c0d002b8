package natsx

import (
	"time"
)

// In a group that keeps the order of keys the server confirms each settlement, and only then the
// next message of its key may be handled. A settlement without a confirmation is sent again.
//
// Handlers only note their settlements. One goroutine at a time sends them: hundreds of handlers
// that compete for the connection would slow each other down.

// settlement is an acknowledgement to confirm.
type settlement struct {
	of       *keyed
	sequence uint64
	reply    string
	body     []byte
	at       time.Time // it was sent
}

// outbox holds settlements that are to be sent. The member's lock guards it.
type outbox struct {
	waiting []*settlement
	sending bool // a goroutine sends them
}

// settle sends an acknowledgement, or lets the goroutine do so that sends others. It is sent until
// the server confirms it. Then its key goes on.
func (k *keyed) settle(d *delivery, body []byte) error {
	s := &settlement{of: k, sequence: d.Sequence, reply: d.reply, body: body, at: time.Now()}
	if !k.m.begin(s) {
		return nil
	}
	err := s.send()
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	if err != nil { // the message will be delivered again
		delete(k.sent, d.Sequence)
		k.order.Wait(d.Sequence)
	}
	if len(k.m.outbox.waiting) > 0 {
		go k.m.sendPosted()
	} else {
		k.m.outbox.sending = false
	}
	return err
}

// begin notes a settlement, and reports whether the caller sends it.
func (m *member) begin(s *settlement) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.of.order.Acknowledge(s.sequence)
	s.of.sent[s.sequence] = s
	if m.outbox.sending {
		m.outbox.waiting = append(m.outbox.waiting, s)
		return false
	}
	m.outbox.sending = true
	return true
}

// post lets a settlement be sent. The caller holds the member's lock.
func (m *member) post(s *settlement) {
	m.outbox.waiting = append(m.outbox.waiting, s)
	if !m.outbox.sending {
		m.outbox.sending = true
		go m.sendPosted()
	}
}

// sendPosted sends settlements until none waits. Without a connection resend sends them later.
func (m *member) sendPosted() {
	var sent []*settlement
	for {
		m.mu.Lock()
		clear(sent)
		sent, m.outbox.waiting = m.outbox.waiting, sent[:0]
		if len(sent) == 0 {
			m.outbox.sending = false
			m.checkSettled()
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		for _, s := range sent {
			_ = s.send()
		}
	}
}

func (s *settlement) send() error {
	t := s.of.m.l.t
	number := t.acks.expect("", s)
	return t.nc.PublishRequest(s.reply, t.acks.inbox(number), s.body)
}

// answered implements answerer.
func (s *settlement) answered(a answer) {
	if a.err == nil && !noResponders(a.msg) {
		s.of.confirmed(s.sequence)
	}
}

// confirmed lets the key of a message go on.
func (k *keyed) confirmed(sequence uint64) {
	k.m.mu.Lock()
	delete(k.sent, sequence)
	k.order.Settle(sequence)
	k.full.settled++
	if k.order.Pin() == "" { // the next member waits for it
		k.m.share.tell(notice{Says: saysSettled, Partition: k.from.index, Sequence: sequence})
	}
	waits := k.m.leaderWaits
	k.m.mu.Unlock()
	if waits {
		nudge(k.m.wake)
	}
}

// confirmTime is how long a settlement waits for its confirmation before it is sent again.
const confirmTime = 300 * time.Millisecond

// resend sends settlements again that were not confirmed.
func (m *member) resend() {
	if !m.keyed {
		return
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.consumers {
		for _, s := range c.keyed.sent {
			if now.Sub(s.at) >= confirmTime {
				s.at = now
				m.post(s)
			}
		}
	}
}
