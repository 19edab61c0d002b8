package inproc

import (
	"encoding/json"

	"gomono.dev/transport"
)

// append takes the lock, and stores a message, unless it is delayed or was stored before.
func (l *log) append(m *transport.Message, o *transport.AppendOptions) (transport.Appended, error) {
	e := newEntry(o.ID, m)
	l.lock()
	defer l.unlock()
	if at := l.backend.clock.at(o.NotBefore); !o.NotBefore.IsZero() && at > l.now {
		return l.delayed.add(e, o.ID, at)
	}
	if last, err := l.expect(o); err != nil {
		if o.ID != "" && l.store.idOf(last) == o.ID {
			return transport.Appended{Sequence: last, Duplicate: true}, nil
		}
		return transport.Appended{}, err
	}
	if sequence, ok := l.ids.find(o.ID); ok {
		return transport.Appended{Sequence: sequence, Duplicate: true}, nil
	}
	sequence, bound := l.put(&e)
	if bound != "" {
		return transport.Appended{}, refuse(bound)
	}
	l.ids.add(o.ID, sequence)
	l.expiries.add(sequence, o.TTL)
	return transport.Appended{Sequence: sequence}, nil
}

// expect returns an error if the condition of an append does not hold, and the current
// last sequence.
func (l *log) expect(o *transport.AppendOptions) (last uint64, err error) {
	if o.Expect == nil {
		return 0, nil
	}
	last, of := l.store.last, "the log"
	if o.Expect.Subject != "" {
		last, of = l.store.lastOf(o.Expect.Subject), o.Expect.Subject
	}
	if last == o.Expect.Sequence {
		return last, nil
	}
	return last, transport.Errorf(transport.Aborted, transport.OutcomeNotDone,
		"the last sequence of %s is %d, expected %d: read the new messages and decide again", of, last, o.Expect.Sequence)
}

// put stores a message for its groups. If the log refuses it, put returns the limit that
// it would exceed. A message that the log need not keep uses a sequence and is not stored.
func (l *log) put(e *entry) (sequence uint64, bound string) {
	sub := l.store.subjects.get(e.subject)
	if !l.groups.needNext(sub) {
		return l.store.skip(), ""
	}
	if bound := l.makeRoom(sub, e); bound != "" {
		return 0, bound
	}
	sequence = l.store.add(sub, e, l.now)
	if l.config.MaxAge > 0 {
		l.alarm.set(expiryOf(l.now, l.config.MaxAge), l.now)
	}
	l.groups.arrived(sequence, sub)
	l.readers.wake()
	return sequence, ""
}

// acknowledgement returns the reply of a NATS server to a request that it stores.
func (l *log) acknowledgement(at transport.Appended, err error) []byte {
	type failure struct {
		Code        int    `json:"code"`
		Description string `json:"description"`
	}
	a := struct {
		Error    *failure `json:"error,omitempty"`
		Stream   string   `json:"stream"`
		Sequence uint64   `json:"seq"`
	}{Stream: l.name, Sequence: at.Sequence}
	if err != nil {
		a.Error = &failure{503, err.Error()}
	}
	body, _ := json.Marshal(a)
	return body
}
