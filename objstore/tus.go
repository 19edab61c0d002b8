package objstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// AllowUploads lets a handler accept uploads that can be resumed, by the tus protocol 1.0 with
// its extensions creation, creation-with-upload, expiration, termination and checksum. A
// content has at most maxBytes. An upload expires after its life: see [Objects.Begin].
//
// POST begins an upload. Its path is the name of the object; to a path that ends with a slash,
// the "filename" in Upload-Metadata is added, which may have slashes. "filetype" is the content
// type, and all pairs are metadata of the object. If-Match and If-None-Match are checked at the
// beginning and at the end. The URL of the upload is the object's with a query, so a handler
// that authorizes paths covers uploads. Upload-Length is required.
//
// A PATCH with an Upload-Checksum has at most 8 MiB, which are held in memory until they are
// checked: sha1, sha256 or md5. Any other is stored as it arrives, also if it breaks off.
func AllowUploads(maxBytes int64, life time.Duration) HandlerOption {
	return handlerOption(func(h *handler) {
		h.maxUpload, h.uploadLife = maxBytes, life
		if maxBytes < 1 || life < time.Second || life > maxTTL {
			h.err = firstError(h.err, fmt.Errorf("AllowUploads(%d, %v): want 1 byte or more, and 1s to %v", maxBytes, life, maxTTL))
		}
	})
}

const (
	tusVersion    = "1.0.0"
	tusExtensions = "creation,creation-with-upload,expiration,termination,checksum"
	tusContent    = "application/offset+octet-stream"
	uploadQuery   = "upload"
)

// maxChecked limits a content with a checksum, in bytes.
const maxChecked = 8 << 20

// routeUpload returns the function for a request of the tus protocol, or nil.
func (h *handler) routeUpload(r *http.Request) http.HandlerFunc {
	if h.maxUpload == 0 {
		return nil
	}
	method := r.Method
	if over := r.Header.Get("X-HTTP-Method-Override"); over != "" {
		method = over
	}
	token := r.URL.Query().Get(uploadQuery)
	switch {
	case method == http.MethodOptions:
		return h.tusOptions
	case method == http.MethodPost && token == "":
		return versioned(h.tusCreate)
	case token == "":
		return nil
	case method == http.MethodHead:
		return versioned(h.resumed(token, h.tusHead))
	case method == http.MethodPatch:
		return versioned(h.resumed(token, h.tusPatch))
	case method == http.MethodDelete:
		return versioned(h.resumed(token, h.tusDelete))
	}
	return nil
}

// tusOptions describes the protocol.
func (h *handler) tusOptions(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", strings.Join(h.allowed(), ", "))
	w.Header().Set("Tus-Resumable", tusVersion)
	w.Header().Set("Tus-Version", tusVersion)
	w.Header().Set("Tus-Extension", tusExtensions)
	w.Header().Set("Tus-Max-Size", strconv.FormatInt(h.maxUpload, 10))
	w.Header().Set("Tus-Checksum-Algorithm", "sha1,sha256,md5")
	w.WriteHeader(http.StatusNoContent)
}

// versioned checks the version of the protocol.
func versioned(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Tus-Resumable", tusVersion)
		w.Header().Set("Cache-Control", "no-store")
		if r.Header.Get("Tus-Resumable") != tusVersion {
			w.Header().Set("Tus-Version", tusVersion)
			respond(w, http.StatusPreconditionFailed)
			return
		}
		serve(w, r)
	}
}

// resumed calls serve with the upload of a token. The path must name its object.
func (h *handler) resumed(token string, serve func(http.ResponseWriter, *http.Request, *Upload)) http.HandlerFunc {
	return withName(func(w http.ResponseWriter, r *http.Request, name string) {
		u, err := h.o.Resume(r.Context(), token)
		switch {
		case err != nil:
			h.failUpload(w, r, err)
		case u.Name() != name:
			respond(w, http.StatusNotFound)
		default:
			serve(w, r, u)
		}
	})
}

// failUpload sends the status of an error of an upload.
func (h *handler) failUpload(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errExpired) {
		respond(w, http.StatusGone)
		return
	}
	h.failWrite(w, r, err)
}

