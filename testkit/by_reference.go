package testkit

import "gomono.dev/mono"

// WatchReferences asks the App for mono.ReferenceChanged.
func (p *process) WatchReferences() {}

// referenceChanged fails a test in which a value was changed after a call had passed it by
// reference.
func (p *process) referenceChanged(o mono.ReferenceChanged) {
	caller := "the test"
	if o.Caller != "" {
		caller = p.module(o.Caller)
	}
	p.h.t.Errorf("testkit: the %s of a call of %s to service %s of %s was changed after it was sent, which the service being mono.ByReference forbids to both: change a copy, or declare it without mono.ByReference",
		o.Changed, caller, o.Handle.Name(), p.module(o.Provider))
}
