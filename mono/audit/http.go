package audit

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"gomono.dev/transport"
)

// ServeHTTP serves the log as C2SP's tlog-tiles specifies, below the root: checkpoint,
// tile/<level>/<index> and tile/entries/<index>. http.StripPrefix serves it elsewhere. Who may
// request it sees all entries, so put it behind the authentication that they need.
func (t *Tiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	content, kind, cache := []byte(nil), "application/octet-stream", "public, max-age=31536000, immutable"
	path := strings.TrimPrefix(r.URL.Path, "/")
	var err error
	if path == "checkpoint" {
		kind, cache = "text/plain; charset=utf-8", "no-cache"
		var c Checkpoint
		c, err = t.Checkpoint(r.Context())
		content = c.Note
	} else {
		content, err = t.resource(r.Context(), path)
	}
	if err != nil {
		status := transport.CodeOf(err).HTTPStatus()
		if e := t.env.Load(); e != nil && status >= http.StatusInternalServerError {
			e.Logger.Error("audit: not served", "log", t.name, "path", path, "error", err)
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content)
}

// resource returns the content of a path below tile.
func (t *Tiles) resource(ctx context.Context, path string) ([]byte, error) {
	if t.env.Load() == nil {
		return nil, t.notOpen()
	}
	notFound := errorf(t.name, transport.NotFound, "no resource %q", path)
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return nil, notFound
	}
	bundle, isBundle := strings.CutPrefix(rest, "entries/")
	if isBundle {
		rest = "data/" + bundle // as package tlog names them
	}
	tile, err := tlog.ParseTilePath("tile/8/" + rest)
	switch {
	case err != nil || tile.L < 0 && !isBundle:
		return nil, notFound
	case isBundle:
		return t.bundle(ctx, tile)
	}
	return t.tile(ctx, tile)
}
