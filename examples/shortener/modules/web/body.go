package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"gomono.dev/mono"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 8 << 10

// readJSON decodes a body of exactly one JSON object. It must be declared as JSON: a page of
// another site can make a browser send a form, but not that.
func readJSON(w http.ResponseWriter, r *http.Request, value any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return reject(http.StatusUnsupportedMediaType, mono.InvalidArgument, "unsupported content type %.100q: use application/json", r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return reject(http.StatusRequestEntityTooLarge, mono.InvalidArgument, "the body is larger than %d bytes", large.Limit)
	}
	if err != nil {
		return reject(http.StatusBadRequest, mono.InvalidArgument, "the body cannot be read: %v", err)
	}
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	if err = in.Decode(value); err == nil {
		if _, end := in.Token(); end != io.EOF {
			err = errors.New("text follows the object")
		}
	}
	if err != nil {
		return reject(http.StatusBadRequest, mono.InvalidArgument, "the body is not one JSON object: %.300v", err)
	}
	return nil
}

// life is a duration as text, such as "24h". "" is 0.
type life time.Duration

// UnmarshalText parses a duration.
func (l *life) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*l = 0
		return nil
	}
	d, err := time.ParseDuration(string(text))
	*l = life(d)
	return err
}

// requestError is an error with its HTTP status.
type requestError struct {
	status int
	error
}

func (e *requestError) Unwrap() error { return e.error }

func reject(status int, code mono.Code, format string, args ...any) error {
	return &requestError{status, mono.Errorf(code, "%s", fmt.Sprintf(format, args...))}
}
