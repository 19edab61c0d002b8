package inproc

import "gomono.dev/transport"

// delayed holds the messages of a log that wait for their time, and then, in a full log,
// for room. It has a separate set of ids.
type delayed struct {
	waiting heap[*waiting]
	order   uint64
	ids     dedup

	proposed bool // to the scheduler
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

// due returns the time of the next message. A message that is overdue waits for room, not
// for time.
func (d *delayed) due(now int64) int64 {
	if len(d.waiting) == 0 || d.waiting[0].at <= now {
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

// delay keeps a message until its time.
func (l *log) delay(e entry, id string, at int64) (transport.Appended, error) {
	d := &l.delayed
	if _, ok := d.ids.find(id, l.now, l.config.Window()); ok {
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
	l.remember(&d.ids, id, 0)
	l.alarm.set(at, l.now)
	return transport.Appended{}, nil
}

// release stores the messages that are due, in the order of their times, as long as there
// is room.
func (l *log) release() {
	d := &l.delayed
	if l.backend.scheduler != nil {
		l.proposeRelease()
		return
	}
	for len(d.waiting) > 0 && d.waiting[0].at <= l.now {
		if _, bound := l.put(&d.waiting[0].entry); bound != "" {
			return
		}
		d.waiting.pop()
		l.alarm.set(d.due(l.now), l.now)
	}
}
