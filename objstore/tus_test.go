package objstore_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gomono.dev/internal/realtime"
	kv "gomono.dev/kv/driver"
	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
)

const (
	tus     = "Tus-Resumable: 1.0.0\n"
	patch   = tus + "Content-Type: application/offset+octet-stream\n"
	hundred = 100
)

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// create begins an upload of an object, and returns the query of its URL.
func create(t *testing.T, h http.Handler, name string, size int) (query string) {
	t.Helper()
	r := request{name: "create", method: "POST", path: name, header: fmt.Sprintf("%sUpload-Length: %d", tus, size), status: 201}
	at, err := url.Parse(r.run(t, h).Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return "\nQuery: ?" + at.RawQuery
}

func TestTus(t *testing.T) {
	o := open(t, objstore.ChunkSize(10))
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	want := string(content(95))
	q := create(t, h, "d/a", 95)
	for _, r := range []request{
		{name: "no object yet", path: "d/a", status: 404, content: notFound},
		{name: "offset 0", method: "HEAD", path: "d/a", header: tus + q, status: 200, want: "Upload-Offset: 0\nUpload-Length: 95\nCache-Control: no-store\nTus-Resumable: 1.0.0"},
		{name: "first", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 0" + q, body: want[:33], status: 204, want: "Upload-Offset: 33"},
		{name: "offset", method: "HEAD", path: "/d/a", header: tus + q, status: 200, want: "Upload-Offset: 33"},
		{name: "wrong offset", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 32" + q, body: "x", status: 409, content: "Conflict\n"},
		{name: "bad offset", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: -1" + q, body: "x", status: 400, content: badRequest},
		{name: "wrong type", method: "PATCH", path: "d/a", header: tus + "Upload-Offset: 33" + q, body: "x", status: 415, content: "*"},
		{name: "no version", method: "PATCH", path: "d/a", header: "Upload-Offset: 33" + q, body: "x", status: 412, want: "Tus-Version: 1.0.0", content: "*"},
		{name: "too much", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 33" + q, body: want, status: 413, content: "*"},
		{name: "other object", method: "PATCH", path: "d/b", header: patch + "Upload-Offset: 33" + q, body: "x", status: 404, content: notFound},
		{name: "other directory", method: "HEAD", path: "d/../d/a", header: tus + q, status: 400, content: badRequest},
		{name: "garbage", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 33\nQuery: ?upload=x", body: "x", status: 404, content: notFound},
		{name: "no token", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 33", body: "x", status: 405, want: "Allow: GET, HEAD, DELETE, OPTIONS, POST, PATCH", content: "*"},
		{name: "DELETE of the object", method: "DELETE", path: "d/a", header: tus, status: 405, content: "*"},
		{name: "override", method: "POST", path: "d/a", header: patch + "X-HTTP-Method-Override: PATCH\nUpload-Offset: 33" + q, body: want[33:40], status: 204, want: "Upload-Offset: 40"},
		{name: "last", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 40" + q, body: want[40:], status: 204, want: "Upload-Offset: 95\nUpload-Expires: -"},
		{name: "finished", method: "HEAD", path: "d/a", header: tus + q, status: 200, want: "Upload-Offset: 95\nUpload-Length: 95"},
		{name: "nothing more", method: "PATCH", path: "d/a", header: patch + "Upload-Offset: 95" + q, status: 204, want: "Upload-Offset: 95"},
		{name: "termination after the end", method: "DELETE", path: "d/a", header: tus + q, status: 410, content: "Gone\n"},
		{name: "the object", path: "d/a", status: 200, content: want},
	} {
		r.run(t, h)
	}
}

func TestTusCreation(t *testing.T) {
	o := open(t)
	putNames(t, o, "there")
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	for _, r := range []request{
		{name: "options", method: "OPTIONS", path: "", status: 204,
			want: "Tus-Version: 1.0.0\nTus-Resumable: 1.0.0\nTus-Max-Size: 100\nTus-Extension: creation,creation-with-upload,expiration,termination,checksum\nTus-Checksum-Algorithm: sha1,sha256,md5"},
		{name: "no length", method: "POST", path: "a", header: tus, status: 400, content: badRequest},
		{name: "deferred length", method: "POST", path: "a", header: tus + "Upload-Defer-Length: 1", status: 400, content: badRequest},
		{name: "negative length", method: "POST", path: "a", header: tus + "Upload-Length: -1", status: 400, content: badRequest},
		{name: "too long", method: "POST", path: "a", header: tus + "Upload-Length: 101", status: 413, content: "*"},
		{name: "no version", method: "POST", path: "a", header: "Upload-Length: 1", status: 412, content: "*"},
		{name: "no file name", method: "POST", path: "", header: tus + "Upload-Length: 1", status: 400, content: badRequest},
		{name: "up", method: "POST", path: "d/", header: tus + "Upload-Length: 1\nUpload-Metadata: filename " + b64("../x"), status: 400, content: badRequest},
		{name: "absolute", method: "POST", path: "", header: tus + "Upload-Length: 1\nUpload-Metadata: filename " + b64("//host/x"), status: 400, content: badRequest},
		{name: "bad metadata", method: "POST", path: "a", header: tus + "Upload-Length: 1\nUpload-Metadata: filename !", status: 400, content: badRequest},
		{name: "bad UTF-8", method: "POST", path: "a", header: tus + "Upload-Length: 1\nUpload-Metadata: k " + b64("\xff"), status: 400, content: badRequest},
		{name: "metadata twice", method: "POST", path: "a", header: tus + "Upload-Length: 1\nUpload-Metadata: k,k", status: 400, content: badRequest},
		{name: "long metadata", method: "POST", path: "a", header: tus + "Upload-Length: 1\nUpload-Metadata: k " + b64(strings.Repeat("x", 4<<10)), status: 400, content: badRequest},
		{name: "create only", method: "POST", path: "there", header: tus + "Upload-Length: 1\nIf-None-Match: *", status: 412, content: "*"},
		{name: "empty", method: "POST", path: "empty", header: tus + "Upload-Length: 0", status: 201, want: "Upload-Offset: 0\nUpload-Expires: -"},
		{name: "read empty", path: "empty", status: 200},
		{name: "with content", method: "POST", path: "with", header: patch + "Upload-Length: 3", body: "abc", status: 201, want: "Upload-Offset: 3"},
		{name: "read content", path: "with", status: 200, content: "abc"},
	} {
		r.run(t, h)
	}
	r := request{name: "file name", method: "POST", path: "d/", status: 201,
		header: tus + "Upload-Length: 1\nUpload-Metadata: filename " + b64("e/ü:?.txt") + ",flag,filetype " + b64("text/plain")}
	location := r.run(t, h).Header.Get("Location")
	at, err := (&url.URL{Path: "/files/d/"}).Parse(location)
	if err != nil || at.Path != "/files/d/e/ü:?.txt" {
		t.Fatalf("location %q, %v", location, err)
	}
	q := "\nQuery: ?" + at.RawQuery
	for _, r := range []request{
		{name: "metadata", method: "HEAD", path: "d/e/ü:?.txt", header: tus + q, status: 200,
			want: "Upload-Metadata: filename " + b64("e/ü:?.txt") + ",filetype " + b64("text/plain") + ",flag"},
		{name: "content", method: "PATCH", path: "d/e/ü:?.txt", header: patch + "Upload-Offset: 0" + q, body: "x", status: 204},
		{name: "read", path: "d/e/ü:?.txt", status: 200, want: "Content-Type: text/plain", content: "x"},
	} {
		r.run(t, h)
	}
}

// An empty upload is finished when it is created, and stays known.
func TestTusEmpty(t *testing.T) {
	o := open(t)
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	q := create(t, h, "a", 0)
	for _, r := range []request{
		{name: "offset", method: "HEAD", path: "a", header: tus + q, status: 200, want: "Upload-Offset: 0\nUpload-Length: 0"},
		{name: "nothing more", method: "PATCH", path: "a", header: patch + "Upload-Offset: 0" + q, status: 204, want: "Upload-Offset: 0"},
		{name: "termination after the end", method: "DELETE", path: "a", header: tus + q, status: 410, content: "Gone\n"},
		{name: "the object", path: "a", status: 200},
	} {
		r.run(t, h)
	}
	if err := o.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r := request{name: "gone", method: "HEAD", path: "a", header: tus + q, status: 404, content: "*"}
	r.run(t, h)
	if swept, err := o.Sweep(t.Context(), 0); swept.Uploads != 0 || err != nil {
		t.Errorf("swept %+v, %v", swept, err)
	}
}

func TestTusConditions(t *testing.T) {
	o := open(t)
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	r := request{name: "create", method: "POST", path: "a", header: tus + "Upload-Length: 3\nIf-None-Match: *", status: 201}
	at, _ := url.Parse(r.run(t, h).Header.Get("Location"))
	putNames(t, o, "a")
	q := "\nQuery: ?" + at.RawQuery
	for _, r := range []request{
		{name: "lost", method: "PATCH", path: "a", header: patch + "Upload-Offset: 0" + q, body: "abc", status: 409, want: "Upload-Offset: -", content: "Conflict\n"},
		{name: "still lost", method: "HEAD", path: "a", header: tus + q, status: 409, content: "*"},
		{name: "unchanged", path: "a", status: 200, content: "content of a"},
	} {
		r.run(t, h)
	}
	if err := o.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []request{
		{name: "finished by HEAD", method: "HEAD", path: "a", header: tus + q, status: 200, want: "Upload-Offset: 3"},
		{name: "new", path: "a", status: 200, content: "abc"},
	} {
		r.run(t, h)
	}
}

func TestTusChecksum(t *testing.T) {
	o := open(t, objstore.ChunkSize(4))
	h := o.Handler(objstore.AllowUploads(20<<20, time.Hour))
	q := create(t, h, "a", 16<<20)
	body := "0123456789"
	sha1, sha256, md5 := sha1.Sum([]byte(body)), sha256.Sum256([]byte(body)), md5.Sum([]byte(body))
	offset := 0
	for _, c := range []struct {
		checksum string
		status   int
	}{
		{"sha1 " + b64(string(sha1[:])), 204},
		{"sha1 " + b64(string(sha256[:])), 460},
		{"sha256 " + b64(string(sha256[:])), 204},
		{"md5 " + b64(string(md5[:])), 204},
		{"md5 " + b64(""), 460},
		{"crc32 " + b64("1234"), 400},
		{"sha1", 460},
		{"sha1 !", 400},
	} {
		r := request{name: c.checksum, method: "PATCH", path: "a", header: fmt.Sprintf("%sUpload-Offset: %d\nUpload-Checksum: %s%s", patch, offset, c.checksum, q), body: body, status: c.status, content: "*"}
		r.run(t, h)
		if c.status == 204 {
			offset += len(body)
		}
		r = request{name: "offset", method: "HEAD", path: "a", header: tus + q, status: 200, want: fmt.Sprint("Upload-Offset: ", offset)}
		r.run(t, h)
	}
	r := request{name: "large", method: "PATCH", path: "a", header: fmt.Sprintf("%sUpload-Offset: %d\nUpload-Checksum: sha1 %s%s", patch, offset, b64("x"), q), body: strings.Repeat("x", 8<<20+1), status: 413, content: "*"}
	r.run(t, h)
}

func TestTusTermination(t *testing.T) {
	o, s := openDriver(t, objstore.ChunkSize(4))
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	q := create(t, h, "a", 20)
	for _, r := range []request{
		{name: "content", method: "PATCH", path: "a", header: patch + "Upload-Offset: 0" + q, body: "0123456789", status: 204},
		{name: "terminate", method: "DELETE", path: "a", header: tus + q, status: 204},
		{name: "terminate again", method: "DELETE", path: "a", header: tus + q, status: 404, content: notFound},
		{name: "offset", method: "HEAD", path: "a", header: tus + q, status: 404, content: notFound},
		{name: "more", method: "PATCH", path: "a", header: patch + "Upload-Offset: 10" + q, body: "x", status: 404, content: notFound},
	} {
		r.run(t, h)
	}
	for u := range s.Uploads(t.Context()) {
		t.Errorf("%d chunks are left", u.Chunks)
	}
}

func TestTusExpiration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t).Handler(objstore.AllowUploads(hundred, time.Hour))
		q := create(t, h, "a", 20)
		end := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		r := request{name: "in time", method: "PATCH", path: "a", header: patch + "Upload-Offset: 0" + q, body: "x", status: 204, want: "Upload-Expires: " + end}
		r.run(t, h)
		<-time.After(time.Hour)
		for _, r := range []request{
			{name: "late", method: "PATCH", path: "a", header: patch + "Upload-Offset: 1" + q, body: "x", status: 410, content: "Gone\n"},
			{name: "offset", method: "HEAD", path: "a", header: tus + q, status: 410, content: "Gone\n"},
		} {
			r.run(t, h)
		}
	})
}

// TestTusBrokenConnection continues, on another instance, an upload whose connection broke.
func TestTusBrokenConnection(t *testing.T) {
	o, s := openDriver(t, objstore.ChunkSize(10))
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	want := content(95)
	q := create(t, h, "a", 95)
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(q, "?")
	fmt.Fprintf(c, "PATCH /a?%s HTTP/1.1\r\nHost: x\r\n%sUpload-Offset: 0\r\nContent-Length: 95\r\n\r\n%s", query, strings.ReplaceAll(patch, "\n", "\r\n"), want[:47])
	c.Close()
	<-done
	r := request{name: "offset", method: "HEAD", path: "a", header: tus + q, status: 200, want: "Upload-Offset: 47"}
	r.run(t, h)
	r = request{name: "rest", method: "PATCH", path: "a", header: patch + "Upload-Offset: 47" + q, body: string(want[47:]), status: 204}
	r.run(t, h)
	if got, _, err := o.ReadAll(t.Context(), "a"); !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	n := 0
	for range s.Uploads(t.Context()) {
		n++
	}
	if n != 1 {
		t.Errorf("%d uploads have chunks, want 1", n)
	}
}

// TestTusTwoClients continues an upload while another client is sending.
func TestTusTwoClients(t *testing.T) {
	o := open(t, objstore.ChunkSize(4))
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	q := create(t, h, "a", 20)
	_, query, _ := strings.Cut(q, "?")
	r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/a?"+query, io.MultiReader(strings.NewReader("1111111111"), readerFunc(func([]byte) (int, error) {
		r := request{name: "second", method: "PATCH", path: "a", header: patch + "Upload-Offset: 4" + q, body: strings.Repeat("2", 16), status: 204}
		r.run(t, h)
		return 0, io.EOF
	})))
	for _, line := range lines(patch + "Upload-Offset: 0") {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 409 {
		t.Errorf("status %d, want 409", w.Code)
	}
	if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != "1111"+strings.Repeat("2", 16) || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// discarding is a store that calls a function before the first Discard.
type discarding struct {
	driver.Store
	before func(upload string, last uint64)
	once   sync.Once
}

func (s *discarding) Discard(ctx context.Context, upload string, last uint64) error {
	s.once.Do(func() { s.before(upload, last) })
	return s.Store.Discard(ctx, upload, last)
}

// TestTusTerminationOfAnUploadInProgress ends an upload to which another client sends chunks.
func TestTusTerminationOfAnUploadInProgress(t *testing.T) {
	content, sender := io.Pipe()
	var s *discarding
	o := openWith(t, func(below driver.Store) driver.Store {
		s = &discarding{Store: below, before: func(upload string, last uint64) {
			_, _ = sender.Write([]byte("0123456789"))
			realtime.Until(t, "more chunks are stored", func() bool {
				now, err := below.Last(t.Context(), upload)
				return err == nil && now.Sequence > last
			})
		}}
		return s
	}, objstore.ChunkSize(4))
	h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
	q := create(t, h, "a", 40)
	_, query, _ := strings.Cut(q, "?")
	patched := httptest.NewRecorder()
	done := make(chan bool)
	go func() {
		r := httptest.NewRequestWithContext(t.Context(), "PATCH", "/a?"+query, content)
		for _, line := range lines(patch + "Upload-Offset: 0") {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		h.ServeHTTP(patched, r)
		_ = content.Close()
		done <- true
	}()
	_, _ = sender.Write([]byte("0123456789"))
	realtime.Until(t, "a chunk is stored", func() bool {
		for u := range s.Uploads(t.Context()) {
			last, err := s.Last(t.Context(), u.ID)
			return err == nil && string(last.Data) == "0123"
		}
		return false
	})
	r := request{name: "terminate", method: "DELETE", path: "a", header: tus + q, status: 204}
	r.run(t, h)
	_, _ = sender.Write([]byte("0123456789"))
	_ = sender.Close()
	if realtime.Receive(t, done, "the response to PATCH"); patched.Code != 409 {
		t.Errorf("PATCH: status %d, want 409", patched.Code)
	}
	for u := range s.Uploads(t.Context()) {
		t.Errorf("%d chunks are left", u.Chunks)
	}
}

// TestTusTerminationOfAnUploadThatFinishes ends an upload while another client sends its last bytes.
func TestTusTerminationOfAnUploadThatFinishes(t *testing.T) {
	var h http.Handler
	var q string
	o := openWith(t, func(below driver.Store) driver.Store {
		return &discarding{Store: below, before: func(string, uint64) {
			r := request{name: "last", method: "PATCH", path: "a", header: patch + "Upload-Offset: 0" + q, body: "0123456789", status: 204}
			r.run(t, h)
		}}
	}, objstore.ChunkSize(4))
	h = o.Handler(objstore.AllowUploads(hundred, time.Hour))
	q = create(t, h, "a", 10)
	r := request{name: "terminate", method: "DELETE", path: "a", header: tus + q, status: 410, content: "Gone\n"}
	r.run(t, h)
	if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != "0123456789" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// FuzzHandler sends paths and headers that no client should send.
func FuzzHandler(f *testing.F) {
	o := open(f)
	if _, err := o.PutBytes(f.Context(), "d/a", []byte("content")); err != nil {
		f.Fatal(err)
	}
	u, err := o.Begin(f.Context(), "d/a", time.Hour, objstore.Size(3))
	if err != nil {
		f.Fatal(err)
	}
	h := o.Handler(objstore.AllowPut(hundred), objstore.AllowDelete(), objstore.AllowUploads(hundred, time.Hour))
	f.Add("GET", "d/a", "upload=", "bytes=1-2,3-", `"x", *`, "filename YQ==")
	f.Add("POST", "d/", "", "3", "*", "filename Li4v,x")
	f.Add("PATCH", "d/a", "upload="+u.Token(), "0", `W/"x"`, "sha1 YQ==")
	f.Add("HEAD", "d/../a", "upload="+u.Token(), "", "", "")
	f.Add("PUT", "//d\x00\xff", "", "", "", "text/\xff")
	f.Fuzz(func(t *testing.T, method, path, query, number, match, text string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", strings.NewReader("abc"))
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, query
		r.Header = http.Header{
			"Tus-Resumable": {"1.0.0"}, "Range": {number}, "Upload-Offset": {number}, "Upload-Length": {number},
			"If-Match": {match}, "If-None-Match": {match}, "Upload-Metadata": {text}, "Upload-Checksum": {text}, "Content-Type": {text},
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusInsufficientStorage {
			t.Errorf("status %d", w.Code)
		}
		for is, err := range o.List(t.Context()) {
			if err != nil || strings.HasPrefix(is.Name, "/") || strings.Contains("/"+is.Name+"/", "/../") || strings.Contains(is.Name, "//") {
				t.Errorf("object %q, %v", is.Name, err)
			}
		}
	})
}

// failing is a store whose Commit fails.
type failing struct {
	driver.Store
	err *error
}

func (s failing) Write(upload string, last uint64) driver.Writer {
	return failingWriter{s.Store.Write(upload, last), s.err}
}

type failingWriter struct {
	driver.Writer
	err *error
}

func (w failingWriter) Commit(ctx context.Context, c *driver.Chunk, entry kv.Write) (uint64, error) {
	if *w.err != nil {
		return 0, *w.err
	}
	return w.Writer.Commit(ctx, c, entry)
}

// TestTusFailedFinish has an upload whose last step fails.
func TestTusFailedFinish(t *testing.T) {
	for _, outcome := range []transport.Outcome{transport.OutcomeNotDone, transport.OutcomeUnknown} {
		var err error
		o := openWith(t, func(s driver.Store) driver.Store { return failing{s, &err} }, objstore.ChunkSize(4))
		h := o.Handler(objstore.AllowUploads(hundred, time.Hour))
		q := create(t, h, "a", 3)
		err = transport.Errorf(transport.Unavailable, outcome, "no connection")
		r := request{name: "last", method: "PATCH", path: "a", header: patch + "Upload-Offset: 0" + q, body: "abc", status: 503, content: "Service Unavailable\n"}
		r.run(t, h)
		err = nil
		r = request{name: "finished by HEAD", method: "HEAD", path: "a", header: tus + q, status: 200, want: "Upload-Offset: 3"}
		r.run(t, h)
		if got, _, err := o.ReadAll(t.Context(), "a"); string(got) != "abc" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	}
}
