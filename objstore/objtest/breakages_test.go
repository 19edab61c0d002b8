package objtest_test

import (
	"context"
	"iter"
	"strings"
	"time"

	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

// breakage is a fault, made anew for each case, and the case that it fails.
type breakage struct {
	fault func() fault
	fails string
}

// always is a fault without a state.
func always(f fault) func() fault { return func() fault { return f } }

var breakages = map[string]breakage{
	// writes
	"loses a chunk":        {nth(2, func(context.Context, driver.Writer, driver.Chunk) error { return nil }), "put/sizes"},
	"stores a chunk twice": {nth(2, appendTwice), "put/sizes"},
	"truncates a chunk": {nth(1, func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
		c.Data = c.Data[:1]
		return w.Append(ctx, c)
	}), "put/sizes"},
	"exchanges two chunks":          {exchangeChunks, "put/sizes"},
	"keeps the bytes of the writer": {keepBytes, "put/many-chunks"},
	"loses the last chunk":          {always(fault{commit: commitWithoutChunk}), "put/get"},
	"stores the entry first":        {always(fault{commit: commitEntryFirst}), "sweep/slow-put"},
	"drops the headers of a chunk": {always(fault{append: func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
		c.Header = nil
		return w.Append(ctx, c)
	}}), "driver/header"},
	"ignores Expect":              {always(fault{entry: func(w *kv.Write) { w.Expect = nil }}), "condition/changed-meanwhile"},
	"creates over objects":        {always(fault{entry: dropExpectOfNone}), "condition/created-meanwhile"},
	"never expires an entry":      {always(fault{entry: func(w *kv.Write) { w.TTL = 0 }}), "expiry/object"},
	"never expires a chunk":       {always(fault{append: neverExpire}), "expiry/object"},
	"expires chunks early":        {always(fault{append: expireEarly}), "expiry/slow-put"},
	"never expires a store":       {always(fault{open: func(c *driver.Config) { c.TTL = 0 }}), "expiry/store"},
	"lets a second writer append": {alwaysAppend, "driver/two-writers"},

	// removals
	"keeps chunks after a failed Put":    {always(fault{remove: func(context.Context, driver.Store, string) error { return nil }}), "put/reader-fails"},
	"keeps chunks after a cancelled Put": {always(fault{remove: removeIfAlive}), "put/cancelled"},
	"removes all uploads":                {always(fault{remove: removeAll}), "driver/remove"},
	"discards without a fence":           {always(fault{discard: func(ctx context.Context, s driver.Store, u string, _ uint64) error { return s.Remove(ctx, u) }}), "driver/discard"},
	"discards nothing":                   {always(fault{discard: func(context.Context, driver.Store, string, uint64) error { return nil }}), "sweep/left-over"},
	"truncates whatever is last":         {always(fault{truncate: truncateLast}), "driver/truncate"},
	"truncates nothing":                  {always(fault{truncate: func(context.Context, driver.Store, string, uint64) error { return nil }}), "driver/truncate"},
	"deletes no store":                   {always(fault{delete: func(context.Context, driver.Stores, string) error { return nil }}), "store/delete"},

	// reads
	"counts the chunks after one wrongly": {always(fault{chunk: func(c *driver.Chunk) { c.After++ }}), "driver/chunk"},
	"counts no chunks after one":          {always(fault{chunk: func(c *driver.Chunk) { c.After = 0 }}), "driver/chunk"},
	"has no time of a chunk":              {always(fault{chunk: func(c *driver.Chunk) { c.Created = time.Time{} }}), "driver/chunk"},
	"has a stale last chunk":              {staleLast, "driver/last"},
	"has a last chunk of now":             {always(fault{last: func(c *driver.Chunk) { c.Created = time.Now().Add(time.Minute) }}), "sweep/left-over"},
	"counts a chunk too few":              {always(fault{count: func(n int) int { return n - 1 }}), "driver/last"},
	"skips a chunk":                       {always(fault{read: skipChunk}), "put/many-chunks"},
	"reads from the beginning":            {always(fault{read: readFromFirst}), "driver/read"},
	"reads without counting":              {always(fault{read: readUncounted}), "driver/read"},
	"ends a read silently":                {always(fault{read: cutRead}), "read/cancelled"},
	"cuts a list of uploads":              {always(fault{uploads: cutSeq[driver.Upload]}), "driver/uploads"},
	"counts no chunks of uploads":         {always(fault{uploads: countNone}), "sweep/left-over"},
	"lists a part of the stores":          {always(fault{list: cutSeq[driver.Info]}), "store/list"},
	"lists all but its last entry":        {always(fault{scan: scanBeforeLast}), "concurrent/own-writes"},
	"has no time of an entry":             {always(fault{record: func(r *kv.Record) { r.Created = time.Time{} }}), "put/get"},

	// stores and errors
	"never is full": {always(fault{open: func(c *driver.Config) { c.MaxBytes = 0 }}), "store/full"},
	"needs room for a deletion": {always(fault{entry: func(w *kv.Write) {
		if w.Op != kv.Put {
			w.Header = append(w.Header, transport.Field{Name: "Mark", Value: strings.Repeat("x", 1000)})
		}
	}}), "store/full-delete"},
	"never is sealed":                 {always(fault{seal: func(context.Context, driver.Store) error { return nil }}), "store/sealed"},
	"creates a store that must exist": {always(fault{open: func(c *driver.Config) { c.Existing = false }}), "store/existing"},
	"counts no bytes":                 {always(fault{info: func(is *driver.Info) { is.Bytes = 0 }}), "store/status"},
	"is internal after Close":         {always(fault{failed: recode(transport.Unavailable, transport.Internal)}), "error/closed-transport"},
	"answers a conflict with internal": {always(fault{failed: recode(transport.Aborted, transport.Internal)}),
		"condition/changed-meanwhile"},
	"does not know the outcome of an Append": {always(fault{append: func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
		if err := w.Append(ctx, c); err != nil {
			return err
		}
		return transport.Errorf(transport.Unavailable, transport.OutcomeUnknown, "lost")
	}}), "put/sizes"},
}

