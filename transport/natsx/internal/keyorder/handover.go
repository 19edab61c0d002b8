package keyorder

// Handover is the state of a partition at the member that had the pin: the unsettled messages of
// all deliveries up to one. With it the next member knows the keys that wait.
type Handover struct {
	Delivery  uint64
	Unsettled map[uint64]string // sequences and keys
}

// Handover returns the state in which the member has given up the pin, or nil if it is not exact.
// The partition has to be given up.
func (b *Barrier[D]) Handover() *Handover { return b.handover }

// Stray takes in a delivery under a pin that was given up, which the member hands back. It reports
// whether the Handover has changed.
func (b *Barrier[D]) Stray(m Message[D]) (changed bool) {
	h := b.handover
	if h == nil || m.Delivery != h.Delivery+1 {
		return false
	}
	h.Delivery++
	h.Unsettled[m.Sequence] = m.Key
	return true
}

// Take takes in the Handover of another member.
func (b *Barrier[D]) Take(h *Handover) {
	if b.handover == nil || b.handover.Delivery <= h.Delivery {
		b.handover = h
		b.follow()
	}
}

// Gone notes that another member has settled a message of its Handover.
func (b *Barrier[D]) Gone(sequence uint64) {
	b.settled(sequence)
	b.drop(sequence)
}

// settled notes that a message is settled, here or elsewhere.
func (b *Barrier[D]) settled(sequence uint64) {
	if b.handover != nil {
		delete(b.handover.Unsettled, sequence)
	}
}

// doubt notes that the server may have delivered the messages in hand to another member.
func (b *Barrier[D]) doubt() { b.doubtful, b.handover = true, nil }

// follow takes the awaited messages from the Handover, if the first delivery under this pin is the
// next one after it.
func (b *Barrier[D]) follow() {
	h := b.handover
	if h == nil || b.exact || b.state == unpinned || b.state == open || b.p.begun != h.Delivery+1 {
		return
	}
	b.handover, b.exact = nil, true
	b.await(h.Unsettled)
}
