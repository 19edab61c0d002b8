package orders

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"gomono.dev/examples/orders/follow"
	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// book is this process's view of the ledger. An entry never changes, so the view may be behind
// but is never wrong: an order in it was placed, and the ledger decides about any other order.
// The view is reset if the ledger is deleted.
type book struct {
	entries  mono.Reader[ledger.Entry]
	follower *follow.Follower

	mu     sync.Mutex
	placed map[string]ledger.Entry // by order
}

// page is the sale of one order, or else its last void.
type page struct {
	entry ledger.Entry
	last  uint64 // the sequence of the last message, 0 if there is none or the view has the order
}

// placed reports whether the order is in the ledger.
func (p page) placed() bool { return p.entry.Placed.Order.ID != "" }

func (b *book) bind(s *mono.Scope) {
	b.placed = make(map[string]ledger.Entry)
	b.entries = ledger.Entries.Reader(s)
}

// open reads the ledger to its end and then follows it.
func (b *book) open(ctx context.Context, log *slog.Logger) error {
	next := uint64(1)
	for m, err := range b.entries(ctx) {
		next = max(next, m.Sequence+1)
		switch {
		case err == nil:
			b.Enter(m.Value)
		case m.Sequence > 0: // it cannot be decoded
			log.Warn("reading the ledger", "sequence", m.Sequence, "error", err)
		default:
			return fmt.Errorf("reading the ledger: %w", err)
		}
	}
	b.follower = follow.Start(b.entries, next, log, b)
	return nil
}

func (b *book) close() { b.follower.Stop() }

// Enter adds an entry.
func (b *book) Enter(e ledger.Entry) {
	if e.IsVoid() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.placed[e.Placed.Order.Key()] = e
}

// Reset drops all entries.
func (b *book) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.placed)
}

// find returns the page of an order. If the view has none, it reads the ledger up to its
// current end, so it finds the entries of other processes. It skips other messages under the
// order's key, but AppendAfter needs their sequence.
func (b *book) find(ctx context.Context, r orders.GetRequest) (page, error) {
	b.mu.Lock()
	e, ok := b.placed[r.Key()]
	b.mu.Unlock()
	if ok {
		return page{entry: e}, nil
	}
	var p page
	for m, err := range b.entries(ctx, mono.Keys(ledger.KeyOf(r))) {
		if err != nil && m.Sequence == 0 {
			return p, unavailable(err)
		}
		p.last = m.Sequence
		if err == nil && m.Value.Key() == m.Key && !p.placed() {
			p.entry = m.Value
		}
	}
	if p.placed() {
		b.Enter(p.entry)
	}
	return p, nil
}

// unavailable is the error of a ledger that cannot be used. A not_found, aborted or
// invalid_argument of the ledger does not mean the same for the order.
func unavailable(err error) error {
	switch mono.CodeOf(err) {
	case mono.NotFound, mono.Aborted:
		return mono.Errorf(mono.Unavailable, "try again later: %w", err)
	case mono.InvalidArgument:
		return mono.Errorf(mono.Internal, "the ledger cannot be used: %w", err)
	}
	return err
}
