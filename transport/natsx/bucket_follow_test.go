package natsx_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/clustertest"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
)

// remote is a bucket as seen through a proxy, and as seen directly.
type remote struct {
	proxy      *proxytest.Proxy
	tr, admin  *natsx.Transport
	b, direct  driver.Bucket
	disconnect func()
}

func newRemote(t *testing.T, c driver.Config, proxied func(string) *proxytest.Proxy) *remote {
	t.Helper()
	s := startServer(t, nil)
	r := &remote{proxy: proxied(strings.TrimPrefix(s.ClientURL(), "nats://"))}
	var err error
	if r.admin, err = s.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.admin.Close(context.Background()) })
	r.tr = connect(t, "nats://"+r.proxy.Address())
	r.direct = openBucket(t, r.admin, c) // it knows that the server has no disk
	r.b = openBucket(t, r.tr, c)
	r.disconnect = func() {
		r.proxy.Cut()
		eventually(t, "the connection to be lost", func() bool { return r.tr.Ping(t.Context()) != nil })
	}
	return r
}

func plainProxy(t *testing.T) func(string) *proxytest.Proxy {
	return func(server string) *proxytest.Proxy { return proxytest.New(t, server) }
}

// following is a Follow that runs on its own goroutine.
type following struct {
	got   chan string
	ended chan error
}

// startFollow returns when the Follow has begun.
func startFollow(t *testing.T, b driver.Bucket, f driver.Follow) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(realtime.Patient(t))
	t.Cleanup(cancel)
	is := &following{got: make(chan string, 1000), ended: make(chan error, 1)}
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	f.Current = func(uint64, bool) { begin() }
	go func() {
		is.ended <- b.Follow(ctx, f, func(r *driver.Record) bool { is.got <- describe(r); return true })
	}()
	receive(t, begun)
	return is
}

func (f *following) wants(t *testing.T, records ...string) {
	t.Helper()
	for _, want := range records {
		if got := receive(t, f.got); got != want {
			t.Fatalf("followed %s, want %s", got, want)
		}
	}
}

func TestFollowContinues(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{}, plainProxy(t))
	put(t, r.direct, "before", "")
	f := startFollow(t, r.b, driver.Follow{After: 1, Patterns: []string{"a", "b.*"}})
	put(t, r.direct, "a", "1")
	f.wants(t, "2:a=1")
	for round := range 3 {
		last := uint64(2 + 4*round)
		r.disconnect()
		put(t, r.direct, "b.x", "away")
		put(t, r.direct, "other", "")
		r.proxy.Mend()
		f.wants(t, fmt.Sprintf("%d:b.x=away", last+1))
		deleteConsumers(t, r.admin)
		put(t, r.direct, "b.y", "3")
		put(t, r.direct, "a", "4")
		f.wants(t, fmt.Sprintf("%d:b.y=3", last+3), fmt.Sprintf("%d:a=4", last+4))
	}
}

func deleteConsumers(t *testing.T, tr *natsx.Transport) {
	t.Helper()
	s, err := jetStream(t, tr).Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if err := s.DeleteConsumer(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}

// A Follow reports that it is current after the records that there are, and then again and
// again.
func TestFollowReportsCurrent(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	for range 600 { // more than one pull
		put(t, b, "a", "")
		put(t, b, "b", "")
	}
	ctx, cancel := context.WithCancel(realtime.Patient(t))
	defer cancel()
	var last uint64
	calls := 0
	err := b.Follow(ctx, driver.Follow{Current: func(revision uint64, lasting bool) {
		if calls++; last != 1200 || revision != 1200 || lasting || calls == 3 {
			cancel()
		}
	}}, func(r *driver.Record) bool { last = r.Revision; return true })
	wantCode(t, err, transport.Canceled)
	if calls != 3 || last != 1200 {
		t.Errorf("%d calls after record %d", calls, last)
	}
}

// The revision of a Follow that is current includes the records that it has not selected.
func TestFollowPassesOtherRecords(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{})
	for _, key := range []string{"a", "b", "b"} {
		put(t, b, key, "")
	}
	ctx, cancel := context.WithCancel(realtime.Patient(t))
	defer cancel()
	current := uint64(0)
	err := b.Follow(ctx, driver.Follow{Patterns: []string{"a"}, Current: func(revision uint64, _ bool) {
		if current = revision; current == 3 {
			cancel()
		}
	}}, func(*driver.Record) bool { return true })
	wantCode(t, err, transport.Canceled)
	if current != 3 {
		t.Errorf("the Follow is at revision %d", current)
	}
}

