package inproc

import (
	"maps"
	"slices"
	"strings"
)

// dedup remembers ids and the sequences of their messages for the window of a log.
type dedup struct {
	log       *log
	sequences map[string]uint64
	ids       [][]rememberedID // oldest first, in chunks: many ids are never copied
}

// idChunk is the number of ids in a chunk.
const idChunk = 512

type rememberedID struct {
	id string
	at int64
}

// find returns the sequence of an id that was appended within the window.
func (d *dedup) find(id string) (uint64, bool) {
	if id == "" {
		return 0, false
	}
	d.prune()
	sequence, ok := d.sequences[id]
	return sequence, ok
}

// add remembers an id that find did not find.
func (d *dedup) add(id string, sequence uint64) {
	if id == "" {
		return
	}
	if d.sequences == nil {
		d.sequences = make(map[string]uint64)
	}
	id = strings.Clone(id)
	d.sequences[id] = sequence
	if len(d.ids) == 0 || len(d.ids[len(d.ids)-1]) >= idChunk {
		d.ids = append(d.ids, nil)
	}
	last := &d.ids[len(d.ids)-1]
	*last = append(*last, rememberedID{id, d.log.now})
	d.log.alarm.set(after(d.log.now, d.log.config.Window()), d.log.now)
}

// keep forgets all ids except those of the messages for which sequence is true.
func (d *dedup) keep(sequence func(uint64) bool) {
	kept := make(map[string]bool)
	for id, at := range d.sequences {
		if sequence(at) {
			kept[id] = true
		}
	}
	d.keepIDs(kept)
}

// keepIDs forgets all ids except the given ones.
func (d *dedup) keepIDs(kept map[string]bool) {
	maps.DeleteFunc(d.sequences, func(id string, _ uint64) bool { return !kept[id] })
	for i, chunk := range d.ids {
		d.ids[i] = slices.DeleteFunc(chunk, func(r rememberedID) bool { return !kept[r.id] })
	}
	d.ids = slices.DeleteFunc(d.ids, func(chunk []rememberedID) bool { return len(chunk) == 0 })
}

// tick forgets old ids. It runs a few times per window, to save memory.
func (d *dedup) tick() {
	d.prune()
	if len(d.ids) > 0 {
		d.log.alarm.set(after(d.log.now, d.log.config.Window()/4), d.log.now)
	}
}

// prune forgets ids that are older than the window.
func (d *dedup) prune() {
	window := d.log.config.Window()
	for len(d.ids) > 0 && after(d.ids[0][0].at, window) <= d.log.now {
		oldest := &d.ids[0]
		delete(d.sequences, (*oldest)[0].id)
		(*oldest)[0] = rememberedID{}
		if *oldest = (*oldest)[1:]; len(*oldest) == 0 {
			d.ids = d.ids[1:]
		}
	}
	if len(d.ids) == 0 {
		d.sequences, d.ids = nil, nil
	}
}
