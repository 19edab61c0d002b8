package natsx_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

var _ driver.Backend = (*natsx.Transport)(nil)

func openBucket(t testing.TB, tr *natsx.Transport, c driver.Config) driver.Bucket {
	t.Helper()
	c.Name = cmp.Or(c.Name, "b")
	b, err := tr.Buckets().Open(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, b driver.Bucket, key, value string) uint64 {
	t.Helper()
	return write(t, b, driver.Write{Key: key, Value: []byte(value)})
}

func write(t testing.TB, b driver.Bucket, writes ...driver.Write) uint64 {
	t.Helper()
	revision, err := b.Put(t.Context(), writes...)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func revision(n uint64) *uint64 { return &n }

// describe returns records as text: revision, key, operation and value.
func describe(records ...*driver.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, fmt.Sprintf("%d:%s%s%s", r.Revision, r.Key, []string{"=", "-", "!", "~"}[r.Op], r.Value))
	}
	return strings.Join(all, " ")
}

func scan(t testing.TB, b driver.Bucket, s driver.Scan) string {
	t.Helper()
	var all []*driver.Record
	err := b.Scan(realtime.Patient(t), s, func(r *driver.Record) bool { all = append(all, r); return true })
	if err != nil {
		t.Fatal(err)
	}
	return describe(all...)
}

func wantOutcome(t *testing.T, err error, code transport.Code, outcome transport.Outcome) {
	t.Helper()
	wantCode(t, err, code)
	if e, ok := errors.AsType[*transport.Error](err); ok && e.Outcome != outcome {
		t.Errorf("%v has the outcome %v, want %v", err, e.Outcome, outcome)
	}
}

func keyValue(t *testing.T, tr *natsx.Transport, bucket string) jetstream.KeyValue {
	t.Helper()
	kv, err := jetStream(t, tr).KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func TestBucketWriteAndGet(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{History: 3})
	ctx := t.Context()
	header := transport.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Mono-Schema", Value: "2"}}
	write(t, b, driver.Write{Key: "a", Value: []byte("one"), Header: header})
	put(t, b, "a", "two")
	put(t, b, "other.key", "")
	write(t, b, driver.Write{Key: "a", Op: driver.Delete, Header: header[:1]})
	for _, c := range []struct {
		key      string
		revision uint64
		want     string
	}{{"a", 0, "4:a-"}, {"a", 1, "1:a=one"}, {"a", 2, "2:a=two"}, {"other.key", 0, "3:other.key="}} {
		for _, fresh := range []bool{false, true} {
			r, err := b.Get(ctx, c.key, c.revision, fresh)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(r); got != c.want || time.Since(r.Created).Abs() > realtime.Patience || r.Size != len(r.Value) {
				t.Errorf("got %s, %+v, want %s", got, r, c.want)
			}
			if c.revision == 1 && (len(r.Header) != 2 || r.Header.Get("Content-Type") != "text/plain" || r.Header.Get("Mono-Schema") != "2") {
				t.Errorf("the header is %v", r.Header)
			}
		}
	}
	for key, revision := range map[string]uint64{"a": 3, "other.key": 1, "b": 99, "c": 0} { // of another key, or of none
		for _, fresh := range []bool{false, true} {
			_, err := b.Get(ctx, key, revision, fresh)
			wantOutcome(t, err, transport.NotFound, transport.OutcomeNotDone)
		}
	}
	write(t, b, driver.Write{Key: "a", Op: driver.Purge})
	if got := scan(t, b, driver.Scan{History: true}); got != "3:other.key= 5:a!" {
		t.Errorf("a purge leaves %s", got)
	}
	info, err := b.Info(ctx)
	if err != nil || info.Records != 2 || info.First != 3 || info.Last != 5 || !info.Expires || !info.Batches || info.Config.History != 3 {
		t.Errorf("%+v, %v", info, err)
	}
}

