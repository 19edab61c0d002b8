package kv_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"gomono.dev/kv"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// model is the simplest bucket: the records of each key.
type model struct {
	history int
	ttl     time.Duration
	keys    map[string][]modelRecord
	last    uint64 // the highest revision that was returned
}

type modelRecord struct {
	op       kv.Op
	value    string
	revision uint64
	expires  time.Time // zero: never
	ttl      time.Duration
}

// expire removes what has expired.
func (m *model) expire() {
	now := time.Now()
	for key, records := range m.keys {
		m.keys[key] = slices.DeleteFunc(records, func(r modelRecord) bool { return !r.expires.IsZero() && !r.expires.After(now) })
	}
}

func (m *model) add(key string, op kv.Op, value string, ttl time.Duration) {
	r := modelRecord{op: op, value: value, ttl: ttl}
	if life := m.life(ttl); life > 0 {
		r.expires = time.Now().Add(life)
	}
	records := append(m.keys[key], r)
	if ttl > 0 || op == kv.OpPurge {
		records = records[len(records)-1:]
	}
	m.keys[key] = records[max(0, len(records)-m.history):]
}

func (m *model) life(ttl time.Duration) time.Duration {
	if ttl == 0 || m.ttl > 0 && m.ttl < ttl {
		return m.ttl
	}
	return ttl
}

// newest returns the newest record of a key, if it is a value.
func (m *model) newest(key string) *modelRecord {
	records := m.keys[key]
	if len(records) == 0 || records[len(records)-1].op != kv.OpPut {
		return nil
	}
	return &records[len(records)-1]
}

func (m *model) values() map[string]string {
	all := make(map[string]string)
	for key := range m.keys {
		if r := m.newest(key); r != nil {
			all[key] = r.value
		}
	}
	return all
}

// modelRun compares a bucket with its model.
type modelRun struct {
	*rapid.T
	test   *testing.T
	bucket *kv.KeyValue[string]
	model  model
	n      int // of the next value

	mu      sync.Mutex
	watched map[string]string // by a Watch from the beginning
}

var modelTexts = []string{"a", "a.b", "a.", "x y", "é"}

func (r *modelRun) key() string { return rapid.SampledFrom(modelTexts).Draw(r.T, "key") }

func (r *modelRun) value() string {
	r.n++
	return fmt.Sprint(r.n)
}

// ttl returns a TTL, and the option for it.
func (r *modelRun) ttl() (time.Duration, []kv.WriteOption) {
	ttl := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 100}).Draw(r.T, "ttl")) * time.Second
	if ttl == 0 {
		return 0, nil
	}
	given := ttl
	if ttl > time.Second && rapid.Bool().Draw(r.T, "rounded up") {
		given -= 999 * time.Millisecond
	}
	return ttl, []kv.WriteOption{kv.TTL(given)}
}

// stored notes a write that must have succeeded.
func (r *modelRun) stored(e kv.Entry[string], err error, key, value string, ttl time.Duration) {
	if err != nil || e.Revision <= r.model.last || e.Value != value || e.Key != key {
		r.Fatalf("got %+v, %v, want %q after revision %d", e, err, value, r.model.last)
	}
	r.model.add(key, kv.OpPut, value, ttl)
	records := r.model.keys[key]
	records[len(records)-1].revision = e.Revision
	r.model.last = e.Revision
}

func (r *modelRun) wantCode(err error, code transport.Code) {
	if transport.CodeOf(err) != code {
		r.Fatalf("got %v, want %s", err, code)
	}
}

func (r *modelRun) put() {
	key, value := r.key(), r.value()
	ttl, options := r.ttl()
	e, err := r.bucket.Put(r.test.Context(), key, value, options...)
	r.stored(e, err, key, value, ttl)
}

func (r *modelRun) create() {
	key, value := r.key(), r.value()
	ttl, options := r.ttl()
	e, err := r.bucket.Create(r.test.Context(), key, value, options...)
	if r.model.newest(key) != nil {
		r.wantCode(err, transport.AlreadyExists)
		return
	}
	r.stored(e, err, key, value, ttl)
}