// tusCreate begins an upload.
func (h *handler) tusCreate(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
	metadata, ok := parseMetadata(r.Header.Get("Upload-Metadata"))
	name, location := uploadPath(r.URL.Path, metadata["filename"])
	switch {
	case err != nil || size < 0 || !ok || !fs.ValidPath(name) || name == ".":
		respond(w, http.StatusBadRequest)
		return
	case size > h.maxUpload:
		respond(w, http.StatusRequestEntityTooLarge)
		return
	}
	before, ok := h.begin(w, r, name)
	if !ok {
		return
	}
	options := append(uploadOptions(r.Header, metadata, before), Size(size))
	u, err := h.o.Begin(r.Context(), name, h.uploadLife, options...)
	if err != nil {
		h.failUpload(w, r, err)
		return
	}
	location.RawQuery = url.Values{uploadQuery: {u.Token()}}.Encode()
	w.Header().Set("Location", location.String())
	if r.Header.Get("Content-Type") == tusContent && !h.receive(w, r, u) || !h.settle(w, r, u) {
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// uploadPath returns the name of the object for the path of a POST, and its URL relative to the
// request's.
func uploadPath(dir, filename string) (name string, location *url.URL) {
	name = strings.TrimPrefix(dir, "/")
	if name != "" && !strings.HasSuffix(name, "/") {
		return name, &url.URL{Path: path.Base(name)}
	}
	return name + filename, &url.URL{Path: filename}
}

// uploadOptions returns the options of an upload. The conditions of the request hold for the
// object as it is now, nil if it does not exist.
func uploadOptions(h http.Header, metadata map[string]string, before *Info) []PutOption {
	options := []PutOption{ContentType(metadata["filetype"])}
	for key, value := range metadata {
		options = append(options, Metadata(key, value))
	}
	switch {
	case !isConditional(h):
	case before == nil:
		options = append(options, IfAbsent())
	default:
		options = append(options, IfRevision(before.Revision))
	}
	return options
}

// tusHead describes an upload.
func (h *handler) tusHead(w http.ResponseWriter, r *http.Request, u *Upload) {
	if !h.settle(w, r, u) {
		return
	}
	w.Header().Set("Upload-Length", strconv.FormatInt(u.Size(), 10))
	if text := formatMetadata(u.Metadata()); text != "" {
		w.Header().Set("Upload-Metadata", text)
	}
	w.WriteHeader(http.StatusOK)
}

// tusPatch continues an upload.
func (h *handler) tusPatch(w http.ResponseWriter, r *http.Request, u *Upload) {
	offset, err := strconv.ParseInt(r.Header.Get("Upload-Offset"), 10, 64)
	switch {
	case r.Header.Get("Content-Type") != tusContent:
		respond(w, http.StatusUnsupportedMediaType)
	case err != nil || offset < 0:
		respond(w, http.StatusBadRequest)
	case offset != u.Offset():
		respond(w, http.StatusConflict)
	case h.receive(w, r, u) && h.settle(w, r, u):
		w.WriteHeader(http.StatusNoContent)
	}
}

// receive adds the body of a request to an upload. If it fails, it sends the response.
func (h *handler) receive(w http.ResponseWriter, r *http.Request, u *Upload) bool {
	left := u.Size() - u.Offset()
	if r.ContentLength > left {
		respond(w, http.StatusRequestEntityTooLarge)
		return false
	}
	if left == 0 {
		return true
	}
	check, ok := parseChecksum(r.Header.Get("Upload-Checksum"))
	if !ok {
		respond(w, http.StatusBadRequest)
		return false
	}
	content := io.Reader(body{http.MaxBytesReader(w, r.Body, left)})
	if check != nil {
		checked, err := io.ReadAll(body{http.MaxBytesReader(w, r.Body, min(left, maxChecked))})
		switch {
		case err != nil:
			h.failUpload(w, r, err)
			return false
		case !check(checked):
			http.Error(w, "Checksum Mismatch", statusChecksum)
			return false
		}
		content = bytes.NewReader(checked)
	}
	if _, err := u.Append(r.Context(), content); err != nil {
		h.failUpload(w, r, err)
		return false
	}
	return true
}

// settle finishes an upload that has all bytes, and sets the headers of its state. A client
// that knows that it has sent all bytes asks no more. If it fails, it sends the response.
func (h *handler) settle(w http.ResponseWriter, r *http.Request, u *Upload) bool {
	w.Header().Set("Upload-Offset", strconv.FormatInt(u.Offset(), 10))
	if u.Offset() != u.Size() {
		w.Header().Set("Upload-Expires", u.Expires().Format(http.TimeFormat))
		return true
	}
	if u.finished {
		return true
	}
	if _, err := u.Finish(r.Context()); err != nil {
		w.Header().Del("Upload-Offset")
		h.failUpload(w, r, err)
		return false
	}
	return true
}

// tusDelete ends an upload.
func (h *handler) tusDelete(w http.ResponseWriter, r *http.Request, u *Upload) {
	switch err := u.Cancel(r.Context()); {
	case u.finished:
		respond(w, http.StatusGone)
	case err != nil:
		h.failUpload(w, r, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
