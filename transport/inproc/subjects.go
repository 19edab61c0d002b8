package inproc

import (
	"strings"

	"gomono.dev/transport"
)

// subjects holds the subjects of the messages in a log, and some whose messages are gone.
type subjects struct {
	lanes  int
	byName map[string]*subject
	all    []*subject // by index; 0 means none
	free   []uint32
	empty  int // number of subjects in byName without messages
}

// subject is one subject, and the data that is kept about its messages.
type subject struct {
	name  string
	index uint32
	lane  int
	chain        // of its messages
	count uint64 // of its messages

	wanted []*group // groups whose filters match, as of epoch
	epoch  uint64
}

// maxEmpty is the number of subjects without messages that are always kept, for a queue
// whose only message comes and goes.
const maxEmpty = 1024

func newSubjects(lanes int) subjects {
	return subjects{lanes: lanes, byName: make(map[string]*subject), all: make([]*subject, 1)}
}

// get finds or creates a subject.
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

// sweep forgets the subjects without messages once they are the majority.
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
