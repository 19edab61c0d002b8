package objstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"gomono.dev/transport"
)

// maxReplaced is how often a GET begins again with a new version of its object.
const maxReplaced = 3

// maxRanges is the number of ranges in a request. A request with more gets the whole object.
const maxRanges = 32

// get serves GET and HEAD.
func (h *handler) get(w http.ResponseWriter, r *http.Request, name string) {
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	for n := 1; ; n++ {
		out := &lateWriter{w: w, header: http.Header{}}
		err := h.send(out, r, name)
		switch {
		case err == nil:
			out.begin()
			return
		case out.begun:
			panic(http.ErrAbortHandler)
		case transport.CodeOf(err) != transport.Aborted || n == maxReplaced:
			h.fail(w, r, err)
			return
		}
	}
}

// send sends an object, and returns an error of reading it.
func (h *handler) send(w http.ResponseWriter, r *http.Request, name string) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	f, err := h.o.Open(ctx, name)
	if err != nil {
		return err
	}
	is := f.pinFound().Info // the header describes this version
	kind, disposition := h.present(&is, name)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", disposition)
	if tag := etag(&is); tag != "" {
		w.Header().Set("Etag", tag)
	}
	c := &content{f: f}
	http.ServeContent(w, r, "", is.Modified, c)
	cancel() // a goroutine of ServeContent may still read for a client that is gone
	return c.close()
}

// present returns the content type, and the Content-Disposition according to RFC 6266.
func (h *handler) present(is *Info, name string) (kind, disposition string) {
	kind, disposition = "application/octet-stream", "attachment"
	if media, params, err := mime.ParseMediaType(is.ContentType); err == nil && strings.Contains(media, "/") {
		kind = cmp.Or(mime.FormatMediaType(media, params), kind)
		if h.isInline(media) {
			disposition = "inline"
		}
	}
	file := map[string]string{"filename": path.Base(name)}
	return kind, cmp.Or(mime.FormatMediaType(disposition, file), disposition)
}

// isInline reports whether browsers may show a content type. An image that is XML, such as
// image/svg+xml, may have scripts: it must be named.
func (h *handler) isInline(media string) bool {
	class, kind, _ := strings.Cut(media, "/")
	xml := strings.HasSuffix(kind, "xml")
	return slices.Contains(h.inline, media) || !xml && slices.Contains(h.inline, class+"/*")
}

// etag returns the entity tag of an object, "" if it has no digest.
func etag(is *Info) string {
	sum, err := parseDigest(is.Digest)
	if err != nil || is.Link != nil {
		return ""
	}
	return `"` + digestPrefix + base64.URLEncoding.EncodeToString(sum) + `"`
}

// content is an [io.ReadSeeker] that keeps its first error.
type content struct {
	mu  sync.Mutex
	f   *Object
	err error
}

// Read implements [io.Reader].
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.f.Read(p)
	if err != io.EOF {
		c.err = firstError(c.err, err)
	}
	return n, err
}

// Seek implements [io.Seeker].
func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.f.Seek(offset, whence)
	c.err = firstError(c.err, err)
	return n, err
}

// close closes the object, and returns the first error.
func (c *content) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return firstError(c.err, c.f.Close())
}

// lateWriter is an [http.ResponseWriter] that sends its header with the first bytes, so that
// an error until then gets its status.
type lateWriter struct {
	w      http.ResponseWriter
	header http.Header
	status int
	begun  bool
}

// Header implements [http.ResponseWriter].
func (l *lateWriter) Header() http.Header { return l.header }

// WriteHeader implements [http.ResponseWriter].
func (l *lateWriter) WriteHeader(status int) { l.status = cmp.Or(l.status, status) }

// Write implements [http.ResponseWriter].
func (l *lateWriter) Write(p []byte) (int, error) {
	l.begin()
	return l.w.Write(p)
}

func (l *lateWriter) begin() {
	if l.begun {
		return
	}
	l.begun = true
	maps.Copy(l.w.Header(), l.header)
	l.w.WriteHeader(cmp.Or(l.status, http.StatusOK))
}
