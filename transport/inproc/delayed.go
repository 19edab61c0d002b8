package inproc

import (
	"gomono.dev/transport"
	"gomono.dev/transport/inproc/internal/engine"
)

// delayed holds the messages of a log that wait for their time, and then, in a full log,
// for room. It has a separate set of ids.
type delayed struct {
	log     *log
	waiting heap[*waiting]
	order   uint64
	ids     dedup
}

type waiting struct {
	entry
	at    int64
	order uint64 // of the appends of messages that are due at the same time
	index int
}

func (w *waiting) before(other *waiting) bool {
	return w.at < other.at || w.at == other.at && w.order < other.order
}

func (w *waiting) place() *int { return &w.index }

// overdue reports whether the next message waits for room, not for time.
func (d *delayed) overdue(now int64) bool { return len(d.waiting) > 0 && d.waiting[0].at <= now }

// due returns the time of the next message, unless that is overdue.
func (d *delayed) due(now int64) int64 {
	if len(d.waiting) == 0 || d.overdue(now) {
		return never
	}
	return d.waiting[0].at
}

// count returns the number of messages that wait for their time.
func (d *delayed) count(now int64) (n uint64) {
	if d.due(now) != never || len(d.waiting) == 0 {
		return uint64(len(d.waiting))
	}
	for _, w := range d.waiting {
		if w.at > now {
			n++
		}
	}
	return n
}

// add keeps a message until its time.
func (d *delayed) add(e entry, id string, at int64) (transport.Appended, error) {
	l := d.log
	if _, ok := d.ids.find(id); ok {
		return transport.Appended{Duplicate: true}, nil
	}
	if max := l.config.MaxDelayed; max > 0 && d.count(l.now) >= max {
		return transport.Appended{}, transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone,
			"%d messages wait for their time, as many as MaxDelayed allows: send it when it is due, or raise MaxDelayed", max)
	}
	if own := size(e.subject, e.record); l.config.MaxBytes > 0 && own > l.config.MaxBytes {
		return transport.Appended{}, refuse(tooLarge)
	}
	d.order++
	d.waiting.push(&waiting{entry: e, at: at, order: d.order})
	d.ids.add(id, 0)
	l.alarm.set(at, l.now)
	return transport.Appended{}, nil
}

// release stores the messages that are due, in the order of their times, as long as there
// is room. An engine chooses among those with the same time.
func (d *delayed) release() {
	for stored := true; stored && d.overdue(d.log.now) && !d.log.backend.scheduled(d); {
		_, stored = d.store(d.waiting[0])
	}
}

// store stores a message that is due, if there is room.
func (d *delayed) store(w *waiting) (sequence uint64, stored bool) {
	sequence, bound := d.log.put(&w.entry)
	if bound != "" {
		return 0, false
	}
	d.waiting.remove(w)
	d.log.alarm.set(d.due(d.log.now), d.log.now)
	return sequence, true
}

// withID returns the next message with an id, or nil.
func (d *delayed) withID(id string) (first *waiting) {
	for _, w := range d.waiting {
		if recordID(w.record, w.meta) == id && (first == nil || w.before(first)) {
			first = w
		}
	}
	return first
}

// forgetIDs forgets the ids of messages that no longer wait.
func (d *delayed) forgetIDs() {
	waiting := make(map[string]bool)
	for _, w := range d.waiting {
		waiting[recordID(w.record, w.meta)] = true
	}
	d.ids.keepIDs(waiting)
}

// Lock implements [engine.Source].
func (d *delayed) Lock() { d.log.lock() }

// Unlock implements [engine.Source].
func (d *delayed) Unlock() { d.log.unlock() }

// Next implements [engine.Source]. Any of the messages with the earliest time may be
// stored, if there is room for it.
func (d *delayed) Next() (engine.Step, int) {
	return engine.Step{Action: engine.Due, Log: d.log.name}, len(d.storable())
}

// Take implements [engine.Source].
func (d *delayed) Take(choice int) engine.Step {
	w := d.storable()[choice]
	sequence, _ := d.store(w)
	return engine.Step{Action: engine.Due, Log: d.log.name, Subject: w.subject, Sequence: sequence}
}

func (d *delayed) storable() []*waiting {
	if !d.overdue(d.log.now) {
		return nil
	}
	return together(d.waiting, func(w *waiting) bool { return w.at == d.waiting[0].at && d.log.fits(&w.entry) })
}
