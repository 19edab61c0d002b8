package objstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/objstore/driver"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
)

// openDriver opens a store, and its driver.
func openDriver(t *testing.T, options ...objstore.StoreOption) (*objstore.Objects, driver.Store) {
	t.Helper()
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { tr.Close(context.Background()) })
	o, err := objstore.Connect(t.Context(), tr, objstore.NewStore("files", options...))
	if err != nil {
		t.Fatal(err)
	}
	s, err := tr.Objects().Open(t.Context(), &driver.Config{Name: "files", Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	return o, s
}

// tamper replaces the chunks of the only upload in a store.
func tamper(t *testing.T, s driver.Store, change func([]driver.Chunk) []driver.Chunk) {
	t.Helper()
	for u := range s.Uploads(t.Context()) {
		var chunks []driver.Chunk
		s.Read(t.Context(), u.ID, 0, func(c *driver.Chunk) bool { chunks = append(chunks, *c); return true })
		if err := s.Remove(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
		w := s.Write(u.ID, 0)
		for _, c := range change(chunks) {
			if err := w.Append(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// request is a request with the expected response.
type request struct {
	name, method, path string
	header             string // lines
	body               string
	status             int
	want               string // lines of the header; "Name: -" for a header that is missing
	content            string // "*": not compared
}

func (r *request) run(t *testing.T, h http.Handler) *http.Response {
	t.Helper()
	in := httptest.NewRequestWithContext(t.Context(), r.method, "/", strings.NewReader(r.body))
	in.URL.Path = r.path
	if r.body == "" {
		in.Body, in.ContentLength = http.NoBody, 0
	}
	for _, line := range lines(r.header) {
		name, value, _ := strings.Cut(line, ": ")
		in.Header.Add(name, value)
	}
	if q, ok := strings.CutPrefix(in.Header.Get("Query"), "?"); ok {
		in.URL.RawQuery = q
	}
	out := httptest.NewRecorder()
	h.ServeHTTP(out, in)
	is := out.Result()
	if is.StatusCode != r.status {
		t.Errorf("%s: status %d, want %d", r.name, is.StatusCode, r.status)
	}
	if got := out.Body.String(); r.content != "*" && got != r.content {
		t.Errorf("%s: content %.100q, want %q", r.name, got, r.content)
	}
	for _, line := range append(lines(r.want), "X-Content-Type-Options: nosniff") {
		name, value, _ := strings.Cut(line, ": ")
		if got := strings.Join(is.Header[http.CanonicalHeaderKey(name)], "|"); got != value && (value != "-" || got != "") {
			t.Errorf("%s: %s %q, want %q", r.name, name, got, value)
		}
	}
	return is
}

func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

const notFound, badRequest = "Not Found\n", "Bad Request\n"

func TestHandlerGet(t *testing.T) {
	o := open(t, objstore.ChunkSize(4))
	is, err := o.PutBytes(t.Context(), "d/a.txt", []byte("0123456789"), objstore.ContentType("text/plain; charset=utf-8"))
	if err != nil {
		t.Fatal(err)
	}
	putNames(t, o, "plain", "d//double", "../up")
	hundred := string(content(100))
	if _, err := o.PutBytes(t.Context(), "hundred", []byte(hundred)); err != nil {
		t.Fatal(err)
	}
	tag := `"` + is.Digest + `"`
	stat, _ := o.Stat(t.Context(), "d/a.txt")
	modified := stat.Modified.UTC().Format(http.TimeFormat)
	whole := "Content-Type: text/plain; charset=utf-8\nContent-Length: 10\nAccept-Ranges: bytes\nEtag: " + tag +
		"\nLast-Modified: " + modified + "\nContent-Disposition: inline; filename=a.txt"
	h := o.Handler()
	for _, r := range []request{
		{name: "whole", path: "d/a.txt", status: 200, want: whole, content: "0123456789"},
		{name: "leading slash", path: "/d/a.txt", status: 200, want: whole, content: "0123456789"},
		{name: "head", method: "HEAD", path: "d/a.txt", status: 200, want: whole},
		{name: "no type", path: "plain", status: 200, want: "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=plain", content: "content of plain"},
		{name: "range", path: "d/a.txt", header: "Range: bytes=3-6", status: 206, want: "Content-Range: bytes 3-6/10\nContent-Length: 4", content: "3456"},
		{name: "head of a range", method: "HEAD", path: "d/a.txt", header: "Range: bytes=3-6", status: 206, want: "Content-Range: bytes 3-6/10\nContent-Length: 4"},
		{name: "suffix", path: "d/a.txt", header: "Range: bytes=-2", status: 206, want: "Content-Range: bytes 8-9/10", content: "89"},
		{name: "open range", path: "d/a.txt", header: "Range: bytes=7-", status: 206, content: "789"},
		{name: "after the end", path: "d/a.txt", header: "Range: bytes=10-", status: 416, want: "Content-Range: bytes */10\nEtag: -", content: "*"},
		{name: "bad range", path: "d/a.txt", header: "Range: bytes=x", status: 416, content: "*"},
		{name: "too many ranges", path: "hundred", header: "Range: bytes=" + strings.Repeat("1-1,", 32) + "2-2", status: 200, content: hundred},
		{name: "If-Range", path: "d/a.txt", header: "Range: bytes=7-\nIf-Range: " + tag, status: 206, content: "789"},
		{name: "other If-Range", path: "d/a.txt", header: "Range: bytes=7-\nIf-Range: \"x\"", status: 200, content: "0123456789"},
		{name: "If-None-Match", path: "d/a.txt", header: "If-None-Match: \"x\", " + tag, status: 304, want: "Etag: " + tag},
		{name: "other If-None-Match", path: "d/a.txt", header: "If-None-Match: \"x\"", status: 200, content: "0123456789"},
		{name: "If-Match", path: "d/a.txt", header: "If-Match: " + tag, status: 200, content: "0123456789"},
		{name: "other If-Match", path: "d/a.txt", header: "If-Match: \"x\"", status: 412},
		{name: "If-Modified-Since", path: "d/a.txt", header: "If-Modified-Since: " + modified, status: 304},
		{name: "modified", path: "d/a.txt", header: "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT", status: 200, content: "0123456789"},
		{name: "missing", path: "d/b", status: 404, content: notFound},
		{name: "root", path: "", status: 404, content: notFound},
		{name: "directory", path: "d", status: 404, content: notFound},
		{name: "directory with a slash", path: "d/", status: 404, content: notFound},
		{name: "empty segment", path: "d//double", status: 400, content: badRequest},
		{name: "two slashes", path: "//d/a.txt", status: 400, content: badRequest},
		{name: "up", path: "../up", status: 400, content: badRequest},
		{name: "dot", path: "d/./a.txt", status: 400, content: badRequest},
		{name: "up to the root", path: "d/../..", status: 400, content: badRequest},
		{name: "UTF-8", path: "\xff", status: 400, content: badRequest},
		{name: "long", path: strings.Repeat("x", objstore.MaxName+1), status: 400, content: badRequest},
		{name: "PUT", method: "PUT", path: "d/a.txt", body: "x", status: 405, want: "Allow: GET, HEAD", content: "*"},
		{name: "DELETE", method: "DELETE", path: "d/a.txt", status: 405, want: "Allow: GET, HEAD", content: "*"},
		{name: "POST", method: "POST", path: "d/a.txt", header: "Tus-Resumable: 1.0.0", status: 405, content: "*"},
		{name: "PATCH", method: "PATCH", path: "d/a.txt", header: "Tus-Resumable: 1.0.0", status: 405, content: "*"},
	} {
		r.run(t, h)
	}
	r := request{name: "two ranges", path: "d/a.txt", header: "Range: bytes=0-1,8-9", status: 206, content: "*"}
	multi, err := io.ReadAll(r.run(t, h).Body)
	for _, part := range []string{"Content-Range: bytes 0-1/10", "\r\n\r\n01\r\n", "Content-Range: bytes 8-9/10", "\r\n\r\n89\r\n"} {
		if !bytes.Contains(multi, []byte(part)) || err != nil {
			t.Errorf("two ranges: no %q in %q, %v", part, multi, err)
		}
	}
}

func TestHandlerPresentation(t *testing.T) {
	o := open(t)
	for _, c := range []struct{ name, kind, wantKind, want string }{
		{"a.html", "text/html", "text/html", "attachment; filename=a.html"},
		{"a.svg", "image/svg+xml", "image/svg+xml", "attachment; filename=a.svg"},
		{"a.xml", "text/xml", "text/xml", "attachment; filename=a.xml"},
		{"a.js", "text/javascript", "text/javascript", "attachment; filename=a.js"},
		{"a.pdf", "application/pdf", "application/pdf", "attachment; filename=a.pdf"},
		{"a.png", "image/png", "image/png", "inline; filename=a.png"},
		{"a.mp4", "VIDEO/mp4", "video/mp4", "inline; filename=a.mp4"},
		{"d/ü b.txt", "text/plain", "text/plain", "inline; filename*=utf-8''%C3%BC%20b.txt"},
		{"d/a\"b\r\n.txt", "text/plain", "text/plain", "inline; filename*=utf-8''a%22b%0D%0A.txt"},
		{"d/a\"b;c", "", "application/octet-stream", `attachment; filename="a\"b;c"`},
		{"bad type", "text", "application/octet-stream", `attachment; filename="bad type"`},
		{"worse type", "text/html, image/png", "application/octet-stream", `attachment; filename="worse type"`},
	} {
		if _, err := o.PutBytes(t.Context(), c.name, []byte("<script>"), objstore.ContentType(c.kind)); err != nil {
			t.Fatal(err)
		}
		r := request{name: c.name, path: c.name, status: 200, content: "<script>", want: "Content-Type: " + c.wantKind + "\nContent-Disposition: " + c.want}
		r.run(t, o.Handler())
	}
	allowed := o.Handler(objstore.AllowInline("application/pdf", "text/*", "image/svg+xml"))
	for name, want := range map[string]string{"a.html": "inline", "a.pdf": "inline", "a.svg": "inline", "a.xml": "attachment", "a.png": "inline"} {
		r := request{name: name, path: name, status: 200, content: "*", want: "Content-Disposition: " + want + "; filename=" + name}
		r.run(t, allowed)
	}
}

func TestHandlerPut(t *testing.T) {
	o := open(t, objstore.ChunkSize(4), objstore.MaxBytes(3000))
	h := o.Handler(objstore.AllowPut(2500), objstore.AllowDelete())
	const (
		one = `Etag: "SHA-256=a4ayc_80_OGda4BO_1o_V0etpOqiLx1JwB5S3beHW0s="` // of "1"
		two = `Etag: "SHA-256=1HNeOiZeFu7gP1lxi5tdAwGcB9i2xR-Q2jpmbuwTqzU="` // of "2"
	)
	tag := func(line string) string { return strings.TrimPrefix(line, "Etag: ") }
	conflict := "Precondition Failed\n"
	for _, r := range []request{
		{name: "If-Match of a missing one", method: "PUT", path: "a", body: "1", header: "If-Match: *", status: 412, content: conflict},
		{name: "create", method: "PUT", path: "a", body: "1", header: "Content-Type: text/plain\nIf-None-Match: *", status: 201, want: one},
		{name: "read", method: "GET", path: "a", status: 200, want: one + "\nContent-Type: text/plain", content: "1"},
		{name: "create again", method: "PUT", path: "a", body: "2", header: "If-None-Match: *", status: 412, content: conflict},
		{name: "other If-Match", method: "PUT", path: "a", body: "2", header: "If-Match: \"x\", W/" + tag(one), status: 412, content: conflict},
		{name: "If-Match", method: "PUT", path: "a", body: "2", header: "If-Match: \"x\", " + tag(one), status: 204, want: two},
		{name: "If-None-Match", method: "PUT", path: "a", body: "3", header: "If-None-Match: W/" + tag(two), status: 412, content: conflict},
		{name: "If-Unmodified-Since", method: "PUT", path: "a", body: "3", header: "If-Unmodified-Since: Mon, 02 Jan 2006 15:04:05 GMT", status: 412, content: conflict},
		{name: "If-Match of any", method: "PUT", path: "a", body: "1", header: "If-Match: *", status: 204, want: one},
		{name: "replace", method: "PUT", path: "a", body: "2", status: 204, want: two},
		{name: "empty", method: "PUT", path: "empty", status: 201},
		{name: "part", method: "PUT", path: "a", body: "3", header: "Content-Range: bytes 0-0/1", status: 400, content: badRequest},
		{name: "too large", method: "PUT", path: "a", body: strings.Repeat("x", 2501), status: 413, content: "Request Entity Too Large\n"},
		{name: "full store", method: "PUT", path: "a", body: strings.Repeat("x", 2500), status: 507, content: "Insufficient Storage\n"},
		{name: "up", method: "PUT", path: "../a", body: "3", status: 400, content: badRequest},
		{name: "root", method: "PUT", path: "", body: "3", status: 404, content: notFound},
		{name: "directory", method: "PUT", path: "d/", body: "3", status: 404, content: notFound},
		{name: "bad type", method: "PUT", path: "a", body: "3", header: "Content-Type: \xff", status: 400, content: badRequest},
		{name: "method", method: "POST", path: "a", body: "3", status: 405, want: "Allow: GET, HEAD, PUT, DELETE", content: "*"},
		{name: "unchanged", method: "GET", path: "a", status: 200, want: two, content: "2"},
		{name: "delete another", method: "DELETE", path: "a", header: "If-Match: " + tag(one), status: 412, content: conflict},
		{name: "delete", method: "DELETE", path: "a", header: "If-Match: " + tag(two), status: 204},
		{name: "delete again", method: "DELETE", path: "a", status: 404, content: notFound},
		{name: "delete a directory", method: "DELETE", path: "d/", status: 404, content: notFound},
	} {
		r.run(t, h)
	}
}

func TestHandlerPutOfUnknownSize(t *testing.T) {
	o := open(t, objstore.ChunkSize(4))
	h := o.Handler(objstore.AllowPut(10))
	for _, c := range []struct {
		body   io.Reader
		status int
	}{
		{strings.NewReader("0123456789"), 201},
		{strings.NewReader("0123456789+"), 413},
		{io.MultiReader(strings.NewReader("01234"), iotest.ErrReader(io.ErrUnexpectedEOF)), 400},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "PUT", fmt.Sprint("/", c.status), c.body)
		r.ContentLength = -1
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("status %d, want %d", w.Code, c.status)
		}
	}
	var names []string
	for is := range o.List(t.Context()) {
		names = append(names, is.Name)
	}
	if len(names) != 1 {
		t.Errorf("objects %q, want 201 alone", names)
	}
}

// TestHandlerRaces has an object replaced while a client sends another one.
func TestHandlerRaces(t *testing.T) {
	for header, want := range map[string]int{"": 409, "If-None-Match": 412} {
		o := open(t)
		r := httptest.NewRequestWithContext(t.Context(), "PUT", "/a", readerFunc(func([]byte) (int, error) {
			putNames(t, o, "a")
			return 0, io.EOF
		}))
		if header != "" {
			r.Header.Set(header, "*")
		}
		w := httptest.NewRecorder()
		o.Handler(objstore.AllowPut(10)).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", header, w.Code, want)
		}
	}
}

func TestHandlerClosedStore(t *testing.T) {
	var shut objstore.Objects
	r := request{name: "closed", path: "a", status: 503, content: "Service Unavailable\n"}
	r.run(t, shut.Handler())
}

func TestHandlerOptions(t *testing.T) {
	o := open(t)
	for name, option := range map[string]objstore.HandlerOption{
		"nil": nil, "AllowPut": objstore.AllowPut(0), "AllowInline": objstore.AllowInline("pdf"),
		"AllowUploads": objstore.AllowUploads(0, time.Hour), "life": objstore.AllowUploads(1, 0),
	} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), `"files"`) {
					t.Errorf("%s: panic %v, want the name of the store", name, v)
				}
			}()
			o.Handler(option)
		}()
	}
}

