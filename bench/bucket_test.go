package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/codec"
	"gomono.dev/kv"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// bucketOf is the same for all paths: a get and a put of a flat value, in JSON.
type bucketOf struct {
	get func(ctx context.Context, key string) (flat, error)
	put func(ctx context.Context, key string, v flat) error
}

// bucketPaths are the paths to a value in a bucket. raw is jetstream.KeyValue of nats.go.
var bucketPaths = []struct {
	name string
	open func(b *testing.B) bucketOf
}{
	{"inproc", func(b *testing.B) bucketOf { return monoBucket(b, inproc.New(inproc.Options{})) }},
	{"cached", func(b *testing.B) bucketOf { return monoBucket(b, inproc.New(inproc.Options{}), kv.Cached()) }},
	{"upcast", func(b *testing.B) bucketOf { return oldBucket(b, inproc.New(inproc.Options{})) }},
	{"raw", func(b *testing.B) bucketOf { return rawBucket(b, raw(b, server(b))) }},
	{"nats", func(b *testing.B) bucketOf { return monoBucket(b, connect(b, server(b))) }},
}

func monoBucket(b *testing.B, tr transport.Transport, options ...kv.BucketOption) bucketOf {
	b.Cleanup(func() { _ = tr.Close(context.Background()) })
	bucket, err := kv.Connect(b.Context(), tr, kv.NewBucket[flat]("bench", options...))
	if err != nil {
		b.Fatal(err)
	}
	return bucketOf{
		get: func(ctx context.Context, key string) (flat, error) {
			e, err := bucket.Get(ctx, key)
			return e.Value, err
		},
		put: func(ctx context.Context, key string, v flat) error {
			_, err := bucket.Put(ctx, key, v)
			return err
		},
	}
}

// flatBefore is an older version of flat.
type flatBefore struct {
	ID    string
	Count int
	Price float64
	Paid  bool
}

// oldBucket writes values of the older version, and reads them as new ones.
func oldBucket(b *testing.B, tr transport.Transport) bucketOf {
	bucket := monoBucket(b, tr, kv.Upcasts(codec.Upcast("1", func(v flatBefore) (flat, error) {
		return flat{ID: v.ID, Quantity: v.Count, Price: v.Price, Paid: v.Paid}, nil
	})))
	before, err := kv.Connect(b.Context(), tr, kv.NewBucket[flatBefore]("bench"))
	if err != nil {
		b.Fatal(err)
	}
	bucket.put = func(ctx context.Context, key string, v flat) error {
		_, err := before.Put(ctx, key, flatBefore{v.ID, v.Quantity, v.Price, v.Paid})
		return err
	}
	return bucket
}

