package inproc

import (
	"encoding/binary"
	"strings"

	"gomono.dev/transport"
)

// entry is a message to be stored, as one string: its body, after its id and header if
// there are any. It is a string because many deliveries can refer to it without a copy.
// It is one string because a backlog has millions.
type entry struct {
	subject string
	record  string
	meta    int // length of the part of record before the body
}

// newEntry copies the stored parts of a message.
func newEntry(id string, m *transport.Message) entry {
	var b strings.Builder
	if id != "" || len(m.Header) > 0 {
		b.Grow(metaSize(id, m.Header) + len(m.Body))
		writeText(&b, id)
		for _, f := range m.Header {
			writeText(&b, f.Name)
			writeText(&b, f.Value)
		}
	}
	meta := b.Len()
	b.Grow(len(m.Body))
	b.Write(m.Body)
	return entry{subject: m.Subject, record: b.String(), meta: meta}
}

func metaSize(id string, h transport.Header) int {
	n := textSize(id)
	for i := range h {
		n += textSize(h[i].Name) + textSize(h[i].Value)
	}
	return n
}

func textSize(s string) int {
	n := 1 + len(s)
	for l := len(s); l >= 0x80; l >>= 7 {
		n++
	}
	return n
}

func writeText(b *strings.Builder, s string) {
	var length [binary.MaxVarintLen64]byte
	b.Write(length[:binary.PutUvarint(length[:], uint64(len(s)))])
	b.WriteString(s)
}

func readText(s string) (text, rest string) {
	var n, shift int
	for i := 0; ; i++ {
		n |= int(s[i]&0x7f) << shift
		if s[i] < 0x80 {
			return s[i+1 : i+1+n], s[i+1+n:]
		}
		shift += 7
	}
}

// readRecord returns what newEntry has stored. The texts are part of the record; the
// caller owns the header and the body.
func readRecord(record string, meta int) (id string, h transport.Header, body []byte) {
	body = []byte(record[meta:])
	if meta == 0 {
		return "", nil, body
	}
	id, rest := readText(record[:meta])
	if rest != "" {
		h = make(transport.Header, 0, 4)
	}
	for rest != "" {
		var f transport.Field
		f.Name, rest = readText(rest)
		f.Value, rest = readText(rest)
		h = append(h, f)
	}
	return id, h, body
}

// recordID returns only the id.
func recordID(record string, meta int) string {
	if meta == 0 {
		return ""
	}
	id, _ := readText(record[:meta])
	return id
}
