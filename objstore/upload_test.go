package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

func begin(t *testing.T, o *objstore.Objects, name string, options ...objstore.PutOption) *objstore.Upload {
	t.Helper()
	u, err := o.Begin(t.Context(), name, time.Hour, options...)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func resume(t *testing.T, o *objstore.Objects, token string) *objstore.Upload {
	t.Helper()
	u, err := o.Resume(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func appendTo(t *testing.T, u *objstore.Upload, content []byte) {
	t.Helper()
	if n, err := u.Append(t.Context(), bytes.NewReader(content)); n != int64(len(content)) || err != nil {
		t.Fatalf("appended %d of %d bytes, %v", n, len(content), err)
	}
}

// TestUploadSizes uploads in pieces, and resumes before each of them and the end.
func TestUploadSizes(t *testing.T) {
	for _, size := range []int{0, 1, 9, 10, 11, 20, 25, 100, 123} {
		for _, piece := range []int{1, 7, 10, 30, 200} {
			o := open(t, objstore.ChunkSize(10))
			want := content(size)
			u := begin(t, o, "a", objstore.ContentType("text/plain"), objstore.Metadata("k", "v"), objstore.Size(int64(size)))
			for at := 0; at < size; at += piece {
				u = resume(t, o, u.Token())
				if u.Offset() != int64(at) || u.Size() != int64(size) || u.Name() != "a" {
					t.Fatalf("size %d, piece %d: resumed at %d, want %d: %+v", size, piece, u.Offset(), at, u)
				}
				appendTo(t, u, want[at:min(at+piece, size)])
			}
			u = resume(t, o, u.Token())
			is, err := u.Finish(t.Context())
			if err != nil {
				t.Fatalf("size %d, piece %d: %v", size, piece, err)
			}
			got, read, err := o.ReadAll(t.Context(), "a")
			if err != nil || !bytes.Equal(got, want) || read.Digest != is.Digest || read.ContentType != "text/plain" || read.Metadata["k"] != "v" {
				t.Fatalf("size %d, piece %d: %d bytes, %+v, %v", size, piece, len(got), read, err)
			}
			f, err := o.Open(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(f, want); err != nil {
				t.Errorf("size %d, piece %d: %v", size, piece, err)
			}
			if swept, err := o.Sweep(t.Context(), 0); swept.Uploads != 0 || err != nil {
				t.Errorf("size %d, piece %d: swept %+v, %v", size, piece, swept, err)
			}
		}
	}
}

// TestUploadOfKilledProcess resumes an upload of which only whole chunks are stored, since its
// process was killed in the middle of an Append.
func TestUploadOfKilledProcess(t *testing.T) {
	o, s := openDriver(t, objstore.ChunkSize(10))
	want := content(95)
	u := begin(t, o, "a")
	appendTo(t, u, want[:60])
	tamper(t, s, func(c []driver.Chunk) []driver.Chunk {
		for i := range c[1:] {
			c[i+1].Header = nil
		}
		return c[:5]
	})
	u = resume(t, o, u.Token())
	if u.Offset() != 50 {
		t.Fatalf("resumed at %d, want 50", u.Offset())
	}
	appendTo(t, u, want[50:])
	if _, err := u.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _, err := o.ReadAll(t.Context(), "a"); !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestUploadOfFailingReader(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	want := content(95)
	u := begin(t, o, "a", objstore.Size(95))
	broken := errors.New("broken")
	n, err := u.Append(t.Context(), io.MultiReader(bytes.NewReader(want[:33]), iotest.ErrReader(broken)))
	if n != 33 || !errors.Is(err, broken) {
		t.Errorf("%d bytes, %v", n, err)
	}
	_, err = u.Finish(t.Context())
	wantCode(t, err, transport.InvalidArgument) // not the declared size
	ctx, cancel := context.WithCancel(t.Context())
	u = resume(t, o, u.Token())
	n, err = u.Append(ctx, io.MultiReader(bytes.NewReader(want[33:80]), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, errors.New("cut")
	})))
	if n != 47 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	_, err = u.Append(ctx, strings.NewReader("x"))
	wantCode(t, err, transport.Canceled)
	n, err = u.Append(t.Context(), bytes.NewReader(append(want[80:95:95], 'x')))
	if n != 15 || transport.CodeOf(err) != transport.InvalidArgument {
		t.Errorf("%d bytes, %v", n, err)
	}
	u = resume(t, o, u.Token())
	if _, err = u.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _, err := o.ReadAll(t.Context(), "a"); !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestUploadFinished resumes an upload that is finished.
func TestUploadFinished(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	u := begin(t, o, "a")
	appendTo(t, u, content(25))
	is, err := u.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u = resume(t, o, u.Token())
	if u.Offset() != 25 {
		t.Errorf("offset %d", u.Offset())
	}
	if again, err := u.Finish(t.Context()); again.Revision != is.Revision || err != nil {
		t.Errorf("finished again: %+v, %v, want %+v", again, err, is)
	}
	_, err = u.Append(t.Context(), strings.NewReader("x"))
	wantCode(t, err, transport.FailedPrecondition)
	wantCode(t, u.Cancel(t.Context()), transport.FailedPrecondition)
	if _, err := o.Rename(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	u = resume(t, o, u.Token())
	wantCode(t, u.Cancel(t.Context()), transport.FailedPrecondition)
	_, err = u.Finish(t.Context())
	wantCode(t, err, transport.NotFound)
	if got, _, err := o.ReadAll(t.Context(), "b"); !bytes.Equal(got, content(25)) || err != nil {
		t.Errorf("after Cancel: %d bytes, %v", len(got), err)
	}
}

func TestUploadCancel(t *testing.T) {
	o, s := openDriver(t, objstore.ChunkSize(10))
	u := begin(t, o, "a")
	appendTo(t, u, content(25))
	if err := u.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	for left := range s.Uploads(t.Context()) {
		t.Errorf("%d chunks are left", left.Chunks)
	}
	_, err := u.Append(t.Context(), strings.NewReader("x"))
	wantCode(t, err, transport.FailedPrecondition)
	_, err = o.Resume(t.Context(), u.Token())
	wantCode(t, err, transport.NotFound)
}

// TestUploadTwoWriters continues one upload twice.
func TestUploadTwoWriters(t *testing.T) {
	for _, n := range []int{0, 5, 10, 25, 30} {
		o := open(t, objstore.ChunkSize(10))
		first := begin(t, o, "a")
		appendTo(t, first, bytes.Repeat([]byte("-"), n))
		second := resume(t, o, first.Token())
		third := resume(t, o, first.Token())
		appendTo(t, first, bytes.Repeat([]byte("1"), 25))
		_, err := second.Append(t.Context(), strings.NewReader(strings.Repeat("2", 25)))
		wantCode(t, err, transport.FailedPrecondition)
		_, err = second.Finish(t.Context())
		wantCode(t, err, transport.FailedPrecondition)
		_, err = third.Finish(t.Context())
		wantCode(t, err, transport.FailedPrecondition)
		wantCode(t, resume(t, o, first.Token()).Cancel(canceled(t)), transport.Canceled)
		if _, err := first.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := strings.Repeat("-", n) + strings.Repeat("1", 25)
		if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != want || err != nil {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestUploadConditions(t *testing.T) {
	o := open(t)
	u := begin(t, o, "a", objstore.IfAbsent())
	appendTo(t, u, []byte("new"))
	putNames(t, o, "a")
	_, err := u.Finish(t.Context())
	wantCode(t, err, transport.AlreadyExists)
	_, err = o.Begin(t.Context(), "a", time.Hour, objstore.IfAbsent())
	wantCode(t, err, transport.AlreadyExists)
	is, _ := o.Stat(t.Context(), "a")
	same := begin(t, o, "a", objstore.IfDigest(is.Digest))
	appendTo(t, same, []byte("newer"))
	if err := o.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	_, err = resume(t, o, same.Token()).Finish(t.Context())
	wantCode(t, err, transport.Aborted)
	if _, err := resume(t, o, u.Token()).Finish(t.Context()); err != nil { // the condition holds again
		t.Fatal(err)
	}
	if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != "new" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestUploadExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, s := openDriver(t, objstore.ChunkSize(10))
		u := begin(t, o, "a")
		appendTo(t, u, content(25))
		empty := begin(t, o, "b")
		<-time.After(59 * time.Minute)
		if swept, err := o.Sweep(t.Context(), 0); swept.Uploads != 0 || err != nil {
			t.Errorf("swept %+v, %v", swept, err)
		}
		appendTo(t, resume(t, o, empty.Token()), content(1))
		u = resume(t, o, u.Token())
		<-time.After(time.Minute)
		_, err := u.Append(t.Context(), strings.NewReader("x"))
		wantCode(t, err, transport.FailedPrecondition)
		_, err = u.Finish(t.Context())
		wantCode(t, err, transport.FailedPrecondition)
		_, err = o.Resume(t.Context(), u.Token())
		wantCode(t, err, transport.FailedPrecondition)
		if swept, err := o.Sweep(t.Context(), 0); swept.Uploads != 2 || err != nil {
			t.Errorf("swept %+v, %v", swept, err)
		}
		for left := range s.Uploads(t.Context()) {
			t.Errorf("%d chunks are left", left.Chunks)
		}
		_, err = o.Resume(t.Context(), u.Token())
		wantCode(t, err, transport.NotFound)
	})
}

// TestUploadTTL has chunks that must live for as long as the object.
func TestUploadTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, objstore.ChunkSize(10))
		u := begin(t, o, "a", objstore.TTL(time.Minute))
		appendTo(t, u, content(15))
		<-time.After(30 * time.Minute)
		appendTo(t, u, content(15))
		if _, err := u.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(59 * time.Second)
		if got, _, err := o.ReadAll(t.Context(), "a"); len(got) != 30 || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		<-time.After(time.Second)
		_, err := o.Stat(t.Context(), "a")
		wantCode(t, err, transport.NotFound)
	})
}

// TestUploadStoreTTL has a store whose chunks expire while the upload goes on.
func TestUploadStoreTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := open(t, objstore.ChunkSize(10), objstore.TTL(time.Minute))
		u := begin(t, o, "a")
		if left := time.Until(u.Expires()); left != time.Minute {
			t.Errorf("the upload has %v", left)
		}
		appendTo(t, u, content(15))
		<-time.After(30 * time.Second)
		appendTo(t, u, content(15))
		if _, err := u.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(29 * time.Second)
		if got, _, err := o.ReadAll(t.Context(), "a"); len(got) != 30 || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		<-time.After(time.Second)
		_, err := o.Stat(t.Context(), "a")
		wantCode(t, err, transport.NotFound)
	})
}

