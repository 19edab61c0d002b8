package inproc

import "gomono.dev/transport"

const tooLarge = "the message has more bytes than MaxBytes allows"

// makeRoom removes the messages that a new one displaces, or returns the limit that
// prevents it.
func (l *log) makeRoom(sub *subject, e *entry) (bound string) {
	c := l.config
	own := size(sub.name, e.record)
	if c.MaxBytes > 0 && own > c.MaxBytes {
		return tooLarge
	}
	if c.Full == transport.Refuse {
		return l.reached(sub, own)
	}
	if l.reached(sub, own) == "" {
		return ""
	}
	for c.MaxPerSubject > 0 && sub.count >= c.MaxPerSubject {
		l.remove(sub.first)
	}
	for l.reached(sub, own) != "" {
		l.remove(l.store.first)
	}
	l.groups.offer()
	return ""
}

// fits reports whether a message would be stored now, or need not be stored.
func (l *log) fits(e *entry) bool {
	c := l.config
	sub, own := l.store.subjects.get(e.subject), size(e.subject, e.record)
	switch {
	case !l.groups.needNext(sub):
		return true
	case c.MaxBytes > 0 && own > c.MaxBytes:
		return false
	}
	return c.Full != transport.Refuse || l.reached(sub, own) == ""
}

// reached returns the limit that a new message of a subject would exceed.
func (l *log) reached(sub *subject, own uint64) string {
	c, s := l.config, l.store
	switch {
	case c.MaxMessages > 0 && s.messages >= c.MaxMessages:
		return "it has as many messages as MaxMessages allows"
	case c.MaxBytes > 0 && s.bytes+own > c.MaxBytes:
		return "it has as many bytes as MaxBytes allows"
	case c.MaxPerSubject > 0 && sub.count >= c.MaxPerSubject:
		return "it has as many messages of the subject as MaxPerSubject allows"
	}
	return ""
}

func refuse(bound string) error {
	return transport.Errorf(transport.ResourceExhausted, transport.OutcomeNotDone,
		"the log is full: %s: wait until there is room, or raise the bound", bound)
}

// enforce removes messages that exceed changed limits of a log that drops the oldest.
func (l *log) enforce() {
	c := l.config
	if c.Full == transport.Refuse {
		return
	}
	for _, sub := range l.store.subjects.byName {
		for c.MaxPerSubject > 0 && sub.count > c.MaxPerSubject {
			l.remove(sub.first)
		}
	}
	for c.MaxMessages > 0 && l.store.messages > c.MaxMessages || c.MaxBytes > 0 && l.store.bytes > c.MaxBytes {
		l.remove(l.store.first)
	}
}
