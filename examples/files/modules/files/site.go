package files

import (
	"embed"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"gomono.dev/mono"
	"gomono.dev/objstore"
)

const (
	uploadLife = 24 * time.Hour   // an upload that broke off can continue this long
	stall      = 30 * time.Second // a client that sends or takes nothing this long has gone
	maxRows    = 1000             // of a list
)

var (
	//go:embed page.html
	page []byte

	//go:embed static
	static embed.FS
)

// Handler serves the web site:
//
//	GET /                    a page to upload, list, see and delete files
//	GET /list?prefix=…       the files whose names begin with the prefix, as JSON
//	GET /files/{name}        a file, or a range of it
//	DELETE /files/{name}     delete a file
//	POST /files/{name}       begin an upload by the tus protocol
//
// It knows no users: in a real site, authentication comes first.
func Handler(files *objstore.Objects) http.Handler {
	objects := files.Handler(objstore.AllowUploads(MaxFile, uploadLife), objstore.AllowDelete())
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files/", objects))
	mux.HandleFunc("GET /list", func(w http.ResponseWriter, r *http.Request) { list(w, r, files) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page) // the client has gone
	})
	mux.Handle("GET /static/", http.FileServerFS(static))
	return guarded(http.NewCrossOriginProtection().Handler(mux))
}

// guarded adds the headers of all responses, and ends requests whose clients stall.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		control := http.NewResponseController(w)
		r.Body = &body{r.Body, control}
		next.ServeHTTP(&response{w, control}, r)
	})
}

// body gives its client the time of a stall for each read, so a slow upload goes on.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	if err := b.control.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}

// response gives its client the time of a stall for each write, so a slow download goes on.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Write implements [io.Writer].
func (w *response) Write(p []byte) (int, error) {
	if err := w.control.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap gives [http.ResponseController] the writer below.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// row is a file in a list.
type row struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Type     string    `json:"type"`
	Modified time.Time `json:"modified"`
}

// list sends the files whose names begin with a prefix.
func list(w http.ResponseWriter, r *http.Request, files *objstore.Objects) {
	answer := struct {
		Files []row `json:"files"`
		More  bool  `json:"more"` // the list is cut
	}{Files: []row{}}
	for is, err := range files.List(r.Context(), objstore.Prefix(r.FormValue("prefix"))) {
		if err != nil {
			http.Error(w, "the files cannot be listed", mono.CodeOf(err).HTTPStatus())
			return
		}
		if answer.More = len(answer.Files) == maxRows; answer.More {
			break
		}
		answer.Files = append(answer.Files, row{is.Name, is.Size, is.ContentType, is.Modified})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer) // the client has gone
}
