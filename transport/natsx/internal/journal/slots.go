package journal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// slots hold the attempts under way, in a file that is mapped into memory. A handler
// begins without a system call, and the operating system keeps the record when the
// process ends. On platforms without mapped files there are no slots.
//
// A slot holds the number of the consumer, then the sequence, time, delivery and attempts of
// the message, and a CRC-32C, which is 0 in a free slot.
type slots struct {
	memory []byte
	free   []int // offsets
}

const (
	slotSize  = 48
	slotCount = 4096
	slotFile  = "slots"

	checksumAt = slotSize - 8
)

// openSlots maps the slots, all of them free. If it fails, the next process must not
// read the old ones.
func openSlots(dir string) (s *slots, err error) {
	path := filepath.Join(dir, slotFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	defer func() {
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if _, err := file.WriteAt(make([]byte, slotCount*slotSize), 0); err != nil { // a hole would need space later, when the disk may be full
		return nil, err
	}
	memory, err := mapFile(file, slotCount*slotSize)
	if memory == nil || err != nil {
		return &slots{}, err
	}
	s = &slots{memory: memory, free: make([]int, slotCount)}
	for i := range s.free {
		s.free[i] = (slotCount - 1 - i) * slotSize
	}
	return s, nil
}

// take fills a slot and returns its offset. It reports false if no slot is free.
func (s *slots) take(consumer, sequence uint64, p *History) (offset int, ok bool) {
	last := len(s.free) - 1
	if last < 0 {
		return 0, false
	}
	offset = s.free[last]
	if !s.write(offset, consumer, sequence, p) {
		s.free = nil // the file system has no space for it
		return 0, false
	}
	s.free = s.free[:last]
	return offset, true
}

func (s *slots) write(offset int, consumer, sequence uint64, p *History) (ok bool) {
	defer unfault(debug.SetPanicOnFault(true), &ok)
	slot := s.memory[offset : offset+slotSize]
	binary.LittleEndian.PutUint64(slot, consumer)
	binary.LittleEndian.PutUint64(slot[8:], sequence)
	binary.LittleEndian.PutUint64(slot[16:], uint64(p.stored))
	binary.LittleEndian.PutUint64(slot[24:], p.Delivery)
	binary.LittleEndian.PutUint64(slot[32:], uint64(p.Attempts))
	binary.LittleEndian.PutUint32(slot[checksumAt:], checksum(slot))
	return true
}

// find returns the last attempt under way at a message, the zero History if there is none.
func (s *slots) find(consumer, sequence uint64, stored int64) (last History) {
	ok := false
	defer unfault(debug.SetPanicOnFault(true), &ok)
	for memory := s.memory; len(memory) >= slotSize; memory = memory[slotSize:] {
		slot := memory[:slotSize]
		if binary.LittleEndian.Uint64(slot) != consumer || binary.LittleEndian.Uint64(slot[8:]) != sequence ||
			binary.LittleEndian.Uint32(slot[checksumAt:]) != checksum(slot) {
			continue
		}
		if p := slotHistory(slot); p.stored == stored && p.Attempts > last.Attempts {
			last = p
		}
	}
	return last
}

func slotHistory(slot []byte) History {
	return History{
		stored: int64(binary.LittleEndian.Uint64(slot[16:])), Delivery: binary.LittleEndian.Uint64(slot[24:]),
		Attempts: int(min(binary.LittleEndian.Uint64(slot[32:]), maxAttempts)), noted: time.Now().Unix(),
	}
}

// release frees a slot.
func (s *slots) release(offset int) {
	ok := false
	defer unfault(debug.SetPanicOnFault(true), &ok)
	binary.LittleEndian.PutUint32(s.memory[offset+checksumAt:], 0)
	s.free = append(s.free, offset)
}

// unfault ends a section in which a fault of the mapped file causes a panic.
func unfault(before bool, ok *bool) {
	debug.SetPanicOnFault(before)
	if recover() != nil {
		*ok = false
	}
}

// checksum is never 0.
func checksum(slot []byte) uint32 { return crc32.Checksum(slot[:checksumAt], table) | 1 }

// readSlots reads the attempts that were under way when the last process ended.
func (j *Journal) readSlots(consumers map[uint64]*Consumer) {
	data, err := os.ReadFile(filepath.Join(j.dir, slotFile))
	if err != nil {
		return // there was no process before
	}
	for ; len(data) >= slotSize; data = data[slotSize:] {
		slot := data[:slotSize]
		c := consumers[binary.LittleEndian.Uint64(slot)]
		if c == nil || binary.LittleEndian.Uint32(slot[checksumAt:]) != checksum(slot) {
			continue
		}
		c.history[binary.LittleEndian.Uint64(slot[8:])] = slotHistory(slot)
	}
}
