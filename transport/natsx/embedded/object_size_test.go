package embedded_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport"
)

var (
	objectSize = flag.Int64("conformance.objectsize", 16, "the size of a large object, in MiB")
	slowRead   = flag.Duration("conformance.slowread", 100*time.Millisecond, "how long a slow download takes")
)

// A large object goes to three members, and comes back from another one with its digest.
func TestLargeObjectInACluster(t *testing.T) {
	t.Parallel()
	nodes := openCluster(t)
	s := objstore.NewStore("large", objstore.Replicas(3))
	var stores [3]*objstore.Objects
	for i, tr := range nodes {
		realtime.Until(t, "the store", func() bool {
			var err error
			stores[i], err = objstore.Connect(realtime.Patient(t), tr, s)
			return err == nil
		})
	}
	size := *objectSize << 20
	content := io.LimitReader(rand.NewChaCha8([32]byte{1}), size)
	sent := sha256.New()
	is, err := stores[0].Put(t.Context(), "object", io.TeeReader(content, sent), objstore.Size(size))
	if err != nil {
		t.Fatal(err)
	}
	want := "SHA-256=" + base64.URLEncoding.EncodeToString(sent.Sum(nil))
	if is.Digest != want || is.Size != size {
		t.Errorf("stored %d bytes with the digest %s, want %d with %s", is.Size, is.Digest, size, want)
	}
	var f *objstore.Object
	realtime.Until(t, "another process sees the object", func() bool {
		f, err = stores[1].Open(t.Context(), "object")
		if err != nil && transport.CodeOf(err) != transport.NotFound {
			t.Fatal(err)
		}
		return err == nil
	})
	defer f.Close()
	received := sha256.New()
	n, err := f.WriteTo(received)
	if got := received.Sum(nil); n != size || err != nil || !bytes.Equal(got, sent.Sum(nil)) {
		t.Errorf("read %d bytes with the digest %x, %v", n, got, err)
	}
}

// The last byte of an object with as many chunks as a gibibyte takes at most 5 requests. If its
// chunks were stored among those of another object, bisection finds the last one.
func TestRequestsForTheLastByte(t *testing.T) {
	t.Parallel()
	f := filesInProcess(t)
	const chunks = 8192
	content := bytes.Repeat([]byte("0123456789"), chunks)
	put := func(name string, r io.Reader) {
		if _, err := f.Put(t.Context(), name, r, objstore.ChunkSize(10)); err != nil {
			t.Error(err)
		}
	}
	put("alone", bytes.NewReader(content))
	var wg sync.WaitGroup
	for _, name := range []string{"first", "second"} {
		wg.Go(func() { put(name, polite{bytes.NewReader(content)}) })
	}
	wg.Wait()
	for name, limit := range map[string]uint64{"alone": 5, "first": 5 + 2*13, "second": 5 + 2*13} {
		before := f.tr.Conn().Stats().OutMsgs
		r, err := f.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		last := make([]byte, 1)
		if _, err := r.ReadAt(last, int64(len(content)-1)); err != nil || last[0] != '9' {
			t.Errorf("%s: read %q, %v", name, last, err)
		}
		n := f.tr.Conn().Stats().OutMsgs - before
		if t.Logf("%s: %d requests", name, n); n > limit {
			t.Errorf("%s: %d requests, want at most %d", name, n, limit)
		}
		_ = r.Close()
	}
}

// polite is a reader that lets other goroutines read first.
type polite struct{ io.Reader }

// Read implements [io.Reader].
func (p polite) Read(b []byte) (int, error) {
	runtime.Gosched()
	return p.Reader.Read(b)
}

// A slow reader with a context without a deadline gets all.
func TestSlowDownload(t *testing.T) {
	t.Parallel()
	f := filesInProcess(t)
	content := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content)
	if _, err := f.PutBytes(t.Context(), "object", content, objstore.ChunkSize(objstore.DefaultChunkSize)); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(context.Background(), "object")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const parts = 100
	var got []byte
	for range parts {
		part := make([]byte, (len(content)+parts-1)/parts)
		n, err := io.ReadFull(r, part)
		if got = append(got, part[:n]...); err != nil && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		<-time.After(*slowRead / parts)
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, and then %d, %v", len(got), len(rest), err)
	}
}
