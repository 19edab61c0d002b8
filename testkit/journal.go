package testkit

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"gomono.dev/mono"
)

// journal is what happened, in order. It belongs to the Harness: what it holds are
// copies, and no module can change them.
type journal struct {
	began time.Time

	mu      sync.Mutex
	entries []*entry
	changes int
	sent    map[messageKey]*entry // the last one of each
	fates   map[attemptKey][]fate
}

// handleKey is what makes two handles the same.
type handleKey struct {
	kind mono.Kind
	name string
}

func keyOf(h mono.Handle) handleKey { return handleKey{h.Kind(), h.Name()} }

func (k handleKey) String() string { return string(k.kind) + " " + k.name }

// messageKey tells a message among all.
type messageKey struct {
	handle handleKey
	id     string
}

// attemptKey tells an attempt among all but those at the same message that have the
// same number: where it was replayed, or handed over twice.
type attemptKey struct {
	messageKey
	group   string
	attempt int
}

// fate is what became of a message after an attempt that failed.
type fate struct {
	at      int // its place among all that happened
	outcome HandlerResult
	wait    time.Duration
	reason  mono.Reason
}

// entry is one thing that happened.
type entry struct {
	at          time.Duration
	begun, over int       // their places among all that happened
	side        mono.Side // "": a note
	process     *process

	handle   handleKey
	module   string // whose side it is
	from     string // on the receiving side: the module that sent it
	group    string
	id       string
	attempt  int
	sequence uint64
	value    any
	reply    any

	began  time.Time
	lasted time.Duration
	ended  bool
	err    error
	late   bool // its process had crashed before it ended
	left   bool // the transport has taken it, whatever its sender was told

	died *mono.MessageDeadLettered // a message that became a dead letter
	text string                    // of a note
}

func newJournal() *journal {
	return &journal{began: time.Now(), sent: make(map[messageKey]*entry), fates: make(map[attemptKey][]fate)}
}

// begin notes that a message leaves, or that its handler begins.
func (j *journal) begin(p *process, c *mono.Call) *entry {
	now := time.Now()
	e := &entry{
		at: now.Sub(j.began), began: now, side: c.Side(), process: p, handle: keyOf(c.Handle()), module: c.Module(), from: c.Sender(),
		group: c.Group(), id: c.ID(), attempt: c.Attempt(), sequence: c.Sequence(), value: copyOf(c.Payload()),
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(e)
	if e.side == mono.SideSender {
		j.sent[messageKey{e.handle, e.id}] = e
	}
	return e
}

// add adds an entry; the lock is held.
func (j *journal) add(e *entry) {
	j.changes++
	e.begun = j.changes
	j.entries = append(j.entries, e)
}

// end notes how that came out.
func (j *journal) end(e *entry, c *mono.Call, err error) {
	reply := copyOf(c.Reply())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes++
	e.over = j.changes
	e.ended, e.err, e.reply, e.lasted, e.late = true, err, reply, time.Since(e.began), e.process.dead.Load()
	if e.sequence == 0 {
		e.sequence = c.Sequence()
	}
}

// eachValue calls f with what a message that died was: as it was sent, and then as
// each handler of its group got it, by itself or in a batch. A letter that was edited is
// not what was sent.
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

// took notes that the transport has taken a message.
func (j *journal) took(k messageKey) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.sent[k]; e != nil {
		e.left = true
	}
}

// sender returns what was sent as this message, nil for one that came from
// elsewhere.
func (j *journal) sender(k messageKey) *entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sent[k]
}

// decide notes what becomes of a message whose attempt has failed.
func (j *journal) decide(k attemptKey, f fate) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes++
	f.at = j.changes
	j.fates[k] = append(j.fates[k], f)
}

// bury notes a dead letter.
func (j *journal) bury(p *process, d mono.MessageDeadLettered) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.add(&entry{
		at: time.Since(j.began), process: p, handle: keyOf(d.Handle), module: d.Module, group: d.Group, id: d.ID, attempt: d.Attempts,
		err: d.Err, died: &d,
	})
}

// note notes what is not a message's.
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

// fateOf returns what became of the message of an attempt that came out as err: the
// first that was decided after it, unless that is about a later one.
func (j *journal) fateOf(e *entry, id string, err error) fate {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.fates[attemptKey{messageKey{e.handle, id}, e.group, e.attempt}] {
		switch {
		case f.at < max(e.begun, e.over):
		case e.ended && err == nil && j.another(e, f.at):
			return fate{}
		default:
			return f
		}
	}
	return fate{}
}

// another reports whether the message of an attempt was handled again, with the same
// number, before something happened; the lock is held.
func (j *journal) another(e *entry, before int) bool {
	return slices.ContainsFunc(j.entries, func(o *entry) bool {
		return o.side == mono.SideReceiver && o.handle == e.handle && o.group == e.group && o.id == e.id && o.attempt == e.attempt &&
			o.over > e.over && o.over < before
	})
}

// has reports whether anything happened with a handle.
func (j *journal) has(k handleKey) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.entries, func(e *entry) bool { return e.handle == k })
}

// version changes with all that happens.
func (j *journal) version() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changes
}

// running reports whether a message is on its way, or a handler runs.
func (j *journal) running() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.entries, func(e *entry) bool { return e.side != "" && !e.ended })
}
