package testkit

import "gomono.dev/mono"

// WatchReferences asks the App for mono.ReferenceChanged.
func (p *process) WatchReferences() {}

// referenceChanged fails a test in which a value was changed after a call had passed it by
// reference.
func (h *Harness) referenceChanged(o mono.ReferenceChanged) {
	caller := "the test"
	if o.Caller != "" {
		caller = "module " + o.Caller
	}
	h.t.Errorf("testkit: the %s of a call of %s to service %s of module %s was changed after it was sent, which the service being mono.ByReference forbids to both: change a copy, or declare it without mono.ByReference",
		o.Changed, caller, o.Handle.Name(), o.Provider)
}
