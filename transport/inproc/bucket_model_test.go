package inproc_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"pgregory.net/rapid"
)

// bucketModel is the simplest bucket: a list of records.
type bucketModel struct {
	config  driver.Config
	records []driver.Record
	last    uint64
	changed time.Time // what expires by a new TTL expires now, and not in the past
}

func (m *bucketModel) newest(key string) *driver.Record {
	for i := len(m.records) - 1; i >= 0; i-- {
		if m.records[i].Key == key {
			return &m.records[i]
		}
	}
	return nil
}

// drop removes the records of a key for which gone is true, newest first.
func (m *bucketModel) drop(key string, gone func(newer int, r *driver.Record) bool) {
	newer := 0
	for i := len(m.records) - 1; i >= 0; i-- {
		r := &m.records[i]
		if r.Key != key {
			continue
		}
		if gone(newer, r) {
			m.records = slices.Delete(m.records, i, i+1)
		}
		newer++
	}
}

func (m *bucketModel) add(r driver.Record) {
	m.last++
	if r.Created.Before(m.changed) {
		r.Created = m.changed
	}
	m.changed = r.Created
	r.Revision, r.Size = m.last, len(r.Value)
	m.records = append(m.records, r)
	alone := r.TTL > 0 || r.Op == driver.Purge
	m.drop(r.Key, func(newer int, _ *driver.Record) bool { return newer >= m.config.History || alone && newer > 0 })
}

// expire does what is due, in the order of time.
func (m *bucketModel) expire(now time.Time) {
	for {
		first := -1
		var at time.Time
		for i := range m.records {
			if e := m.records[i].Expiry(m.config.TTL); !e.IsZero() && !e.After(now) && (first < 0 || e.Before(at)) {
				first, at = i, e
			}
		}
		if first < 0 {
			return
		}
		r := m.records[first]
		if (r.Op == driver.Put || r.Op == driver.Delete) && m.newest(r.Key).Revision == r.Revision {
			m.add(driver.Record{Key: r.Key, Op: driver.Expire, TTL: time.Minute, Created: at})
			continue
		}
		m.records = slices.Delete(m.records, first, first+1)
	}
}

func (m *bucketModel) put(writes []driver.Write, now time.Time) bool {
	for _, w := range writes {
		if w.Expect == nil {
			continue
		}
		var is uint64
		if r := m.newest(w.Key); r != nil {
			is = r.Revision
		}
		if is != *w.Expect {
			return false
		}
	}
	for _, w := range writes {
		m.add(driver.Record{Key: w.Key, Op: w.Op, Value: w.Value, TTL: w.TTL, Created: now})
	}
	return true
}

// selected returns the records that a Scan or a Follow selects.
func (m *bucketModel) selected(patterns []string, after, upTo uint64, history bool) []*driver.Record {
	var all []*driver.Record
	for i := range m.records {
		r := &m.records[i]
		if r.Revision <= after || r.Revision > upTo || len(patterns) > 0 && !transport.Contains(patterns, r.Key) {
			continue
		}
		superseded := slices.ContainsFunc(m.records[i+1:], func(newer driver.Record) bool { return newer.Key == r.Key && newer.Revision <= upTo })
		if history || !superseded {
			all = append(all, r)
		}
	}
	return all
}

// bucketRun compares a bucket with its model.
type bucketRun struct {
	*rapid.T
	test   *testing.T
	tr     *inproc.Transport
	bucket driver.Bucket
	model  bucketModel
}

var modelKeys = rapid.SampledFrom([]string{"a", "b", "a.x", "a.y", "b.x"})

func (r *bucketRun) write(key string) driver.Write {
	w := driver.Write{
		Key: key,
		Op:  rapid.SampledFrom([]driver.Op{driver.Put, driver.Put, driver.Put, driver.Delete, driver.Purge}).Draw(r.T, "op"),
		TTL: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 100}).Draw(r.T, "ttl")) * time.Second,
	}
	if w.Op == driver.Put {
		w.Value = fmt.Append(nil, r.model.last)
	}
	if newest := r.model.newest(key); rapid.Bool().Draw(r.T, "conditional") {
		w = expect(w, rapid.Uint64Range(0, 1).Draw(r.T, "off"))
		if newest != nil {
			*w.Expect += newest.Revision
		}
	}
	return w
}

func (r *bucketRun) put() {
	var writes []driver.Write
	for _, key := range rapid.SliceOfNDistinct(modelKeys, 1, 3, rapid.ID).Draw(r.T, "keys") {
		writes = append(writes, r.write(key))
	}
	revision, err := r.bucket.Put(r.test.Context(), writes...)
	if stored := r.model.put(writes, time.Now()); !stored {
		if transport.CodeOf(err) != transport.Aborted {
			r.Fatalf("put: got %v", err)
		}
	} else if err != nil || revision != r.model.last {
		r.Fatalf("put: got revision %d, %v, want %d", revision, err, r.model.last)
	}
}

func (r *bucketRun) remove() {
	key := modelKeys.Draw(r.T, "key")
	revision := rapid.Uint64Range(0, r.model.last+1).Draw(r.T, "revision")
	if err := r.bucket.Remove(r.test.Context(), key, revision); err != nil {
		r.Fatal(err)
	}
	r.model.drop(key, func(_ int, record *driver.Record) bool { return record.Revision <= revision })
}