// nth returns a fault of every nth chunk.
func nth(n int, faulty func(context.Context, driver.Writer, driver.Chunk) error) func() fault {
	return func() fault {
		i := 0
		return fault{append: func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
			if i++; i%n == 0 {
				return faulty(ctx, w, c)
			}
			return w.Append(ctx, c)
		}}
	}
}

func appendTwice(ctx context.Context, w driver.Writer, c driver.Chunk) error {
	if err := w.Append(ctx, c); err != nil {
		return err
	}
	return w.Append(ctx, c)
}

// exchangeChunks returns a fault by which every other chunk comes after the next one.
func exchangeChunks() fault {
	var kept *driver.Chunk
	return fault{append: func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
		if kept == nil {
			c.Data = append([]byte(nil), c.Data...)
			kept = &c
			return nil
		}
		before := *kept
		kept = nil
		if err := w.Append(ctx, c); err != nil {
			return err
		}
		return w.Append(ctx, before)
	}}
}

// keepBytes returns a fault by which a chunk is read from the caller's memory later.
func keepBytes() fault {
	var kept *driver.Chunk
	send := func(ctx context.Context, w driver.Writer) error {
		if kept == nil {
			return nil
		}
		c := *kept
		kept = nil
		return w.Append(ctx, c)
	}
	return fault{
		append: func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
			err := send(ctx, w)
			kept = &c
			return err
		},
		flush: func(ctx context.Context, w driver.Writer) (uint64, error) {
			if err := send(ctx, w); err != nil {
				return 0, err
			}
			return w.Flush(ctx)
		},
	}
}

func commitWithoutChunk(ctx context.Context, _ driver.Store, w driver.Writer, _ *driver.Chunk, entry kv.Write) (uint64, error) {
	return w.Commit(ctx, nil, entry)
}