// A mirror answers reads of its origin too, but not those that must be fresh.
func TestFreshGetBesideAMirror(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	mirror := openBucket(t, tr, driver.Config{Name: "mirror", Mirror: &driver.Source{Bucket: "b"}})
	put(t, b, "first", "")
	awaitRecords(t, mirror, 1, 1)
	nc, _ := natsx.Conn(tr)
	eventually(t, "the mirror to answer", func() bool {
		reply, err := nc.Request("$JS.API.DIRECT.GET.KV_b.$KV.b.first", nil, realtime.Patience)
		return err == nil && reply.Header.Get("Nats-Stream") == "KV_mirror"
	})
	for range 300 {
		want := put(t, b, "a", "")
		if r, err := b.Get(t.Context(), "a", 0, true); err != nil || r.Revision != want {
			t.Fatalf("got %+v, %v, want %d", r, err, want)
		}
		if r, err := b.Get(t.Context(), "a", want, true); err != nil || r.Revision != want {
			t.Fatalf("got %+v, %v, want %d", r, err, want)
		}
	}
}

// Another client may set the headers of an answer.
func TestGetOfMisleadingHeaders(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	header := nats.Header{"Status": {"404"}, "Nats-Sequence": {"99"}, "Nats-Subject": {"x"}, "Nats-Time-Stamp": {"x"}, "Nats-TTL": {"never"}, "Mine": {"1", "2"}}
	if _, err := jetStream(t, tr).PublishMsg(t.Context(), &nats.Msg{Subject: "$KV.b.a", Header: header, Data: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(t.Context(), "a", 0, false)
	if err != nil || describe(r) != "1:a=v" || fmt.Sprint(r.Header) != "[{Mine 1} {Mine 2}]" || r.TTL >= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	records, revision, err := b.Read(t.Context(), []string{"a"})
	if err != nil || describe(records...) != "1:a=v" || revision != 1 {
		t.Errorf("%s at %d, %v", describe(records...), revision, err)
	}
}

func TestBucketExpectations(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	first := write(t, b, driver.Write{Key: "a", Value: []byte("1"), Expect: revision(0)})
	for _, w := range []driver.Write{
		{Key: "a", Expect: revision(0)},
		{Key: "a", Expect: revision(first + 1)},
		{Key: "a", Op: driver.Delete, Expect: revision(0)},
		{Key: "a", Op: driver.Purge, Expect: revision(99)},
		{Key: "b", Op: driver.Delete, Expect: revision(1)},
	} {
		_, err := b.Put(t.Context(), w)
		wantOutcome(t, err, transport.Aborted, transport.OutcomeNotDone)
	}
	second := write(t, b, driver.Write{Key: "a", Value: []byte("2"), Expect: &first})
	if got := scan(t, b, driver.Scan{}); second != first+1 || got != "2:a=2" {
		t.Errorf("%d: %s", second, got)
	}
}

func TestBucketBatch(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{History: 2})
	put(t, b, "a", "old")
	last := write(t, b,
		driver.Write{Key: "a", Value: []byte("new"), Expect: revision(1)},
		driver.Write{Key: "b", Value: []byte("b"), Expect: revision(0)},
		driver.Write{Key: "c", Op: driver.Delete},
	)
	if got := scan(t, b, driver.Scan{History: true}); last != 4 || got != "1:a=old 2:a=new 3:b=b 4:c-" {
		t.Errorf("%d: %s", last, got)
	}
	for i := range 3 { // the expectation of any of them may fail
		writes := []driver.Write{{Key: "x"}, {Key: "y"}, {Key: "z"}}
		writes[i].Expect = revision(7)
		_, err := b.Put(t.Context(), writes...)
		wantOutcome(t, err, transport.Aborted, transport.OutcomeNotDone)
	}
	var many []driver.Write
	for i := range driver.MaxBatch {
		many = append(many, driver.Write{Key: fmt.Sprint("m.", i), Value: []byte("v"), Expect: revision(0)})
	}
	if last = write(t, b, many...); last != 4+driver.MaxBatch {
		t.Errorf("the last revision is %d", last)
	}
	r, err := b.Get(t.Context(), "m.0", 0, false)
	if err != nil || r.Revision != 5 || len(r.Header) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = b.Put(t.Context(), append(many, driver.Write{Key: "one.more"})...)
	wantOutcome(t, err, transport.ResourceExhausted, transport.OutcomeNotDone)
	if info, err := b.Info(t.Context()); err != nil || info.Last != last {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestBucketRead(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	ctx := t.Context()
	wants := func(keys []string, records string, revision uint64) {
		t.Helper()
		got, at, err := b.Read(ctx, keys)
		if err != nil || describe(got...) != records || at != revision {
			t.Errorf("%v: %s at %d, %v; want %s at %d", keys, describe(got...), at, err, records, revision)
		}
	}
	wants([]string{"a"}, "", 0)
	put(t, b, "b", "1")
	put(t, b, "a", "2")
	put(t, b, "c", "3")
	write(t, b, driver.Write{Key: "a", Op: driver.Delete})
	wants([]string{"c", "a", "b", "a", "missing"}, "1:b=1 3:c=3 4:a-", 4)
	wants([]string{"missing"}, "", 4)
	wants(nil, "", 4)
	keys := make([]string, driver.MaxRead)
	for i := range keys {
		keys[i] = fmt.Sprint("m.", i)
		put(t, b, keys[i], "v")
	}
	got, at, err := b.Read(ctx, keys)
	if err != nil || len(got) != driver.MaxRead || at != 4+driver.MaxRead {
		t.Errorf("%d records at %d, %v", len(got), at, err)
	}
	_, _, err = b.Read(ctx, append(keys, "a"))
	wantOutcome(t, err, transport.ResourceExhausted, transport.OutcomeNotDone)
	for i := range keys {
		keys[i] = fmt.Sprint(strings.Repeat("k", 1024), i)
	}
	_, _, err = b.Read(ctx, keys) // too large a request
	wantOutcome(t, err, transport.ResourceExhausted, transport.OutcomeNotDone)
}

// The leader is not asked for each key.
func TestReadOfMissingKeys(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	nc, _ := natsx.Conn(tr)
	keys := make([]string, driver.MaxRead)
	for i := range keys {
		keys[i] = fmt.Sprint("missing.", i)
	}
	read := func(want string, revision uint64, keys ...string) {
		t.Helper()
		before := nc.Stats().OutMsgs
		records, got, err := b.Read(t.Context(), keys)
		if sent := nc.Stats().OutMsgs - before; err != nil || describe(records...) != want || got != revision || sent > 5 {
			t.Errorf("%s at %d after %d requests, %v", describe(records...), got, sent, err)
		}
	}
	read("", 0, keys...)
	put(t, b, "a", "1")
	put(t, b, "b", "2")
	read("", 2, keys...)
	read("1:a=1", 2, append(keys[1:], "a")...)
	for key, revision := range map[string]uint64{"a": 1, "b": 2} {
		if err := b.Remove(t.Context(), key, revision); err != nil {
			t.Fatal(err)
		}
	}
	read("", 2, keys...)
}

// More bytes than one answer may have are not read, and the connection survives.
func TestReadOfTooManyBytes(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprint(i))
		put(t, b, keys[i], strings.Repeat("v", 900_000))
	}
	_, _, err := b.Read(t.Context(), keys)
	wantOutcome(t, err, transport.ResourceExhausted, transport.OutcomeNotDone)
	if got, _, err := b.Read(t.Context(), keys[:20]); err != nil || len(got) != 20 {
		t.Errorf("%d records, %v", len(got), err)
	}
}

func TestBucketScan(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{History: 2})
	if got := scan(t, b, driver.Scan{}); got != "" {
		t.Errorf("an empty bucket: %s", got)
	}
	for i, key := range strings.Fields("a.x a.y b.x a.x a.x c") {
		put(t, b, key, fmt.Sprint(i+1))
	}
	write(t, b, driver.Write{Key: "c", Op: driver.Delete})
	for _, c := range []struct {
		scan driver.Scan
		want string
	}{
		{driver.Scan{}, "2:a.y=2 3:b.x=3 5:a.x=5 7:c-"},
		{driver.Scan{History: true}, "2:a.y=2 3:b.x=3 4:a.x=4 5:a.x=5 6:c=6 7:c-"},
		{driver.Scan{UpTo: 4}, "2:a.y=2 3:b.x=3"},
		{driver.Scan{UpTo: math.MaxUint64}, "2:a.y=2 3:b.x=3 5:a.x=5 7:c-"},
		{driver.Scan{UpTo: 4, History: true}, "2:a.y=2 3:b.x=3 4:a.x=4"},
		{driver.Scan{Patterns: []string{"a.*"}}, "2:a.y=2 5:a.x=5"},
		{driver.Scan{Patterns: []string{"a.*", "a.x", "*.x", "a.x"}}, "2:a.y=2 3:b.x=3 5:a.x=5"},
		{driver.Scan{Patterns: []string{"a.>", ">", "c"}}, "2:a.y=2 3:b.x=3 5:a.x=5 7:c-"},
		{driver.Scan{Patterns: []string{"missing", "a"}}, ""},
		{driver.Scan{HeadersOnly: true}, "2:a.y= 3:b.x= 5:a.x= 7:c-"},
	} {
		if got := scan(t, b, c.scan); got != c.want {
			t.Errorf("%+v: %s, want %s", c.scan, got, c.want)
		}
	}
	calls := 0
	err := b.Scan(t.Context(), driver.Scan{HeadersOnly: true}, func(r *driver.Record) bool {
		if calls++; r.Size != 1 || r.Value != nil {
			t.Errorf("%+v", r)
		}
		return false
	})
	if err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// A consumer has a limit of filters. With more patterns, the records are selected here.
func TestManyPatterns(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	patterns := []string{"w.*.x", "v.>"}
	var want []string
	for i := range 700 {
		key := fmt.Sprint("k.", i)
		put(t, b, key, "")
		if i%2 == 0 {
			patterns, want = append(patterns, key), append(want, fmt.Sprintf("%d:%s=", i+1, key))
		}
	}
	for i := range 700 {
		patterns = append(patterns, fmt.Sprint("absent.", i))
	}
	put(t, b, "w.1.x", "")
	put(t, b, "w.1.y", "")
	put(t, b, "v.1.2", "")
	want = append(want, "701:w.1.x=", "703:v.1.2=")
	if got := scan(t, b, driver.Scan{Patterns: patterns}); got != strings.Join(want, " ") {
		t.Errorf("got %s", got)
	}
	var got []*driver.Record
	err := b.Follow(realtime.Patient(t), driver.Follow{Patterns: patterns}, func(r *driver.Record) bool {
		got = append(got, r)
		return len(got) < len(want)
	})
	if err != nil || describe(got...) != strings.Join(want, " ") {
		t.Errorf("%v: got %s", err, describe(got...))
	}
}

func TestBucketRemove(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{History: 5})
	put(t, b, "a", "1")
	put(t, b, "ab", "2")
	marker := write(t, b, driver.Write{Key: "a", Op: driver.Delete})
	put(t, b, "a", "4")
	if err := b.Remove(t.Context(), "a", marker); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, b, driver.Scan{History: true}); got != "2:ab=2 4:a=4" {
		t.Errorf("left %s", got)
	}
	if err := b.Remove(t.Context(), "missing", 9); err != nil {
		t.Error(err)
	}
	if err := b.Remove(t.Context(), "a", math.MaxUint64); err != nil {
		t.Error(err)
	}
	if got := scan(t, b, driver.Scan{History: true}); got != "2:ab=2" {
		t.Errorf("left %s", got)
	}
}

