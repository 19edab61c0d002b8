package inproc

import "gomono.dev/transport"

// start is where a group or a Read begins: at a sequence, or at the last message of each
// subject.
type start struct {
	sequence uint64          // messages below are not part of it
	latest   map[uint64]bool // the only messages that are part of it, up to end; nil means all
	end      uint64
}

// resolve returns the start that s describes.
func (l *log) resolve(s transport.Start) start {
	is := start{sequence: 1, end: l.store.last}
	switch {
	case s.New:
		is.sequence = l.store.last + 1
	case s.Sequence > 0:
		is.sequence = s.Sequence
	case !s.Time.IsZero():
		is.sequence = l.store.since(l.backend.clock.at(s.Time))
	case s.LastPerSubject:
		is.latest = l.store.latest()
	}
	return is
}

// includes reports whether a message is part of what begins here.
func (s *start) includes(sequence uint64) bool {
	return sequence >= s.sequence && (s.latest == nil || sequence > s.end || s.latest[sequence])
}

// pass frees the data of the start, once everything up to its end is done.
func (s *start) pass() { s.sequence, s.latest = s.end+1, nil }