func (r *modelRun) update() {
	key, value := r.key(), r.value()
	ttl, options := r.ttl()
	revision := rapid.Uint64Range(1, r.model.last+1).Draw(r.T, "revision")
	is := r.model.newest(key)
	if is != nil && rapid.Bool().Draw(r.T, "newest") {
		revision = is.revision
	}
	if is == nil || is.revision != revision {
		if is == nil {
			revision += 1 << 40 // not that of a mark
		}
		_, err := r.bucket.Update(r.test.Context(), key, revision, value, options...)
		r.wantCode(err, transport.Aborted)
		return
	}
	e, err := r.bucket.Update(r.test.Context(), key, revision, value, options...)
	r.stored(e, err, key, value, ttl)
}

func (r *modelRun) modify() {
	key, value := r.key(), r.value()
	ttl, options := r.ttl()
	if is := r.model.newest(key); is != nil {
		value = is.value + "," + value
	}
	e, err := r.bucket.Modify(r.test.Context(), key, func(was string) (string, error) {
		return strings.TrimPrefix(was+","+fmt.Sprint(r.n), ","), nil
	}, options...)
	r.stored(e, err, key, value, ttl)
}

func (r *modelRun) touch() {
	key := r.key()
	ttl, options := r.ttl()
	e, err := r.bucket.Touch(r.test.Context(), key, options...)
	is := r.model.newest(key)
	if is == nil {
		r.wantCode(err, transport.NotFound)
		return
	}
	r.stored(e, err, key, is.value, cmp.Or(ttl, is.ttl))
}

func (r *modelRun) end() {
	key := r.key()
	var options []kv.DeleteOption
	is := r.model.newest(key)
	if is != nil && rapid.Bool().Draw(r.T, "conditional") {
		options = append(options, kv.IfRevision(is.revision))
	}
	op, end := kv.OpDelete, r.bucket.Delete
	if rapid.Bool().Draw(r.T, "purge") {
		op, end = kv.OpPurge, r.bucket.Purge
	}
	if err := end(r.test.Context(), key, options...); err != nil {
		r.Fatal(err)
	}
	r.model.add(key, op, "", 0)
}

func (r *modelRun) batch() {
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom(modelTexts), 1, 3, rapid.ID).Draw(r.T, "keys")
	create := rapid.Bool().Draw(r.T, "create")
	exists := slices.ContainsFunc(keys, func(key string) bool { return r.model.newest(key) != nil })
	value := r.value()
	last, err := r.bucket.Batch(r.test.Context(), func(tx *kv.Tx[string]) error {
		for _, key := range keys {
			if create {
				tx.Create(key, value)
			} else {
				tx.Put(key, value)
			}
		}
		return nil
	})
	if create && exists {
		r.wantCode(err, transport.AlreadyExists)
		return
	}
	for i, key := range keys {
		r.stored(kv.Entry[string]{Key: key, Value: value, Revision: last - uint64(len(keys)-1-i)}, err, key, value, 0)
	}
}

func (r *modelRun) purgeDeletes() {
	if err := r.bucket.PurgeDeletes(r.test.Context(), 0); err != nil {
		r.Fatal(err)
	}
	for key := range r.model.keys {
		if r.model.newest(key) == nil {
			delete(r.model.keys, key)
		}
	}
}

func (r *modelRun) advance() {
	<-time.After(time.Duration(rapid.SampledFrom([]int{1, 500, 1000, 1999, 61000}).Draw(r.T, "milliseconds")) * time.Millisecond)
}

// watch keeps the values that a Watch reports.
func (r *modelRun) watch() {
	for e, err := range r.bucket.Watch(r.test.Context()) {
		r.mu.Lock()
		switch {
		case err != nil:
		case e.Kind == kv.EventReplay:
			clear(r.watched)
		case e.Kind == kv.EventEntry && e.Op == kv.OpPut:
			r.watched[e.Key] = e.Value
		case e.Kind == kv.EventEntry:
			delete(r.watched, e.Key)
		}
		r.mu.Unlock()
	}
}