// Clean-up of markers loses no value that is written meanwhile (nats.go's PurgeDeletes does).
func TestRemoveBesideWrites(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	for i := range 200 {
		marker := write(t, b, driver.Write{Key: "a", Op: driver.Delete})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.Remove(t.Context(), "a", marker); err != nil {
				t.Error(err)
			}
		})
		put(t, b, "a", fmt.Sprint(i))
		wg.Wait()
		if r, err := b.Get(t.Context(), "a", 0, true); err != nil || string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("round %d: %+v, %v", i, r, err)
		}
	}
}

func TestBucketLimits(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{MaxValue: 10, MaxBytes: 2000})
	write(t, b, driver.Write{Key: "a", Value: make([]byte, 10), Header: transport.Header{{Name: "Content-Type", Value: "application/json"}}})
	for _, writes := range [][]driver.Write{{{Key: "a", Value: make([]byte, 11)}}, {{Key: "b"}, {Key: "a", Value: make([]byte, 11)}}} {
		_, err := b.Put(t.Context(), writes...)
		wantOutcome(t, err, transport.InvalidArgument, transport.OutcomeNotDone)
	}
	_, err := b.Put(t.Context(), driver.Write{Key: "a", Header: transport.Header{{Name: "X", Value: strings.Repeat("x", 2000)}}})
	wantOutcome(t, err, transport.InvalidArgument, transport.OutcomeNotDone)
	for i := 0; err == nil || i == 0; i++ {
		_, err = b.Put(t.Context(), driver.Write{Key: fmt.Sprint(i), Value: make([]byte, 10)})
	}
	wantOutcome(t, err, transport.ResourceExhausted, transport.OutcomeNotDone)
	_, err = b.Put(t.Context(), driver.Write{Key: "x"}, driver.Write{Key: "y", Value: make([]byte, 10)}, driver.Write{Key: "z", Value: make([]byte, 10)})
	wantOutcome(t, err, transport.ResourceExhausted, transport.OutcomeNotDone)
	large := openBucket(t, tr, driver.Config{Name: "large"})
	_, err = large.Put(t.Context(), driver.Write{Key: "a", Value: make([]byte, 9<<20)})
	wantOutcome(t, err, transport.InvalidArgument, transport.OutcomeNotDone)
}

