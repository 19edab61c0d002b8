package testkit

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"gomono.dev/mono"
)

// journal is the history, in order. It belongs to the Harness. It holds copies, which no module
// can change.
type journal struct {
	began time.Time

	mu        sync.Mutex
	entries   []*entry
	changes   int
	sent      map[messageKey]*entry // the last one of each
	decisions map[attemptKey][]decision
}

// handleKey identifies a handle by its address, which all releases of a program share.
type handleKey struct {
	kind mono.Kind
	name string
}

func keyOf(h mono.Handle) handleKey { return handleKey{h.Kind(), h.Address()} }

func (k handleKey) String() string { return string(k.kind) + " " + k.name }

// messageKey identifies a message.
type messageKey struct {
	handle handleKey
	id     string
}

// attemptKey identifies an attempt, except attempts at one message with the same number: after
// a replay, or a second hand-over.
type attemptKey struct {
	messageKey
	group   string
	attempt int
}

// decision is the result of a failed attempt for its message.
type decision struct {
	at     int // its place in the history
	result HandlerResult
	wait   time.Duration
	reason mono.Reason
}

// entry is one event of the history.
type entry struct {
	at          time.Duration
	begun, over int       // their places in the history
	side        mono.Side // "": a note
	process     *process

	handle   handleKey
	module   string // of this side
	from     string // on the receiving side: the sending module
	group    string
	id       string
	attempt  int
	sequence uint64
	value    any
	reply    any

	began    time.Time
	duration time.Duration
	ended    bool
	err      error
	late     bool // its process had crashed before it ended
	taken    bool // the transport has taken it, whatever its sender got

	deadLetter *mono.MessageDeadLettered // a message that became a dead letter
	operation  operation                 // on a bucket
	text       string                    // of a note
}

func newJournal() *journal {
	return &journal{began: time.Now(), sent: make(map[messageKey]*entry), decisions: make(map[attemptKey][]decision)}
}

// begin records that a message leaves, or that its handler begins.
func (j *journal) begin(p *process, c *mono.Call) *entry {
	now := time.Now()
	id, from := p.identify(c)
	e := &entry{
		at: now.Sub(j.began), began: now, side: c.Side(), process: p, handle: keyOf(c.Handle()), module: c.Module(), from: from,
		group: c.Group(), id: id, attempt: c.Attempt(), sequence: c.Sequence(), value: copyOf(c.Payload()),
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(e)
	if e.side == mono.SideSender {
		j.sent[messageKey{e.handle, e.id}] = e
	}
	return e
}

// add adds an entry. The caller holds the lock.
func (j *journal) add(e *entry) {
	j.changes++
	e.begun = j.changes
	j.entries = append(j.entries, e)
}

// end records the result.
func (j *journal) end(e *entry, c *mono.Call, err error) {
	reply := copyOf(c.Reply())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes++
	e.over = j.changes
	e.ended, e.err, e.reply, e.duration, e.late = true, err, reply, time.Since(e.began), e.process.crashed.Load()
	if e.sequence == 0 {
		e.sequence = c.Sequence()
	}
}

// eachValue calls f with the payload of a dead message: first as it was sent, and then as each
// handler of its group got it, alone or in a batch. A dead letter that was edited differs from
// the value sent.
func (j *journal) eachValue(dead *entry, f func(value any)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	k := messageKey{dead.handle, dead.id}
	if sent := j.sent[k]; sent != nil {
		f(sent.value)
	}
	for _, e := range j.entries {
		if e.side == mono.SideReceiver && e.handle == k.handle && e.id == k.id && e.group == dead.group && e.begun < dead.begun {
			f(e.value)
		}
	}
}

// took records that the transport has taken a message.
func (j *journal) took(k messageKey) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.sent[k]; e != nil {
		e.taken = true
	}
}

// sender returns the entry of the send of a message, or nil for a message from elsewhere.
func (j *journal) sender(k messageKey) *entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sent[k]
}

// decide records the decision about a message whose attempt has failed.
func (j *journal) decide(k attemptKey, f decision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes++
	f.at = j.changes
	j.decisions[k] = append(j.decisions[k], f)
}

// addDeadLetter records a dead letter.
func (j *journal) addDeadLetter(p *process, d mono.MessageDeadLettered) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(&entry{
		at: time.Since(j.began), process: p, handle: keyOf(d.Handle), module: d.Module, group: d.Group, id: d.ID, attempt: d.Attempts,
		err: d.Err, deadLetter: &d,
	})
}

// note records an event that belongs to no message.
func (j *journal) note(p *process, format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(&entry{at: time.Since(j.began), process: p, text: fmt.Sprintf(format, args...)})
}

// all returns copies of the entries that keep accepts.
func (j *journal) all(keep func(*entry) bool) []entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []entry
	for _, e := range j.entries {
		if keep(e) {
			all = append(all, *e)
		}
	}
	return all
}

// decisionAfter returns the decision about the message of an attempt that ended with err: the
// first one after the attempt, unless it belongs to a later attempt.
func (j *journal) decisionAfter(e *entry, id string, err error) decision {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.decisions[attemptKey{messageKey{e.handle, id}, e.group, e.attempt}] {
		switch {
		case f.at < max(e.begun, e.over):
		case e.ended && err == nil && j.another(e, f.at):
			return decision{}
		default:
			return f
		}
	}
	return decision{}
}

// another reports whether the message of an attempt was handled again, with the same number,
// before a place in the history. The caller holds the lock.
func (j *journal) another(e *entry, before int) bool {
	return slices.ContainsFunc(j.entries, func(o *entry) bool {
		return o.side == mono.SideReceiver && o.handle == e.handle && o.group == e.group && o.id == e.id && o.attempt == e.attempt &&
			o.over > e.over && o.over < before
	})
}

// has reports whether the history has an entry of a handle.
func (j *journal) has(k handleKey) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.entries, func(e *entry) bool { return e.handle == k })
}

// version changes with every entry.
func (j *journal) version() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changes
}

// running reports whether a message is under way, or a handler runs.
func (j *journal) running() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.entries, func(e *entry) bool { return (e.side != "" || e.isOperation()) && !e.ended })
}
