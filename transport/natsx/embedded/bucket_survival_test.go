package embedded_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/internal/loopback"
	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	"gomono.dev/transport/natsx"
)

var (
	kills    = flag.Int("conformance.kills", 2, "how often a server is killed under buckets")
	listings = flag.Int("conformance.listings", 40, "how many listings are disturbed")
)

// mortal is a server in a process of its own, with a client that stays.
type mortal struct {
	t        *testing.T
	dir, url string
	process  *process
	tr       *natsx.Transport
}

func newMortal(t *testing.T) *mortal {
	m := &mortal{t: t, dir: t.TempDir(), url: "nats://" + loopback.Free(t)}
	m.start()
	m.tr = m.connect()
	return m
}

func (m *mortal) start() {
	m.process = life(m.t, fact{name: "server"}, m.dir, m.url, "")
	m.process.readLine(m.t)
}

func (m *mortal) kill() { m.process.kill(m.t) }

func (m *mortal) connect() *natsx.Transport {
	tr, err := natsx.Connect(m.t.Context(), natsx.Options{URLs: []string{m.url}, ReconnectWait: 10 * time.Millisecond, Logger: discard})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// await waits until a call succeeds.
func (m *mortal) await(what string, do func(context.Context) error) {
	m.t.Helper()
	ctx := realtime.Patient(m.t)
	realtime.Until(m.t, what, func() bool { return do(ctx) == nil })
}

func (m *mortal) open(c driver.Config) (b driver.Bucket) {
	m.await("the bucket "+c.Name, func(ctx context.Context) (err error) {
		b, err = m.tr.Buckets().Open(ctx, &c)
		return err
	})
	return b
}

// endings are the ways in which a key loses its value. If it has older values without a TTL, and
// nothing is left of the end, the server may bring one of them back (nats-server#8505).
var endings = map[string]ending{
	"purged": {end: func(ctx context.Context, b driver.Bucket, key string) error {
		return mark(ctx, b, key, driver.Purge, false)
	}},
	"deleted": {end: func(ctx context.Context, b driver.Bucket, key string) error {
		return mark(ctx, b, key, driver.Delete, false)
	}},
	"with TTLs": {ttl: time.Second, end: func(context.Context, driver.Bucket, string) error { return nil }},
	"with TTLs then purged and removed": {ttl: time.Second, end: func(ctx context.Context, b driver.Bucket, key string) error {
		return mark(ctx, b, key, driver.Purge, true)
	}},
	"purged and removed": {mayReturn: true, end: func(ctx context.Context, b driver.Bucket, key string) error {
		return mark(ctx, b, key, driver.Purge, true)
	}},
	"deleted and removed": {mayReturn: true, end: func(ctx context.Context, b driver.Bucket, key string) error {
		return mark(ctx, b, key, driver.Delete, true)
	}},
	"replaced by one with a TTL": {mayReturn: true, end: func(ctx context.Context, b driver.Bucket, key string) error {
		_, err := b.Put(ctx, driver.Write{Key: key, Value: []byte("expires"), TTL: time.Second})
		return err
	}},
	"purged with a TTL": {mayReturn: true, end: func(ctx context.Context, b driver.Bucket, key string) error {
		_, err := b.Put(ctx, driver.Write{Key: key, Op: driver.Purge, TTL: time.Second})
		return err
	}},
}

type ending struct {
	ttl       time.Duration // of the values before the end
	mayReturn bool
	end       func(context.Context, driver.Bucket, string) error
}

// mark marks a key as ended, and may remove the mark.
func mark(ctx context.Context, b driver.Bucket, key string, op driver.Op, remove bool) error {
	revision, err := b.Put(ctx, driver.Write{Key: key, Op: op})
	if err == nil && remove {
		err = b.Remove(ctx, key, revision)
	}
	return err
}

// What docs/durability.md says about ended values is correct: over SIGKILLs of the only server,
// a key stays gone, or the cases in which it may come back are stated.
func TestEndedKeysStayGone(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	buckets := []driver.Bucket{m.open(driver.Config{Name: "plain"}), m.open(driver.Config{Name: "history", History: 2})}
	back := make(map[string]int)
	for round := range *kills {
		for _, b := range buckets {
			m.end(b, round)
		}
		for _, b := range buckets {
			m.awaitEnd(b)
		}
		m.kill()
		m.start()
		for _, b := range buckets {
			m.countBack(b, back)
		}
	}
	for what, n := range back {
		if t.Logf("%s: %d values came back in %d kills", what, n, *kills); !endings[what].mayReturn {
			t.Errorf("%s: a value came back", what)
		}
	}
}

// end ends the values of some keys, between writes to keys that stay.
func (m *mortal) end(b driver.Bucket, round int) {
	put := func(key string, ttl time.Duration) {
		m.await("a write", func(ctx context.Context) error {
			_, err := b.Put(ctx, driver.Write{Key: key, Value: []byte("value"), TTL: ttl})
			return err
		})
	}
	for what, is := range endings {
		for i := range 4 {
			key := fmt.Sprintf("%s.%d.%d", strings.ReplaceAll(what, " ", "_"), round, i)
			for range 4 {
				put(key, is.ttl)
				put(fmt.Sprint("kept.", i), 0)
			}
			m.await("the end of a value", func(ctx context.Context) error { return is.end(ctx, b, key) })
		}
	}
}

// awaitEnd waits until no value is about to expire, and no marker of the caller.
func (m *mortal) awaitEnd(b driver.Bucket) {
	m.await("the end of values", func(ctx context.Context) error {
		left := 0
		err := b.Scan(ctx, driver.Scan{}, func(r *driver.Record) bool {
			if r.Op != driver.Expire && r.TTL > 0 {
				left++
			}
			return true
		})
		if err == nil && left > 0 {
			err = fmt.Errorf("%d are left", left)
		}
		return err
	})
}

// countBack counts the values that came back, and removes them.
func (m *mortal) countBack(b driver.Bucket, back map[string]int) {
	kept := 0
	err := b.Scan(realtime.Patient(m.t), driver.Scan{}, func(r *driver.Record) bool {
		what, _, _ := strings.Cut(strings.ReplaceAll(r.Key, "_", " "), ".")
		switch {
		case what == "kept" && r.Op == driver.Put:
			kept++
		case r.Op == driver.Put && r.TTL == 0:
			back[what]++
			m.await("a mark", func(ctx context.Context) error { return mark(ctx, b, r.Key, driver.Purge, false) })
		}
		return true
	})
	if err != nil || kept != 4 {
		m.t.Errorf("bucket %s: %d keys, %v", b.Config().Name, kept, err)
	}
}

// A listing is complete or ends with an error, while the server is killed, connections break
// and contexts end.
func TestListingsAreComplete(t *testing.T) {
	t.Parallel()
	m := newMortal(t)
	const n = 700 // more than a reader has in advance
	b := m.open(driver.Config{Name: "b"})
	for i := range n {
		m.await("a write", func(ctx context.Context) error {
			_, err := b.Put(ctx, driver.Write{Key: fmt.Sprint(i), Value: []byte("value")})
			return err
		})
	}
	var complete [4]atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	for kind := range complete {
		tr := m.connect()
		b, err := tr.Buckets().Open(realtime.Patient(t), &driver.Config{Name: "b", Existing: true})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for range (*listings + 3) / 4 {
				if listDisturbed(t, tr, b, kind, n) {
					complete[kind].Add(1)
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	m.killUntil(done)
	for kind := range complete {
		t.Logf("kind %d: %d of %d listings were complete, the others had an error", kind, complete[kind].Load(), *listings/4)
	}
}

// killUntil kills the server again and again. It starts the last one.
func (m *mortal) killUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(rand.N(300 * time.Millisecond)):
			m.kill()
			m.start()
		}
	}
}

// listDisturbed lists the keys, and reports whether it got all. Its context ends, its
// connection breaks, or only the server ends.
func listDisturbed(t *testing.T, tr *natsx.Transport, b driver.Bucket, kind, n int) (complete bool) {
	ctx, cancel := context.WithCancel(realtime.Patient(t))
	defer cancel()
	if kind == 0 {
		ctx, cancel = context.WithTimeout(ctx, rand.N(20*time.Millisecond))
		defer cancel()
	}
	at := rand.N(n)
	var keys []string
	err := b.Scan(ctx, driver.Scan{}, func(r *driver.Record) bool {
		switch keys = append(keys, r.Key); {
		case len(keys) != at:
		case kind == 1:
			cancel()
		case kind == 2:
			nc, _ := natsx.Conn(tr)
			_ = nc.ForceReconnect()
		}
		return true
	})
	slices.Sort(keys)
	if keys = slices.Compact(keys); err == nil && len(keys) != n {
		t.Errorf("listed %d of %d keys without an error", len(keys), n)
	}
	if err != nil && kind > 1 {
		t.Errorf("a listing ended with %v, although it could wait for the server", err)
	}
	return err == nil
}