func TestMissingBucket(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	ctx := realtime.Patient(t)
	s := tr.Buckets()
	_, err := s.Open(ctx, &driver.Config{Name: "b", Existing: true})
	wantOutcome(t, err, transport.NotFound, transport.OutcomeNotDone)
	wantCode(t, s.Delete(ctx, "b"), transport.NotFound, "it does not exist")
	b := openBucket(t, tr, driver.Config{})
	put(t, b, "a", "1")
	followed := make(chan error, 1)
	begun := make(chan bool, 10)
	go func() {
		followed <- b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { begun <- true; return true })
	}()
	receive(t, begun)
	if err := s.Delete(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, receive(t, followed), transport.NotFound, "it does not exist")
	for what, do := range map[string]func() error{
		"Get":     func() error { _, err := b.Get(ctx, "a", 0, false); return err },
		"fresh":   func() error { _, err := b.Get(ctx, "a", 0, true); return err },
		"Read":    func() error { _, _, err := b.Read(ctx, []string{"a"}); return err },
		"Put":     func() error { _, err := b.Put(ctx, driver.Write{Key: "a"}); return err },
		"batch":   func() error { _, err := b.Put(ctx, driver.Write{Key: "a"}, driver.Write{Key: "b"}); return err },
		"Scan":    func() error { return b.Scan(ctx, driver.Scan{}, func(*driver.Record) bool { return true }) },
		"Follow":  func() error { return b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { return true }) },
		"Remove":  func() error { return b.Remove(ctx, "a", 1) },
		"Info":    func() error { _, err := b.Info(ctx); return err },
		"recheck": func() error { _, err := s.Open(ctx, &driver.Config{Name: "b", Existing: true}); return err },
	} {
		err := do()
		wantOutcome(t, err, transport.NotFound, transport.OutcomeNotDone)
		if !strings.Contains(fmt.Sprint(err), "it does not exist") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestClosedTransport(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	put(t, b, "a", "1")
	ctx := realtime.Patient(t)
	followed, begun := make(chan error, 1), make(chan bool, 1)
	go func() {
		followed <- b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { begun <- true; return true })
	}()
	receive(t, begun)
	if err := tr.Close(ctx); err != nil {
		t.Fatal(err)
	}
	wantCode(t, receive(t, followed), transport.Unavailable)
	for _, do := range []func() error{
		func() error { _, err := b.Get(ctx, "a", 0, false); return err },
		func() error { _, err := b.Get(ctx, "a", 0, true); return err },
		func() error { _, _, err := b.Read(ctx, []string{"a"}); return err },
		func() error { _, err := b.Put(ctx, driver.Write{Key: "a"}); return err },
		func() error { _, err := b.Put(ctx, driver.Write{Key: "a"}, driver.Write{Key: "b"}); return err },
		func() error { return b.Scan(ctx, driver.Scan{}, func(*driver.Record) bool { return true }) },
		func() error { return b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { return true }) },
		func() error { return b.Remove(ctx, "a", 1) },
		func() error { _, err := b.Info(ctx); return err },
	} {
		wantOutcome(t, do(), transport.Unavailable, transport.OutcomeNotDone)
	}
}