// awaitRecords waits until a bucket has n records, after the last revision.
func awaitRecords(t *testing.T, b driver.Bucket, n, last uint64) {
	t.Helper()
	eventually(t, "records to go", func() bool {
		info, err := b.Info(t.Context())
		return err == nil && info.Records == n && info.Last == last
	})
}

// The markers of ended values live one second in a bucket with history. A Follow that was
// away for longer does not continue as if nothing had happened.
func TestFollowAfterMarkersAreGone(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{History: 2}, plainProxy(t))
	f := startFollow(t, r.b, driver.Follow{})
	put(t, r.direct, "a", "1")
	f.wants(t, "1:a=1")
	r.disconnect()
	write(t, r.direct, driver.Write{Key: "a", Value: []byte("2"), TTL: time.Second})
	awaitRecords(t, r.direct, 0, 3)
	r.proxy.Mend()
	if err := receive(t, f.ended); err != driver.ErrGap {
		t.Errorf("got %v", err)
	}
}

// Another client may give its markers a TTL. A Follow that may have missed one does not continue,
// unless no record is gone.
func TestFollowAfterAMarkerWithTTL(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{}, plainProxy(t))
	other := keyValue(t, r.admin, "b")
	put(t, r.direct, "b", "1")
	f := startFollow(t, r.b, driver.Follow{After: 1, Patterns: []string{"a", "c"}})
	put(t, r.direct, "a", "1")
	f.wants(t, "2:a=1")
	clock := openBucket(t, r.admin, driver.Config{Name: "clock", History: 2})
	passTime := func() {
		is, err := clock.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		write(t, clock, driver.Write{Key: "tick", TTL: time.Second})
		awaitRecords(t, clock, 0, is.Last+2)
	}
	r.disconnect()
	if err := other.Purge(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	put(t, r.direct, "c", "1")
	passTime()
	r.proxy.Mend()
	f.wants(t, "4:c=1")
	r.disconnect()
	if err := other.Purge(t.Context(), "a", jetstream.PurgeTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	awaitRecords(t, r.direct, 2, 5)
	r.proxy.Mend()
	if err := receive(t, f.ended); err != driver.ErrGap {
		t.Errorf("got %v", err)
	}
}

// The server sends nothing to a Follow whose caller keeps a record for long.
func TestFollowThatIsSlow(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{History: 2})
	ctx := realtime.Patient(t)
	ended, got, resume := make(chan error, 1), make(chan bool, 10), make(chan struct{})
	go func() {
		ended <- b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { got <- true; <-resume; return true })
	}()
	write(t, b, driver.Write{Key: "slow", TTL: 7 * time.Second}) // longer than a pull
	receive(t, got)
	awaitRecords(t, b, 0, 2)
	put(t, b, "a", "1")
	write(t, b, driver.Write{Key: "a", TTL: time.Second})
	awaitRecords(t, b, 0, 5)
	close(resume)
	if err := receive(t, ended); err != driver.ErrGap {
		t.Errorf("got %v", err)
	}
}

// Nor to one whose caller keeps many records for a short time each.
func TestFollowThatIsOftenSlow(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{History: 2})
	clock := jetstream.StreamConfig{Name: "CLOCK", Subjects: []string{"tick"}, Storage: jetstream.MemoryStorage, MaxAge: time.Second}
	ticks, err := jetStream(t, tr).CreateStream(t.Context(), clock)
	if err != nil {
		t.Fatal(err)
	}
	tick := func() {
		if _, err := jetStream(t, tr).Publish(t.Context(), "tick", nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a second to pass", func() bool {
			is, err := ticks.Info(t.Context())
			return err == nil && is.State.Msgs == 0
		})
	}
	ctx := realtime.Patient(t)
	ended, got, resume := make(chan error, 1), make(chan bool, 100), make(chan struct{})
	go func() {
		ended <- b.Follow(ctx, driver.Follow{}, func(*driver.Record) bool { got <- true; <-resume; return true })
	}()
	put(t, b, "first", "")
	receive(t, got)
	const n = 30
	for i := range n { // while there is a pull, so that the server is never behind
		awaitSent(t, tr, put(t, b, fmt.Sprint(i), ""))
	}
	next := func() {
		tick()
		select {
		case resume <- struct{}{}:
		case err := <-ended:
			ended <- err
		}
	}
	for range 6 { // longer than a pull
		next()
	}
	write(t, b, driver.Write{Key: "a", TTL: time.Second})
	for gone := false; !gone; {
		next()
		info, err := b.Info(t.Context())
		gone = err == nil && info.Records == n+1 && info.Last == n+3
	}
	close(resume)
	if err := receive(t, ended); err != driver.ErrGap {
		t.Errorf("got %v", err)
	}
}

