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
	numbers   uint64                         // of consumers, so far
	ids       map[logKey]map[string]appended // of earlier processes
	idsEnd    time.Time                      // when the last of ids expires
	segment   *segment                       // the current segment; nil without a directory
	slots     *slots                         // attempts under way; nil without a directory
	closed    bool
	failing   bool      // the last write failed
	unopened  error     // why a file is not open; nil: all are
	again     time.Time // the next attempt to open them
	exclusive int64     // see SetExclusive
	dropped   int64     // when the last message or consumer was created whose record was dropped
	damaged   bool      // a segment could not be read to its end
}

// logKey distinguishes a log from an earlier one with the same name.
type logKey struct {
	name    string
	created int64
}

type appended struct {
	sequence uint64
	until    int64 // ns of Unix time
}

// Memory returns a Journal that writes nothing.
func Memory() *Journal {
	return &Journal{consumers: make(map[consumerKey]*Consumer), ids: make(map[logKey]map[string]appended), exclusive: never}
}

// Open reads the journal in dir and continues it. It creates the directory if needed.
// Only one Journal may use a directory. Damaged files are read up to the damage. If
// the directory cannot be written, perhaps since the disk is full, the journal logs an
// error and keeps its records in memory until it can.
func Open(dir string, log *slog.Logger) (*Journal, error) {
	j := Memory()
	j.dir, j.log, j.slots = dir, log, &slots{}
	if err := j.read(); err != nil {
		return nil, err
	}
	j.dropConsumers(time.Now())
	j.openFiles()
	j.report(j.unopened)
	return j, nil
}

// retryOpen is the time between attempts to open the files.
const retryOpen = time.Second

// openFiles opens the files that are not open. If that fails, a later call tries again.
func (j *Journal) openFiles() {
	now := time.Now()
	if now.Before(j.again) {
		return
	}
	j.again = now.Add(retryOpen)
	if j.segment.file == nil {
		pending := j.segment.pending
		if j.unopened = os.MkdirAll(j.dir, 0o700); j.unopened == nil {
			j.unopened = j.rotate(j.segment.number + 1)
		}
		if j.unopened != nil {
			return
		}
		j.segment.pending = pending // has ids, which no snapshot has
	}
	var opened *slots
	if opened, j.unopened = openSlots(j.dir); j.unopened == nil {
		j.slots = opened // what the old ones held is in the new segment
	}
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
	if j.segment.file == nil {
		return nil
	}
	return j.segment.file.Close()
}

// Persistent reports whether the journal outlives the process.
func (j *Journal) Persistent() bool { return j.dir != "" }

// Remember records that a message with this id was appended to a log that was created
// at this time. Later processes read it; the running server remembers the id itself.
func (j *Journal) Remember(log string, created time.Time, id string, sequence uint64, until time.Time) {
	if !j.Persistent() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record(func(b []byte) []byte {
		return appendID(b, logKey{log, created.UnixNano()}, id, appended{sequence, until.UnixNano()})
	})
	if j.segment != nil {
		j.segment.idsEnd = max(j.segment.idsEnd, until.UnixNano())
	}
	j.flush()
}

// Recall returns the sequence of a message that an earlier process appended with this
// id, until the id expires.
func (j *Journal) Recall(log string, created time.Time, id string) (sequence uint64, ok bool) {
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
	a, ok := j.ids[logKey{log, created.UnixNano()}][id]
	return a.sequence, ok && now.UnixNano() < a.until
}

// Discard drops the ids of messages after the last one of the log. The log has lost
// them, and may use their sequences again.
func (j *Journal) Discard(log string, created time.Time, last uint64) {
	if !j.Persistent() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	ids := j.ids[logKey{log, created.UnixNano()}]
	for id, a := range ids {
		if a.sequence > last {
			delete(ids, id)
		}
	}
}
