package objstore

import (
	"context"
	"sync"

	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// layout is the knowledge of where the chunks of an object are.
//
// All chunks but the last have the maximum size, if there are as many as the size of the
// object needs and the last one has the rest: no chunk is larger than the maximum. Then an
// offset gives the index of its chunk. Otherwise, which other clients can cause, an object is
// read from its beginning.
//
// The chunks of one upload have consecutive sequences if nothing else was stored meanwhile.
// Otherwise the number of chunks after a sequence leads to the chunk with an index, by
// bisection.
type layout struct {
	mu    sync.Mutex
	known bool
	even  bool
	first uint64 // the sequence of the first chunk
	last  uint64 // and of the last
}

// place is the beginning of a chunk.
type place struct {
	sequence uint64 // it begins at or after this one
	index    int
	offset   int64
}

// locate returns a chunk at or before the one with an offset.
func (f *found) locate(ctx context.Context, offset int64) (place, error) {
	if offset == 0 || f.chunkSize == 0 || offset < int64(f.chunkSize) || f.chunks < 2 {
		return place{}, nil
	}
	l := f.layout
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known {
		if err := l.learn(ctx, f); err != nil {
			return place{}, err
		}
	}
	if !l.even {
		return place{}, nil
	}
	index := int(offset / int64(f.chunkSize))
	sequence, err := l.find(ctx, f, index)
	if err != nil || sequence == 0 {
		return place{}, err
	}
	return place{sequence, index, int64(index) * int64(f.chunkSize)}, nil
}

// learn reads the first and the last chunk.
func (l *layout) learn(ctx context.Context, f *found) error {
	first, after, err := f.s.Chunk(ctx, f.upload, 0)
	if err != nil || after != f.chunks-1 {
		return ignoreMissing(err) // the reading explains what is missing
	}
	l.first = first.Sequence
	last, err := l.lastChunk(ctx, f)
	if err != nil || last == nil {
		return err
	}
	size := int64(f.chunkSize)
	full := size * int64(f.chunks-1)
	l.last = last.Sequence
	l.even = full < f.Size && int64(len(last.Data)) == f.Size-full && int64(len(first.Data)) == size
	l.known = true
	return nil
}

// lastChunk returns the last chunk, or nil if it is missing.
func (l *layout) lastChunk(ctx context.Context, f *found) (*driver.Chunk, error) {
	at := l.first + uint64(f.chunks-1)
	c, after, err := f.s.Chunk(ctx, f.upload, at)
	for err == nil && after > 0 { // chunks of others are in between
		at = c.Sequence + uint64(after)
		c, after, err = f.s.Chunk(ctx, f.upload, at)
	}
	return c, ignoreMissing(err)
}

// find returns the sequence of the chunk with an index, or 0 if chunks are missing.
func (l *layout) find(ctx context.Context, f *found, index int) (uint64, error) {
	low, high := l.first+uint64(index), l.last-uint64(f.chunks-1-index)
	for low < high {
		middle := low + (high-low)/2
		c, after, err := f.s.Chunk(ctx, f.upload, middle)
		if err != nil {
			return 0, ignoreMissing(err)
		}
		switch is := f.chunks - 1 - after; {
		case is == index:
			return c.Sequence, nil
		case is < index:
			low = c.Sequence + uint64(index-is)
		default:
			high = middle - 1
		}
	}
	return low, nil
}

func ignoreMissing(err error) error {
	if transport.CodeOf(err) == transport.NotFound {
		return nil
	}
	return err
}
