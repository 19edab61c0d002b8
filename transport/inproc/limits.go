package inproc

import (
	"time"

	"gomono.dev/transport"
)

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
	l.offer()
	return ""
}

// fits reports whether a message would be stored now, or need not be stored.
func (l *log) fits(e *entry) bool {
	c := l.config
	sub, own := l.store.subjects.get(e.subject), size(e.subject, e.record)
	switch {
	case c.Retention == transport.InterestRetention && !l.anyFrom(l.wanted(sub), l.store.last+1):
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

// expiry is the time at which a message with a TTL is removed.
type expiry struct {
	at       int64
	sequence uint64
	index    int
}

func (e *expiry) before(other *expiry) bool { return e.at < other.at }
func (e *expiry) place() *int               { return &e.index }

// expiryOf returns the time at which a message is removed, in whole milliseconds, so that
// a log with constant writes wakes up at most a thousand times a second.
func expiryOf(stored int64, age time.Duration) int64 {
	at := after(stored, age)
	if rest := at % int64(time.Millisecond); rest > 0 && at < never-int64(time.Millisecond) {
		at += int64(time.Millisecond) - rest
	}
	return at
}

// expireAfter records the TTL of a message, if it was stored.
func (l *log) expireAfter(sequence uint64, ttl time.Duration) {
	if ttl == 0 || l.store.at(sequence) == nil {
		return
	}
	l.forgetExpiries()
	e := &expiry{at: expiryOf(l.now, ttl), sequence: sequence}
	l.expiry.push(e)
	l.alarm.set(e.at, l.now)
}

// forgetExpiries drops the expiries of removed messages, once they are the majority.
func (l *log) forgetExpiries() {
	if len(l.expiry) < 1024 || uint64(len(l.expiry)) < 2*l.store.messages {
		return
	}
	all := l.expiry
	l.expiry = nil
	for _, e := range all {
		if l.store.at(e.sequence) != nil {
			l.expiry.push(e)
		}
	}
}

// expire removes expired messages, and sets the alarm for the next ones.
func (l *log) expire() {
	for len(l.expiry) > 0 && l.expiry[0].at <= l.now {
		if n := l.expiry.pop().sequence; l.store.at(n) != nil {
			l.remove(n)
		}
	}
	if len(l.expiry) > 0 {
		l.alarm.set(l.expiry[0].at, l.now)
	}
	if l.config.MaxAge == 0 {
		return
	}
	for l.store.messages > 0 {
		at := expiryOf(l.store.at(l.store.first).stored, l.config.MaxAge)
		if at > l.now {
			l.alarm.set(at, l.now)
			return
		}
		l.remove(l.store.first)
	}
}
