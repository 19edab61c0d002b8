package journal

import (
	"encoding/binary"
	"time"
)

// Kinds of records. A record consists of its kind, then numbers as varints and texts with
// their length in front.
const (
	recordConsumer = 1 // number, stream, name, created
	recordHistory  = 2 // consumer, sequence, stored, delivery, attempts, due, noted
	recordSettled  = 3 // consumer, sequence
	recordReset    = 5 // discards earlier records of deliveries
	recordID       = 6 // log, its creation, id, sequence, until
)

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func appendConsumer(b []byte, c *Consumer) []byte {
	b = binary.AppendUvarint(append(b, recordConsumer), c.number)
	b = appendText(appendText(b, c.key.stream), c.key.name)
	return binary.AppendVarint(b, c.key.created)
}

func appendHistory(b []byte, c *Consumer, sequence uint64, p History) []byte {
	due := int64(0)
	if !p.Due.IsZero() {
		due = p.Due.Add(time.Microsecond - 1).UnixMicro() // rounded up; nanoseconds would overflow in 2262
	}
	b = binary.AppendUvarint(append(b, recordHistory), c.number)
	b = binary.AppendUvarint(b, sequence)
	b = binary.AppendVarint(b, p.stored)
	b = binary.AppendUvarint(b, p.Delivery)
	b = binary.AppendUvarint(b, uint64(max(p.Attempts, 0)))
	b = binary.AppendVarint(b, due)
	return binary.AppendVarint(b, p.noted)
}

func appendSettled(b []byte, c *Consumer, sequence uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(append(b, recordSettled), c.number), sequence)
}

func appendID(b []byte, log logKey, id string, a appended) []byte {
	b = binary.AppendVarint(appendText(append(b, recordID), log.name), log.created)
	b = appendText(b, id)
	return binary.AppendVarint(binary.AppendUvarint(b, a.sequence), a.until)
}

// reader applies records. It stops at an unknown or damaged one.
type reader struct {
	j         *Journal
	consumers map[uint64]*Consumer // by their number in the segment
	now       time.Time
	idsEnd    int64 // expiry of the last id

	rest []byte
	bad  bool
}

// frame applies the records of a frame and reports whether all were valid.
func (r *reader) frame(payload []byte) bool {
	for r.rest, r.bad = payload, false; len(r.rest) > 0 && !r.bad; {
		kind := r.rest[0]
		r.rest = r.rest[1:]
		r.take(kind)
	}
	return !r.bad
}

func (r *reader) take(kind byte) {
	switch kind {
	case recordConsumer:
		number := r.number()
		key := consumerKey{r.text(), r.text(), r.signed()}
		if !r.bad {
			r.consumers[number] = r.j.consumer(key)
		}
	case recordHistory:
		c, sequence := r.consumers[r.number()], r.number()
		p := History{stored: r.signed(), Delivery: r.number(), Attempts: int(min(r.number(), maxAttempts))}
		if due := r.signed(); due != 0 {
			p.Due = time.UnixMicro(due)
		}
		p.noted = r.signed()
		if r.bad = r.bad || c == nil; !r.bad {
			c.history[sequence] = p
		}
	case recordSettled:
		c, sequence := r.consumers[r.number()], r.number()
		if r.bad = r.bad || c == nil; !r.bad {
			delete(c.history, sequence)
		}
	case recordID:
		key, id := logKey{r.text(), r.signed()}, r.text()
		a := appended{r.number(), r.signed()}
		if !r.bad && a.until > r.now.UnixNano() {
			if r.j.ids[key] == nil {
				r.j.ids[key] = make(map[string]appended)
			}
			r.j.ids[key][id] = a
			r.idsEnd = max(r.idsEnd, a.until)
			if end := time.Unix(0, a.until); end.After(r.j.idsEnd) {
				r.j.idsEnd = end
			}
		}
	case recordReset:
		for _, c := range r.j.consumers {
			clear(c.history)
		}
	default:
		r.bad = true
	}
}

// maxAttempts bounds the number of attempts in a damaged file.
const maxAttempts = 1 << 30

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.skip(size)
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.rest)
	r.skip(size)
	return n
}

func (r *reader) skip(size int) {
	if size <= 0 {
		r.bad, r.rest = true, nil
		return
	}
	r.rest = r.rest[size:]
}

func (r *reader) text() string {
	n := r.number()
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}
