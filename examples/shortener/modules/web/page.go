package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"

	"gomono.dev/examples/shortener/links"
)

var (
	//go:embed page.html
	pageText string

	//go:embed static
	static embed.FS

	page = template.Must(template.New("page").Parse(pageText))
)

// getPage sends the page. It is made as a whole first: an error is an answer, not a part.
func (s *site) getPage(w http.ResponseWriter, r *http.Request) {
	rows, err := s.rows(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	var made bytes.Buffer
	if err := page.Execute(&made, map[string]any{"Rows": rows, "MaxURL": links.MaxURL}); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = made.WriteTo(w) // the client has gone
}
