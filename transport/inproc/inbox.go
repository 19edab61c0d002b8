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
	last   atomic.Uint64
	shards [16]inboxShard
}

// inboxShard holds some of the inboxes, so that requests on several cores seldom
// meet at one lock.
type inboxShard struct {
	mu      sync.Mutex
	waiting map[string]*inbox
	idle    []*inbox // to be used again, with another subject
	_       [24]byte // keeps the locks on cache lines of their own
}

// maxIdleInboxes bounds what a shard keeps after many requests at once.
const maxIdleInboxes = 64

// inbox waits for one reply. What it receives is nil when the transport was
// closed.
type inbox struct {
	subject string
	about   string // the subject of the request
	owner   *Transport
	reply   chan *transport.Message // of capacity 1: who takes the inbox out of its shard may send
}

func newInboxes() *inboxes {
	b := new(inboxes)
	for i := range b.shards {
		b.shards[i].waiting = make(map[string]*inbox)
	}
	return b
}

// shard is found by the last digit of the inbox's number.
func (b *inboxes) shard(subject string) *inboxShard {
	return &b.shards[int(subject[len(subject)-1])%len(b.shards)]
}

// open makes an inbox for the reply to a request. It reports false when its
// Transport is closed.
func (b *inboxes) open(t *Transport, about string) (*inbox, bool) {
	subject := inboxSubject(b.last.Add(1))
	shard := b.shard(subject)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if t.closed.Load() {
		return nil, false
	}
	in := shard.unused()
	in.subject, in.about, in.owner = subject, about, t
	shard.waiting[subject] = in
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

// close gives up waiting. It reports false when a reply has been taken, which
// then is, or is about to be, in the channel.
func (b *inboxes) close(in *inbox) bool {
	if b.shard(in.subject).take(in.subject) == nil {
		return false
	}
	b.recycle(in)
	return true
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
	return closed
}

func inboxSubject(id uint64) string {
	var b [len(inboxPrefix) + 13]byte
	return string(strconv.AppendUint(append(b[:0], inboxPrefix...), id, 36))
}