func TestUploadArguments(t *testing.T) {
	o := open(t)
	for _, begin := range []func() (*objstore.Upload, error){
		func() (*objstore.Upload, error) { return o.Begin(t.Context(), "", time.Hour) },
		func() (*objstore.Upload, error) { return o.Begin(t.Context(), "a", 0) },
		func() (*objstore.Upload, error) { return o.Begin(t.Context(), "a", time.Hour, nil) },
		func() (*objstore.Upload, error) { return o.Begin(t.Context(), "a", time.Hour, objstore.Size(-1)) },
		func() (*objstore.Upload, error) {
			return o.Begin(t.Context(), "a", time.Hour, objstore.Description(strings.Repeat("x", 2<<20)))
		},
	} {
		_, err := begin()
		wantCode(t, err, transport.InvalidArgument)
	}
}

func TestResumeOfOtherChunks(t *testing.T) {
	o, s := openDriver(t)
	u := begin(t, o, "a")
	for name, header := range map[string]transport.Header{
		"no header": nil, "no JSON": {{Name: "Mono-Upload", Value: "{"}},
		"no name":    {{Name: "Mono-Upload", Value: `{"chunk":10}`}},
		"no size":    {{Name: "Mono-Upload", Value: `{"name":"a"}`}},
		"huge chunk": {{Name: "Mono-Upload", Value: `{"name":"a","chunk":1000000000000}`}},
	} {
		tamper(t, s, func([]driver.Chunk) []driver.Chunk { return []driver.Chunk{{Data: []byte("x"), Header: header}} })
		if _, err := o.Resume(t.Context(), u.Token()); transport.CodeOf(err) != transport.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	plan := transport.Header{{Name: "Mono-Upload", Value: `{"name":"a","size":-1,"chunk":2,"expires":"3000-01-01T00:00:00Z"}`}}
	for _, state := range []string{"", "{", `{"index":-1}`, `{"index":1000000000000,"final":true}`, `{"digest":"AAAA"}`} {
		tamper(t, s, func([]driver.Chunk) []driver.Chunk {
			return []driver.Chunk{{Data: []byte("xx"), Header: plan}, {Data: []byte("y"), Header: transport.Header{{Name: "Mono-Upload-State", Value: state}}}}
		})
		if u, err := o.Resume(t.Context(), u.Token()); err != nil || u.Offset() != 3 {
			t.Errorf("%s: %v", state, err)
		}
	}
	for _, chunks := range [][]driver.Chunk{
		{{Data: []byte("x"), Header: plan}, {Data: []byte("y")}},
		{{Data: []byte("xx"), Header: plan}, {Data: []byte("yyy")}},
		{{Data: []byte("xxx"), Header: plan}},
	} {
		tamper(t, s, func([]driver.Chunk) []driver.Chunk { return chunks })
		_, err := o.Resume(t.Context(), u.Token())
		wantCode(t, err, transport.DataLoss)
	}
}

// TestUploadExistsDuringAppend resumes an upload while its first bytes arrive, and while more
// bytes come to a last chunk that is not full.
func TestUploadExistsDuringAppend(t *testing.T) {
	o := open(t, objstore.ChunkSize(4))
	u, err := o.Begin(t.Context(), "a", time.Hour)
	must(t, err)
	for want := int64(0); want <= 6; want += 3 {
		content := strings.NewReader("abc")
		_, err := u.Append(t.Context(), readerFunc(func(p []byte) (int, error) {
			other, err := o.Resume(t.Context(), u.Token())
			must(t, err)
			if content.Len() == 3 && other.Offset() != want {
				t.Errorf("offset %d, want %d", other.Offset(), want)
			}
			return content.Read(p)
		}))
		must(t, err)
	}
	_, err = u.Finish(t.Context())
	must(t, err)
	if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != "abcabcabc" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func FuzzToken(f *testing.F) {
	o := open(f)
	u, err := o.Begin(f.Context(), "a", time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(u.Token())
	for _, token := range []string{"", "x", "MS5maWxlcy4", u.Token() + "A", u.Token()[1:], "MS5maWxlcy4-", "////"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		is, err := o.Resume(t.Context(), token)
		if token == u.Token() {
			if err != nil || is.Name() != "a" {
				t.Errorf("resumed %v, %v", is, err)
			}
			return
		}
		wantCode(t, err, transport.NotFound)
	})
}
