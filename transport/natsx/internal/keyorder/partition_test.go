package keyorder_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gomono.dev/transport/natsx/internal/keyorder"
)

// server is a model of a consumer with the priority policy pinned_client.
type server struct {
	t       *rapid.T
	keys    []string // of the messages: the first has the sequence 1
	settled map[uint64]bool
	pending map[uint64]*pending
	again   []uint64 // to be delivered again

	delivered  uint64
	deliveries uint64
	pins       int
	pinned     *member // nil: none

	members []*member
	started map[string]uint64 // the highest sequence of each key whose handler has begun
	acks    []settlement      // on their way
}

// pending is a message that was delivered and is not settled.
type pending struct {
	holder *member
	times  int
	back   bool // was handed back
}

// delivery is a message on its way to a member, or in its hand.
type delivery struct {
	sequence, number uint64
	first, sure      bool
	pin              string
}

// settlement is an acknowledgement or its opposite on its way to the server.
type settlement struct {
	from     *member
	sequence uint64
	nak      bool
}

// member is a process with a partition.
type member struct {
	s         *server
	name      string
	order     *keyorder.Partition[uint64]
	dead      bool
	inbox     []delivery
	confirms  []uint64
	running   map[uint64]bool
	unsure    map[uint64]bool // acknowledged, and not confirmed
	snapshots []keyorder.Snapshot
	ranges    []answer
	old       map[string]bool // earlier pins
	mail      []func()        // from other members
}

// answer has the keys of a range that a member has asked for.
type answer struct {
	of   keyorder.Range
	keys map[uint64]string
}

func newServer(t *rapid.T) *server {
	s := &server{t: t, settled: make(map[uint64]bool), pending: make(map[uint64]*pending), started: make(map[string]uint64)}
	for range 3 {
		s.join()
	}
	return s
}

func (s *server) join() {
	s.members = append(s.members, &member{
		s: s, name: fmt.Sprint("m", len(s.members)), order: keyorder.New[uint64](), running: make(map[uint64]bool), unsure: make(map[uint64]bool), old: make(map[string]bool),
	})
}

func (s *server) live() []*member {
	return slices.DeleteFunc(slices.Clone(s.members), func(m *member) bool { return m.dead })
}

func (s *server) floor() uint64 {
	floor := s.delivered
	for sequence := range s.pending {
		floor = min(floor, sequence-1)
	}
	return floor
}

func (s *server) pin() string {
	if s.pinned == nil {
		return ""
	}
	return fmt.Sprint(s.pins)
}

// deliver delivers one message to the pinned member.
func (s *server) deliver() bool {
	if s.pinned == nil || s.pinned.dead {
		return false
	}
	var sequence uint64
	switch {
	case len(s.again) > 0:
		sequence, s.again = s.again[0], s.again[1:]
		if s.pending[sequence] == nil {
			return true // it was settled
		}
	case int(s.delivered) < len(s.keys):
		s.delivered++
		sequence = s.delivered
		s.pending[sequence] = &pending{}
	default:
		return false
	}
	s.deliveries++
	p := s.pending[sequence]
	p.times++
	p.holder = s.pinned
	s.pinned.inbox = append(s.pinned.inbox, delivery{sequence, s.deliveries, p.times == 1, p.back, s.pin()})
	return true
}

func (s *server) repeat(sequence uint64) {
	s.pending[sequence].holder = nil
	if !slices.Contains(s.again, sequence) {
		s.again = append(s.again, sequence)
	}
}

// take handles a settlement, unless it is lost.
func (s *server) take(i int, lost bool) {
	a := s.acks[i]
	s.acks = slices.Delete(s.acks, i, i+1)
	p := s.pending[a.sequence]
	switch {
	case lost:
	case a.nak:
		if p != nil && p.holder == a.from {
			s.repeat(a.sequence)
			p.back = !slices.ContainsFunc(s.acks, func(other settlement) bool { return other.sequence == a.sequence && !other.nak })
		}
	default:
		delete(s.pending, a.sequence)
		s.settled[a.sequence] = true
		a.from.confirms = append(a.from.confirms, a.sequence)
	}
}