// TestHandlerDamaged reads damaged objects: no response may look whole.
func TestHandlerDamaged(t *testing.T) {
	for name, change := range map[string]func([]driver.Chunk) []driver.Chunk{
		"the first chunk is missing": func(c []driver.Chunk) []driver.Chunk { return c[1:] },
		"the last chunk is missing":  func(c []driver.Chunk) []driver.Chunk { return c[:len(c)-1] },
		"all chunks are missing":     func([]driver.Chunk) []driver.Chunk { return nil },
		"a chunk was changed":        func(c []driver.Chunk) []driver.Chunk { c[7].Data[0]++; return c },
		"chunks were exchanged":      func(c []driver.Chunk) []driver.Chunk { c[7], c[8] = c[8], c[7]; return c },
		"a chunk is short":           func(c []driver.Chunk) []driver.Chunk { c[7].Data = c[7].Data[1:]; return c },
		"a chunk is long":            func(c []driver.Chunk) []driver.Chunk { c[7].Data = append(c[7].Data, 0); return c },
	} {
		for _, size := range []int{1000, 20_000} {
			o, s := openDriver(t, objstore.ChunkSize(size/10))
			if _, err := o.PutBytes(t.Context(), "a", content(size)); err != nil {
				t.Fatal(err)
			}
			tamper(t, s, change)
			server := httptest.NewServer(o.Handler())
			is, err := server.Client().Get(server.URL + "/a")
			if err == nil {
				_, err = io.ReadAll(is.Body)
				is.Body.Close()
				if is.StatusCode == 200 && err == nil {
					t.Errorf("%d bytes, %s: the response is whole", size, name)
				}
			}
			server.Close()
		}
	}
}