// awaitSent waits until the consumers of the bucket have sent a record.
func awaitSent(t *testing.T, tr *natsx.Transport, revision uint64) {
	t.Helper()
	s, err := jetStream(t, tr).Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a record to be sent", func() bool {
		sent := true
		for is := range s.ListConsumers(t.Context()).Info() {
			sent = sent && is.Delivered.Stream == revision
		}
		return sent
	})
}

// If values do not expire, a Follow continues after any time.
func TestFollowWithoutExpiry(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{Name: "b"}, func(server string) *proxytest.Proxy {
		tr := connect(t, "nats://"+server)
		if _, err := jetStream(t, tr).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
		return proxytest.New(t, server)
	})
	clock := openBucket(t, r.admin, driver.Config{Name: "clock", History: 2})
	f := startFollow(t, r.b, driver.Follow{})
	put(t, r.direct, "a", "1")
	f.wants(t, "1:a=1")
	r.disconnect()
	put(t, r.direct, "a", "2")
	write(t, clock, driver.Write{Key: "tick", TTL: time.Second})
	awaitRecords(t, clock, 0, 2) // time passes
	r.proxy.Mend()
	f.wants(t, "2:a=2")
}

// The caller's state may be older than markers that are gone.
func TestFollowFromAnOldRevision(t *testing.T) {
	t.Parallel()
	b := openBucket(t, inProcess(t, nil), driver.Config{History: 2})
	ctx := realtime.Patient(t)
	from := func(after uint64) (string, error) {
		var got string
		err := b.Follow(ctx, driver.Follow{After: after}, func(r *driver.Record) bool { got = describe(r); return false })
		return got, err
	}
	write(t, b, driver.Write{Key: "a", TTL: time.Second})
	awaitRecords(t, b, 0, 2)
	if got, err := from(1); err != driver.ErrGap {
		t.Errorf("the marker is gone: %s, %v", got, err)
	}
	if got, err := from(99); err != driver.ErrGap {
		t.Errorf("a revision of the future: %s, %v", got, err)
	}
	put(t, b, "b", "1") // 3
	if got, err := from(2); err != nil || got != "3:b=1" {
		t.Errorf("a recent revision: %s, %v", got, err)
	}
	write(t, b, driver.Write{Key: "a", TTL: time.Second}) // 4, and 5 is its marker
	awaitRecords(t, b, 1, 5)
	if got, err := from(2); err != driver.ErrGap {
		t.Errorf("an old revision: %s, %v", got, err)
	}
	if got, err := from(0); err != nil || got != "3:b=1" {
		t.Errorf("from the beginning: %s, %v", got, err)
	}
}

func TestFollowOfARecreatedBucket(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{}, plainProxy(t))
	f := startFollow(t, r.b, driver.Follow{})
	put(t, r.direct, "a", "1")
	f.wants(t, "1:a=1")
	r.disconnect()
	if err := r.admin.Buckets().Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	again := openBucket(t, r.admin, driver.Config{})
	for range 3 {
		put(t, again, "a", "2")
	}
	r.proxy.Mend()
	if err := receive(t, f.ended); err != driver.ErrGap {
		t.Errorf("got %v", err)
	}
}

