package objstore

import (
	"context"
	"sync/atomic"

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
type layout struct{ found atomic.Pointer[spread] }

// spread is where the chunks of an object are, once it is known.
type spread struct {
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
	l, err := f.learn(ctx)
	if err != nil || !l.even {
		return place{}, err
	}
	index := int(offset / int64(f.chunkSize))
	sequence, err := l.find(ctx, f, index)
	if err != nil || sequence == 0 {
		return place{}, err
	}
	return place{sequence, index, int64(index) * int64(f.chunkSize)}, nil
}

// learn returns the layout after it has read the first and the last chunk. While chunks are
// missing, it is uneven: the reading explains what is missing.
func (f *found) learn(ctx context.Context) (*spread, error) {
	if l := f.layout.found.Load(); l != nil {
		return l, nil
	}
	first, err := f.s.Chunk(ctx, f.upload, 0)
	if err != nil || first.After != f.chunks-1 {
		return &spread{}, ignoreMissing(err)
	}
	l := &spread{first: first.Sequence}
	last, err := l.lastChunk(ctx, f)
	if err != nil || last == nil {
		return &spread{}, err
	}
	size := int64(f.chunkSize)
	full := size * int64(f.chunks-1)
	l.last = last.Sequence
	l.even = full < f.Size && int64(len(last.Data)) == f.Size-full && int64(len(first.Data)) == size
	f.layout.found.Store(l)
	return l, nil
}

// lastChunk returns the last chunk, or nil if it is missing.
func (l *spread) lastChunk(ctx context.Context, f *found) (*driver.Chunk, error) {
	at := l.first + uint64(f.chunks-1)
	c, err := f.s.Chunk(ctx, f.upload, at)
	for err == nil && c.After > 0 { // chunks of others are in between
		at = c.Sequence + uint64(c.After)
		c, err = f.s.Chunk(ctx, f.upload, at)
	}
	return c, ignoreMissing(err)
}

// find returns the sequence of the chunk with an index, or 0 if chunks are missing.
func (l *spread) find(ctx context.Context, f *found, index int) (uint64, error) {
	if index == f.chunks-1 {
		return l.last, nil
	}
	low, high := l.first+uint64(index), l.last-uint64(f.chunks-1-index)
	for low < high {
		middle := low + (high-low)/2
		c, err := f.s.Chunk(ctx, f.upload, middle)
		if err != nil {
			return 0, ignoreMissing(err)
		}
		switch is := f.chunks - 1 - c.After; {
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