func TestListBuckets(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	openLog(t, tr, transport.LogConfig{Name: "KV_log", Subjects: []string{"l"}}) // not a bucket
	want := []string{"mirror"}
	for i := range 300 { // more than a page
		name := fmt.Sprint("b", i)
		openBucket(t, tr, driver.Config{Name: name, Memory: true})
		want = append(want, name)
	}
	openBucket(t, tr, driver.Config{Name: "mirror", Mirror: &driver.Source{Bucket: "b0"}})
	var got []string
	for info, err := range tr.Buckets().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Config.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
	_, err := tr.Buckets().Open(t.Context(), &driver.Config{Name: "log"})
	wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range tr.Buckets().List(ctx) {
		wantCode(t, err, transport.Canceled)
	}
}

// With a domain, all subjects of a bucket begin with the prefix of its API.
func TestBucketInADomain(t *testing.T) {
	t.Parallel()
	file := configFile(t, "jetstream: { domain: hub }")
	s := startServer(t, func(o *embedded.Options) { o.ConfigFile, o.Memory, o.Dir = file, false, t.TempDir() })
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Domain: "hub", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	b := openBucket(t, tr, driver.Config{})
	write(t, b, driver.Write{Key: "a", Value: []byte("1")}, driver.Write{Key: "b", Value: []byte("2")})
	put(t, b, "a", "3")
	for _, fresh := range []bool{false, true} {
		if r, err := b.Get(t.Context(), "a", 0, fresh); err != nil || describe(r) != "3:a=3" {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if got, _, err := b.Read(t.Context(), []string{"a", "b"}); err != nil || describe(got...) != "2:b=2 3:a=3" {
		t.Errorf("%s, %v", describe(got...), err)
	}
	if got := scan(t, b, driver.Scan{}); got != "2:b=2 3:a=3" {
		t.Errorf("scanned %s", got)
	}
}

// A denied request fails when the server reports that.
func TestDeniedBucket(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `publish: { deny: ["$KV.>", "$JS.API.DIRECT.>", "$JS.API.STREAM.PURGE.>", "$JS.API.STREAM.MSG.>", "$JS.API.CONSUMER.>"] }`)
	openBucket(t, p.connect("owner"), driver.Config{})
	put(t, openBucket(t, p.connect("owner"), driver.Config{}), "a", "1")
	b := openBucket(t, p.connect("limited"), driver.Config{})
	ctx := hours(t)
	for subject, do := range map[string]func() error{
		"$KV.b.a":                         func() error { _, err := b.Put(ctx, driver.Write{Key: "a"}); return err },
		"$KV.b.b":                         func() error { _, err := b.Put(ctx, driver.Write{Key: "b"}, driver.Write{Key: "c"}); return err },
		"$JS.API.DIRECT.GET.KV_b.$KV.b.a": func() error { _, err := b.Get(ctx, "a", 0, false); return err },
		"$JS.API.STREAM.MSG.GET.KV_b":     func() error { _, err := b.Get(ctx, "a", 0, true); return err },
		"$JS.API.DIRECT.GET.KV_b":         func() error { _, _, err := b.Read(ctx, []string{"a"}); return err },
		"$JS.API.STREAM.PURGE.KV_b":       func() error { return b.Remove(ctx, "a", 1) },
		"$JS.API.CONSUMER.CREATE.KV_b":    func() error { return b.Scan(ctx, driver.Scan{}, func(*driver.Record) bool { return true }) },
	} {
		wantDenied(t, subject, do(), subject)
	}
}