func (m *member) receive() {
	d := m.inbox[0]
	m.inbox = m.inbox[1:]
	if d.pin != m.order.Pin() {
		if m.old[d.pin] {
			if m.order.Barrier().Stray(keyorder.Message[uint64]{Sequence: d.sequence, Delivery: d.number, Key: m.s.keys[d.sequence-1]}) {
				m.handOver()
			}
			m.s.acks = append(m.s.acks, settlement{m, d.sequence, true})
			return
		}
		m.leave(m.order.Pinned(d.pin))
	}
	m.old[d.pin] = true
	if m.order.Lost(d.number) {
		m.leave(m.order.Pinned(d.pin))
	}
	got := m.order.Arrive(keyorder.Message[uint64]{Sequence: d.sequence, Delivery: d.number, First: d.first, Key: m.s.keys[d.sequence-1], Value: d.sequence})
	if d.sure {
		m.order.Sure(d.sequence)
	}
	if got == keyorder.Settled {
		m.s.acks = append(m.s.acks, settlement{m, d.sequence, false})
	}
}

// leave hands back what the member does not handle.
func (m *member) leave(forgotten []uint64) {
	m.handOver()
	for _, sequence := range forgotten {
		m.s.acks = append(m.s.acks, settlement{m, sequence, true})
	}
}

// handOver tells the other members what is not settled.
func (m *member) handOver() {
	h := m.order.Barrier().Handover()
	if h == nil {
		return
	}
	delivery, unsettled := h.Delivery, maps.Clone(h.Unsettled)
	m.tell(func(other *member) {
		other.order.Barrier().Take(&keyorder.Handover{Delivery: delivery, Unsettled: maps.Clone(unsettled)})
	})
}

// tell sends the others something, which may be lost.
func (m *member) tell(what func(*member)) {
	for _, other := range m.s.live() {
		if other != m && rapid.IntRange(0, 3).Draw(m.s.t, "told") > 0 {
			other.mail = append(other.mail, func() { what(other) })
		}
	}
}

// begin begins a handler. This is the order that must be kept.
func (m *member) begin() bool {
	sequence, ok := m.order.Next()
	if !ok {
		return false
	}
	t, s, key := m.s.t, m.s, m.s.keys[sequence-1]
	for _, other := range s.live() {
		for busy := range other.running {
			if s.keys[busy-1] == key {
				t.Fatalf("%s begins %d of key %s while %s handles %d", m.name, sequence, key, other.name, busy)
			}
		}
	}
	for before := uint64(1); before < sequence; before++ {
		if s.keys[before-1] == key && !s.settled[before] {
			t.Fatalf("%s begins %d of key %s before %d is settled", m.name, sequence, key, before)
		}
	}
	if sequence < s.started[key] {
		t.Fatalf("%s begins %d of key %s after %d", m.name, sequence, key, s.started[key])
	}
	s.started[key] = sequence
	m.running[sequence] = true
	return true
}

func (m *member) finish(sequence uint64, failed bool) {
	delete(m.running, sequence)
	if failed {
		m.order.Wait(sequence)
		m.s.acks = append(m.s.acks, settlement{m, sequence, true})
		return
	}
	m.order.Acknowledge(sequence)
	m.unsure[sequence] = true
	m.s.acks = append(m.s.acks, settlement{m, sequence, false})
}

func (m *member) confirmed() {
	sequence := m.confirms[0]
	m.confirms = m.confirms[1:]
	delete(m.unsure, sequence)
	m.order.Settle(sequence)
	m.tell(func(other *member) { other.order.Barrier().Gone(sequence) })
}

func (m *member) ask() {
	s := m.s
	m.snapshots = append(m.snapshots, keyorder.Snapshot{Pin: s.pin(), Delivered: s.delivered, DeliveredConsumer: s.deliveries, Floor: s.floor(), Pending: len(s.pending)})
}

func (m *member) learn() {
	is := m.snapshots[0]
	m.snapshots = m.snapshots[1:]
	_, read, forgotten := m.order.Barrier().Learn(is)
	for _, sequence := range forgotten {
		m.s.acks = append(m.s.acks, settlement{m, sequence, true})
	}
	if read.Before > 0 {
		keys := make(map[uint64]string)
		for sequence := read.After + 1; sequence < read.Before; sequence++ {
			keys[sequence] = m.s.keys[sequence-1]
		}
		m.ranges = append(m.ranges, answer{read, keys})
	}
}

func (m *member) resolve() {
	a := m.ranges[0]
	m.ranges = m.ranges[1:]
	m.order.Barrier().Resolve(a.of, a.keys)
}

func (m *member) die() {
	m.dead, m.running = true, nil
	if m.s.pinned == m {
		m.s.pinned = nil
	}
	m.s.join()
}

// A program of random steps: members that handle, fail, die and lose the pin, a server that
// pins, and settlements that are late or lost.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newServer(t)
		for range rapid.IntRange(40, 200).Draw(t, "steps") {
			all := s.steps()
			all[rapid.IntRange(0, len(all)-1).Draw(t, "step")]()
		}
		s.complete()
	})
}