// check compares all that can be read.
func (r *modelRun) check() {
	r.model.expire()
	ctx := r.test.Context()
	want := r.model.values()
	listed := make(map[string]string)
	for e, err := range r.bucket.List(ctx) {
		if err != nil {
			r.Fatal(err)
		}
		listed[e.Key] = e.Value
	}
	r.same("List", listed, want)
	all, _, err := r.bucket.GetAll(ctx, modelTexts...)
	if err != nil {
		r.Fatal(err)
	}
	got := make(map[string]string)
	for _, e := range all {
		got[e.Key] = e.Value
	}
	r.same("GetAll", got, want)
	for _, key := range modelTexts {
		r.checkKey(key)
	}
	r.checkPrefix()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.same("Watch", r.watched, want)
}

func (r *modelRun) checkKey(key string) {
	ctx := r.test.Context()
	is := r.model.newest(key)
	switch e, err := r.bucket.Get(ctx, key); {
	case is == nil:
		r.wantCode(err, transport.NotFound)
	case err != nil || e.Value != is.value || e.Revision != is.revision || !e.Expires.Equal(is.expires):
		r.Fatalf("Get %q: got %+v, %v, want %+v", key, e, err, *is)
	}
	entries, err := r.bucket.History(ctx, key)
	if err != nil {
		r.Fatal(err)
	}
	var got, want []string
	for _, e := range entries {
		if e.Op != kv.OpExpire {
			got = append(got, fmt.Sprint(e.Op, e.Value))
		}
	}
	for _, record := range r.model.keys[key] {
		want = append(want, fmt.Sprint(record.op, record.value))
		if record.op == kv.OpPut {
			e, err := r.bucket.GetRevision(ctx, key, record.revision)
			if err != nil || e.Value != record.value {
				r.Fatalf("GetRevision %q at %d: got %+v, %v, want %q", key, record.revision, e, err, record.value)
			}
		}
	}
	if !slices.Equal(got, want) {
		r.Fatalf("History of %q: got %q, want %q", key, got, want)
	}
}

func (r *modelRun) checkPrefix() {
	prefix := rapid.SampledFrom([]string{"", "a", "a.", "x", "é"}).Draw(r.T, "prefix")
	got := make(map[string]string)
	for key, err := range r.bucket.Keys(r.test.Context(), kv.Prefix(prefix)) {
		if err != nil {
			r.Fatal(err)
		}
		got[key] = ""
	}
	want := make(map[string]string)
	for key := range r.model.values() {
		if strings.HasPrefix(key, prefix) {
			want[key] = ""
		}
	}
	r.same("Keys", got, want)
}

func (r *modelRun) same(what string, got, want map[string]string) {
	if !maps.Equal(got, want) {
		r.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// A bucket does what its model does, in virtual time.
func TestModel(t *testing.T) {
	for _, history := range []int{1, 3} {
		t.Run(fmt.Sprint("history ", history), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inBubble := struct{ rapid.TB }{t} // hides the deadline, which is outside of the bubble
				rapid.Check(inBubble, func(rt *rapid.T) { runModel(t, rt, history) })
			})
		})
	}
}

func runModel(t *testing.T, rt *rapid.T, history int) {
	tr := inproc.New(inproc.Options{})
	defer func() { _ = tr.Close(t.Context()) }()
	ttl := time.Duration(rapid.SampledFrom([]int{0, 0, 3}).Draw(rt, "bucket ttl")) * time.Second
	options := []kv.BucketOption{kv.History(history)}
	if ttl > 0 {
		options = append(options, kv.TTL(ttl))
	}
	bucket, err := kv.Connect(t.Context(), tr, kv.NewBucket[string]("b", options...))
	if err != nil {
		rt.Fatal(err)
	}
	r := &modelRun{
		T: rt, test: t, bucket: bucket, watched: make(map[string]string),
		model: model{history: history, ttl: ttl, keys: make(map[string][]modelRecord)},
	}
	go r.watch()
	rt.Repeat(map[string]func(*rapid.T){
		"put":    func(*rapid.T) { r.put() },
		"create": func(*rapid.T) { r.create() },
		"update": func(*rapid.T) { r.update() },
		"modify": func(*rapid.T) { r.modify() },
		"touch":  func(*rapid.T) { r.touch() },
		"end":    func(*rapid.T) { r.end() },
		"batch":  func(*rapid.T) { r.batch() },
		"purge":  func(*rapid.T) { r.purgeDeletes() },
		"wait":   func(*rapid.T) { r.advance() },
		"":       func(*rapid.T) { r.check() },
	})
}
