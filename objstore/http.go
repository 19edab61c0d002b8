package objstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"gomono.dev/transport"
)

// HandlerOption is an option of Handler: [AllowPut], [AllowDelete], [AllowUploads] or
// [AllowInline].
type HandlerOption interface{ handlerOption(h *handler) }

type handlerOption func(*handler)

func (f handlerOption) handlerOption(h *handler) { f(h) }

// AllowPut lets a handler accept PUT, with contents of at most the given number of bytes.
func AllowPut(maxBytes int64) HandlerOption {
	return handlerOption(func(h *handler) {
		h.maxPut = maxBytes
		if maxBytes < 1 {
			h.err = firstError(h.err, fmt.Errorf("AllowPut(%d): want 1 byte or more", maxBytes))
		}
	})
}

// AllowDelete lets a handler accept DELETE.
func AllowDelete() HandlerOption { return handlerOption(func(h *handler) { h.deletes = true }) }

// AllowInline lets browsers show objects of the given content types, such as "application/pdf"
// or "text/*", in the place of a page. See [Objects.Handler] for the danger.
func AllowInline(types ...string) HandlerOption {
	return handlerOption(func(h *handler) {
		for _, t := range types {
			if strings.Count(t, "/") != 1 {
				h.err = firstError(h.err, fmt.Errorf("AllowInline(%q): want a content type such as application/pdf", t))
			}
			h.inline = append(h.inline, strings.ToLower(t))
		}
	})
}

// Handler serves the objects over HTTP. Without options it is read-only. It panics on a bad
// option.
//
// The name of an object is the path of the URL without a leading slash: see [http.StripPrefix].
// A path with an empty segment, ".", ".." or invalid UTF-8 gets the status 400. There are no
// listings: a path that ends with a slash gets 404.
//
// GET and HEAD support ranges and conditional requests. The ETag is the digest. If the content
// turns out to be damaged, or is replaced before all of it was sent, the handler aborts the
// connection. The last chunk is sent after the digest was checked; a range is checked as in
// [Object]. The handler waits for slow clients.
//
// The content type of a response is the object's, or "application/octet-stream". Browsers
// show images, audio, video and plain text. They offer everything else for download, since it
// may run scripts with the rights of the site: HTML, SVG, XML, PDF, and types that a
// browser may know in the future. [AllowInline] names further types, which is safe only if the
// site is used for nothing else or its objects are trusted. Browsers never guess a type.
//
// PUT creates an object (201) or replaces it (204), if If-Match, If-None-Match and
// If-Unmodified-Since allow (412). A content over the limit gets 413, a full store 507. The
// ReadTimeout of the server limits the time for a client that stalls.
//
// [AllowUploads] accepts uploads that continue after a lost connection.
//
// The body of an error is a short text without details; errors of the server are logged. The
// handler does not authenticate clients: wrap it.
func (o *Objects) Handler(options ...HandlerOption) http.Handler {
	h := &handler{o: o, inline: []string{"text/plain", "image/*", "audio/*", "video/*"}}
	for _, option := range options {
		if option == nil {
			panic(fmt.Sprintf("objstore: Handler of store %q: an option is nil", o.Name()))
		}
		option.handlerOption(h)
	}
	if h.err != nil {
		panic(fmt.Sprintf("objstore: Handler of store %q: %v", o.Name(), h.err))
	}
	return h
}

// handler is the http.Handler of a store.
type handler struct {
	o          *Objects
	inline     []string // content types
	maxPut     int64    // bytes, 0: PUT is not allowed
	deletes    bool
	maxUpload  int64 // bytes, 0: tus is not allowed
	uploadLife time.Duration
	err        error
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if h.o.open.Load() == nil {
		respond(w, http.StatusServiceUnavailable)
		return
	}
	serve := h.route(r)
	if serve == nil {
		w.Header().Set("Allow", strings.Join(h.allowed(), ", "))
		respond(w, http.StatusMethodNotAllowed)
		return
	}
	serve(w, r)
}

// route returns the function for a request, or nil.
func (h *handler) route(r *http.Request) http.HandlerFunc {
	if serve := h.routeUpload(r); serve != nil {
		return serve
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return withName(h.get)
	case http.MethodPut:
		if h.maxPut > 0 {
			return withName(h.put)
		}
	case http.MethodDelete:
		if h.deletes {
			return withName(h.delete)
		}
	}
	return nil
}

// allowed returns the methods that the handler accepts.
func (h *handler) allowed() []string {
	all := []string{"GET", "HEAD"}
	if h.maxPut > 0 {
		all = append(all, "PUT")
	}
	if h.deletes || h.maxUpload > 0 {
		all = append(all, "DELETE")
	}
	if h.maxUpload > 0 {
		all = append(all, "OPTIONS", "POST", "PATCH")
	}
	return all
}

// withName calls serve with the name of the object.
func withName(serve func(w http.ResponseWriter, r *http.Request, name string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		switch {
		case isDirectory(name):
			respond(w, http.StatusNotFound)
		case !fs.ValidPath(name) || checkName(name) != nil:
			respond(w, http.StatusBadRequest)
		default:
			serve(w, r, name)
		}
	}
}

// isDirectory reports whether a path names a directory.
func isDirectory(name string) bool {
	dir, ok := strings.CutSuffix(name, "/")
	return name == "" || name == "." || ok && fs.ValidPath(dir)
}

// respond sends a status with its text.
func respond(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

// fail sends the status of an error. An error of the server is logged.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOfError(err)
	if status >= 500 && r.Context().Err() == nil {
		if s := h.o.open.Load(); s != nil {
			s.log.Warn("objstore: request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
		}
	}
	respond(w, status)
}

// statusOfError returns the HTTP status of an error.
func statusOfError(err error) int {
	if body, ok := errors.AsType[*bodyError](err); ok {
		return body.status()
	}
	switch transport.CodeOf(err) {
	case transport.InvalidArgument:
		return http.StatusBadRequest
	case transport.NotFound:
		return http.StatusNotFound
	case transport.AlreadyExists, transport.Aborted, transport.FailedPrecondition:
		return http.StatusConflict
	case transport.ResourceExhausted:
		return http.StatusInsufficientStorage
	case transport.Unimplemented:
		return http.StatusNotImplemented
	case transport.Unavailable, transport.Canceled:
		return http.StatusServiceUnavailable
	case transport.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// body is the body of a request. Its errors are of type bodyError.
type body struct{ r io.Reader }

// Read implements [io.Reader].
func (b body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// bodyError is an error of a client.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

func (e *bodyError) status() int {
	if _, ok := errors.AsType[*http.MaxBytesError](e.err); ok {
		return http.StatusRequestEntityTooLarge
	}
	if errors.Is(e.err, os.ErrDeadlineExceeded) {
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}
