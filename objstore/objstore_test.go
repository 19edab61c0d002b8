package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx/embedded"
)

func open(t testing.TB, options ...objstore.StoreOption) *objstore.Objects {
	t.Helper()
	var tr transport.Transport = inproc.New(inproc.Options{})
	if os.Getenv("NATS") != "" {
		server, err := embedded.Start(t.Context(), embedded.Options{Memory: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Shutdown(context.Background()) })
		if tr, err = server.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { tr.Close(context.Background()) })
	o, err := objstore.Connect(t.Context(), tr, objstore.NewStore("files", options...))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func wantCode(t testing.TB, err error, want transport.Code) {
	t.Helper()
	if got := transport.CodeOf(err); got != want {
		t.Fatalf("error %v has the code %q, want %q", err, got, want)
	}
}

func TestSizes(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	for _, n := range []int{0, 1, 9, 10, 11, 20, 25, 1000} {
		want := content(n)
		is, err := o.Put(t.Context(), "a", iotest.OneByteReader(bytes.NewReader(want)))
		if err != nil || is.Size != int64(n) {
			t.Fatalf("%d bytes: %+v, %v", n, is, err)
		}
		got, info, err := o.ReadAll(t.Context(), "a")
		if err != nil || !bytes.Equal(got, want) || info.Digest != is.Digest || info.Revision != is.Revision {
			t.Fatalf("%d bytes: %d bytes, %+v, %v", n, len(got), info, err)
		}
		f, err := o.Open(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(f, want); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	is, err := o.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	after, err := o.Status(t.Context())
	if err != nil || after.Bytes >= is.Bytes-1000 {
		t.Errorf("%d bytes are left of %d, %v", after.Bytes, is.Bytes, err)
	}
	_, err = o.Stat(t.Context(), "a")
	wantCode(t, err, transport.NotFound)
}

func TestFailures(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	if _, err := o.PutBytes(t.Context(), "a", []byte("before")); err != nil {
		t.Fatal(err)
	}
	is, _ := o.Status(t.Context())
	broken := errors.New("broken")
	_, err := o.Put(t.Context(), "a", io.MultiReader(strings.NewReader(strings.Repeat("x", 95)), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || outcomeOf(err) != transport.OutcomeNotDone {
		t.Errorf("error %v", err)
	}
	_, err = o.Put(t.Context(), "a", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a truncated content: %v", err)
	}
	_, err = o.PutBytes(t.Context(), "a", content(95), objstore.Size(94))
	wantCode(t, err, transport.InvalidArgument)
	_, err = o.PutBytes(t.Context(), "a", content(95), objstore.IfAbsent())
	wantCode(t, err, transport.AlreadyExists)
	_, err = o.PutBytes(t.Context(), "a", content(95), objstore.IfRevision(77))
	wantCode(t, err, transport.Aborted)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, err = o.PutBytes(ctx, "a", content(95), objstore.Progress(func(int64) {
		if n++; n == 3 {
			cancel()
		}
	}))
	wantCode(t, err, transport.Canceled)
	got, _, err := o.ReadAll(t.Context(), "a")
	if string(got) != "before" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if after, _ := o.Status(t.Context()); after.Bytes != is.Bytes {
		t.Errorf("%d bytes, %d before", after.Bytes, is.Bytes)
	}
}

func TestConcurrentPuts(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	started, finish := make(chan struct{}), make(chan struct{})
	slow := make(chan error, 1)
	go func() {
		_, err := o.Put(t.Context(), "a", io.MultiReader(bytes.NewReader(content(50)), readerFunc(func([]byte) (int, error) {
			close(started)
			<-finish
			return 0, io.EOF
		})))
		slow <- err
	}()
	<-started
	if _, err := o.PutBytes(t.Context(), "a", []byte("winner")); err != nil {
		t.Fatal(err)
	}
	is, _ := o.Status(t.Context())
	close(finish)
	wantCode(t, <-slow, transport.Aborted)
	if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != "winner" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if after, _ := o.Status(t.Context()); after.Bytes >= is.Bytes {
		t.Errorf("%d bytes, %d while the other Put was going on", after.Bytes, is.Bytes)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestOvertakenReader(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	must := func(is objstore.Info, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(o.PutBytes(t.Context(), "a", content(10_000))) // more than a reader fetches ahead
	fresh, err := o.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	begun, err := o.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(begun, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	must(o.PutBytes(t.Context(), "a", []byte("new")))
	if got, err := io.ReadAll(fresh); string(got) != "new" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	_, err = io.ReadAll(begun)
	wantCode(t, err, transport.Aborted)
}

// A reader may be as slow as it likes: a context without a deadline never ends a download.
func TestSlowDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, objstore.ChunkSize(1000))
		want := content(100_000)
		if _, err := o.PutBytes(t.Context(), "a", want); err != nil {
			t.Fatal(err)
		}
		f, err := o.Open(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var got bytes.Buffer
		for {
			_, err := io.CopyN(&got, f, 1000)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Hour)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("read %d bytes, want %d", got.Len(), len(want))
		}
	})
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, objstore.ChunkSize(10))
		if _, err := o.PutBytes(t.Context(), "kept", content(100)); err != nil {
			t.Fatal(err)
		}
		wait, failed := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := o.Put(t.Context(), "slow", io.MultiReader(bytes.NewReader(content(50)), readerFunc(func([]byte) (int, error) {
				<-wait
				return 0, io.EOF
			})))
			failed <- err
		}()
		synctest.Wait()
		<-time.After(time.Hour)
		if swept, err := o.Sweep(t.Context(), 2*time.Hour); swept.Uploads != 0 || err != nil {
			t.Errorf("swept %+v, %v", swept, err)
		}
		if swept, err := o.Sweep(t.Context(), time.Minute); swept != (objstore.Swept{Uploads: 1, Chunks: 4}) || err != nil {
			t.Errorf("swept %+v, %v", swept, err)
		}
		close(wait)
		wantCode(t, <-failed, transport.FailedPrecondition)
		if _, _, err := o.ReadAll(t.Context(), "kept"); err != nil {
			t.Error(err)
		}
	})
}

// A Copy whose object is replaced has no content of one version with the description of another.
func TestCopyOfAReplacedObject(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	put := func(n int, options ...objstore.PutOption) {
		t.Helper()
		if _, err := o.PutBytes(t.Context(), "a", content(n), options...); err != nil {
			t.Fatal(err)
		}
	}
	put(100, objstore.Description("old"))
	replace := objstore.Progress(func(int64) { put(100) })
	_, err := o.Copy(t.Context(), "a", "b", replace)
	wantCode(t, err, transport.Aborted)
	_, err = o.Copy(t.Context(), "a", "a", replace, objstore.ContentType("text/plain"))
	wantCode(t, err, transport.Aborted)
	_, err = o.Stat(t.Context(), "b")
	wantCode(t, err, transport.NotFound)
}

func TestRename(t *testing.T) {
	o := open(t)
	if _, err := o.PutBytes(t.Context(), "a", []byte("content"), objstore.ContentType("text/plain"), objstore.Metadata("k", "v")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Copy(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	_, err := o.Rename(t.Context(), "a", "b")
	wantCode(t, err, transport.AlreadyExists)
	if _, err := o.Rename(t.Context(), "a", "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Update(t.Context(), "c", func(is *objstore.Info) error { is.Description = "d"; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b", "c"} {
		got, is, err := o.ReadAll(t.Context(), name)
		if string(got) != "content" || is.ContentType != "text/plain" || is.Metadata["k"] != "v" || err != nil {
			t.Errorf("%s: %q %+v, %v", name, got, is, err)
		}
	}
	n := 0
	for range o.List(t.Context()) {
		n++
	}
	if n != 2 {
		t.Errorf("%d objects", n)
	}
}

func outcomeOf(err error) transport.Outcome {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Outcome
	}
	return transport.OutcomeUnknown
}
