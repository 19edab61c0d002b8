package audit

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/transport"
)

// A message of the log is a batch: entries, one a line, an empty line, and the checkpoint of
// the tree that ends with them. So an entry is stored with the signature that covers it, or
// not at all.

// headerEdge has the edge of the tree that the checkpoint signs. A reader may thus begin at
// any message. It is checked against the signed root.
const headerEdge = "Mono-Audit-Edge"

func encodeBatch(entries [][]byte, signed []byte) []byte {
	var b []byte
	for _, e := range entries {
		b = append(append(b, e...), '\n')
	}
	return append(append(b, '\n'), signed...)
}

func decodeBatch(body []byte) (entries [][]byte, signed []byte, err error) {
	lines, signed, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok || len(lines) == 0 {
		return nil, nil, errors.New("it has no entries and no checkpoint")
	}
	return bytes.Split(lines, []byte("\n")), signed, nil
}

// position is the state of a log after one of its messages.
type position struct {
	sequence   uint64
	tree       tree
	checkpoint Checkpoint
}

// next checks the message that follows, and returns its entries and the position after it.
func (p *position) next(d *transport.Delivery, key note.Verifier) (position, [][]byte, error) {
	if want := p.sequence + 1; d.Sequence != want {
		return position{}, nil, fmt.Errorf("messages %d to %d are missing", want, d.Sequence-1)
	}
	entries, signed, err := decodeBatch(d.Body)
	if err != nil {
		return position{}, nil, fmt.Errorf("message %d: %w", d.Sequence, err)
	}
	is := position{sequence: d.Sequence, tree: p.tree.clone()}
	for _, e := range entries {
		is.tree.add(tlog.RecordHash(e))
	}
	if is.checkpoint, err = openCheckpoint(signed, key); err != nil {
		return position{}, nil, fmt.Errorf("message %d: %w", d.Sequence, err)
	}
	switch c := &is.checkpoint; {
	case c.Size != is.tree.size:
		return position{}, nil, fmt.Errorf("message %d ends with entry %d, and its checkpoint is one of %d entries", d.Sequence, is.tree.size-1, c.Size)
	case c.Root != is.tree.root():
		return position{}, nil, fmt.Errorf("message %d: the root of its checkpoint is not that of its entries and the earlier ones", d.Sequence)
	case d.Header.Get(headerEdge) != is.tree.formatEdge():
		return position{}, nil, fmt.Errorf("message %d: its header %s is not the edge of its tree", d.Sequence, headerEdge)
	}
	return is, entries, nil
}

// positionOf returns the position after a message, from its header and its checkpoint.
func positionOf(d *transport.Delivery, key note.Verifier) (position, error) {
	_, signed, err := decodeBatch(d.Body)
	if err != nil {
		return position{}, fmt.Errorf("message %d: %w", d.Sequence, err)
	}
	is := position{sequence: d.Sequence}
	if is.checkpoint, err = openCheckpoint(signed, key); err != nil {
		return position{}, fmt.Errorf("message %d: %w", d.Sequence, err)
	}
	if is.tree, err = parseTree(is.checkpoint.Size, d.Header.Get(headerEdge)); err != nil {
		return position{}, fmt.Errorf("message %d: %w", d.Sequence, err)
	}
	if is.tree.root() != is.checkpoint.Root {
		return position{}, fmt.Errorf("message %d: its header %s is not the edge of the tree that its checkpoint signs", d.Sequence, headerEdge)
	}
	return is, nil
}
