package inproc

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"gomono.dev/transport"
)

const (
	inboxToken  = "_INBOX"
	inboxPrefix = inboxToken + "."
)

// inboxes are where requests wait for their replies. They are found by subject,
// so a reply costs neither a subscription nor a walk of the tree.
type inboxes struct {
	clock  clock
	last   atomic.Uint64
	shards [16]inboxShard
}

// inboxShard holds some of the inboxes, so that requests on several cores seldom
// meet at one lock.
type inboxShard struct {
	mu      sync.Mutex
	waiting map[string]*inbox
	idle    []*inbox // to be used again, with another subject
	alarm   alarm    // no later than the deadline of any that waits
	_       [48]byte // keeps the locks on cache lines of their own
}

// maxIdleInboxes bounds what a shard keeps after many requests at once.
const maxIdleInboxes = 64

// inbox waits for one reply. What it receives is nil when the transport was closed or
// its time is over.
type inbox struct {
	subject  string
	about    string // the subject of the request
	owner    *Transport
	deadline int64                   // never: its caller's context ends the wait alone
	late     bool                    // its time is over
	reply    chan *transport.Message // of capacity 1: who takes the inbox out of its shard may send
}

func newInboxes(c clock) *inboxes {
	b := &inboxes{clock: c}
	for i := range b.shards {
		s := &b.shards[i]
		s.waiting = make(map[string]*inbox)
		s.alarm = alarm{at: never, wake: func() { s.expire(c) }}
	}
	return b
}

// shard is found by the last digit of the inbox's number.
func (b *inboxes) shard(subject string) *inboxShard {
	return &b.shards[int(subject[len(subject)-1])%len(b.shards)]
}

// open makes an inbox for the reply to a request, until a deadline. It reports false
// when its Transport is closed.
//
// No request has a timer of its own: most are answered long before their deadline,
// and setting one and stopping it costs as much as finding the inbox again.
func (b *inboxes) open(t *Transport, about string, deadline int64) (*inbox, bool) {
	subject := inboxSubject(b.last.Add(1))
	shard := b.shard(subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if t.closed.Load() {
		return nil, false
	}
	in := shard.unused()
	in.subject, in.about, in.owner, in.deadline, in.late = subject, about, t, deadline, false
	shard.waiting[subject] = in
	if deadline < shard.alarm.at {
		shard.alarm.set(deadline, b.clock.now())
	}
	return in, true
}

func (s *inboxShard) unused() *inbox {
	last := len(s.idle) - 1
	if last < 0 {
		return &inbox{reply: make(chan *transport.Message, 1)}
	}
	in := s.idle[last]
	s.idle = s.idle[:last]
	return in
}

// take gives up waiting. It reports false when somebody else has taken the inbox, and
// something is, or is about to be, in the channel.
func (b *inboxes) take(in *inbox) bool { return b.shard(in.subject).take(in.subject) != nil }

// close is take for one that is not waited for.
func (b *inboxes) close(in *inbox) {
	if !b.take(in) {
		<-in.reply
	}
	b.recycle(in)
}

// recycle keeps an inbox for another request. Its caller has received from it, or
// has taken it out of its shard: either way nobody is left who could send to it.
func (b *inboxes) recycle(in *inbox) {
	shard := b.shard(in.subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.idle) < maxIdleInboxes {
		shard.idle = append(shard.idle, in)
	}
}

// subjectOf returns the subject of the request that waits on a subject, "" where
// none does.
func (b *inboxes) subjectOf(subject string) string {
	if !strings.HasPrefix(subject, inboxPrefix) {
		return ""
	}
	shard := b.shard(subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if in := shard.waiting[subject]; in != nil {
		return in.about
	}
	return ""
}

// deliver hands a copy of m to the inbox that it is for. It reports false when m
// is for none, or for one that has its reply.
func (b *inboxes) deliver(m *transport.Message) bool {
	if !strings.HasPrefix(m.Subject, inboxPrefix) {
		return false
	}
	in := b.shard(m.Subject).take(m.Subject)
	if in == nil {
		return false
	}
	in.reply <- m.Clone()
	return true
}

// take removes the inbox and returns it, to one caller only.
func (s *inboxShard) take(subject string) *inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.waiting[subject]
	delete(s.waiting, subject)
	return in
}

// closeAll ends every wait of a Transport that is closed.
func (b *inboxes) closeAll(t *Transport) {
	for i := range b.shards {
		for _, in := range b.shards[i].close(t) {
			in.reply <- nil
		}
	}
}

func (s *inboxShard) close(t *Transport) []*inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	var closed []*inbox
	for subject, in := range s.waiting {
		if in.owner == t {
			closed = append(closed, in)
			delete(s.waiting, subject)
		}
	}
	if len(s.waiting) == 0 {
		s.alarm.stop()
	}
	return closed
}

// expire ends the wait of those whose time is over.
func (s *inboxShard) expire(c clock) {
	for _, in := range s.takeLate(c.now()) {
		in.reply <- nil
	}
}

func (s *inboxShard) takeLate(now int64) (late []*inbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm.stop()
	next := int64(never)
	for subject, in := range s.waiting {
		if in.deadline > now {
			next = min(next, in.deadline)
			continue
		}
		in.late = true
		late = append(late, in)
		delete(s.waiting, subject)
	}
	s.alarm.set(next, now)
	return late
}

func inboxSubject(id uint64) string {
	var b [len(inboxPrefix) + 13]byte
	return string(strconv.AppendUint(append(b[:0], inboxPrefix...), id, 36))
}
