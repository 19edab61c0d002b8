package keyorder

// recent has the sequences of the messages that were settled last. A server that was killed may
// deliver them again: it stores acknowledgements a moment later. It remembers at least maxRecent of
// them, and at most twice as many.
type recent struct {
	latest, before map[uint64]struct{}
}

const maxRecent = 4096

func (r *recent) add(sequence uint64) {
	if r.latest == nil || len(r.latest) == maxRecent {
		r.latest, r.before = r.before, r.latest
		if clear(r.latest); r.latest == nil {
			r.latest = make(map[uint64]struct{})
		}
	}
	r.latest[sequence] = struct{}{}
}

func (r *recent) has(sequence uint64) bool {
	_, ok := r.latest[sequence]
	if !ok {
		_, ok = r.before[sequence]
	}
	return ok
}