func rawBucket(b *testing.B, js jetstream.JetStream) bucketOf {
	bucket, err := js.CreateKeyValue(b.Context(), jetstream.KeyValueConfig{Bucket: "bench", Storage: jetstream.FileStorage, LimitMarkerTTL: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	return bucketOf{
		get: func(ctx context.Context, key string) (v flat, err error) {
			e, err := bucket.Get(ctx, key)
			if err != nil {
				return v, err
			}
			return v, json.Unmarshal(e.Value(), &v)
		},
		put: func(ctx context.Context, key string, v flat) error {
			data, err := json.Marshal(v)
			if err == nil {
				_, err = bucket.Put(ctx, key, data)
			}
			return err
		},
	}
}

// BenchmarkBucket measures one Get or Put at a time, of one of 100 keys.
func BenchmarkBucket(b *testing.B) {
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprintf("user.%d", i)
	}
	for _, path := range bucketPaths {
		b.Run("get/"+path.name, func(b *testing.B) {
			bucket := path.open(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			for i, key := range keys {
				if err := bucket.put(ctx, key, flat{ID: key, Quantity: i}); err != nil {
					b.Fatal(err)
				}
			}
			end := meter(b)
			for i := 0; b.Loop(); i++ {
				if v, err := bucket.get(ctx, keys[i%100]); err != nil || v.Quantity != i%100 {
					b.Fatalf("get %d: %+v, %v", i, v, err)
				}
			}
			end()
		})
		if path.name == "cached" || path.name == "upcast" {
			continue
		}
		b.Run("put/"+path.name, func(b *testing.B) {
			bucket := path.open(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			end := meter(b)
			for i := 0; b.Loop(); i++ {
				if err := bucket.put(ctx, keys[i%100], flat{ID: keys[i%100], Quantity: i}); err != nil {
					b.Fatal(err)
				}
			}
			end()
		})
	}
}

const listed = 100_000

// BenchmarkBucketList lists the values of 100,000 keys, decoded. The baseline watches them.
func BenchmarkBucketList(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	bucket, err := kv.Connect(b.Context(), connect(b, s), kv.NewBucket[flat]("listed"))
	if err != nil {
		b.Fatal(err)
	}
	for i := range listed {
		data, _ := json.Marshal(flat{ID: "user", Quantity: i})
		if _, err := js.PublishAsync(fmt.Sprintf("$KV.listed.user.%d", i), data); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	contest(b, listed, func() time.Duration {
		from, err := js.KeyValue(b.Context(), "listed")
		if err != nil {
			b.Fatal(err)
		}
		begun, n := time.Now(), 0
		w, err := from.WatchAll(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = w.Stop() }()
		for e := range w.Updates() {
			if e == nil {
				break
			}
			var v flat
			if err := json.Unmarshal(e.Value(), &v); err != nil {
				b.Fatal(err)
			}
			n++
		}
		return counted(b, n, begun)
	}, func() time.Duration {
		begun, n := time.Now(), 0
		for _, err := range bucket.List(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		return counted(b, n, begun)
	})
}

func counted(b *testing.B, n int, begun time.Time) time.Duration {
	took := time.Since(begun)
	if n != listed {
		b.Fatalf("listed %d keys, want %d", n, listed)
	}
	return took
}

// BenchmarkBucketWatchers has 1,000 watchers of one bucket, each in a goroutine. It reports the
// consumers at the server, and the memory of the watchers on the heap, without the stacks of
// their goroutines, which are reported beside it.
func BenchmarkBucketWatchers(b *testing.B) {
	const watchers = 1000
	s := server(b)
	js := raw(b, s)
	bucket, err := kv.Connect(b.Context(), connect(b, s), kv.NewBucket[int]("watched"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		heapBefore, stacksBefore := inUse()
		ctx, cancel := context.WithCancel(b.Context())
		ready, ended := make(chan error, watchers), make(chan struct{})
		for range watchers {
			go func() {
				defer func() { ended <- struct{}{} }()
				for e, err := range bucket.Watch(ctx) {
					if e.Kind == kv.EventCurrent {
						ready <- err
					}
				}
			}()
		}
		for range watchers {
			if err := <-ready; err != nil {
				b.Fatal(err)
			}
		}
		heap, stacks := inUse()
		b.ReportMetric(float64(heap-heapBefore)/1e6, "MB")
		b.ReportMetric(float64(stacks-stacksBefore)/1e6, "stacks-MB")
		b.ReportMetric(float64(consumers(b, js, "KV_watched")), "consumers")
		cancel()
		for range watchers {
			<-ended
		}
	}
}

// inUse returns the memory in use, after the collector has shrunk the stacks.
func inUse() (heap, stacks int64) {
	for range 5 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

func consumers(b *testing.B, js jetstream.JetStream, stream string) (n int) {
	s, err := js.Stream(b.Context(), stream)
	if err != nil {
		b.Fatal(err)
	}
	names := s.ConsumerNames(b.Context())
	for name := range names.Name() {
		if !strings.HasPrefix(name, "_") {
			n++
		}
	}
	return n
}
