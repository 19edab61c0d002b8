package inproc

import (
	"strings"

	"gomono.dev/transport"
)

// subjects holds the subjects of the messages in a log, and some whose messages are gone.
type subjects struct {
	byName map[string]*subject
	all    []*subject // by index; 0 means none
	free   []uint32
	empty  int // number of subjects in byName without messages

	keyed    bool // subjects have keys
	keys     map[string]*key
	freeKeys []int
}

// subject is one subject, and the data that is kept about its messages.
type subject struct {
	name  string
	index uint32
	key   *key   // nil in a log without Partitions
	chain        // of its messages
	count uint64 // of its messages

	wanted []*group // groups whose filters match, as of epoch
	epoch  uint64
}

// key is the last token of one or more subjects.
type key struct {
	name     string
	index    int
	chain        // of its messages
	subjects int // that end with it
}

// maxEmpty is the number of subjects without messages that are always kept, for a queue
// whose only message comes and goes.
const maxEmpty = 1024

func newSubjects(keyed bool) subjects {
	return subjects{byName: make(map[string]*subject), all: make([]*subject, 1), keyed: keyed, keys: make(map[string]*key)}
}

// get finds or creates a subject.
func (s *subjects) get(name string) *subject {
	if sub := s.byName[name]; sub != nil {
		return sub
	}
	s.sweep()
	sub := &subject{name: strings.Clone(name)}
	if s.keyed {
		sub.key = s.keyOf(sub.name)
	}
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

// keyOf finds or creates the key of another subject.
func (s *subjects) keyOf(subject string) *key {
	name := transport.KeyOf(subject)
	k := s.keys[name]
	if k == nil {
		k = &key{name: name, index: len(s.keys)}
		if n := len(s.freeKeys); n > 0 {
			k.index, s.freeKeys = s.freeKeys[n-1], s.freeKeys[:n-1]
		}
		s.keys[name] = k
	}
	k.subjects++
	return k
}

// forget forgets a subject without messages, and its key if it was the last one.
func (s *subjects) forget(sub *subject) {
	delete(s.byName, sub.name)
	s.all[sub.index] = nil
	s.free = append(s.free, sub.index)
	if k := sub.key; k != nil {
		if k.subjects--; k.subjects == 0 {
			delete(s.keys, k.name)
			s.freeKeys = append(s.freeKeys, k.index)
		}
	}
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
	for _, sub := range s.byName {
		if sub.count == 0 {
			s.forget(sub)
		}
	}
	s.empty = 0
}
