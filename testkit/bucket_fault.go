package testkit

import (
	"bytes"

	"gomono.dev/kv"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
)

// FaultBucket declares a fault for the writes and the reads of a bucket by the App: Put, Create,
// Update, Modify, Delete and the others, and Get and GetAll. When with Writes, Reads or Key
// narrows it. Listings and watches have no faults.
//
// Drop, AmbiguousSend, Late, Fail, Stale, and Crash at BeforeSend, AfterSend or AnyPoint fit a
// bucket. AmbiguousSend and Crash affect writes, and Stale reads.
func FaultBucket[T any](h *Harness, b kv.Bucket[T], f Fault) *Injection {
	h.t.Helper()
	namespace := h.environment(inproc.New(inproc.Options{})).Namespace
	return h.declare(&Injection{fault: f, of: handleKey{kindBucket, b.StoredName(namespace)}})
}

// isForBuckets reports whether a write or a read of a bucket or a store can trigger the fault.
func (f *Fault) isForBuckets() bool {
	for _, action := range []inproctest.Action{inproctest.Put, inproctest.Get} {
		for _, phase := range []inproctest.Phase{inproctest.Before, inproctest.After} {
			if f.at != nil && f.at(&inproctest.Point{Step: inproctest.Step{Action: action}, Phase: phase}, false) {
				return true
			}
		}
	}
	return false
}

// askBucket decides at a point of a bucket or a store. Operations of the test have no faults.
func (f *faults) askBucket(p *inproctest.Point) inproctest.FaultAction {
	by := f.h.processOf(p.By)
	if !f.any() || f.h.over() || by == nil {
		return inproctest.FaultAction{}
	}
	k := handleKey{kindBucket, p.Bucket}
	if p.Store != "" {
		k = handleKey{kindStore, p.Store}
	}
	m := &Passing{Handle: k.String(), Program: by.programName(), Key: k.keyText(p.Key), Write: p.Action == inproctest.Put}
	if p.Key == "" {
		m.Chunk = int(p.Sequence)
	}
	if p.Message.Body != nil {
		m.Value = bytes.Clone(p.Message.Body)
	}
	return f.decide(p, m, k)
}

// canBeStale reports whether a fault makes reads of a bucket or a store stale.
func (f *faults) canBeStale(k handleKey) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.declared {
		if in.fault.action.Stale && (in.of == k || in.of == handleKey{}) {
			return true
		}
	}
	return false
}
