package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

const (
	objectSize  = 64 << 20
	storeName   = "bench"
	objectName  = "object"
	objectsKept = 20_000
)

// halfway calls a function when half of an object has gone through it.
type halfway struct {
	io.Reader
	io.Writer
	passed int
	call   func()
}

func (h *halfway) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.pass(n)
	return n, err
}

func (h *halfway) Write(p []byte) (int, error) {
	h.pass(len(p))
	return len(p), nil
}

func (h *halfway) pass(n int) {
	before := h.passed
	if h.passed += n; before < objectSize/2 && h.passed >= objectSize/2 && h.call != nil {
		h.call()
	}
}

// live returns the memory that is in use, in bytes, without garbage.
func live() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// objectSide puts or gets the object once, with a function that is called halfway.
type objectSide func(halfway func()) error

// BenchmarkObject moves 64 MiB up or down, with their digest. The baseline is the object store
// of nats.go. MB is the memory in use beyond the baseline's, when half is done.
func BenchmarkObject(b *testing.B) {
	content := make([]byte, objectSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	for name, connect := range map[string]func(testing.TB, *embedded.Server) *natsx.Transport{"in-process": connect, "tcp": dial} {
		b.Run(name, func(b *testing.B) {
			s, err := embedded.Start(b.Context(), embedded.Options{Dir: b.TempDir(), Listen: "127.0.0.1:0", SyncInterval: time.Minute, Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
			base, store := rawStore(b, connect(b, s)), monoStore(b, connect(b, s))
			baseUp := func(halfway func()) error { return putRaw(b, base, content, halfway) }
			up := func(halfway func()) error { return putMono(b, store, content, halfway) }
			b.Run("up", func(b *testing.B) { contestObjects(b, baseUp, up) })
			b.Run("down", func(b *testing.B) {
				if err := errors.Join(baseUp(nil), up(nil)); err != nil {
					b.Fatal(err)
				}
				contestObjects(b, func(halfway func()) error { return getRaw(b, base, halfway) },
					func(halfway func()) error { return getMono(b, store, halfway) })
			})
		})
	}
}

func rawStore(b *testing.B, tr *natsx.Transport) jetstream.ObjectStore {
	js, err := jetstream.New(conn(b, tr))
	if err != nil {
		b.Fatal(err)
	}
	s, err := js.CreateObjectStore(b.Context(), jetstream.ObjectStoreConfig{Bucket: "raw"})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func monoStore(b *testing.B, tr *natsx.Transport) *objstore.Objects {
	b.Cleanup(func() { _ = tr.Close(context.Background()) })
	s, err := objstore.Connect(b.Context(), tr, objstore.NewStore(storeName))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func putRaw(b *testing.B, s jetstream.ObjectStore, content []byte, call func()) error {
	_, err := s.Put(b.Context(), jetstream.ObjectMeta{Name: objectName}, &halfway{Reader: bytes.NewReader(content), call: call})
	return err
}

func putMono(b *testing.B, s *objstore.Objects, content []byte, call func()) error {
	_, err := s.Put(b.Context(), objectName, &halfway{Reader: bytes.NewReader(content), call: call})
	return err
}

func getRaw(b *testing.B, s jetstream.ObjectStore, call func()) error {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour) // otherwise nats.go sets one of 5 seconds
	defer cancel()
	r, err := s.Get(ctx, objectName)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(&halfway{call: call}, r)
	return complete(n, err)
}

func getMono(b *testing.B, s *objstore.Objects, call func()) error {
	r, err := s.Open(b.Context(), objectName)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(&halfway{call: call}, r)
	return complete(n, err)
}

func complete(n int64, err error) error {
	if err == nil && n != objectSize {
		err = fmt.Errorf("%d bytes, want %d", n, objectSize)
	}
	return err
}

// contestObjects reports the ratio of both sides, and the memory of ours beyond the baseline.
func contestObjects(b *testing.B, baseline, ours objectSide) {
	var more []float64
	memory := func(side objectSide) (bytes float64) {
		if err := side(func() { bytes = live() }); err != nil {
			b.Fatal(err)
		}
		return bytes
	}
	timed := func(side objectSide) time.Duration {
		begun := time.Now()
		if err := side(nil); err != nil {
			b.Fatal(err)
		}
		return time.Since(begun)
	}
	for range 3 {
		before := memory(baseline)
		more = append(more, memory(ours)-before)
	}
	contest(b, objectSize, func() time.Duration { return timed(baseline) }, func() time.Duration { return timed(ours) })
	b.ReportMetric(median(more)/1e6, "MB")
}

// BenchmarkObjectList lists the tenth of 20,000 objects that has a prefix. The baseline is the
// list of all by nats.go.
func BenchmarkObjectList(b *testing.B) {
	s := server(b)
	js := raw(b, s)
	store := monoStore(b, connect(b, s))
	putEntries(b, js)
	contest(b, objectsKept, func() time.Duration {
		from, err := js.ObjectStore(b.Context(), storeName)
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		all, err := from.List(b.Context())
		if err != nil || len(all) != objectsKept {
			b.Fatalf("%d objects, %v", len(all), err)
		}
		return time.Since(begun)
	}, func() time.Duration {
		begun, n := time.Now(), 0
		for _, err := range store.List(b.Context(), objstore.Prefix("7/")) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != objectsKept/10 {
			b.Fatalf("%d objects, want %d", n, objectsKept/10)
		}
		return time.Since(begun)
	})
}

// putEntries stores the entries of empty objects.
func putEntries(b *testing.B, js jetstream.JetStream) {
	for i := range objectsKept {
		name := fmt.Sprintf("%d/object %d", i%10, i)
		data, err := json.Marshal(driver.Entry{Name: name, Bucket: storeName, Upload: "none"})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishAsync("$O."+storeName+".M."+base64URL(name), data); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

func base64URL(name string) string { return base64.URLEncoding.EncodeToString([]byte(name)) }
