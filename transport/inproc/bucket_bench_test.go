package inproc_test

import (
	"fmt"
	"testing"
	"time"

	"gomono.dev/kv/driver"
)

// BenchmarkBucket measures the methods of a bucket with values of 100 bytes.
func BenchmarkBucket(b *testing.B) {
	for _, keys := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) { benchmarkBucket(b, keys) })
	}
}

func benchmarkBucket(b *testing.B, keys int) {
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("sessions.", i)
	}
	value := make([]byte, 100)
	bucket := newBucket(b, driver.Config{History: 2})
	for _, name := range names {
		put(b, bucket, driver.Write{Key: name, Value: value})
	}
	write := func(ttl time.Duration) func(int) error {
		return func(i int) error {
			_, err := bucket.Put(b.Context(), driver.Write{Key: names[i*7919%keys], Value: value, TTL: ttl})
			return err
		}
	}
	measure(b, "Get", func(i int) error {
		_, err := bucket.Get(b.Context(), names[i*7919%keys], 0, true)
		return err
	})
	measure(b, "Put", write(0))
	measure(b, "PutTTL", write(time.Minute))
	measure(b, "Scan", func(int) error {
		n := 0
		err := bucket.Scan(b.Context(), driver.Scan{}, func(*driver.Record) bool { n++; return true })
		if err == nil && n < keys {
			err = fmt.Errorf("got %d of %d keys", n, keys)
		}
		return err
	})
}

func measure(b *testing.B, method string, f func(i int) error) {
	b.Run(method, func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := f(i); err != nil {
				b.Fatal(err)
			}
		}
	})
}
