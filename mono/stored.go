package mono

import (
	"context"

	"gomono.dev/transport"
)

// Stored describes how a message was stored.
type Stored struct {
	// ID is the id of the message: its DedupID, or a random one.
	ID string

	// Sequence is the position in the log, 0 for a delayed job.
	Sequence uint64

	// Duplicate reports that a message with this DedupID had been stored before, within
	// the DedupWindow. Nothing was stored this time, even if that message has been
	// handled since, or its dead letter discarded; Sequence is its position. Duplicate
	// is also true if the acknowledgement of this very message was lost, and a second
	// attempt found it stored.
	Duplicate bool
}

// postStored sends a message that has no reply, and returns how it was stored.
func postStored[T any](ctx context.Context, b Binder, d *declaration, sent sending, v T) (Stored, error) {
	stored := new(Stored)
	sent.opts.stored = stored
	err := post(ctx, b, d, &sent, v)
	return *stored, err
}

// reportStored reports a duplicate to observers, and to the sender how its message was
// stored. A message with a random id is not a duplicate: the log found an earlier
// attempt of the same append, whose acknowledgement was lost.
func (s *sender) reportStored(o *sendOptions, id string, at transport.Appended) {
	duplicate := at.Duplicate && o.dedup != ""
	if duplicate {
		s.in.observe(MessageDeduplicated{Module: s.module, Handle: s.decl, ID: id, Sequence: at.Sequence})
	}
	if o.stored != nil {
		*o.stored = Stored{ID: id, Sequence: at.Sequence, Duplicate: duplicate}
	}
}
