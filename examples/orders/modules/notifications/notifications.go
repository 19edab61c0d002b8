// Package notifications implements the notifications; it only counts them.
package notifications

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"gomono.dev/examples/orders/ledger"
	"gomono.dev/examples/orders/notifications"
	"gomono.dev/examples/orders/orders"
	"gomono.dev/mono"
)

// Module writes to customers. Its zero value is ready.
type Module struct {
	receipts mono.Enqueuer[orders.Confirmation]

	mu    sync.Mutex
	count map[string]*notifications.Count // by batch
	sent  map[string]bool                 // receipts, by order
}

// Name is the name of the module, and of its group of the ledger.
func (m *Module) Name() string { return "notifications" }

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "writes to customers" }

// Bind subscribes to placed orders, sends a receipt for each entry of the ledger,
// and provides Sent.
func (m *Module) Bind(s *mono.Scope) error {
	m.count, m.sent = make(map[string]*notifications.Count), make(map[string]bool)
	m.receipts = notifications.Receipts.Enqueuer(s)
	orders.Placed.Handle(s, m.notify)
	ledger.Entries.Handle(s, m.enqueue, mono.Concurrency(8))
	notifications.Receipts.Handle(s, m.send, mono.Concurrency(4))
	notifications.Sent.Handle(s, m.counts)
	return nil
}

func (m *Module) notify(_ context.Context, c orders.Confirmation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(c).Notified++
	return nil
}

// enqueue makes a job of an entry of the ledger. If the entry comes twice, the job
// is stored once.
func (m *Module) enqueue(ctx context.Context, e ledger.Entry) error {
	if e.IsVoid() {
		return nil
	}
	return m.receipts(ctx, e.Placed, mono.DedupID(e.Placed.Order.Key()))
}

// send sends a receipt through an unreliable mail server: the first attempt fails for every
// seventh order, and every attempt for some.
func (m *Module) send(ctx context.Context, c orders.Confirmation) error {
	attempt := mono.CallFrom(ctx).Attempt()
	switch n := number(c.Order.ID); {
	case n > 0 && n%101 == 0:
		return errors.New("no such mailbox")
	case n > 0 && n%7 == 0 && attempt == 1:
		return errors.New("mail server is busy")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sent[c.Order.Key()] {
		return nil
	}
	m.sent[c.Order.Key()] = true
	m.of(c).Receipts++
	if attempt > 1 {
		m.of(c).Retried++
	}
	return nil
}

// of returns the count of an order's batch.
func (m *Module) of(c orders.Confirmation) *notifications.Count {
	if m.count[c.Order.Batch] == nil {
		m.count[c.Order.Batch] = new(notifications.Count)
	}
	return m.count[c.Order.Batch]
}

func (m *Module) counts(_ context.Context, r notifications.SentRequest) (notifications.Count, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.count[r.Batch]; c != nil {
		return *c, nil
	}
	return notifications.Count{}, nil
}

// number is the number at the end of an order's id, or 0.
func number(id string) int {
	digits := id[len(strings.TrimRight(id, "0123456789")):]
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