// A Scan waits for a lost connection and continues: it is complete, or ends with an error.
func TestScanContinues(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{false, true} {
		t.Run(fmt.Sprint("history ", history), func(t *testing.T) {
			t.Parallel()
			r := newRemote(t, driver.Config{}, plainProxy(t))
			const n = 3000
			var wg sync.WaitGroup
			for part := range 10 {
				wg.Go(func() {
					for i := range n / 10 {
						put(t, r.direct, fmt.Sprint(part, ".", i), "v")
					}
				})
			}
			wg.Wait()
			ctx := realtime.Patient(t)
			r.disconnect()
			next := uint64(1)
			scanned := make(chan error, 1)
			go func() {
				scanned <- r.b.Scan(ctx, driver.Scan{History: history}, func(record *driver.Record) bool {
					if record.Revision != next {
						t.Errorf("got %d, want %d", record.Revision, next)
					}
					if next++; next%700 == 0 {
						r.disconnect()
						r.proxy.Mend()
					}
					return true
				})
			}()
			r.proxy.Mend()
			if err := receive(t, scanned); err != nil || next != n+1 {
				t.Errorf("%v after %d records", err, next-1)
			}
			stopped, cancel := context.WithCancel(ctx)
			err := r.b.Scan(stopped, driver.Scan{History: history}, func(*driver.Record) bool { cancel(); return true })
			wantCode(t, err, transport.Canceled)
		})
	}
}

