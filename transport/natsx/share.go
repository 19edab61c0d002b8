package natsx

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport/natsx/internal/balance"
)

// The members of a group that keeps the order of keys talk to each other on a subject of core NATS.
// They say that they are there: each then computes its share of the partitions, and pulls those
// only. They also say which messages of a partition that they gave up they have settled since, for
// which the next owner waits. Both are for speed, and a lost message changes no order: the pin of a
// partition decides about its owner, and a barrier about the keys that wait.

// membersPrefix is followed by the stream and the group.
const membersPrefix = "_mono_members."

// share is the part that a member has of its group's partitions. The member's lock guards it.
type share struct {
	m       *member
	id      string
	subject string
	sub     *nats.Subscription
	period  time.Duration // between two signs of life

	assigned int // partitions in the share

	roster *balance.Roster
	found  []string  // consumers that had a pin before the member joined
	ready  bool      // the others have had time to answer
	beaten time.Time // the last sign of life
	breaks int       // disconnects at that time
}

// notice is what members tell each other.
type notice struct {
	Member    string `json:"member"`
	Says      string `json:"says"`
	Partition int    `json:"partition,omitempty"`
	Sequence  uint64 `json:"sequence,omitempty"`
}

const (
	saysHello   = "hello" // it joins, and wants to know the others
	saysHere    = "here"
	saysLeft    = "left"
	saysSettled = "settled" // it has settled a message of a partition that it gave up
)

const maxMemberID = 64 // bytes

// answerTime is how long a new member waits for the others before it takes its share.
const answerTime = 100 * time.Millisecond

func newShare(m *member, consumers []*jetstream.ConsumerInfo) *share {
	s := &share{m: m, id: rand.Text(), subject: membersPrefix + m.l.config.Name + "." + m.group, period: m.consumers[0].keyed.ttl / 3}
	s.roster, s.ready = balance.NewRoster(s.id), true
	for _, is := range consumers {
		if pinOf(is) != "" {
			s.found = append(s.found, is.Name)
		}
		s.ready = s.ready && pinOf(is) == "" && is.NumWaiting == 0
	}
	return s
}

// join makes the member known. If no other member pulls, it takes all partitions at once.
func (s *share) join() (err error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.sub, err = s.m.l.t.nc.Subscribe(s.subject, s.receive); err != nil {
		return err
	}
	s.breaks, _ = s.m.l.t.link.state()
	s.say(saysHello)
	if s.divide(); !s.ready {
		time.AfterFunc(answerTime, s.begin)
	}
	return nil
}

// begin takes the first share. If no other member has answered, the pins belong to members that
// have died, and begin ends them. Otherwise such a pin ends by its time.
func (s *share) begin() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.ready = true; s.roster.Alone() {
		for _, consumer := range s.found {
			go s.m.unpin(consumer)
		}
	}
	s.divide()
}

// say sends a notice about the member itself.
func (s *share) say(says string) {
	s.beaten = time.Now()
	s.tell(notice{Says: says})
}

// tell sends a notice. Without a connection it is lost, and the other members notice it later.
func (s *share) tell(n notice) {
	if n.Member = s.id; s.m.l.t.closed.Load() {
		return
	}
	body, _ := json.Marshal(n) // of numbers and strings
	_ = s.m.l.t.nc.Publish(s.subject, body)
}

// receive handles a notice of another member.
func (s *share) receive(msg *nats.Msg) {
	var n notice
	if json.Unmarshal(msg.Data, &n) != nil || n.Member == "" || len(n.Member) > maxMemberID || n.Member == s.id {
		return
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.ending {
		return
	}
	changed := false
	switch n.Says {
	case saysHello:
		s.say(saysHere)
		changed = s.roster.Heard(n.Member)
	case saysHere:
		changed = s.roster.Heard(n.Member)
	case saysLeft:
		changed = s.roster.Left(n.Member)
	case saysSettled:
		if n.Partition >= 0 && n.Partition < len(s.m.consumers) {
			s.m.consumers[n.Partition].keyed.order.Barrier().Gone(n.Sequence)
			nudge(s.m.wake)
		}
	}
	if changed {
		s.divide()
	}
}

// beat gives the sign of life of the period, and forgets members that have been silent. Without a
// connection no member can be heard.
func (s *share) beat(now time.Time) {
	breaks, up := s.m.l.t.link.state()
	if s.m.ending || !up || now.Sub(s.beaten) < s.period && breaks == s.breaks {
		return
	}
	if breaks != s.breaks {
		s.breaks = breaks
		s.say(saysHello)
		return
	}
	s.say(saysHere)
	if s.roster.Pass() {
		s.divide()
	}
}

// divide computes the member's share again, and gives up partitions that are not in it.
func (s *share) divide() {
	if !s.ready || s.m.ending {
		return
	}
	mine := s.roster.Share(len(s.m.consumers))
	s.assigned = 0
	for i, c := range s.m.consumers {
		if mine[i] {
			s.assigned++
		}
		if c.keyed.assigned = mine[i]; !mine[i] {
			c.keyed.handOver()
		}
	}
	nudge(s.m.wake)
}

// leave announces that the member takes no more messages.
func (s *share) leave() {
	if s == nil {
		return
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.sub == nil {
		return
	}
	_ = s.sub.Unsubscribe() // an error means that it has already ended
	s.sub = nil
	s.say(saysLeft)
}

// unpinAll lets other members have the partitions at once.
func (m *member) unpinAll() {
	var pinned []*keyed
	var notes [][]byte
	m.mu.Lock()
	for _, c := range m.consumers {
		if k := c.keyed; k != nil && k.order.Pin() != "" {
			k.retire()
			k.doubt()
			k.order.Unpinned()
			pinned, notes = append(pinned, k), append(notes, k.handover())
		}
	}
	m.mu.Unlock()
	var wait sync.WaitGroup
	for i, k := range pinned {
		wait.Go(func() {
			k.store(notes[i])
			m.unpin(k.from.name)
		})
	}
	wait.Wait()
}

// unpin ends the pin of a partition. If that fails, the pin ends by its time.
func (m *member) unpin(consumer string) {
	if _, up := m.l.t.link.state(); !up {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), unpinTimeout)
	defer cancel()
	_ = m.l.groups.unpinConsumer(ctx, consumer, membersGroup)
}

const unpinTimeout = time.Second
