package inproc

import "gomono.dev/transport"

// store keeps messages by their sequences, in segments that are freed when their last
// message is removed. Each message is linked with its neighbours of the same subject and,
// in a log with Partitions, of the same key. So first, last and next are known at once after
// any removal.
type store struct {
	segments []segment
	base     uint64 // number of the first segment

	first    uint64 // of the oldest message; last+1 if there is none
	last     uint64 // the highest ever assigned
	messages uint64
	bytes    uint64

	subjects subjects
}

// segmentSize makes the slots of a segment fill 8 KiB. That is the maximum that one
// remaining message can hold.
const segmentSize = 170

type segment struct {
	slots *[segmentSize]slot // nil if no slot is used
	byKey *[segmentSize]link // nil in a log without Partitions
	used  int
}

// slot is one message. Its size is the cost of a message beyond its body.
type slot struct {
	record  string
	stored  int64
	link           // with messages of the same subject
	subject uint32 // 0: the slot is empty
	meta    uint32
}

// link holds the sequences of the neighbours; 0 means none.
type link struct{ previous, next uint64 }

// chain holds the ends of a list of messages; 0 means none.
type chain struct{ first, last uint64 }

// slotBytes is what a message counts in addition to its subject, header and body.
const slotBytes = 16

func newStore(keyed bool) *store {
	return &store{first: 1, subjects: newSubjects(keyed)}
}

// at returns the slot of a sequence, or nil if nothing is stored there.
func (s *store) at(sequence uint64) *slot {
	if sequence < s.first || sequence >= s.end() {
		return nil
	}
	slots := s.segment(sequence).slots
	if slots == nil || slots[sequence%segmentSize].subject == 0 {
		return nil
	}
	return &slots[sequence%segmentSize]
}

// end returns the first sequence that has no segment.
func (s *store) end() uint64 { return (s.base + uint64(len(s.segments))) * segmentSize }

func (s *store) segment(sequence uint64) *segment {
	return &s.segments[sequence/segmentSize-s.base]
}

// link returns the link of a message with others of its subject, or of its key.
func (s *store) link(sequence uint64, ofKey bool) *link {
	if ofKey {
		return &s.segment(sequence).byKey[sequence%segmentSize]
	}
	return &s.segment(sequence).slots[sequence%segmentSize].link
}

func (s *store) subjectAt(sequence uint64) *subject {
	return s.subjects.all[s.at(sequence).subject]
}

// from returns the oldest message at or above a sequence, or last+1.
func (s *store) from(sequence uint64) uint64 {
	for sequence = max(sequence, s.first); sequence < s.end(); sequence++ {
		seg := s.segment(sequence)
		if seg.slots == nil {
			sequence += segmentSize - 1 - sequence%segmentSize
			continue
		}
		if seg.slots[sequence%segmentSize].subject != 0 {
			return sequence
		}
	}
	return s.last + 1
}

// next returns the message after a stored one, of its key if ofKey is set; 0 means
// none.
func (s *store) next(sequence uint64, ofKey bool) uint64 {
	if ofKey {
		return s.link(sequence, true).next
	}
	if n := s.from(sequence + 1); n <= s.last {
		return n
	}
	return 0
}

// idOf returns the id of a message. It is "" if the message has none or is gone.
func (s *store) idOf(sequence uint64) string {
	m := s.at(sequence)
	if m == nil {
		return ""
	}
	return recordID(m.record, int(m.meta))
}

// matching returns the messages that p matches, whatever its Keep.
func (s *store) matching(p transport.PurgeConfig) []uint64 {
	var found []uint64
	for n := s.first; n <= s.last && (p.Before == 0 || n < p.Before); n = s.from(n + 1) {
		if p.Subject == "" || transport.Match(p.Subject, s.subjectAt(n).name) {
			found = append(found, n)
		}
	}
	return found
}

// lastOf returns the last message of a subject; 0 means none.
func (s *store) lastOf(subject string) uint64 {
	if sub := s.subjects.byName[subject]; sub != nil {
		return sub.last
	}
	return 0
}

