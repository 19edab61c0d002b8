package natsx_test

import (
	"context"
	"math"
	"testing"

	"gomono.dev/internal/realtime"
	"gomono.dev/kv/driver"
	objects "gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/internal/proxytest"
	"gomono.dev/transport/natsx"
)

// newLossy returns a bucket and a store of objects, with one record and one chunk each, behind a
// proxy that loses the first n messages of each kind on subjects with a prefix.
func newLossy(t *testing.T, prefix string, n int) (*remote, objects.Store) {
	t.Helper()
	r := newRemote(t, driver.Config{}, func(server string) *proxytest.Proxy {
		return proxytest.NewLosing(t, server, prefix, n)
	})
	put(t, r.direct, "k", "v")
	w := openObjects(t, r.admin).Write("u", 0)
	if err := w.Append(t.Context(), objects.Chunk{Data: []byte("c")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, openObjects(t, r.tr)
}

func openObjects(t *testing.T, tr *natsx.Transport) objects.Store {
	t.Helper()
	o, err := tr.Objects().Open(t.Context(), &objects.Config{Name: "o"})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// reads are the reads that any replica answers. They return the number of records or chunks.
func reads(b driver.Bucket, o objects.Store) map[string]func(context.Context) (int, error) {
	found := func(err error) (int, error) {
		if err != nil {
			return 0, err
		}
		return 1, nil
	}
	return map[string]func(context.Context) (int, error){
		"Get": func(ctx context.Context) (int, error) {
			_, err := b.Get(ctx, "k", 0, false)
			return found(err)
		},
		"Get of a revision": func(ctx context.Context) (int, error) {
			_, err := b.Get(ctx, "k", 1, false)
			return found(err)
		},
		"Read": func(ctx context.Context) (int, error) {
			records, _, err := b.Read(ctx, []string{"k", "none"})
			return len(records), err
		},
		"Chunk": func(ctx context.Context) (int, error) {
			_, err := o.Chunk(ctx, "u", 1)
			return found(err)
		},
		"Read of chunks": func(ctx context.Context) (n int, err error) {
			err = o.Read(ctx, "u", 1, func(*objects.Chunk) bool { n++; return true })
			return n, err
		},
	}
}

// A server that loses its replica of a bucket drops the requests that wait there. A read is sent
// again.
func TestLostReads(t *testing.T) {
	t.Parallel()
	r, o := newLossy(t, "$JS.API.DIRECT.GET.", 1)
	for name, read := range reads(r.b, o) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if n, err := read(realtime.Patient(t)); n != 1 || err != nil {
				t.Errorf("%d found, %v", n, err)
			}
		})
	}
}

// A read whose request is lost with its bucket reports that there is none.
func TestLostReadsOfADeletedBucket(t *testing.T) {
	t.Parallel()
	r, o := newLossy(t, "$JS.API.DIRECT.GET.", math.MaxInt)
	deleteAll(t, r.admin)
	for name, read := range reads(r.b, o) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(realtime.Patient(t))
			wantCode(t, err, transport.NotFound, "does not exist")
		})
	}
}

// A write that is lost with its bucket reports that there is none. It may have been stored before.
func TestLostWritesToADeletedBucket(t *testing.T) {
	t.Parallel()
	for prefix, write := range map[string]func(context.Context, driver.Bucket, objects.Store) error{
		"$KV.": func(ctx context.Context, b driver.Bucket, _ objects.Store) error {
			_, err := b.Put(ctx, driver.Write{Key: "k", Expect: revision(1)})
			return err
		},
		"$O.": func(ctx context.Context, _ driver.Bucket, o objects.Store) error {
			w := o.Write("v", 0)
			if err := w.Append(ctx, objects.Chunk{}); err != nil {
				return err
			}
			_, err := w.Flush(ctx)
			return err
		},
	} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			r, o := newLossy(t, prefix, math.MaxInt)
			deleteAll(t, r.admin)
			wantOutcome(t, write(realtime.Patient(t), r.b, o), transport.NotFound, transport.OutcomeUnknown)
		})
	}
}

func deleteAll(t *testing.T, tr *natsx.Transport) {
	t.Helper()
	if err := tr.Buckets().Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := tr.Objects().Delete(t.Context(), "o"); err != nil {
		t.Fatal(err)
	}
}
