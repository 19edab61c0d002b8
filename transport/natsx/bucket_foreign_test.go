package natsx_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// foreignBucket opens a bucket that another client has created.
func foreignBucket(t *testing.T, tr *natsx.Transport, change func(*jetstream.StreamConfig)) driver.Bucket {
	t.Helper()
	c := jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1,
		AllowRollup: true, AllowDirect: true, Discard: jetstream.DiscardNew,
	}
	if change != nil {
		change(&c)
	}
	if _, err := jetStream(t, tr).CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return openBucket(t, tr, driver.Config{Existing: true})
}

// The records of a stream that renames subjects are not those of its bucket.
func TestBucketWithASubjectTransform(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	_, err := jetStream(t, tr).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, Storage: jetstream.MemoryStorage,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "$KV.b.>", Destination: "$KV.b.moved.>"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, existing := range []bool{false, true} {
		_, err := tr.Buckets().Open(t.Context(), &driver.Config{Name: "b", Existing: existing})
		wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
		wantCode(t, err, transport.FailedPrecondition, "remove its subject transform")
	}
}

// Other clients give a bucket a TTL without markers. What expires needs none, and what was
// deleted is marked as long.
func TestFollowOfABucketWithoutMarkers(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := foreignBucket(t, tr, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	f := startFollow(t, b, driver.Follow{})
	const n = 2000 // the server has more than it has sent
	for i := range n {
		if _, err := jetStream(t, tr).PublishAsync(fmt.Sprint("$KV.b.", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		f.wants(t, fmt.Sprintf("%d:%d=", i+1, i))
	}
	put(t, b, "last", "")
	f.wants(t, fmt.Sprintf("%d:last=", n+1))
}

// Another client may store anything in the headers of a record.
func TestRecordOfMisleadingHeaders(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	publish := func(key string, header nats.Header) {
		t.Helper()
		if _, err := jetStream(t, tr).PublishMsg(t.Context(), &nats.Msg{Subject: "$KV.b." + key, Header: header, Data: []byte("four")}); err != nil {
			t.Fatal(err)
		}
	}
	publish("size", nats.Header{"Nats-Msg-Size": {"-7"}})
	publish("operation", nats.Header{"KV-Operation": {strings.Repeat("x", 10_000)}})
	n := 0
	err := b.Scan(t.Context(), driver.Scan{HeadersOnly: true}, func(r *driver.Record) bool {
		if n++; r.Size != 4 || r.Op != driver.Put || r.TTL != 0 {
			t.Errorf("%+v", r)
		}
		return true
	})
	if err != nil || n != 2 {
		t.Error(n, err)
	}
}

// The server stores a header that is none. Such a record has no header, however it is read.
func TestRecordOfAMalformedHeader(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	tr := connect(t, s.ClientURL())
	b := openBucket(t, tr, driver.Config{Memory: true})
	put(t, b, "first", "1")
	stored := storeRaw(t, s, "$KV.b.odd", "NATS/1.0\r\nno colon\r\n\r\n", "2")
	if stored != 2 {
		t.Fatalf("stored as %d", stored)
	}
	for _, fresh := range []bool{false, true} {
		for _, revision := range []uint64{0, 2} {
			r, err := b.Get(t.Context(), "odd", revision, fresh)
			if err != nil || describe(r) != "2:odd=2" || len(r.Header) > 0 {
				t.Errorf("fresh %v: %+v, %v", fresh, r, err)
			}
		}
	}
	for _, keys := range [][]string{{"odd"}, {"first", "odd", "missing"}} {
		records, revision, err := b.Read(t.Context(), keys)
		if got := describe(records...); err != nil || !strings.HasSuffix("1:first=1 2:odd=2", got) || len(records) != min(len(keys), 2) || revision != 2 {
			t.Errorf("%v: %s at %d, %v", keys, got, revision, err)
		}
	}
	if got := scan(t, b, driver.Scan{}); got != "1:first=1 2:odd=2" {
		t.Errorf("scanned %s", got)
	}
	if got := scan(t, b, driver.Scan{Patterns: []string{"first"}, UpTo: 1}); got != "1:first=1" {
		t.Errorf("scanned %s", got)
	}
}

// An account may write some keys only.
func TestBatchWithADeniedKey(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `publish: { deny: ["$KV.b.denied"] }`)
	owner := openBucket(t, p.connect("owner"), driver.Config{})
	b := openBucket(t, p.connect("limited"), driver.Config{})
	for i := range 3 {
		writes := []driver.Write{{Key: "a"}, {Key: "b"}, {Key: "c"}}
		writes[i].Key = "denied"
		_, err := b.Put(hours(t), writes...)
		wantDenied(t, fmt.Sprint(i), err, "$KV.b.denied")
		wantOutcome(t, err, transport.PermissionDenied, transport.OutcomeNotDone)
	}
	write(t, b, driver.Write{Key: "a"}, driver.Write{Key: "b"}, driver.Write{Key: "c"})
	if got := scan(t, owner, driver.Scan{}); got != "1:a= 2:b= 3:c=" {
		t.Errorf("stored %s", got)
	}
}

// Another tool may create a bucket whose records cannot have a TTL. A write with one is refused.
func TestTTLInABucketWithoutTTLs(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := foreignBucket(t, tr, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	for _, writes := range [][]driver.Write{{{Key: "a", TTL: time.Hour}}, {{Key: "b"}, {Key: "a", TTL: time.Hour}}} {
		_, err := b.Put(t.Context(), writes...)
		wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
		wantCode(t, err, transport.Unimplemented, "nats stream edit --allow-msg-ttl")
	}
	if got := scan(t, b, driver.Scan{}); got != "" {
		t.Errorf("stored %s", got)
	}
	put(t, b, "a", "1")
}

// A sealed bucket is read-only. Its errors report that.
func TestSealedBucket(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{Memory: true})
	last := put(t, b, "a", "1")
	s, err := jetStream(t, tr).Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Sealed = true
	if _, err := jetStream(t, tr).UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	writes := map[string]error{"Remove": b.Remove(t.Context(), "a", last)}
	_, writes["Put"] = b.Put(t.Context(), driver.Write{Key: "a", Value: []byte("2")})
	_, writes["Purge"] = b.Put(t.Context(), driver.Write{Key: "a", Op: driver.Purge})
	_, writes["TTL"] = b.Put(t.Context(), driver.Write{Key: "a", TTL: time.Hour})
	_, writes["batch"] = b.Put(t.Context(), driver.Write{Key: "a"}, driver.Write{Key: "b"})
	for what, err := range writes {
		wantOutcome(t, err, transport.FailedPrecondition, transport.OutcomeNotDone)
		if err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%s: %v", what, err)
		}
	}
	b = openBucket(t, tr, driver.Config{Existing: true})
	r, err := b.Get(t.Context(), "a", 0, true)
	if got := scan(t, b, driver.Scan{History: true}); err != nil || describe(r) != "1:a=1" || got != "1:a=1" {
		t.Errorf("got %+v, %v and %s", r, err, got)
	}
	if all, _, err := b.Read(t.Context(), []string{"a"}); err != nil || describe(all...) != "1:a=1" {
		t.Errorf("read %s, %v", describe(all...), err)
	}
}

// A Scan that cannot find out whether its records are gone does not wait for them.
func TestScanWithoutConsumerInfo(t *testing.T) {
	t.Parallel()
	p := withPermissions(t, `publish: { deny: ["$JS.API.CONSUMER.INFO.>"] }`)
	owner := openBucket(t, p.connect("owner"), driver.Config{})
	const n = 2000
	for i := range n {
		put(t, owner, fmt.Sprint(i), "")
	}
	b := openBucket(t, p.connect("limited"), driver.Config{})
	first := true
	err := b.Scan(hours(t), driver.Scan{}, func(*driver.Record) bool {
		if first {
			first = false
			for i := range n {
				if err := owner.Remove(t.Context(), fmt.Sprint(i), n); err != nil {
					t.Fatal(err)
				}
			}
		}
		return true
	})
	wantDenied(t, "Scan", err, "$JS.API.CONSUMER.INFO.KV_b")
}

// A caller that gives up while the connection is lost gets the error of its context.
func TestEndedContextWhileDisconnected(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{}, plainProxy(t))
	r.disconnect()
	for _, do := range []func(context.Context) error{
		func(ctx context.Context) error {
			return r.b.Scan(ctx, driver.Scan{}, func(*driver.Record) bool { return true })
		},
		func(ctx context.Context) error {
			return r.b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { return true })
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- do(ctx) }()
		cancel()
		wantCode(t, receive(t, ended), transport.Canceled)
	}
}

