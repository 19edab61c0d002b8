package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

func open(t testing.TB, options ...objstore.StoreOption) *objstore.Objects {
	t.Helper()
	tr := inproc.New(inproc.Options{})
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

func outcomeOf(err error) transport.Outcome {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.Outcome
	}
	return transport.OutcomeUnknown
}
