package kvtest_test

import (
	"context"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gomono.dev/kv/driver"
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
	"loses a write":                                     {always(fault{put: loseWrite}), "put/get"},
	"ignores expected revisions":                        {always(fault{write: func(w *driver.Write) { w.Expect = nil }}), "update/stale"},
	"creates over values":                               {always(fault{write: dropExpect(func(r uint64) bool { return r == 0 })}), "create/existing"},
	"deletes whatever the revision is":                  {always(fault{write: dropExpectOf(driver.Delete)}), "delete/revision"},
	"purges whatever the revision is":                   {always(fault{write: dropExpectOf(driver.Purge)}), "purge/revision"},
	"checks expected revisions first, and writes later": {always(fault{put: checkThenWrite}), "concurrent/updates"},
	"keeps the history of a purged key":                 {always(fault{write: replaceOp(driver.Purge, driver.Delete)}), "purge/key"},
	"removes the history of a deleted key":              {always(fault{write: replaceOp(driver.Delete, driver.Purge)}), "delete/key"},
	"drops headers":                                     {always(fault{write: func(w *driver.Write) { w.Header = nil }}), "value/format"},
	"stores a part of a batch":                          {always(fault{put: storePart}), "batch/update-conflict"},
	"stores a batch in another order":                   {always(fault{put: storeReversed}), "batch/revisions"},
	"answers a conflict with internal":                  {always(fault{failed: recode(transport.Aborted, transport.Internal)}), "update/stale"},
	"does not know the outcome of a conflict": {always(fault{failed: func(err error) error {
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%v", err)
	}}), "update/missing"},

	// expiry
	"never expires a key":                     {always(fault{write: func(w *driver.Write) { w.TTL = 0 }}), "expiry/key"},
	"never expires the keys of a bucket":      {always(fault{open: func(c *driver.Config) { c.TTL = 0 }}), "expiry/bucket"},
	"expires a second early":                  {always(fault{write: func(w *driver.Write) { w.TTL = max(0, w.TTL-time.Second) }}), "expiry/rounded-up"},
	"expires a bucket's keys early":           {always(fault{open: func(c *driver.Config) { c.TTL = max(0, c.TTL-time.Second) }}), "expiry/rounded-up"},
	"shows the older value of an expired one": {uncoverOlder, "expiry/older-never-reappears"},
	"returns an expiry as a value": {always(fault{record: func(r *driver.Record) {
		if r.Op == driver.Expire {
			r.Op, r.Value = driver.Put, []byte(`""`)
		}
	}}), "expiry/not-listed"},
	"has a replica that keeps expired values, and no clock": {keepExpired, "expiry/every-reader"},
	"keeps the TTL of the value before":                     {keepTTL, "expiry/next-write"},

	// reads
	"returns the newest record for any revision": {always(fault{get: func(ctx context.Context, b driver.Bucket, key string, _ uint64, fresh bool) (*driver.Record, error) {
		return b.Get(ctx, key, 0, fresh)
	}}), "revision/older"},
	"returns the revision of another key":            {always(fault{get: getAnyKey}), "revision/other"},
	"is ahead of its revisions":                      {always(fault{info: func(is *driver.Info) { is.Last += 2 }}), "revision/future"},
	"has a leader that knows only the record before": {staleLeader, "create/after-end"},
	"has no time of creation":                        {always(fault{record: func(r *driver.Record) { r.Created = time.Time{} }}), "put/entry"},
	"reads keys one after another":                   {always(fault{read: readInTurn}), "getall/snapshot"},
	"returns an older revision of a read": {always(fault{read: func(ctx context.Context, b driver.Bucket, keys []string) ([]*driver.Record, uint64, error) {
		records, revision, err := b.Read(ctx, keys)
		return records, revision - 1, err
	}}), "getall/own-writes"},
	"counts no records": {always(fault{info: func(is *driver.Info) { is.Records = 0 }}), "bucket/status"},
	"hangs": {always(fault{get: func(ctx context.Context, _ driver.Bucket, _ string, _ uint64, _ bool) (*driver.Record, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}), "put/get"},

	// listings
	"cuts a listing when the context ends":         {always(fault{scan: cutScan(transport.Canceled)}), "list/context"},
	"cuts a listing when it is closed":             {always(fault{scan: cutScan(transport.Unavailable)}), "list/closed"},
	"lists a key again that is replaced meanwhile": {always(fault{scan: scanAgain}), "list/rewritten-inside"},
	"lists a deleted bucket as empty":              {always(fault{scan: cutScan(transport.NotFound)}), "list/deleted-bucket"},
	"lists no more than 256 keys":                  {always(fault{scan: limitScan}), "list/complete"},
	"misses keys that are replaced meanwhile":      {always(fault{scan: scanUpToNow}), "list/rewritten-inside"},
	"lists all but its last write":                 {always(fault{scan: scanBeforeLast}), "concurrent/own-writes-listed"},
	"ignores patterns":                             {always(fault{scan: changeScan(func(s *driver.Scan) { s.Patterns = nil })}), "history/none"},
	"lists values without their bytes":             {always(fault{scan: changeScan(func(s *driver.Scan) { s.HeadersOnly = true })}), "list/values"},
	"has only the newest record as history":        {always(fault{scan: changeScan(func(s *driver.Scan) { s.History = false })}), "history/kept"},
	"begins a history with its oldest record":      {always(fault{scan: changeScan(func(s *driver.Scan) { s.After = 0 })}), "watch/from-revision"},
	"removes values that were written since":       {always(fault{remove: removeLater}), "purge-deletes/writers"},
	"keeps the marks of deletions":                 {always(fault{remove: func(context.Context, driver.Bucket, string, uint64) error { return nil }}), "purge-deletes/marks"},

	// watches
	"misses changes":                   {missChanges, "watch/order"},
	"swaps changes":                    {swapChanges, "watch/present"},
	"misses deletions":                 {always(fault{follow: missDeletions}), "watch/present"},
	"follows only the first pattern":   {always(fault{follow: followFirst}), "watch/selected"},
	"follows a deleted bucket forever": {always(fault{follow: followForever(transport.NotFound)}), "watch/deleted-bucket"},
	"follows on a closed transport":    {always(fault{follow: followForever(transport.Unavailable)}), "watch/closed"},
	"begins after the next change":     {always(fault{follow: beginLate}), "watch/empty"},

	// buckets
	"keeps one record of each key":      {always(fault{open: func(c *driver.Config) { c.History = min(c.History, 1) }}), "history/kept"},
	"keeps too many records":            {always(fault{open: func(c *driver.Config) { c.History = min(c.History+1, 64) }}), "history/kept"},
	"never is full":                     {always(fault{open: func(c *driver.Config) { c.MaxBytes = 0 }}), "bucket/full"},
	"creates a bucket that must exist":  {always(fault{open: func(c *driver.Config) { c.Existing = false }}), "bucket/existing"},
	"resets settings without an option": {always(fault{open: func(c *driver.Config) { c.History = max(c.History, 1) }}), "bucket/settings"},
	"deletes no bucket":                 {always(fault{delete: func(context.Context, driver.Store, string) error { return nil }}), "bucket/delete"},
	"lists a part of the buckets":       {always(fault{list: cutList}), "bucket/list"},
	"creates no mirrors":                {always(fault{open: func(c *driver.Config) { c.Mirror = nil }}), "mirror/values"},
	"gives mirrors their own revisions": {always(fault{open: sourceForMirror}), "mirror/revisions"},
	"ignores the history of mirrors":    {always(fault{open: shortMirror}), "mirror/revisions"},
	"ignores sources":                   {always(fault{open: func(c *driver.Config) { c.Sources = nil }}), "sources/values"},
	"copies from the first source only": {always(fault{open: func(c *driver.Config) { c.Sources = c.Sources[:min(1, len(c.Sources))] }}), "sources/later"},
	"copies all keys of a source":       {always(fault{open: ignoreSourceKeys}), "sources/keys"},
	"mirrors a source":                  {always(fault{open: mirrorForSource}), "sources/values"},
	"is internal after Close":           {always(fault{failed: recode(transport.Unavailable, transport.Internal)}), "error/closed-transport"},
}

// sourceForMirror makes a bucket with a source of a new mirror.
func sourceForMirror(c *driver.Config) {
	if c.Mirror != nil {
		c.Sources, c.Mirror = []driver.Source{*c.Mirror}, nil
	}
}

// mirrorForSource makes a mirror of a new bucket with sources.
func mirrorForSource(c *driver.Config) {
	if len(c.Sources) > 0 {
		c.Mirror, c.Sources = &c.Sources[0], nil
	}
}

func shortMirror(c *driver.Config) {
	if c.Mirror != nil {
		c.History = 1
	}
}

func ignoreSourceKeys(c *driver.Config) {
	for i := range c.Sources {
		c.Sources[i].Keys = ""
	}
}

func loseWrite(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error) {
	revision, err := b.Put(ctx, writes...)
	for i := range writes {
		_ = b.Remove(ctx, writes[i].Key, revision)
	}
	return revision, err
}

func dropExpect(drop func(uint64) bool) func(*driver.Write) {
	return func(w *driver.Write) {
		if w.Expect != nil && drop(*w.Expect) {
			w.Expect = nil
		}
	}
}

func dropExpectOf(op driver.Op) func(*driver.Write) {
	return func(w *driver.Write) {
		if w.Op == op {
			w.Expect = nil
		}
	}
}

func replaceOp(from, to driver.Op) func(*driver.Write) {
	return func(w *driver.Write) {
		if w.Op == from {
			w.Op = to
		}
	}
}

func checkThenWrite(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error) {
	w := writes[0]
	if w.Expect != nil {
		var is uint64
		if r, err := b.Get(ctx, w.Key, 0, true); err == nil {
			is = r.Revision
		}
		if is != *w.Expect {
			return b.Put(ctx, writes...)
		}
		w.Expect = nil
		<-time.After(time.Millisecond)
	}
	return b.Put(ctx, w)
}

// storePart stores the writes of a failed batch whose condition holds.
func storePart(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error) {
	revision, err := b.Put(ctx, writes...)
	if err != nil {
		for _, w := range writes {
			_, _ = b.Put(ctx, w)
		}
	}
	return revision, err
}

func storeReversed(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error) {
	var reversed []driver.Write
	for _, w := range writes {
		reversed = append([]driver.Write{w}, reversed...)
	}
	return b.Put(ctx, reversed...)
}

func recode(from, to transport.Code) func(error) error {
	return func(err error) error {
		if transport.CodeOf(err) == from {
			return transport.Errorf(to, transport.OutcomeNotDone, "%v", err)
		}
		return err
	}
}

// uncoverOlder returns a fault by which the value before one with a TTL appears again.
func uncoverOlder() fault {
	var before sync.Map // by key
	return fault{
		put: func(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error) {
			for _, w := range writes {
				if r, err := b.Get(ctx, w.Key, 0, true); err == nil && r.Op == driver.Put {
					before.Store(w.Key, r)
				}
			}
			return b.Put(ctx, writes...)
		},
		record: func(r *driver.Record) {
			if older, ok := before.Load(r.Key); ok && r.Op == driver.Expire {
				*r = *older.(*driver.Record)
			}
		},
	}
}

// keepExpired returns a fault by which every other read of a key finds the value before its end.
func keepExpired() fault {
	var before sync.Map // by key
	var reads atomic.Int64
	return fault{
		info: func(is *driver.Info) { is.Now = time.Time{} },
		get: func(ctx context.Context, b driver.Bucket, key string, revision uint64, fresh bool) (*driver.Record, error) {
			r, err := b.Get(ctx, key, revision, fresh)
			if err == nil && r.Op == driver.Put {
				before.Store(key, *r)
			}
			if kept, ok := before.Load(key); ok && err == nil && r.Op == driver.Expire && reads.Add(1)%2 == 0 {
				*r = kept.(driver.Record)
			}
			return r, err
		},
	}
}

// keepTTL returns a fault by which a write without a TTL has that of the one before.
func keepTTL() fault {
	var before sync.Map // by key
	return fault{write: func(w *driver.Write) {
		if ttl, ok := before.Load(w.Key); ok && w.TTL == 0 {
			w.TTL = ttl.(time.Duration)
		}
		before.Store(w.Key, w.TTL)
	}}
}

func getAnyKey(ctx context.Context, b driver.Bucket, key string, revision uint64, fresh bool) (found *driver.Record, err error) {
	if revision == 0 {
		return b.Get(ctx, key, revision, fresh)
	}
	err = b.Scan(ctx, driver.Scan{History: true}, func(r *driver.Record) bool {
		if r.Revision == revision {
			found = r
		}
		return true
	})
	if found == nil && err == nil {
		return b.Get(ctx, key, revision, fresh)
	}
	return found, err
}

// staleLeader returns a fault by which a Get from the leader returns the record before the
// newest.
func staleLeader() fault {
	var before sync.Map // by key
	return fault{
		put: func(ctx context.Context, b driver.Bucket, writes []driver.Write) (uint64, error) {
			was, _, err := b.Read(ctx, []string{writes[0].Key})
			if err != nil {
				return 0, err
			}
			revision, err := b.Put(ctx, writes...)
			if err == nil && len(was) > 0 {
				before.Store(writes[0].Key, was[0])
			}
			return revision, err
		},
		get: func(ctx context.Context, b driver.Bucket, key string, revision uint64, fresh bool) (*driver.Record, error) {
			if r, ok := before.Load(key); ok && revision == 0 && fresh {
				is := *r.(*driver.Record)
				return &is, nil
			}
			return b.Get(ctx, key, revision, fresh)
		},
	}
}

func readInTurn(ctx context.Context, b driver.Bucket, keys []string) (records []*driver.Record, revision uint64, err error) {
	for _, key := range keys {
		found, last, err := b.Read(ctx, []string{key})
		if err != nil {
			return nil, 0, err
		}
		records, revision = append(records, found...), last
		<-time.After(time.Microsecond)
	}
	return records, revision, nil
}

type (
	scanner  = func(context.Context, driver.Bucket, driver.Scan, func(*driver.Record) bool) error
	follower = func(context.Context, driver.Bucket, driver.Follow, func(*driver.Record) bool) error
)

// cutScan returns a Scan that ends silently instead of with an error.
func cutScan(code transport.Code) scanner {
	return func(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error {
		err := b.Scan(ctx, s, yield)
		if transport.CodeOf(err) == code {
			return nil
		}
		return err
	}
}

func limitScan(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error {
	n := 0
	return b.Scan(ctx, s, func(r *driver.Record) bool {
		n++
		return n <= 256 && yield(r)
	})
}

func scanBeforeLast(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error {
	is, err := b.Info(ctx)
	if err != nil {
		return err
	}
	return b.Scan(ctx, s, func(r *driver.Record) bool { return r.Revision == is.Last || yield(r) })
}

func scanUpToNow(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error {
	is, err := b.Info(ctx)
	if err != nil {
		return err
	}
	if s.UpTo == 0 {
		s.UpTo = is.Last
	}
	return b.Scan(ctx, s, yield)
}

// scanAgain adds the records that were written during a Scan.
func scanAgain(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error {
	is, err := b.Info(ctx)
	if err == nil {
		err = b.Scan(ctx, s, yield)
	}
	if err != nil || s.UpTo > 0 {
		return err
	}
	s.History, s.After = true, is.Last
	return b.Scan(ctx, s, yield)
}

func changeScan(change func(*driver.Scan)) scanner {
	return func(ctx context.Context, b driver.Bucket, s driver.Scan, yield func(*driver.Record) bool) error {
		change(&s)
		return b.Scan(ctx, s, yield)
	}
}

// removeLater removes all records of a key, also those since.
func removeLater(ctx context.Context, b driver.Bucket, key string, _ uint64) error {
	<-time.After(time.Microsecond)
	return b.Remove(ctx, key, math.MaxUint64)
}

func missChanges() fault {
	n := 0
	return fault{follow: func(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error {
		return b.Follow(ctx, f, func(r *driver.Record) bool {
			n++
			return n%5 == 0 || yield(r)
		})
	}}
}

func swapChanges() fault {
	return fault{follow: func(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error {
		var kept *driver.Record
		return b.Follow(ctx, f, func(r *driver.Record) bool {
			if kept == nil {
				kept = r
				return true
			}
			more := yield(r) && yield(kept)
			kept = nil
			return more
		})
	}}
}

func missDeletions(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error {
	return b.Follow(ctx, f, func(r *driver.Record) bool { return r.Op == driver.Delete || yield(r) })
}

func followFirst(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error {
	f.Patterns = f.Patterns[:min(1, len(f.Patterns))]
	return b.Follow(ctx, f, yield)
}

func followForever(code transport.Code) follower {
	return func(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error {
		err := b.Follow(ctx, f, yield)
		if transport.CodeOf(err) == code {
			<-ctx.Done()
		}
		return err
	}
}

func beginLate(ctx context.Context, b driver.Bucket, f driver.Follow, yield func(*driver.Record) bool) error {
	is, err := b.Info(ctx)
	if err != nil {
		return err
	}
	f.After = is.Last + 1
	return b.Follow(ctx, f, yield)
}

func cutList(all iter.Seq2[driver.Info, error]) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		for is, err := range all {
			yield(is, err)
			return
		}
	}
}
