package mono

import (
	"sync"

	"gomono.dev/mono/internal/copier"
)

// sharedWatcher is an Observer, in a test, that wants to hear of ReferenceChanged. To
// find one costs a look at all of a value, so nobody does who has not been asked.
type sharedWatcher interface {
	Observer
	WatchShared()
}

// sharedValues are the values that were passed as they are and that nobody may
// change any more. Each is looked at again when its call has ended, when maxShared
// others have come after it, and when the App has stopped.
type sharedValues struct {
	in *instance

	mu   sync.Mutex
	kept []*sharedValue // the oldest first
}

const maxShared = 10_000

// sharedValue is a value that was passed as it is.
type sharedValue struct {
	of    ReferenceChanged
	value any // pointer to it
	print uint64
}

// watchShared begins to keep shared values, where an observer asks for it.
func (in *instance) watchShared() *sharedValues {
	for o := range in.app.allObservers() {
		if _, ok := o.(sharedWatcher); ok {
			return &sharedValues{in: in}
		}
	}
	return nil
}

// keep takes note of a value that is sent.
func (s *sharedValues) keep(h *homeContext, what string, value any) *sharedValue {
	of := ReferenceChanged{Handle: h.sender.decl, Changed: what, Caller: h.sender.module, Provider: h.sender.home.unit.name}
	v := &sharedValue{of, value, copier.Fingerprint(value)}
	s.mu.Lock()
	s.kept = append(s.kept, v)
	var oldest *sharedValue
	if len(s.kept) > maxShared {
		oldest = s.kept[0]
		s.kept = s.kept[1:]
	}
	s.mu.Unlock()
	if oldest != nil {
		s.look(oldest)
	}
	return v
}

// look tells of a value that has changed since it was looked at last.
func (s *sharedValues) look(v *sharedValue) {
	print := copier.Fingerprint(v.value)
	s.mu.Lock()
	changed := print != v.print
	v.print = print
	s.mu.Unlock()
	if changed {
		s.in.log.Error("mono: a shared value was changed after it was sent: change a copy, or declare the handle without mono.ByReference",
			"handle", v.of.Handle.Name(), "value", v.of.Changed, "caller", v.of.Caller, "provider", v.of.Provider)
		s.in.observe(v.of)
	}
}

// lookAtAll looks at all values, when nobody should use them any more.
func (s *sharedValues) lookAtAll() {
	if s == nil {
		return
	}
	s.mu.Lock()
	kept := s.kept
	s.mu.Unlock()
	for _, v := range kept {
		s.look(v)
	}
}
