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

// inboxes holds the requests that wait for their replies. They are found by subject, so a
// reply needs neither a subscription nor a walk of the tree.
type inboxes struct {
	clock  clock
	last   atomic.Uint64
	shards [16]inboxShard
}

// inboxShard holds some of the inboxes, so that requests on several cores rarely contend
// for one lock.
type inboxShard struct {
	mu      sync.Mutex
	waiting map[string]*inbox
	idle    []*inbox // for reuse with another subject
	alarm   alarm    // no later than the deadline of any waiting inbox
	_       [48]byte // keeps the locks on separate cache lines
}

// maxIdleInboxes is the number of inboxes that a shard keeps after many concurrent
// requests.
const maxIdleInboxes = 64

// inbox waits for one reply. It receives nil if the transport was closed or its deadline
// has passed.
type inbox struct {
	subject        string
	requestSubject string // the subject of the request
	owner          *Transport
	deadline       int64                   // never: only the caller's context ends the wait
	late           bool                    // its deadline has passed
	reply          chan *transport.Message // of capacity 1; the goroutine that takes the inbox out of its shard may send
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

// shard returns the shard of the last digit of the inbox's number.
func (b *inboxes) shard(subject string) *inboxShard {
	return &b.shards[int(subject[len(subject)-1])%len(b.shards)]
}

// open returns an inbox for the reply to a request, until a deadline. It returns false if
// its Transport is closed.
//
// A request has no timer: most requests get their reply long before their deadline, and
// setting and stopping a timer costs as much as finding the inbox again.
func (b *inboxes) open(t *Transport, request string, deadline int64) (*inbox, bool) {
	subject := inboxSubject(b.last.Add(1))
	shard := b.shard(subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if t.closed.Load() {
		return nil, false
	}
	in := shard.unused()
	in.subject, in.requestSubject, in.owner, in.deadline, in.late = subject, request, t, deadline, false
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

// take stops the wait. It returns false if another goroutine has taken the inbox, and a
// value is, or is about to be, in the channel.
func (b *inboxes) take(in *inbox) bool { return b.shard(in.subject).take(in.subject) != nil }

// close discards an inbox that is no longer needed.
func (b *inboxes) close(in *inbox) {
	if !b.take(in) {
		<-in.reply
	}
	b.recycle(in)
}

// recycle keeps an inbox for another request. The caller has received from it, or has
// taken it out of its shard. Either way no other goroutine can send to it.
func (b *inboxes) recycle(in *inbox) {
	shard := b.shard(in.subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.idle) < maxIdleInboxes {
		shard.idle = append(shard.idle, in)
	}
}

// requestSubject returns the subject of the request that waits on a subject, or "" if there is
// none.
func (b *inboxes) requestSubject(subject string) string {
	if !strings.HasPrefix(subject, inboxPrefix) {
		return ""
	}
	shard := b.shard(subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if in := shard.waiting[subject]; in != nil {
		return in.requestSubject
	}
	return ""
}

// deliver passes a copy of m to its inbox. It returns false if there is no inbox, or if
// it already has its reply.
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

// take removes the inbox and returns it, to only one caller.
func (s *inboxShard) take(subject string) *inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.waiting[subject]
	delete(s.waiting, subject)
	return in
}

// closeAll ends every wait of a closed Transport.
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

// expire ends the waits whose deadline has passed.
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