// commitEntryFirst stores the entry whatever has become of the chunks.
func commitEntryFirst(ctx context.Context, s driver.Store, w driver.Writer, c *driver.Chunk, entry kv.Write) (uint64, error) {
	revision, err := s.Entries().Put(ctx, entry)
	if err == nil && c != nil {
		_ = w.Append(ctx, *c)
	}
	return revision, err
}

func dropExpectOfNone(w *kv.Write) {
	if w.Expect != nil && *w.Expect == 0 {
		w.Expect = nil
	}
}

func neverExpire(ctx context.Context, w driver.Writer, c driver.Chunk) error {
	c.TTL = 0
	return w.Append(ctx, c)
}

func expireEarly(ctx context.Context, w driver.Writer, c driver.Chunk) error {
	c.TTL = max(time.Second, c.TTL-3*time.Second)
	return w.Append(ctx, c)
}

// alwaysAppend returns a fault by which errors of an Append are lost.
func alwaysAppend() fault {
	return fault{append: func(ctx context.Context, w driver.Writer, c driver.Chunk) error {
		_ = w.Append(ctx, c)
		return nil
	}, flush: func(ctx context.Context, w driver.Writer) (uint64, error) {
		last, _ := w.Flush(ctx)
		return last, nil
	}}
}

// removeIfAlive removes nothing after a Put whose context had ended.
func removeIfAlive(ctx context.Context, s driver.Store, upload string) error {
	if _, detached := ctx.Deadline(); detached {
		return ctx.Err()
	}
	return s.Remove(ctx, upload)
}

func removeAll(ctx context.Context, s driver.Store, _ string) error {
	for u, err := range s.Uploads(ctx) {
		if err != nil {
			return err
		}
		if err := s.Remove(ctx, u.ID); err != nil {
			return err
		}
	}
	return nil
}

func truncateLast(ctx context.Context, s driver.Store, upload string, _ uint64) error {
	is, err := s.Last(ctx, upload)
	if err != nil {
		return err
	}
	return s.Truncate(ctx, upload, is.Sequence)
}

// staleLast returns a fault by which Last returns the same chunk as before.
func staleLast() fault {
	var before *driver.Chunk
	return fault{last: func(c *driver.Chunk) {
		if before == nil {
			kept := *c
			before = &kept
			return
		}
		*c = *before
	}}
}

func skipChunk(ctx context.Context, s driver.Store, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	n := 0
	return s.Read(ctx, upload, from, func(c *driver.Chunk) bool {
		n++
		return n == 2 || yield(c)
	})
}

func readFromFirst(ctx context.Context, s driver.Store, upload string, _ uint64, yield func(*driver.Chunk) bool) error {
	return s.Read(ctx, upload, 0, yield)
}

func readUncounted(ctx context.Context, s driver.Store, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	return s.Read(ctx, upload, from, func(c *driver.Chunk) bool {
		c.After = 0
		return yield(c)
	})
}

// cutRead ends without an error when the context does.
func cutRead(ctx context.Context, s driver.Store, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	if err := s.Read(ctx, upload, from, yield); transport.CodeOf(err) != transport.Canceled {
		return err
	}
	return transport.Errorf(transport.DataLoss, transport.OutcomeNotDone, "cut")
}

func cutSeq[T any](all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for is, err := range all {
			yield(is, err)
			return
		}
	}
}

func countNone(all iter.Seq2[driver.Upload, error]) iter.Seq2[driver.Upload, error] {
	return func(yield func(driver.Upload, error) bool) {
		for u, err := range all {
			u.Chunks = 0
			if !yield(u, err) {
				return
			}
		}
	}
}

func recode(from, to transport.Code) func(error) error {
	return func(err error) error {
		if transport.CodeOf(err) == from {
			return transport.Errorf(to, transport.OutcomeNotDone, "%v", err)
		}
		return err
	}
}

func scanBeforeLast(ctx context.Context, b kv.Bucket, s kv.Scan, yield func(*kv.Record) bool) error {
	is, err := b.Info(ctx)
	if err != nil {
		return err
	}
	return b.Scan(ctx, s, func(r *kv.Record) bool { return r.Revision == is.Last || yield(r) })
}