// latest returns the last message of each subject.
func (s *store) latest() map[uint64]bool {
	latest := make(map[uint64]bool)
	for _, sub := range s.subjects.byName {
		if sub.last != 0 {
			latest[sub.last] = true
		}
	}
	return latest
}

// since returns the first message that was stored at a time or later, or last+1.
func (s *store) since(at int64) uint64 {
	low, high := s.first, s.last+1
	for low < high {
		middle := s.from(low + (high-low)/2)
		if middle >= high {
			high = low + (high-low)/2
			continue
		}
		if s.at(middle).stored < at {
			low = middle + 1
		} else {
			high = low + (high-low)/2
		}
	}
	return s.from(low)
}

// skip uses a sequence without storing a message.
func (s *store) skip() uint64 {
	s.last++
	if s.messages == 0 {
		s.first = s.last + 1
	}
	return s.last
}

// add stores a message.
func (s *store) add(sub *subject, e *entry, now int64) uint64 {
	sequence := s.last + 1
	seg := s.grow(sequence)
	seg.used++
	s.last = sequence
	if s.messages == 0 {
		s.first = sequence
	}
	s.messages++
	s.bytes += size(sub.name, e.record)
	seg.slots[sequence%segmentSize] = slot{
		record: e.record, stored: now, subject: sub.index, meta: uint32(e.meta),
	}
	s.subjects.added(sub)
	s.attach(&sub.chain, sequence, false)
	if s.subjects.keyed {
		s.attach(&sub.key.chain, sequence, true)
	}
	return sequence
}

// attach adds a message to the end of a chain.
func (s *store) attach(c *chain, sequence uint64, ofKey bool) {
	*s.link(sequence, ofKey) = link{previous: c.last}
	if c.last != 0 {
		s.link(c.last, ofKey).next = sequence
	} else {
		c.first = sequence
	}
	c.last = sequence
}

// grow returns the segment of a new sequence, ready for writing.
func (s *store) grow(sequence uint64) *segment {
	s.trim(sequence)
	for sequence/segmentSize-s.base >= uint64(len(s.segments)) {
		s.segments = append(s.segments, segment{})
	}
	seg := s.segment(sequence)
	if seg.slots == nil {
		seg.slots = new([segmentSize]slot)
		if s.subjects.keyed {
			seg.byKey = new([segmentSize]link)
		}
	}
	return seg
}

// remove deletes a stored message.
func (s *store) remove(sequence uint64) {
	removed := s.at(sequence)
	sub := s.subjects.all[removed.subject]
	s.bytes -= size(sub.name, removed.record)
	s.messages--
	s.detach(&sub.chain, sequence, false)
	if s.subjects.keyed {
		s.detach(&sub.key.chain, sequence, true)
	}
	*removed = slot{}
	s.subjects.removed(sub)
	s.shrink(sequence)
}

// detach removes a message from its chain.
func (s *store) detach(c *chain, sequence uint64, ofKey bool) {
	l := *s.link(sequence, ofKey)
	if l.previous != 0 {
		s.link(l.previous, ofKey).next = l.next
	} else {
		c.first = l.next
	}
	if l.next != 0 {
		s.link(l.next, ofKey).previous = l.previous
	} else {
		c.last = l.previous
	}
}

// shrink frees unused memory after a removal.
func (s *store) shrink(sequence uint64) {
	seg := s.segment(sequence)
	if seg.used--; seg.used == 0 && sequence/segmentSize != s.last/segmentSize {
		*seg = segment{}
	}
	if sequence == s.first {
		s.first = s.from(sequence + 1)
	}
}

// trim frees the unused segments before that of a new sequence.
func (s *store) trim(sequence uint64) {
	last := len(s.segments) - 1
	if last >= 0 && s.end() <= sequence && s.segments[last].used == 0 {
		s.segments[last] = segment{}
	}
	for len(s.segments) > 0 && s.segments[0].used == 0 && s.base != sequence/segmentSize {
		s.segments = s.segments[1:]
		s.base++
	}
	if len(s.segments) == 0 {
		s.base = sequence / segmentSize
	}
}

// size returns the number of bytes that a message counts against MaxBytes.
func size(subject, record string) uint64 {
	return uint64(len(subject) + len(record) + slotBytes)
}
