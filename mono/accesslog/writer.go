package accesslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	pause    = 10 * time.Millisecond  // between the first record of a buffer and its writing
	patience = 100 * time.Millisecond // of a message before Start and after Stop
	reminder = time.Minute            // between two reports of one loss
	piece    = 64                     // records
)

// writer has the buffer, and writes it on one goroutine at a time, which ends when nothing is left.
type writer struct {
	log  slog.Handler
	max  int       // records in the buffer
	base time.Time // of the clock of the log

	mu      sync.Mutex
	started int // by Apps
	state   state
	timer   *time.Timer   // in the state delayed
	waiting [][]entry     // the buffer, in pieces, so that it grows without a copy
	n       int           // records in the buffer
	spare   [][]entry     // empty pieces
	added   uint64        // records ever put into the buffer
	done    uint64        // records that were written, or have failed
	moved   chan struct{} // closed when done changes
	total   losses
	open    losses    // without a warning in the log
	since   time.Time // when they began, or the last report
	cause   error     // of the last failure
}

type state uint8

const (
	idle    state = iota // the buffer is empty
	delayed              // the timer runs
	writing              // a goroutine writes, or is about to
)

// losses are numbers of records.
type losses struct{ dropped, failed uint64 }

func (l losses) any() bool { return l.dropped+l.failed > 0 }

// start counts the Apps that run.
func (w *writer) start(by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started += by
}

// lost returns all losses.
func (w *writer) lost() losses {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// add puts a record into the buffer.
func (w *writer) add(e *entry) {
	w.mu.Lock()
	started := w.started > 0
	switch {
	case w.n >= w.max:
		w.lose(losses{dropped: 1}, errors.New("the buffer is full"))
	default:
		w.append(e)
		if w.state == idle {
			w.delay()
		}
		if w.n >= w.max/2 {
			w.hurry()
		}
	}
	w.mu.Unlock()
	if !started {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = w.flush(ctx) // if that is not enough, the record is written later
	}
}

// append adds a record to the buffer. The mutex is held.
func (w *writer) append(e *entry) {
	last := len(w.waiting) - 1
	if last < 0 || len(w.waiting[last]) == piece {
		p, left := []entry(nil), len(w.spare)-1
		if left >= 0 {
			p, w.spare = w.spare[left], w.spare[:left]
		} else {
			p = make([]entry, 0, piece)
		}
		w.waiting = append(w.waiting, p)
		last++
	}
	w.waiting[last] = append(w.waiting[last], *e)
	w.n++
	w.added++
}

// fail counts records that the handler of the log has not taken.
func (w *writer) fail(n int, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose(losses{failed: uint64(n)}, cause)
}

// lose counts losses. The mutex is held.
func (w *writer) lose(n losses, cause error) {
	if !n.any() {
		return
	}
	if !w.open.any() {
		w.since = time.Now()
	}
	w.cause = cause
	w.total.dropped += n.dropped
	w.total.failed += n.failed
	w.open.dropped += n.dropped
	w.open.failed += n.failed
}

// delay lets a goroutine write after the pause. The mutex is held.
func (w *writer) delay() {
	w.state = delayed
	w.timer = time.AfterFunc(pause, w.run)
}

// hurry ends the pause, if there is one. The mutex is held.
func (w *writer) hurry() {
	if w.state == delayed && w.timer.Stop() {
		w.state = writing
		go w.run()
	}
}

// flush waits until the records that are in the buffer were written. It returns an error if they were
// not before ctx ends, or if there are losses that the log does not have.
func (w *writer) flush(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for target := w.added; w.done < target; {
		w.hurry()
		if w.moved == nil {
			w.moved = make(chan struct{})
		}
		moved := w.moved
		w.mu.Unlock()
		select {
		case <-moved:
			w.mu.Lock()
		case <-ctx.Done():
			w.mu.Lock()
			return fmt.Errorf("accesslog: the last %d records are not written yet: %w", w.added-w.done, ctx.Err())
		}
	}
	if w.open.any() {
		return fmt.Errorf("accesslog: %d records were dropped and %d have failed, which the log does not have: %w", w.open.dropped, w.open.failed, w.cause)
	}
	return nil
}

// run writes the records that are in the buffer. The handler of the log may panic, and may even end
// the goroutine.
func (w *writer) run() {
	pieces, n, dropped := w.take()
	defer w.settle(pieces, n)
	if w.writeAll(pieces, n) {
		w.report(dropped)
	}
}

// take empties the buffer. It returns the number of its records, and the number of all records
// that were dropped until now.
func (w *writer) take() (pieces [][]entry, n int, dropped uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pieces, n, dropped = w.waiting, w.n, w.total.dropped
	w.waiting, w.n, w.state = nil, 0, writing
	return pieces, n, dropped
}

// writeAll writes records, and reports whether the handler of the log has taken the last one.
func (w *writer) writeAll(pieces [][]entry, n int) bool {
	last := errors.New("the handler of the log has ended its goroutine")
	failed, cause := n, last
	defer func() { w.fail(failed, cause) }()
	var memory attrs
	now := time.Now()
	zero := now.Add(-now.Sub(w.base)) // by the time of day as it is now, if that was changed since
	for _, p := range pieces {
		for i := range p {
			if last = w.write(&p[i], zero, &memory); last == nil {
				failed--
			} else {
				cause = last
			}
		}
	}
	return last == nil
}

// write writes a record.
func (w *writer) write(e *entry, zero time.Time, memory *attrs) error {
	return guard(func() error {
		if e.site.handler == nil {
			e.site.handler = w.log.WithAttrs(e.site.attrs())
		}
		return e.site.handler.Handle(context.Background(), e.record(zero.Add(e.ended), memory))
	})
}

// report logs the losses once they are over, and once a minute while they go on. dropped is the number
// of records that were dropped before the last ones were written.
func (w *writer) report(dropped uint64) {
	w.mu.Lock()
	n, cause := w.open, w.cause
	wanted := n.any() && (w.total.dropped == dropped || time.Since(w.since) >= reminder)
	w.mu.Unlock()
	if !wanted {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "access log records lost", 0)
	r.AddAttrs(slog.Uint64("mono.dropped", n.dropped), slog.Uint64("mono.failed", n.failed), slog.String(Error.String(), cut(cause.Error(), maxText)))
	if guard(func() error { return w.handleReport(r) }) != nil {
		return // it stays open
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open.dropped -= n.dropped
	w.open.failed -= n.failed
	w.since = time.Now()
}

func (w *writer) handleReport(r slog.Record) error {
	ctx := context.Background()
	if !w.log.Enabled(ctx, r.Level) {
		return errors.New("warnings are not logged")
	}
	return w.log.Handle(ctx, r)
}

// settle ends a run: it lets the next one follow, if there is something to write.
func (w *writer) settle(pieces [][]entry, n int) {
	for i, p := range pieces {
		clear(p)
		pieces[i] = p[:0]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spare = append(w.spare, pieces...)
	w.done += uint64(n)
	if w.moved != nil {
		close(w.moved)
		w.moved = nil
	}
	w.state = idle
	if w.n > 0 {
		w.delay()
	}
	if w.n >= max(1, w.max/2) {
		w.hurry()
	}
}

// guard turns a panic of the handler of the log into an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return f()
}

func panicked(v any) error { return fmt.Errorf("panic: %v", v) }
