package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is the current file.
type segment struct {
	number  uint64
	file    *os.File // nil: it could not be created
	at      int64    // offset of the next frame
	pending []byte   // the next frame: its head and its records so far
	idsEnd  int64    // expiry of its last id, in ns of Unix time
	older   []olderSegment
}

// olderSegment is a segment that is kept for its ids.
type olderSegment struct {
	path   string
	idsEnd int64
}

const (
	suffix      = ".journal"
	temporary   = ".tmp"
	frameHead   = 8       // bytes
	maxSegment  = 4 << 20 // bytes; a longer segment is followed by another
	maxFrame    = 1 << 30 // bytes
	filePattern = "%08d" + suffix
)

var table = crc32.MakeTable(crc32.Castagnoli)

// record adds a record to the next frame.
func (j *Journal) record(add func([]byte) []byte) {
	if j.segment != nil && !j.closed {
		j.segment.pending = add(j.segment.pending)
	}
}

// flush writes the next frame. If a write fails, the records stay in memory, and the next
// frame uses the same offset.
func (j *Journal) flush() {
	s := j.segment
	if s == nil || j.closed || len(s.pending) == frameHead {
		return
	}
	if j.unopened != nil {
		j.openFiles()
		s = j.segment
	}
	if s.file == nil {
		j.report(j.unopened)
		return
	}
	seal(s.pending)
	_, err := s.file.WriteAt(s.pending, s.at)
	if err == nil {
		s.at += int64(len(s.pending))
		s.pending = s.pending[:frameHead]
	}
	if err == nil && s.at > maxSegment {
		err = j.rotate(s.number + 1)
	}
	j.report(err)
}

// report logs the first of several failed writes.
func (j *Journal) report(err error) {
	if err != nil {
		if s := j.segment; len(s.pending) > maxSegment {
			s.pending, s.at = s.pending[:frameHead], maxSegment // the next segment has a snapshot
		}
		if j.exclusive != never {
			_ = j.endExclusive()
		}
		if !j.failing && j.log != nil {
			j.log.Error("natsx: the journal cannot be written: the next process may repeat attempt numbers", "directory", j.dir, "error", err)
		}
	}
	j.failing = err != nil
}

// seal fills in the head of a frame.
func seal(frame []byte) {
	payload := frame[frameHead:]
	binary.LittleEndian.PutUint32(frame, uint32(len(payload)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(payload, table))
}

// rotate begins another segment with a snapshot of all deliveries, and removes
// expired segments.
func (j *Journal) rotate(number uint64) error {
	path := filepath.Join(j.dir, fmt.Sprintf(filePattern, number))
	frame := j.snapshot(time.Now())
	err := os.WriteFile(path+temporary, frame, 0o600)
	if err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err != nil {
		_ = os.Remove(path + temporary)
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	next := &segment{number: number, file: file, at: int64(len(frame)), pending: make([]byte, frameHead, 512)}
	s := j.segment
	if next.older = s.older; s.file != nil {
		next.older = append(next.older, olderSegment{s.file.Name(), s.idsEnd})
		_ = s.file.Close() // it is written
	} else {
		next.idsEnd = s.idsEnd
	}
	next.older = slices.DeleteFunc(next.older, func(o olderSegment) bool {
		return o.idsEnd < time.Now().UnixNano() && os.Remove(o.path) == nil
	})
	j.segment = next
	return nil
}

// dropConsumers drops the consumers of earlier processes without deliveries.
func (j *Journal) dropConsumers(now time.Time) {
	for key, c := range j.consumers {
		c.dropOld(now)
		c.known.Store(int64(len(c.history)))
		if len(c.history) == 0 {
			delete(j.consumers, key)
		}
	}
}

// snapshot returns a frame with all deliveries.
func (j *Journal) snapshot(now time.Time) []byte {
	frame := append(make([]byte, frameHead, 1024), recordReset)
	for _, c := range j.consumers {
		c.dropOld(now)
		c.known.Store(int64(len(c.history)))
		frame = appendConsumer(frame, c)
		for sequence, p := range c.history {
			frame = appendHistory(frame, c, sequence, p)
		}
	}
	seal(frame)
	return frame
}

// segments lists the numbers of the segments, in order.
func (j *Journal) segments() (numbers []uint64, err error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if n, err := strconv.ParseUint(name, 10, 64); ok && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// read takes in all segments. The next one is not created yet.
func (j *Journal) read() error {
	numbers, err := j.segments()
	if err != nil {
		return err
	}
	next := &segment{pending: make([]byte, frameHead, 512)}
	var consumers map[uint64]*Consumer // by the numbers of the last segment
	for _, n := range numbers {
		path := filepath.Join(j.dir, fmt.Sprintf(filePattern, n))
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r := j.takeIn(data)
		consumers = r.consumers
		next.number = n
		next.older = append(next.older, olderSegment{path, r.idsEnd})
	}
	j.readSlots(consumers)
	j.segment = next
	return nil
}

// takeIn reads frames until one is not whole, and returns the reader of them.
func (j *Journal) takeIn(data []byte) *reader {
	r := &reader{j: j, consumers: make(map[uint64]*Consumer), now: time.Now()}
	for len(data) >= frameHead {
		n := binary.LittleEndian.Uint32(data)
		if n > maxFrame || int(n) > len(data)-frameHead {
			break
		}
		payload := data[frameHead : frameHead+int(n)]
		if crc32.Checksum(payload, table) != binary.LittleEndian.Uint32(data[4:]) || !r.frame(payload) {
			break
		}
		data = data[frameHead+int(n):]
	}
	j.damaged = j.damaged || len(data) > 0
	return r
}
