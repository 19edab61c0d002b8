package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"gomono.dev/examples/orders/analytics"
	"gomono.dev/examples/orders/inventory"
	"gomono.dev/examples/orders/notifications"
	"gomono.dev/examples/orders/payments"
	"gomono.dev/mono"
)

// Faults of a line that places no order.
var (
	errMalformed = errors.New("malformed")
	errRepeated  = errors.New("repeated")
)

// tally counts the results of the lines.
type tally struct {
	mu        sync.Mutex
	read      int
	placed    int
	malformed int
	repeated  int
	declined  int
	refused   map[string]int
}

func newTally() *tally { return &tally{refused: make(map[string]int)} }

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read++
	switch decline, ok := payments.Declined.Match(err); {
	case err == nil:
		t.placed++
	case errors.Is(err, errMalformed):
		t.malformed++
	case errors.Is(err, errRepeated):
		t.repeated++
	case ok:
		t.declined++
		t.refused["card declined: "+decline.Reason]++
	default:
		t.refused[reason(err)]++
	}
}

// reason is the table's name of an error other than a decline.
func reason(err error) string {
	switch {
	case errors.Is(err, inventory.OutOfStock):
		return "out of stock"
	case errors.Is(err, inventory.UnknownProduct):
		return "unknown product"
	}
	return string(mono.CodeOf(err))
}

// totals are the counts of the other modules at the end.
type totals struct {
	report analytics.Report
	count  notifications.Count
	dead   int // receipts
}

// complete reports whether all effects of the orders have happened.
func (h *totals) complete(t *tally) bool {
	return h.report.Placed >= t.placed && h.report.Released >= t.declined && h.count.Notified >= t.placed &&
		h.report.Entries >= t.placed && h.count.Receipts+h.dead >= t.placed
}

// settle gives up after 30 seconds without change, which is enough for messages that a killed
// process was handling. It counts beats, which stop while the machine stands still.
const (
	beat       = 100 * time.Millisecond
	quietBeats = 300
)

// settle asks the modules until they have handled everything. Events are at most once, so some
// may be missing; then the totals do not add up.
func settle(ctx context.Context, app *mono.App, batch string, t *tally) (totals, error) {
	tick, beats := time.NewTicker(5*time.Millisecond), time.NewTicker(beat)
	defer tick.Stop()
	defer beats.Stop()
	var last totals
	if last.complete(t) {
		return last, nil // nothing was placed
	}
	for quiet := 0; ; {
		h, err := ask(ctx, app, batch)
		if err != nil || h.complete(t) || quiet == quietBeats {
			return h, err
		}
		if !reflect.DeepEqual(h, last) {
			last, quiet = h, 0
		}
		select {
		case <-beats.C:
			quiet++
		case <-tick.C:
		case <-ctx.Done():
			return h, ctx.Err()
		}
	}
}

func ask(ctx context.Context, app *mono.App, batch string) (totals, error) {
	report, err := analytics.Totals.Call(ctx, app, analytics.TotalsRequest{Batch: batch})
	if err != nil {
		return totals{}, err
	}
	count, err := notifications.Sent.Call(ctx, app, notifications.SentRequest{Batch: batch})
	if err != nil {
		return totals{}, err
	}
	dead, err := deadReceipts(ctx, app, batch)
	return totals{report, count, dead}, err
}

// deadReceipts counts the receipts of a batch that could not be sent.
func deadReceipts(ctx context.Context, app *mono.App, batch string) (int, error) {
	n := 0
	for l, err := range notifications.Receipts.DeadLetters(app).List(ctx, mono.DeadLetterFilter{}) {
		if err != nil {
			return n, err
		}
		if c, err := l.Value(); err == nil && c.Order.Batch == batch {
			n++
		}
	}
	return n, nil
}

// print prints the table, and returns an error when it does not add up.
func (t *tally) print(w io.Writer, h totals, took time.Duration) error {
	var err error
	row := func(name string, value any) {
		if _, e := fmt.Fprintf(w, "%-44s %12v\n", name, value); err == nil {
			err = e
		}
	}
	row("lines read", t.read)
	row("malformed", t.malformed)
	row("repeated", t.repeated)
	row("placed", t.placed)
	refused := 0
	for _, why := range slices.Sorted(maps.Keys(t.refused)) {
		row("refused, "+why, t.refused[why])
		refused += t.refused[why]
	}
	row("refused", refused)
	row("charged", h.report.Placed)
	row("released", h.report.Released)
	row("notified", h.count.Notified)
	row("receipts sent", h.count.Receipts)
	row("receipts retried", h.count.Retried)
	row("receipts dead", h.dead)
	row("ledger entries", h.report.Entries)
	var cents int64
	for _, product := range slices.Sorted(maps.Keys(h.report.Cents)) {
		row("revenue, "+product, money(h.report.Cents[product]))
		cents += h.report.Cents[product]
	}
	row("revenue", money(cents))
	row("revenue, by the ledger", money(sum(h.report.Booked)))
	row("time", took.Round(time.Millisecond))
	if err != nil {
		return err
	}
	return t.check(h, refused)
}

func sum(cents map[string]int64) (total int64) {
	for _, c := range cents {
		total += c
	}
	return total
}

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// check reports totals that do not add up.
func (t *tally) check(h totals, refused int) error {
	var errs []error
	equal := func(what string, a, b int) {
		if a != b {
			errs = append(errs, fmt.Errorf("the totals do not add up: %s: %d and %d", what, a, b))
		}
	}
	equal("lines read, and their results", t.read, t.placed+refused+t.malformed+t.repeated)
	equal("placed, and counted by analytics", t.placed, h.report.Placed)
	equal("placed, and notified", t.placed, h.count.Notified)
	equal("placed, and receipts sent or dead", t.placed, h.count.Receipts+h.dead)
	equal("placed, and entries of the ledger", t.placed, h.report.Entries)
	for product, cents := range h.report.Cents {
		if booked := h.report.Booked["sales-"+product]; booked != cents {
			errs = append(errs, fmt.Errorf("the totals do not add up: %s earned %s and the ledger has %s", product, money(cents), money(booked)))
		}
	}
	equal("declined, and released", t.declined, h.report.Released)
	if len(errs) > 0 {
		errs = append(errs, errors.New("another process with these modules, on the same server, receives a part of the events: stop it, and run this again"))
	}
	return errors.Join(errs...)
}
