package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gomono.dev/mono"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// readJSON decodes a body of exactly one JSON value.
func readJSON(w http.ResponseWriter, r *http.Request, value any) error {
	if err := checkType(r.Header); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return unreadable(err)
	}
	// The limit was for the body. Beyond it, it would end the request's context.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if !utf8.Valid(body) {
		return reject(http.StatusBadRequest, "the body is not UTF-8")
	}
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	err = in.Decode(value)
	if err == nil && !atEnd(in) {
		err = errors.New("text follows the value")
	}
	if err != nil {
		return reject(http.StatusBadRequest, "the body is not one JSON object: %.300v", err)
	}
	if name := repeatedName(body); name != "" {
		return reject(http.StatusBadRequest, "the body names the field %q twice: give it one value", name)
	}
	return nil
}

// atEnd reports whether only white space follows in the input.
func atEnd(in *json.Decoder) bool {
	_, err := in.Token()
	return err == io.EOF
}

// repeatedName returns a name that a valid JSON object repeats, or "". Decoders of JSON ignore
// case, and use the last of several values.
func repeatedName(object []byte) string {
	in := json.NewDecoder(bytes.NewReader(object))
	var names []string
	for _, err := in.Token(); err == nil && in.More(); {
		name, _ := in.Token()
		text := fmt.Sprint(name)
		if slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, text) }) {
			return text
		}
		names = append(names, text)
		var skipped json.RawMessage
		err = in.Decode(&skipped)
	}
	return ""
}

// checkType reports a body in another format than JSON. A request without a content type counts
// as JSON.
func checkType(h http.Header) error {
	for _, encoding := range h.Values("Content-Encoding") {
		if !strings.EqualFold(encoding, "identity") {
			return reject(http.StatusUnsupportedMediaType, "unsupported content encoding %q: send the body without encoding", encoding)
		}
	}
	for _, given := range h.Values("Content-Type") {
		media, params, err := mime.ParseMediaType(given)
		charset, named := params["charset"]
		if err != nil || media != "application/json" || named && !strings.EqualFold(charset, "utf-8") {
			return reject(http.StatusUnsupportedMediaType, "unsupported content type %q: use application/json in UTF-8", given)
		}
	}
	return nil
}

// unreadable is the error of an incomplete body.
func unreadable(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return reject(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", large.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return reject(http.StatusRequestTimeout, "the body did not arrive within %v", readTimeout)
	}
	return reject(http.StatusBadRequest, "the body cannot be read: %v", err)
}

// bodyError is an error with its HTTP status.
type bodyError struct {
	status int
	error
}

func (e *bodyError) Unwrap() error { return e.error }

func reject(status int, format string, args ...any) error {
	return &bodyError{status, mono.Errorf(mono.InvalidArgument, "%s", fmt.Sprintf(format, args...))}
}
