package objstore

import (
	"errors"
	"time"

	kvdriver "gomono.dev/kv/driver"
)

// run follows the entries, as long as that works.
func (x *index) run(running chan struct{}) {
	var err error = kvdriver.ErrGap
	for errors.Is(err, kvdriver.ErrGap) {
		err = x.follow()
		x.mu.Lock()
		x.names, x.expiries, x.current = names{}, expiries{}, false
		x.move(0)
		if !errors.Is(err, kvdriver.ErrGap) {
			x.running = nil
		}
		x.mu.Unlock()
	}
	close(running)
}

// follow reads all entries, and then follows them.
func (x *index) follow() error {
	x.mu.RLock()
	least := x.least
	x.mu.RUnlock()
	is, err := x.s.Entries().Info(x.life)
	if err == nil && is.Last > 0 {
		err = x.s.Entries().Scan(x.life, kvdriver.Scan{UpTo: is.Last}, x.learn)
	}
	if err != nil {
		return err
	}
	x.mu.Lock()
	if is.Last < least && x.least == least {
		x.least = is.Last // the store was deleted and created again
	}
	x.mu.Unlock()
	return x.s.Entries().Follow(x.life, kvdriver.Follow{After: is.Last, Current: x.mark}, x.learn)
}

// learn notes a record.
func (x *index) learn(r *kvdriver.Record) bool {
	name := nameOf(r.Key)
	var is *named
	if r.Op == kvdriver.Put {
		is = new(named)
		is.Info, is.err = x.s.decode(r)
		is.Name, is.Revision = name, r.Revision
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.lasting {
		x.lasting, x.asOf = false, time.Now()
	}
	if is == nil {
		x.names.remove(name)
		x.expiries.remove(name)
	} else {
		x.names.set(is)
		x.expiries.set(name, is.Revision, is.Expires)
	}
	if x.current {
		x.move(r.Revision)
	}
	return true
}

// mark notes that the index has all changes, which end at a revision.
func (x *index) mark(revision uint64, lasting bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.current, x.lasting, x.asOf = true, lasting, time.Now()
	x.move(revision)
	for due := x.expiries.take(x.asOf); due != nil; due = x.expiries.take(x.asOf) {
		x.names.remove(due.name)
	}
}

// move moves the position.
func (x *index) move(to uint64) {
	x.position = to
	if x.moved != nil {
		close(x.moved)
		x.moved = nil
	}
}