// A Scan without a limit has each key once, also if it is written again and again meanwhile.
func TestScanBesideWrites(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{})
	const n = 1000
	for i := range n {
		put(t, b, fmt.Sprint(i), "")
	}
	ctx := realtime.Patient(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := b.Put(ctx, driver.Write{Key: fmt.Sprint(i * 7 % n)}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 20 {
		keys := make(map[string]bool)
		records := 0
		err := b.Scan(ctx, driver.Scan{}, func(r *driver.Record) bool { keys[r.Key] = true; records++; return true })
		if err != nil || len(keys) != n || records != n {
			t.Errorf("%d records of %d keys, %v", records, len(keys), err)
		}
	}
	close(stop)
	wg.Wait()
}

// A Scan ends, and misses no key, although other programs write faster than it reads.
func TestScanOutrun(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	b := openBucket(t, tr, driver.Config{Memory: true})
	const n = 50
	for i := range n {
		put(t, b, fmt.Sprint(i), "")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	for w := range 4 {
		wg.Go(func() {
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := b.Put(t.Context(), driver.Write{Key: fmt.Sprint(i % n)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		keys := make(map[string]bool)
		err := b.Scan(realtime.Patient(t), driver.Scan{}, func(r *driver.Record) bool { keys[r.Key] = true; return true })
		if err != nil || len(keys) != n {
			t.Errorf("%d keys, %v", len(keys), err)
		}
	}
}

// A Scan ends although each of its records causes another write.
func TestScanBesideItsOwnWrites(t *testing.T) {
	t.Parallel()
	tr := inProcess(t, nil)
	const n = 2000 // more than a reader has in advance
	for _, history := range []bool{false, true} {
		b := openBucket(t, tr, driver.Config{Name: fmt.Sprint("b", history), Memory: true})
		for i := range n {
			put(t, b, fmt.Sprint(i), "")
		}
		ctx := realtime.Patient(t)
		keys, got := make(map[string]bool), 0
		err := b.Scan(ctx, driver.Scan{History: history}, func(r *driver.Record) bool {
			put(t, b, r.Key, "again")
			keys[r.Key] = true
			got++
			return got < 10*n
		})
		if err != nil || len(keys) != n || got > 2*n {
			t.Errorf("history %v: %d records of %d keys, %v", history, got, len(keys), err)
		}
		other := func() { // replaces a key that is read later
			put(t, b, fmt.Sprint(n-1), "late")
		}
		keys = make(map[string]bool)
		err = b.Scan(ctx, driver.Scan{History: history}, func(r *driver.Record) bool {
			if len(keys) == 0 {
				other()
			}
			keys[r.Key] = true
			return true
		})
		if err != nil || len(keys) != n {
			t.Errorf("history %v: %d keys, %v", history, len(keys), err)
		}
	}
}

// A Scan does not continue in another bucket of the same name.
func TestScanOfARecreatedBucket(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{}, plainProxy(t))
	const n = 2000
	for i := range n {
		put(t, r.direct, fmt.Sprint(i), "")
	}
	got := 0
	err := r.b.Scan(realtime.Patient(t), driver.Scan{}, func(*driver.Record) bool {
		if got++; got == 1 {
			r.disconnect()
			if err := r.admin.Buckets().Delete(t.Context(), "b"); err != nil {
				t.Error(err)
			}
			put(t, openBucket(t, r.admin, driver.Config{}), "other", "")
			r.proxy.Mend()
		}
		return true
	})
	wantCode(t, err, transport.Aborted, "created again")
}

// The outcome of a write is unknown if its answer is lost. A batch is not done before its last
// write.
func TestOutcomeOfAPut(t *testing.T) {
	t.Parallel()
	r := newRemote(t, driver.Config{}, func(server string) *proxytest.Proxy {
		return proxytest.NewHolding(t, server, "$KV.", realtime.Patience)
	})
	writes := []driver.Write{{Key: "a"}, {Key: "b"}}
	for n, outcome := range []transport.Outcome{transport.OutcomeUnknown, transport.OutcomeNotDone} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := r.b.Put(ctx, writes[:n+1]...)
		cancel()
		wantOutcome(t, err, transport.DeadlineExceeded, outcome)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := r.b.Put(realtime.Patient(t), driver.Write{Key: "a"})
		failed <- err
	}()
	eventually(t, "the write to be sent and its connection to be lost", func() bool {
		r.proxy.Cut()
		select {
		case err := <-failed:
			if transport.CodeOf(err) != transport.Unavailable {
				t.Errorf("got %v", err)
			}
			return true
		default:
			r.proxy.Mend()
			return false
		}
	})
	r.disconnect()
	for n := range 2 { // not sent
		_, err := r.b.Put(t.Context(), writes[:n+1]...)
		wantOutcome(t, err, transport.Unavailable, transport.OutcomeNotDone)
	}
}

// On a cluster, a conflict has two codes of the server, and each replica answers reads.
func TestBucketOnACluster(t *testing.T) {
	t.Parallel()
	servers := clustertest.NewLagging(t, 20*time.Millisecond)
	tr, err := natsx.Connect(t.Context(), natsx.Options{URLs: []string{servers[2].ClientURL()}, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	ctx := realtime.Patient(t)
	b := openBucket(t, tr, driver.Config{})
	if n := b.Config().Replicas; n != 3 {
		t.Errorf("%d replicas", n)
	}
	eventually(t, "the replicas to answer", func() bool {
		got, _, err := b.Read(ctx, []string{"none", "at all"})
		if len(got) > 0 || err != nil && transport.CodeOf(err) != transport.Unavailable {
			t.Fatalf("%s, %v", describe(got...), err)
		}
		return err == nil
	})
	checkConflicts(ctx, t, b)
	for i := range 20 { // the leader has what was written
		last := put(t, b, fmt.Sprint("k.", i), "v")
		if r, err := b.Get(ctx, fmt.Sprint("k.", i), 0, true); err != nil || r.Revision != last {
			t.Errorf("%+v, %v", r, err)
		}
		if got := strings.Fields(scan(t, b, driver.Scan{Patterns: []string{"k.*"}})); len(got) != i+1 {
			t.Errorf("after %d writes: %v", i+1, got)
		}
	}
	last := write(t, b, driver.Write{Key: "x"}, driver.Write{Key: "y"}, driver.Write{Key: "z"})
	if got := scan(t, b, driver.Scan{Patterns: []string{"x", "y", "z"}}); got != fmt.Sprintf("%d:x= %d:y= %d:z=", last-2, last-1, last) {
		t.Errorf("got %s", got)
	}
}

// checkConflicts counts with several writers at once.
func checkConflicts(ctx context.Context, t *testing.T, b driver.Bucket) {
	t.Helper()
	const writers, each = 4, 5
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := increment(ctx, b, "n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r, err := b.Get(ctx, "n", 0, true)
	if err != nil || len(r.Value) != writers*each || r.Revision != writers*each {
		t.Fatalf("%+v, %v", r, err)
	}
}

// increment adds a byte to a value, and tries again after a conflict.
func increment(ctx context.Context, b driver.Bucket, key string) error {
	for ctx.Err() == nil {
		old, err := b.Get(ctx, key, 0, false)
		if transport.CodeOf(err) == transport.NotFound {
			old, err = &driver.Record{}, nil
		}
		if err != nil {
			return err
		}
		_, err = b.Put(ctx, driver.Write{Key: key, Value: append(old.Value, '.'), Expect: &old.Revision})
		if transport.CodeOf(err) != transport.Aborted {
			return err
		}
	}
	return ctx.Err()
}