// TestHandlerAborts has an error after the first bytes of the response.
func TestHandlerAborts(t *testing.T) {
	o, s := openDriver(t, objstore.ChunkSize(10))
	if _, err := o.PutBytes(t.Context(), "a", content(95)); err != nil {
		t.Fatal(err)
	}
	tamper(t, s, func(c []driver.Chunk) []driver.Chunk { c[7].Data[0]++; return c })
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("panic %v", v)
		}
	}()
	o.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/a", nil))
	t.Error("the handler returned")
}

// TestHandlerDamagedSmall has an error before the first byte of the response.
func TestHandlerDamagedSmall(t *testing.T) {
	o, s := openDriver(t)
	putNames(t, o, "a")
	tamper(t, s, func(c []driver.Chunk) []driver.Chunk { c[0].Data[0]++; return c })
	r := request{name: "damaged", path: "a", status: 500, want: "Etag: -\nContent-Type: text/plain; charset=utf-8", content: "Internal Server Error\n"}
	r.run(t, o.Handler())
}

// wrapped is a transport with other stores.
type wrapped struct {
	transport.Transport
	driver.Stores
	wrap func(driver.Store) driver.Store
}

// Objects makes it a [driver.Backend].
func (w *wrapped) Objects() driver.Stores { return w }

// Open implements [driver.Stores].
func (w *wrapped) Open(ctx context.Context, c *driver.Config) (driver.Store, error) {
	s, err := w.Stores.Open(ctx, c)
	return w.wrap(s), err
}

