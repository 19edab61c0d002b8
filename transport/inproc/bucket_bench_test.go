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
	for _, history := range []int{1, 5} {
		bucket := newBucket(b, driver.Config{History: history})
		for _, name := range names {
			put(b, bucket, driver.Write{Key: name, Value: value})
		}
		run := func(method string, f func(i int) error) {
			b.Run(fmt.Sprintf("%s/history=%d", method, history), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := f(i); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		ctx := b.Context()
		run("Get", func(i int) error {
			_, err := bucket.Get(ctx, names[i*7919%keys], 0, true)
			return err
		})
		run("Put", func(i int) error {
			_, err := bucket.Put(ctx, driver.Write{Key: names[i*7919%keys], Value: value})
			return err
		})
		run("PutTTL", func(i int) error {
			_, err := bucket.Put(ctx, driver.Write{Key: names[i*7919%keys], Value: value, TTL: time.Minute})
			return err
		})
		run("Scan", func(int) error {
			n := 0
			err := bucket.Scan(ctx, driver.Scan{}, func(*driver.Record) bool { n++; return true })
			if err == nil && n < keys {
				err = fmt.Errorf("got %d of %d keys", n, keys)
			}
			return err
		})
	}
}
