package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/note"

	"gomono.dev/transport"
)

// ReadOptions are the options of Read and Verify. Only the Key is required.
type ReadOptions struct {
	// From is a checkpoint that was verified before, as text. Reading begins after it, and
	// finds out whether the log still has the history of that checkpoint.
	From []byte

	// Key is the public key of the log.
	Key string

	// Name is the name of the log. The default is DefaultName.
	Name string

	// Namespace is that of the App that writes the log.
	Namespace string
}

// Recorded is an entry of a log.
type Recorded struct {
	Entry
	Index      int64
	Checkpoint Checkpoint // the first one that covers the entry
	Raw        []byte     // what is hashed
}

// Verify reads a log, checks that it is complete and unchanged, and returns its newest
// checkpoint. The next Verify can begin there, with From; it is cheap to keep, and the only
// proof against a log that was replaced as a whole, by its own key or by a backup. See the
// package documentation for what is detected.
//
// A log that fails the check is data_loss. The error names the first message that is wrong.
func Verify(ctx context.Context, t transport.Transport, o ReadOptions) (Checkpoint, error) {
	r, err := openReading(ctx, t, &o)
	if err != nil {
		return Checkpoint{}, err
	}
	for m, err := range r.history.after(ctx, r.from) {
		if err != nil {
			return Checkpoint{}, err
		}
		r.from = m.position
	}
	return r.from.checkpoint, nil
}

// Read returns the entries of a log in order. It checks each message as Verify does, before it
// returns its entries. An error is the last element.
func Read(ctx context.Context, t transport.Transport, o ReadOptions) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		r, err := openReading(ctx, t, &o)
		if err != nil {
			yield(Recorded{}, err)
			return
		}
		for m, err := range r.history.after(ctx, r.from) {
			if err != nil {
				yield(Recorded{}, err)
				return
			}
			for i, data := range m.entries {
				e := Recorded{Raw: data, Index: m.tree.size - int64(len(m.entries)-i), Checkpoint: m.checkpoint}
				if err := json.Unmarshal(data, &e.Entry); err != nil {
					yield(e, r.history.loss("entry %d is not JSON: %w", e.Index, err))
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// reading is a history that is read from a position on.
type reading struct {
	history *history
	from    position
}

func openReading(ctx context.Context, t transport.Transport, o *ReadOptions) (*reading, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	key, err := publicKey(o.Name, o.Key)
	if err != nil {
		return nil, err
	}
	var from Checkpoint
	if o.From != nil {
		if from, err = openCheckpoint(o.From, key); err != nil {
			return nil, errorf(o.Name, transport.InvalidArgument, "From: %w", err)
		}
	}
	r := &reading{}
	if r.history, err = openHistory(ctx, t, o.Namespace, o.Name, key, transport.LogConfig{Existing: true}); err != nil {
		return nil, err
	}
	if o.From != nil {
		r.from, err = r.history.find(ctx, &from)
	}
	return r, err
}

// publicKey returns the verifier of a public key.
func publicKey(name, key string) (note.Verifier, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("audit log %q: want a name of lower-case letters, digits and single hyphens, such as orders", name)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, errorf(name, transport.InvalidArgument, "its Key is not a public key of GenerateKey: %w", err)
	}
	return v, nil
}