// openWith opens a store with another driver.
func openWith(t *testing.T, wrap func(driver.Store) driver.Store, options ...objstore.StoreOption) *objstore.Objects {
	t.Helper()
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { tr.Close(context.Background()) })
	o, err := objstore.Connect(t.Context(), &wrapped{tr, tr.Objects(), wrap}, objstore.NewStore("files", options...))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// interrupted is a store that calls a function before the chunk with an index is read.
type interrupted struct {
	driver.Store
	index  int
	before func()
}

// Read implements [driver.Store].
func (s *interrupted) Read(ctx context.Context, upload string, from uint64, yield func(*driver.Chunk) bool) error {
	n := 0
	if s.index == 0 {
		s.before()
	}
	return s.Store.Read(ctx, upload, from, func(c *driver.Chunk) bool {
		if n++; n == s.index {
			s.before()
		}
		return yield(c)
	})
}

// TestHandlerReplaced replaces an object while a client reads it.
func TestHandlerReplaced(t *testing.T) {
	var o *objstore.Objects
	o = openWith(t, func(s driver.Store) driver.Store {
		return &interrupted{s, 20, func() { putNames(t, o, "a") }}
	}, objstore.ChunkSize(1000))
	if _, err := o.PutBytes(t.Context(), "a", content(50_000)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(o.Handler())
	defer server.Close()
	is, err := server.Client().Get(server.URL + "/a")
	if err != nil || is.StatusCode != 200 {
		t.Fatal(is, err)
	}
	defer is.Body.Close()
	if n, err := io.Copy(io.Discard, is.Body); err == nil {
		t.Errorf("a response of %d bytes looks whole", n)
	}
}

// TestHandlerReplacedBeforeTheFirstByte replaces an object between its header and its content.
func TestHandlerReplacedBeforeTheFirstByte(t *testing.T) {
	n, times := 0, 1
	var o *objstore.Objects
	o = openWith(t, func(s driver.Store) driver.Store {
		return &interrupted{s, 0, func() {
			if n++; n <= times {
				if _, err := o.PutBytes(t.Context(), "a", bytes.Repeat([]byte("new"), n)); err != nil {
					t.Error(err)
				}
			}
		}}
	})
	putNames(t, o, "a")
	r := request{name: "replaced", path: "a", header: "Range: bytes=1-", status: 206, want: "Content-Range: bytes 1-2/3", content: "ew"}
	r.run(t, o.Handler())
	n, times = 0, 100
	r = request{name: "replaced always", path: "a", status: 409, content: "Conflict\n"}
	r.run(t, o.Handler())
}

// TestHandlerSlowClient reads with pauses.
func TestHandlerSlowClient(t *testing.T) {
	o := open(t)
	want := bytes.Repeat(content(1<<10), 8<<10)
	if _, err := o.PutBytes(t.Context(), "a", want); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(o.Handler())
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	is, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	putNames(t, o, "b", "c") // the store is free for others while the client does not read
	if err := o.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.OneByteReader(bufio.NewReader(is.Body)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestHandlerBrokenUpload ends the connection in the middle of a PUT.
func TestHandlerBrokenUpload(t *testing.T) {
	o, s := openDriver(t, objstore.ChunkSize(10))
	done := make(chan struct{})
	h := o.Handler(objstore.AllowPut(1 << 20))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "PUT /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n%s\r\n", content(40))
	c.Close()
	<-done
	_, err = o.Stat(t.Context(), "a")
	wantCode(t, err, transport.NotFound)
	for u := range s.Uploads(t.Context()) {
		t.Errorf("%d chunks are left behind", u.Chunks)
	}
}
