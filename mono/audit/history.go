package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"regexp"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"gomono.dev/transport"
)

// history is the stored log, with the key that signs it.
type history struct {
	name string
	key  note.Verifier
	log  transport.Log
}

var validName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// subjectOf returns the subject of the messages of a log.
func subjectOf(namespace, name string) string {
	if namespace != "" {
		namespace += "."
	}
	return namespace + "audit." + name
}

// storedName returns the name of a log at the backend.
func storedName(namespace, name string) string {
	return strings.ReplaceAll(subjectOf(namespace, name), ".", "_")
}

// openHistory opens a log. It is created if it is missing, unless c has Existing.
func openHistory(ctx context.Context, t transport.Transport, namespace, name string, key note.Verifier, c transport.LogConfig) (*history, error) {
	if !t.Capabilities().Logs {
		return nil, errorf(name, transport.Unimplemented, "the transport %s stores no messages%s", t.Capabilities().Name, t.Capabilities().Advice)
	}
	c.Name = storedName(namespace, name)
	c.Subjects = []string{subjectOf(namespace, name)}
	c.Description = "audit log " + name
	c.Metadata = map[string]string{"mono-audit": name}
	log, err := t.Log(ctx, c)
	if err != nil {
		return nil, about(name, err)
	}
	return &history{name, key, log}, nil
}

// stored is a message of the log.
type stored struct {
	position
	id      string
	entries [][]byte
}

// last returns the position after the last message.
func (h *history) last(ctx context.Context) (position, error) {
	end, err := h.end(ctx)
	if err != nil || end == 0 {
		return position{}, err
	}
	d, err := h.first(ctx, transport.Start{Sequence: end})
	if err != nil {
		return position{}, err
	}
	if d == nil || d.Sequence != end {
		return position{}, h.loss("its last message, %d, is missing", end)
	}
	is, err := positionOf(d, h.key)
	if err != nil {
		return position{}, h.loss("%w", err)
	}
	return is, nil
}

// end returns the sequence of the last message. All messages up to it are present.
func (h *history) end(ctx context.Context) (uint64, error) {
	info, err := h.log.Info(ctx)
	if err != nil {
		return 0, about(h.name, err)
	}
	if info.Messages != info.Last {
		return 0, h.loss("it has %d of its %d messages: the others were removed", info.Messages, info.Last)
	}
	return info.Last, nil
}

// first returns the first message from a start on, or nil.
func (h *history) first(ctx context.Context, start transport.Start) (*transport.Delivery, error) {
	for d, err := range h.log.Read(ctx, transport.ReadConfig{Start: start}) {
		return d, about(h.name, err)
	}
	return nil, nil
}

// after returns the messages after a position, checked. It fails if the message of the
// position is not there any more.
func (h *history) after(ctx context.Context, at position) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		end, err := h.end(ctx)
		if err != nil {
			yield(stored{}, err)
			return
		}
		if end < at.sequence {
			yield(stored{}, h.loss("it ends with message %d, and had a message %d: it was cut, or replaced by an older state", end, at.sequence))
			return
		}
		again := at.sequence > 0
		for d, err := range h.log.Read(ctx, transport.ReadConfig{Start: transport.Start{Sequence: max(at.sequence, 1)}}) {
			if err != nil {
				yield(stored{}, about(h.name, err))
				return
			}
			if again {
				again = false
				if err := h.same(d, &at); err != nil {
					yield(stored{}, err)
					return
				}
				continue
			}
			is, entries, err := at.next(d, h.key)
			if err != nil {
				yield(stored{}, h.loss("%w", err))
				return
			}
			if at = is; !yield(stored{is, d.ID, entries}, nil) {
				return
			}
		}
		if again || at.sequence < end {
			yield(stored{}, h.loss("messages after %d, up to %d, are missing", at.sequence, end))
		}
	}
}

// same reports a message that is not the one that was read before.
func (h *history) same(d *transport.Delivery, at *position) error {
	_, signed, err := decodeBatch(d.Body)
	if err != nil || d.Sequence != at.sequence || !bytes.Equal(signed, at.checkpoint.Note) {
		return h.loss("message %d was replaced", at.sequence)
	}
	return nil
}

// find returns the position of a checkpoint that was seen before.
func (h *history) find(ctx context.Context, c *Checkpoint) (position, error) {
	end, err := h.end(ctx)
	if err != nil {
		return position{}, err
	}
	var found position
	i := sort.Search(int(end), func(i int) bool {
		if err != nil {
			return true
		}
		var d *transport.Delivery
		if d, err = h.first(ctx, transport.Start{Sequence: uint64(i) + 1}); err != nil {
			return true
		}
		if d == nil {
			err = h.loss("message %d is missing", i+1)
			return true
		}
		is, e := positionOf(d, h.key)
		if e != nil {
			err = h.loss("%w", e)
			return true
		}
		if is.checkpoint.Size < c.Size {
			return false
		}
		found = is
		return true
	})
	switch {
	case err != nil:
		return position{}, err
	case i == int(end):
		return position{}, h.loss("it has fewer than the %d entries that it had: it was cut, or replaced by an older state", c.Size)
	case found.checkpoint.Size != c.Size || found.checkpoint.Root != c.Root:
		return position{}, h.loss("it has another history than at its checkpoint of %d entries: it was rewritten, or is a fork", c.Size)
	}
	return found, nil
}

func (h *history) loss(format string, args ...any) error {
	return errorf(h.name, transport.DataLoss, format, args...)
}

// errorf returns an error of something that was not done.
func errorf(name string, code transport.Code, format string, args ...any) error {
	return about(name, transport.Errorf(code, transport.OutcomeNotDone, format, args...))
}

// about names the log in an error.
func about(name string, err error) error {
	if err == nil {
		return nil
	}
	text := fmt.Sprintf("audit log %q: %v", name, err)
	outcome := transport.OutcomeUnknown
	if e, ok := asError(err); ok {
		text, outcome = fmt.Sprintf("audit log %q: %s", name, e.Message), e.Outcome
	}
	return &transport.Error{Code: transport.CodeOf(err), Outcome: outcome, Message: text, Err: err}
}
