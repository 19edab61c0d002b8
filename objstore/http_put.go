package objstore

import (
	"net/http"
	"strings"
	"time"

	"gomono.dev/transport"
)

// put serves PUT.
func (h *handler) put(w http.ResponseWriter, r *http.Request, name string) {
	switch {
	case r.Header.Get("Content-Range") != "":
		respond(w, http.StatusBadRequest) // RFC 9110, section 14.5
		return
	case r.ContentLength > h.maxPut:
		respond(w, http.StatusRequestEntityTooLarge)
		return
	}
	before, ok := h.begin(w, r, name)
	if !ok {
		return
	}
	options := []PutOption{ContentType(r.Header.Get("Content-Type"))}
	if r.ContentLength >= 0 {
		options = append(options, Size(r.ContentLength))
	}
	if before == nil {
		options = append(options, IfAbsent())
	} else {
		options = append(options, IfRevision(before.Revision))
	}
	is, err := h.o.Put(r.Context(), name, body{http.MaxBytesReader(w, r.Body, h.maxPut)}, options...)
	if err != nil {
		h.failWrite(w, r, err)
		return
	}
	w.Header().Set("Etag", etag(&is))
	if before == nil {
		w.WriteHeader(http.StatusCreated)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// delete serves DELETE.
func (h *handler) delete(w http.ResponseWriter, r *http.Request, name string) {
	before, ok := h.begin(w, r, name)
	switch {
	case !ok:
	case before == nil:
		respond(w, http.StatusNotFound)
	default:
		if err := h.o.Delete(r.Context(), name, IfRevision(before.Revision)); err != nil {
			h.failWrite(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// begin returns the object that a request changes, nil if it does not exist. If the conditions
// of the request do not hold, or after an error, it sends the response.
func (h *handler) begin(w http.ResponseWriter, r *http.Request, name string) (*Info, bool) {
	s, err := h.o.begin(r.Context())
	if err != nil {
		h.fail(w, r, err)
		return nil, false
	}
	before, err := s.newest(r.Context(), name)
	switch {
	case err != nil:
		h.fail(w, r, err)
	case !holds(r.Header, before):
		respond(w, http.StatusPreconditionFailed)
	default:
		return before, true
	}
	return nil, false
}

// failWrite sends the status of an error of a write. A lost race is a conflict, or a failed
// condition of the request if it has one.
func (h *handler) failWrite(w http.ResponseWriter, r *http.Request, err error) {
	code := transport.CodeOf(err)
	if isConditional(r.Header) && (code == transport.Aborted || code == transport.AlreadyExists) {
		respond(w, http.StatusPreconditionFailed)
		return
	}
	h.fail(w, r, err)
}

func isConditional(h http.Header) bool {
	return h["If-Match"] != nil || h["If-None-Match"] != nil || h["If-Unmodified-Since"] != nil
}

// holds reports whether the conditions of a request hold for an object, nil if it does not
// exist (RFC 9110, section 13.2.2).
func holds(h http.Header, is *Info) bool {
	if match := h["If-Match"]; match != nil {
		if !anyTag(match, is, "") {
			return false
		}
	} else if since, err := time.Parse(http.TimeFormat, h.Get("If-Unmodified-Since")); err == nil && is != nil {
		if is.Modified.Truncate(time.Second).After(since) {
			return false
		}
	}
	none := h["If-None-Match"]
	return none == nil || !anyTag(none, is, "W/")
}

// anyTag reports whether an object has one of the listed entity tags. A prefix weak of a tag
// is ignored.
func anyTag(lists []string, is *Info, weak string) bool {
	if is == nil {
		return false
	}
	for tag := range strings.SplitSeq(strings.Join(lists, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" || tag != "" && strings.TrimPrefix(tag, weak) == etag(is) {
			return true
		}
	}
	return false
}
