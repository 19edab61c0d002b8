package mono

import (
	"sync"

	"gomono.dev/mono/internal/copier"
)

// sharedWatcher is a test's Observer that asks for ReferenceChanged. Detecting a change
// costs a walk over the whole value, so it is done only on request.
type sharedWatcher interface {
	Observer
	WatchShared()
}

// sharedValues holds the values that were passed by reference and must not change any
// more. Each is checked when its call has ended, after maxShared later values, and when
// the App has stopped.
type sharedValues struct {
	in *instance

	mu   sync.Mutex
	kept []*sharedValue // oldest first
}

const maxShared = 10_000

// sharedValue is a value that was passed by reference.
type sharedValue struct {
	of    ReferenceChanged
	value any // pointer to it
	print uint64
}

// watchShared returns the store of values to watch if an observer asks for it,
// otherwise nil.
func (in *instance) watchShared() *sharedValues {
	for o := range in.app.allObservers() {
		if _, ok := o.(sharedWatcher); ok {
			return &sharedValues{in: in}
		}
	}
	return nil
}

// keep records a value that is sent.
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

// look reports a value that has changed since the last check.
func (s *sharedValues) look(v *sharedValue) {
	print := copier.Fingerprint(v.value)
	s.mu.Lock()
	changed := print != v.print
	v.print = print
	s.mu.Unlock()
	if changed {
		s.in.log.Error("mono: a value was changed after it was passed by reference: change a copy, or declare the handle without mono.ByReference",
			"handle", v.of.Handle.Name(), "value", v.of.Changed, "caller", v.of.Caller, "provider", v.of.Provider)
		s.in.observe(v.of)
	}
}

// lookAtAll checks all values, when none should be in use any more.
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
