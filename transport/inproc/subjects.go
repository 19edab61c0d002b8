package inproc

import (
	"strings"

	"gomono.dev/transport"
)

// subjects are those that a log has messages of, and some that it had.
type subjects struct {
	lanes  int
	byName map[string]*subject
	all    []*subject // by index; 0 is none
	free   []uint32
	empty  int // of those in byName, how many have no message
}

// subject is one of them, and what is known about it without looking.
type subject struct {
	name  string
	index uint32
	lane  int
	chain        // of its messages
	count uint64 // of its messages

	wanted []*group // whose filters match, as of epoch
	epoch  uint64
}

// maxEmpty is how many subjects without messages are kept at least: a queue whose
// one message comes and goes finds its subject there.
const maxEmpty = 1024

func newSubjects(lanes int) subjects {
	return subjects{lanes: lanes, byName: make(map[string]*subject), all: make([]*subject, 1)}
}

// get finds or makes a subject.
func (s *subjects) get(name string) *subject {
	if sub := s.byName[name]; sub != nil {
		return sub
	}
	s.sweep()
	sub := &subject{name: strings.Clone(name), lane: transport.LaneOf(name, s.lanes)}
	if n := len(s.free); n > 0 {
		sub.index, s.free = s.free[n-1], s.free[:n-1]
		s.all[sub.index] = sub
	} else {
		sub.index = uint32(len(s.all))
		s.all = append(s.all, sub)
	}
	s.byName[sub.name] = sub
	s.empty++
	return sub
}

func (s *subjects) added(sub *subject) {
	if sub.count++; sub.count == 1 {
		s.empty--
	}
}

func (s *subjects) removed(sub *subject) {
	if sub.count--; sub.count == 0 {
		s.empty++
	}
}

// sweep forgets the subjects without messages when they are most of all.
func (s *subjects) sweep() {
	if s.empty < maxEmpty || s.empty < len(s.byName)/2 {
		return
	}
	for name, sub := range s.byName {
		if sub.count == 0 {
			delete(s.byName, name)
			s.all[sub.index] = nil
			s.free = append(s.free, sub.index)
		}
	}
	s.empty = 0
}