func (r *bucketRun) configure() {
	c := driver.Config{
		Name:    "b",
		History: rapid.IntRange(1, 4).Draw(r.T, "history"),
		TTL:     time.Duration(rapid.IntRange(1, 90).Draw(r.T, "seconds")) * time.Second,
	}
	if _, err := r.tr.Buckets().Open(r.test.Context(), &c); err != nil {
		r.Fatal(err)
	}
	r.model.config = c
	for _, record := range slices.Clone(r.model.records) {
		r.model.drop(record.Key, func(newer int, _ *driver.Record) bool { return newer >= c.History })
	}
	r.model.changed = time.Now()
	r.model.expire(time.Now())
}

func (r *bucketRun) advance() {
	<-time.After(time.Duration(rapid.SampledFrom([]int{1, 500, 1000, 1999, 30000, 61000}).Draw(r.T, "milliseconds")) * time.Millisecond)
	r.model.expire(time.Now())
}

// check compares all that can be read.
func (r *bucketRun) check() {
	var patterns []string
	if rapid.Bool().Draw(r.T, "filtered") {
		patterns = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a.*", "*", "b.>", "a", "b.x"}), 1, 2, rapid.ID).Draw(r.T, "patterns")
	}
	s := driver.Scan{Patterns: patterns, UpTo: rapid.Uint64Range(0, r.model.last).Draw(r.T, "up to"), History: rapid.Bool().Draw(r.T, "all")}
	upTo := cmp.Or(s.UpTo, r.model.last)
	r.same("scan", scan(r.test, r.bucket, s), texts(r.model.selected(patterns, 0, upTo, s.History)))

	r.checkFollow(patterns)
	r.checkKeys()
	i, err := r.bucket.Info(r.test.Context())
	first := r.model.last + 1
	if len(r.model.records) > 0 {
		first = r.model.records[0].Revision
	}
	if err != nil || i.Records != uint64(len(r.model.records)) || i.First != first || i.Last != r.model.last {
		r.Fatalf("info: got %+v, %v", i, err)
	}
}

// checkFollow compares what a Follow yields at once.
func (r *bucketRun) checkFollow(patterns []string) {
	want := r.model.selected(patterns, 0, r.model.last, true)
	if len(want) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.test.Context(), time.Nanosecond) // nothing waits
	defer cancel()
	var got []*driver.Record
	err := r.bucket.Follow(ctx, driver.Follow{Patterns: patterns}, func(record *driver.Record) bool {
		got = append(got, record)
		return len(got) < len(want)
	})
	if err != nil {
		r.Fatalf("follow: %v", err)
	}
	r.same("follow", texts(got), texts(want))
}

func (r *bucketRun) checkKeys() {
	keys := []string{"a", "b", "a.x", "a.y", "b.x"}
	var want []*driver.Record
	for _, key := range keys {
		newest := r.model.newest(key)
		if newest != nil {
			want = append(want, newest)
		}
		record, err := r.bucket.Get(r.test.Context(), key, 0, false)
		if newest == nil {
			if transport.CodeOf(err) != transport.NotFound {
				r.Fatalf("get %s: got %v, %v", key, record, err)
			}
			continue
		}
		if err != nil || text(record) != text(newest) || !record.Created.Equal(newest.Created) || record.TTL != newest.TTL {
			r.Fatalf("get %s: got %+v, %v, want %+v", key, record, err, newest)
		}
	}
	slices.SortFunc(want, func(x, y *driver.Record) int { return cmp.Compare(x.Revision, y.Revision) })
	records, revision, err := r.bucket.Read(r.test.Context(), keys)
	if err != nil || revision != r.model.last {
		r.Fatalf("read: got revision %d, %v", revision, err)
	}
	r.same("read", texts(records), texts(want))
}

func (r *bucketRun) same(what, got, want string) {
	if got != want {
		r.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

// A bucket does what its model does, in virtual time.
func TestBucketModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inBubble := struct{ rapid.TB }{t} // hides the deadline, which is outside of the bubble
		rapid.Check(inBubble, func(rt *rapid.T) {
			tr := inproc.NewBackend(inproc.Options{}).Connect()
			defer func() { _ = tr.Close(t.Context()) }()
			c := driver.Config{
				Name:    "b",
				History: rapid.SampledFrom([]int{1, 2, 5}).Draw(rt, "history"),
				TTL:     time.Duration(rapid.SampledFrom([]int{0, 0, 3}).Draw(rt, "bucket ttl")) * time.Second,
			}
			r := &bucketRun{T: rt, test: t, tr: tr, bucket: openBucket(t, tr, c), model: bucketModel{config: c}}
			rt.Repeat(map[string]func(*rapid.T){
				"put":       func(*rapid.T) { r.put() },
				"put again": func(*rapid.T) { r.put() },
				"remove":    func(*rapid.T) { r.remove() },
				"configure": func(*rapid.T) { r.configure() },
				"advance":   func(*rapid.T) { r.advance() },
				"":          func(*rapid.T) { r.check() },
			})
		})
	})
}