// steps returns the steps that have an effect. Some are there more than once.
func (s *server) steps() []func() {
	draw := func(what string, limit int) int { return rapid.IntRange(0, limit).Draw(s.t, what) }
	all := []func(){func() { s.keys = append(s.keys, rapid.SampledFrom([]string{"a", "b"}).Draw(s.t, "key")) }}
	add := func(times int, step func()) {
		for range times {
			all = append(all, step)
		}
	}
	if s.pinned != nil && !s.pinned.dead && (len(s.again) > 0 || int(s.delivered) < len(s.keys)) {
		add(2, func() { s.deliver() })
	}
	if len(s.acks) > 0 {
		add(1, func() { s.take(draw("settlement", len(s.acks)-1), draw("lost", 9) == 0) })
	}
	if s.lapses() > 0 {
		add(1, s.lapse)
	}
	for _, m := range s.live() {
		if draw("change", 6) == 0 {
			add(1, func() { s.pins++; s.pinned = m }) // also of the same member
			add(1, m.die)
		}
		if len(m.inbox) > 0 {
			add(2, m.receive)
			if draw("break", 9) == 0 {
				add(1, func() { m.inbox = m.inbox[1:] })
			}
		}
		add(2, func() { m.begin() })
		for _, busy := range slices.Sorted(maps.Keys(m.running)) {
			add(1, func() { m.finish(busy, draw("fails", 3) == 0) })
		}
		if len(m.confirms) > 0 {
			add(1, m.confirmed)
		}
		if m.order.Pin() != "" && m.order.Pin() != s.pin() {
			add(1, func() { m.leave(m.order.Unpinned()) })
		}
		if m.order.Pin() != "" {
			add(1, m.ask)
		}
		if len(m.mail) > 0 {
			add(2, func() { m.mail[0](); m.mail = m.mail[1:] })
		}
		if len(m.snapshots) > 0 {
			add(2, m.learn)
		}
		if len(m.ranges) > 0 {
			add(2, m.resolve)
		}
	}
	return all
}

// lapses returns the first message whose AckWait may end: its holder is dead, or never got it.
func (s *server) lapses() uint64 {
	for _, sequence := range slices.Sorted(maps.Keys(s.pending)) {
		if p := s.pending[sequence]; p.holder != nil && p.holder.lacks(sequence) {
			return sequence
		}
	}
	return 0
}

func (s *server) lapse() {
	sequence := s.lapses()
	s.repeat(sequence)
	s.pending[sequence].back = false
}

// lacks reports whether a member does not keep a message alive.
func (m *member) lacks(sequence uint64) bool {
	return m.dead || !m.has(sequence) && !slices.ContainsFunc(m.inbox, func(d delivery) bool { return d.sequence == sequence })
}

func (m *member) has(sequence uint64) bool {
	_, ok := m.order.Get(sequence)
	return ok
}

// complete lets one member finish all. It must not wait forever.
func (s *server) complete() {
	for _, m := range s.live() {
		for sequence := range m.running {
			m.finish(sequence, false)
		}
	}
	last := s.live()[0]
	for _, m := range s.live()[1:] {
		m.leave(m.order.Unpinned())
		m.inbox = nil
	}
	s.pins++
	s.pinned = last
	for range 20 * (len(s.keys) + 10) {
		for s.lapses() > 0 {
			s.lapse()
		}
		for s.deliver() {
		}
		for _, m := range s.live() {
			for len(m.inbox) > 0 && m == last {
				m.receive()
			}
			for sequence := range m.unsure { // sent again until it is answered
				s.acks = append(s.acks, settlement{m, sequence, false})
			}
		}
		for len(s.acks) > 0 {
			s.take(0, false)
		}
		for _, m := range s.live() {
			for len(m.confirms) > 0 {
				m.confirmed()
			}
		}
		if last.order.Pin() != s.pin() { // the server answers its next pull so
			last.leave(last.order.Unpinned())
		}
		last.ask()
		for len(last.snapshots) > 0 {
			last.learn()
		}
		for len(last.ranges) > 0 {
			last.resolve()
		}
		for last.begin() {
		}
		for sequence := range last.running {
			last.finish(sequence, false)
		}
	}
	for i := range s.keys {
		if sequence := uint64(i + 1); !s.settled[sequence] {
			s.t.Fatalf("message %d of key %s was not handled in the end", sequence, s.keys[i])
		}
	}
}