// A server without JetStream has no buckets, which is known at once.
func TestBucketsWithoutJetStream(t *testing.T) {
	t.Parallel()
	file := configFile(t, "accounts: { A: { users: [{ user: a, password: a }] } }\nno_auth_user: a")
	s := startServer(t, func(o *embedded.Options) { o.ConfigFile = file })
	tr := connect(t, s.ClientURL())
	ctx := hours(t)
	_, err := tr.Buckets().Open(ctx, &driver.Config{Name: "b"})
	wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
	wantCode(t, err, transport.Unimplemented, "the account has no JetStream: enable it there")
	wantOutcome(t, tr.Buckets().Delete(ctx, "b"), transport.Unimplemented, transport.OutcomeNotDone)
	for _, err := range tr.Buckets().List(ctx) {
		wantOutcome(t, err, transport.Unimplemented, transport.OutcomeNotDone)
	}
}

// storeRaw publishes a message as it is, and returns its sequence.
func storeRaw(t *testing.T, s *embedded.Server, subject, header, body string) (sequence uint64) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.ClientURL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT {\"headers\":true,\"verbose\":false}\r\nSUB in 1\r\nHPUB %s in %d %d\r\n%s%s\r\n", subject, len(header), len(header)+len(body), header, body)
	for in := bufio.NewScanner(c); in.Scan(); {
		if _, after, ok := strings.Cut(in.Text(), `"seq":`); ok {
			_, _ = fmt.Sscan(after, &sequence)
			return sequence
		}
	}
	t.Fatal("no answer")
	return 0
}

