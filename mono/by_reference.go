package mono

import (
	"sync"

	"gomono.dev/mono/internal/copier"
)

// referenceWatcher is a test's Observer that asks for ReferenceChanged. Detecting a
// change costs a walk over the whole value, so it is done only on request.
type referenceWatcher interface {
	Observer
	WatchReferences()
}

// referencedValues holds the values that were passed by reference and must not change
// any more. Each is checked when its call has ended, after maxReferenced later values,
// and when the App has stopped.
type referencedValues struct {
	in *instance

	mu   sync.Mutex
	kept []*referencedValue // oldest first
}

const maxReferenced = 10_000

// referencedValue is a value that was passed by reference.
type referencedValue struct {
	of    ReferenceChanged
	value any // pointer to it
	print uint64
}

// newReferencedValues returns the store of values to watch if an observer asks for it,
// otherwise nil.
func newReferencedValues(in *instance) *referencedValues {
	for o := range in.app.allObservers() {
		if _, ok := o.(referenceWatcher); ok {
			return &referencedValues{in: in}
		}
	}
	return nil
}

// keep records a value that is sent.
func (s *referencedValues) keep(h *localCall, what string, value any) *referencedValue {
	of := ReferenceChanged{Handle: h.sender.decl, Changed: what, Caller: h.sender.module, Provider: h.sender.local.unit.name}
	v := &referencedValue{of, value, copier.Fingerprint(value)}
	s.mu.Lock()
	s.kept = append(s.kept, v)
	var oldest *referencedValue
	if len(s.kept) > maxReferenced {
		oldest = s.kept[0]
		s.kept = s.kept[1:]
	}
	s.mu.Unlock()
	if oldest != nil {
		s.recheck(oldest)
	}
	return v
}

// recheck reports a value that has changed since the last check.
func (s *referencedValues) recheck(v *referencedValue) {
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

// recheckAll checks all values, when none should be in use any more.
func (s *referencedValues) recheckAll() {
	if s == nil {
		return
	}
	s.mu.Lock()
	kept := s.kept
	s.mu.Unlock()
	for _, v := range kept {
		s.recheck(v)
	}
}
