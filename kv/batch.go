package kv

import (
	"context"
	"strconv"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
)

// Tx collects the writes of a Batch. It must not be used concurrently, nor after f returned.
type Tx[T any] struct {
	kv      *KeyValue[T]
	o       *opened
	writes  []driver.Write
	keys    map[string]bool
	creates map[int]bool // indexes of writes
	err     error        // the first one
}

// MaxBatch is the maximum number of writes in a Batch.
const MaxBatch = driver.MaxBatch

// Batch calls f, which collects writes, and then stores all of them or none. An error of f is
// returned as it is, and nothing is stored. A key can be written once. The result is the
// revision of the last write; those of the others precede it without a gap.
//
// If the condition of a Create does not hold, Batch returns already_exists. For another
// condition it returns aborted. The error names the key if it is known. A bucket or a server
// that cannot store several writes at once is unimplemented, unless there is only one. A NATS
// server collects the writes of at most 50 batches of a bucket at once: further ones wait.
func (kv *KeyValue[T]) Batch(ctx context.Context, f func(*Tx[T]) error) (revision uint64, err error) {
	o, err := kv.store.begin(ctx)
	if err != nil {
		return 0, err
	}
	tx := &Tx[T]{kv: kv, o: o, keys: make(map[string]bool), creates: make(map[int]bool)}
	if err := f(tx); err != nil {
		return 0, err
	}
	switch {
	case tx.err != nil:
		return 0, inBucket(o.name, tx.err)
	case len(tx.writes) == 0:
		return 0, nil
	case len(tx.writes) > MaxBatch:
		return 0, inBucket(o.name, notDone(transport.ResourceExhausted, "%d writes in a batch: at most %d are allowed", len(tx.writes), MaxBatch))
	}
	revision, err = tx.commit(ctx)
	return revision, inBucket(o.name, err)
}

// Put sets the value of a key.
func (tx *Tx[T]) Put(key string, value T, options ...WriteOption) {
	tx.add(key, value, options, nil)
}

// Create sets the value of a key that has none.
func (tx *Tx[T]) Create(key string, value T, options ...WriteOption) {
	tx.creates[len(tx.writes)] = true
	tx.add(key, value, options, new(uint64))
}

// Update sets the value of a key whose newest revision is the given one.
func (tx *Tx[T]) Update(key string, revision uint64, value T, options ...WriteOption) {
	if revision == 0 {
		tx.fail(key, invalid("revision 0 stands for a key without a value: use Create"))
		return
	}
	tx.add(key, value, options, &revision)
}

// Delete removes the value of a key.
func (tx *Tx[T]) Delete(key string, options ...DeleteOption) { tx.mark(key, driver.Delete, options) }

// Purge removes the value of a key and its history.
func (tx *Tx[T]) Purge(key string, options ...DeleteOption) { tx.mark(key, driver.Purge, options) }

func (tx *Tx[T]) mark(key string, op Op, options []DeleteOption) {
	w := driver.Write{Op: op}
	var err error
	if w.Expect, err = expectOf(options); err == nil {
		w.Key, err = writeKey(key)
	}
	tx.append(key, w, err)
}

func (tx *Tx[T]) add(key string, value T, options []WriteOption, expect *uint64) {
	w, err := tx.kv.prepare(tx.o, key, &value, options)
	w.Expect = expect
	tx.append(key, w, err)
}

func (tx *Tx[T]) append(key string, w driver.Write, err error) {
	switch {
	case err != nil:
		tx.fail(key, err)
	case tx.keys[w.Key]:
		tx.fail(key, invalid("it is written twice in one batch"))
	default:
		tx.keys[w.Key] = true
		tx.writes = append(tx.writes, w)
	}
}

func (tx *Tx[T]) fail(key string, err error) { tx.err = firstError(tx.err, atKey(key, err)) }

// commit stores the writes. If a condition does not hold, the newest revisions of the keys
// show which one. If all hold by then, because a Create met a value that was deleted or the mark
// of a deletion, it tries again, at first without a pause.
func (tx *Tx[T]) commit(ctx context.Context) (uint64, error) {
	for wait := time.Duration(0); ; wait = longer(wait) {
		revision, err := tx.o.put(ctx, tx.writes...)
		if transport.CodeOf(err) != transport.Aborted {
			return revision, err
		}
		if err := tx.explain(ctx); err != nil {
			return 0, err
		}
		if err := pause(ctx, wait); err != nil {
			return 0, transport.ContextError(ctx, transport.OutcomeNotDone, "%w while other programs write its keys", err)
		}
	}
}

// explain returns an error for the condition that does not hold, and adapts those of Creates
// to the marks of deletions. It returns nil if all conditions hold now. It reads all keys at
// once, if that is possible. Any replica answers, so the leader is asked for a key whose
// condition seems not to hold.
func (tx *Tx[T]) explain(ctx context.Context) error {
	seen, known := tx.conditional(ctx)
	for i := range tx.writes {
		w := &tx.writes[i]
		if w.Expect == nil || known && tx.holds(i, seen[w.Key]) {
			continue
		}
		r, err := tx.o.newest(ctx, w.Key)
		if err == nil && tx.creates[i] {
			err = tx.o.endExpired(ctx, r)
		}
		switch {
		case err != nil:
			err = notDone(transport.Aborted, "a condition of the batch does not hold, and the newest revision is unknown: %w", err)
		case tx.holds(i, r):
		case tx.creates[i]:
			err = errHasValue(r)
		default:
			err = notDone(transport.Aborted, "its newest revision is %s, expected %d", revisionText(r), *w.Expect)
		}
		if err != nil {
			return atKey(readKey(w.Key), err)
		}
	}
	return nil
}

// conditional reads the keys with a condition. It reports false if they cannot be read at
// once.
func (tx *Tx[T]) conditional(ctx context.Context) (byKey map[string]*driver.Record, ok bool) {
	var keys []string
	for i := range tx.writes {
		if w := &tx.writes[i]; w.Expect != nil {
			keys = append(keys, w.Key)
		}
	}
	records, _, err := tx.o.Read(ctx, keys)
	byKey = make(map[string]*driver.Record, len(records))
	for _, r := range records {
		byKey[r.Key] = r
	}
	return byKey, err == nil
}

// holds reports whether the condition of a write holds if r is the newest record of its key,
// nil for none. A Create then expects r, if r is the mark of a deletion or of an expiry.
func (tx *Tx[T]) holds(i int, r *driver.Record) bool {
	expect := tx.writes[i].Expect
	switch {
	case !tx.creates[i]:
		return revisionOf(r) == *expect
	case r != nil && r.Op == driver.Put:
		return false
	}
	*expect = revisionOf(r)
	return true
}

func revisionText(r *driver.Record) string {
	if r == nil {
		return "none"
	}
	return strconv.FormatUint(r.Revision, 10)
}