// A page of the list lacks the streams whose servers do not answer. The next page begins after
// them, too.
func TestListWithASilentServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, nil)
	nc, _ := natsx.Conn(connect(t, s.ClientURL()))
	const prefix, limit = "$JS.fake.API.", 2
	all := []string{"A", "KV_a", "KV_b", "Z"} // A and Z are missing
	fakeAPI(t, nc, prefix+"INFO", func(int) map[string]any { return map[string]any{"api": map[string]any{"level": 4}} })
	fakeAPI(t, nc, prefix+"STREAM.LIST", func(offset int) map[string]any {
		var streams []any
		var missing []string
		for _, name := range all[min(offset, len(all)):min(offset+limit, len(all))] {
			bucket, ok := strings.CutPrefix(name, "KV_")
			if !ok {
				missing = append(missing, name)
				continue
			}
			streams = append(streams, map[string]any{"config": map[string]any{"name": name, "subjects": []string{"$KV." + bucket + ".>"}}})
		}
		return map[string]any{"total": len(all), "limit": limit, "offset": offset, "streams": streams, "missing": missing}
	})
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Domain: "fake", Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	var got []string
	for info, err := range tr.Buckets().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Config.Name)
	}
	if fmt.Sprint(got) != "[a b]" {
		t.Errorf("listed %v", got)
	}
}

// fakeAPI answers a request of JetStream's API.
func fakeAPI(t *testing.T, nc *nats.Conn, subject string, reply func(offset int) map[string]any) {
	t.Helper()
	_, err := nc.Subscribe(subject, func(msg *nats.Msg) {
		var request struct{ Offset int }
		_ = json.Unmarshal(msg.Data, &request)
		if answer := reply(request.Offset); answer != nil {
			body, _ := json.Marshal(answer)
			_ = msg.Respond(body)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
