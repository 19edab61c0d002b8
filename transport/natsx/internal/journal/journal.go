// Package journal records state that a NATS server holds in memory only: the number of
// attempts at a message, the time of the next attempt, and the ids of removed messages. The
// next process reads it if the server ended together with this process.
//
// A Journal without a directory keeps the same state for the life of the process,
// which covers the restart of a server elsewhere.
//
// # Files
//
// The directory holds segments, 00000001.journal and so on. A segment is a row of
// frames: the length of the payload and its CRC-32C, 32 bits each and little
// endian, then the payload, which is a sequence of records. One system call writes a
// frame, so the end of the process loses none. The journal does not sync: a loss of
// power may truncate it. A reader stops at the first incomplete frame.
//
// Each segment begins with a snapshot of all deliveries. Earlier segments are needed only for
// their ids, and are removed when the last id has expired.
//
// The file "slots" holds the attempts under way. See slots.
package journal

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
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

// The file "exclusive" has a time, in ns of Unix time. Only workers that record in this
// journal had the messages that were stored since then. The file is removed when that
// ends, or when a record cannot be written. A full disk does not prevent that.
const exclusiveFile = "exclusive"

// never is the time in the file if there is none.
const never = math.MaxInt64

// SetExclusive reports whether other workers can get messages in the life of this
// process. They can if the server accepts connections from elsewhere.
func (j *Journal) SetExclusive(exclusive bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !exclusive || j.failing {
		return j.endExclusive()
	}
	since := j.readExclusive()
	if since == never || j.damaged {
		since = time.Now().UnixNano()
	}
	j.exclusiveFrom(max(since, j.dropped+1))
	return nil
}

func (j *Journal) readExclusive() int64 {
	text, err := os.ReadFile(filepath.Join(j.dir, exclusiveFile))
	if err != nil {
		return never
	}
	since, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return never
	}
	return since
}

// exclusiveFrom sets the time in the file.
func (j *Journal) exclusiveFrom(since int64) {
	path := filepath.Join(j.dir, exclusiveFile)
	err := os.WriteFile(path+temporary, strconv.AppendInt(nil, since, 10), 0o600)
	if err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err != nil {
		_ = os.Remove(path + temporary)
		_ = j.endExclusive()
		return
	}
	j.exclusive = since
}

func (j *Journal) endExclusive() error {
	j.exclusive = never
	err := os.Remove(filepath.Join(j.dir, exclusiveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Begun returns the last attempt that a worker has begun at a message, the zero History if
// there is none. It reports false if workers may have had the message whose attempts
// this journal does not know.
func (c *Consumer) Begun(sequence uint64, stored time.Time) (History, bool) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if max(stored.UnixNano(), c.key.created) < c.j.exclusive {
		return History{}, false
	}
	p := c.history[sequence]
	if p.stored != stored.UnixNano() {
		p = History{}
	}
	if begun := c.j.slots.find(c.number, sequence, stored.UnixNano()); begun.Attempts > p.Attempts {
		p = begun
	}
	return p, true
}
