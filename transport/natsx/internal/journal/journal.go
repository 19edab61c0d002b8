package journal

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// Journal records deliveries and ids. It is safe for concurrent use.
type Journal struct {
	log *slog.Logger
	dir string // empty if nothing is written

	mu        sync.Mutex
	consumers map[consumerKey]*Consumer
	numbers   uint64             // of consumers, so far
	ids       map[idKey]appended // of earlier processes
	idsEnd    time.Time          // when the last of ids expires
	segment   *segment           // the current segment; nil without a directory
	slots     *slots             // attempts under way; nil without a directory
	closed    bool
	failing   bool // the last write failed
}

type idKey struct{ log, id string }

type appended struct {
	sequence uint64
	until    int64 // ns of Unix time
}

// Memory returns a Journal that writes nothing.
func Memory() *Journal {
	return &Journal{consumers: make(map[consumerKey]*Consumer), ids: make(map[idKey]appended)}
}

// Open reads the journal in dir and continues it. It creates the directory if needed.
// Only one Journal may use a directory. Damaged files are read up to the damage.
func Open(dir string, log *slog.Logger) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	j := Memory()
	j.dir, j.log = dir, log
	last, err := j.read()
	if err != nil {
		return nil, err
	}
	if err := j.rotate(last + 1); err != nil {
		return nil, err
	}
	j.slots, err = openSlots(dir) // the new segment holds the contents of the old slots
	return j, err
}

// Close stops writing. Later records are kept in memory only.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.segment == nil || j.closed {
		return nil
	}
	j.flush()
	j.closed = true
	if j.slots.memory != nil {
		unmapFile(j.slots.memory)
	}
	j.slots = &slots{}
	return j.segment.file.Close()
}

// Persistent reports whether the journal outlives the process.
func (j *Journal) Persistent() bool { return j.dir != "" }

// Remember records that a message with this id was appended. Later processes read
// it; the running server remembers the id itself.
func (j *Journal) Remember(log, id string, sequence uint64, until time.Time) {
	if !j.Persistent() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record(func(b []byte) []byte { return appendID(b, log, id, appended{sequence, until.UnixNano()}) })
	if j.segment != nil {
		j.segment.idsEnd = max(j.segment.idsEnd, until.UnixNano())
	}
	j.flush()
}

// Recall returns the sequence of a message that an earlier process appended with this
// id, until the id expires.
func (j *Journal) Recall(log, id string) (sequence uint64, ok bool) {
	if !j.Persistent() {
		return 0, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if now.After(j.idsEnd) {
		clear(j.ids)
		return 0, false
	}
	a, ok := j.ids[idKey{log, id}]
	return a.sequence, ok && now.UnixNano() < a.until
}
