package kv

import (
	"hash/maphash"
	"sync/atomic"
)

// written holds the revisions that this process has written. Keys share slots: a slot holds
// the highest revision of its keys. A key whose slot is ahead of its record is read once
// more, from the leader. So the more keys a process writes, the more of them it reads twice:
// with as many keys as slots, about four in ten.
type written struct {
	last  atomic.Uint64
	slots [1 << 14]atomic.Uint64 // 128 KB
}

var seed = maphash.MakeSeed()

func (w *written) slot(key string) *atomic.Uint64 {
	return &w.slots[maphash.String(seed, key)%uint64(len(w.slots))]
}

// of returns a revision that the newest record of a key has at least, if the key is the only
// one of its slot. It is 0 if no key of the slot was written.
func (w *written) of(key string) uint64 { return w.slot(key).Load() }

func (w *written) note(key string, revision uint64) {
	raise(w.slot(key), revision)
	raise(&w.last, revision)
}

func raise(v *atomic.Uint64, to uint64) {
	for is := v.Load(); is < to && !v.CompareAndSwap(is, to); is = v.Load() {
	}
}
