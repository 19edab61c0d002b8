package objstore

import (
	"errors"
	"net/http"
	"time"
)

func (h *handler) routeUpload(*http.Request) http.HandlerFunc { return nil }

func AllowUploads(maxBytes int64, life time.Duration) HandlerOption {
	return handlerOption(func(h *handler) { h.err = errors.New("x") })
}
