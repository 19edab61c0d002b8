package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gomono.dev/examples/shortener/links"
	"gomono.dev/examples/shortener/stats"
	"gomono.dev/mono"
)

// site answers requests.
type site struct {
	shorten mono.Func[links.ShortenRequest, links.Link]
	find    mono.Func[links.Name, links.Link]
	resolve mono.Func[links.Name, links.Link]
	update  mono.Func[links.UpdateRequest, links.Link]
	remove  mono.Func[links.DeleteRequest, links.Link]
	list    mono.Func[links.ListRequest, links.ListReply]
	count   mono.Func[stats.Request, stats.Reply]
	app     mono.Binder
}

// Handler serves the web site:
//
//	GET /                     a page to make and see links
//	GET /{alias}              to the link's URL
//	POST /links               make a link: {"url": "https://…", "alias": "…", "ttl": "24h"}
//	GET /links                the newest links, with their visits
//	GET /links/{alias}        a link, with its ETag
//	PUT /links/{alias}        change a link with the ETag in If-Match: {"url": "…", "ttl": "…"}
//	DELETE /links/{alias}     delete a link with the ETag in If-Match
//	GET /links/{alias}/stats  its visits
//	GET /health               the health of the App
func Handler(b mono.Binder) http.Handler {
	s := &site{
		shorten: links.Shorten.Client(b), find: links.Get.Client(b), resolve: links.Resolve.Client(b),
		update: links.Update.Client(b), remove: links.Delete.Client(b), list: links.List.Client(b),
		count: stats.Get.Client(b), app: b,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.getPage)
	mux.HandleFunc("GET /{alias}", s.visit)
	mux.HandleFunc("POST /links", s.post)
	mux.HandleFunc("GET /links", s.getAll)
	mux.HandleFunc("GET /links/{alias}", s.get)
	mux.HandleFunc("PUT /links/{alias}", s.put)
	mux.HandleFunc("DELETE /links/{alias}", s.delete)
	mux.HandleFunc("GET /links/{alias}/stats", s.getStats)
	mux.HandleFunc("GET /health", s.getHealth)
	mux.Handle("GET /static/", http.FileServerFS(static))
	return guarded(mux)
}

// guarded adds the headers of all answers.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// visit sends a visitor to the URL of a link. A cached answer would not be counted. A HEAD is
// not counted either.
func (s *site) visit(w http.ResponseWriter, r *http.Request) {
	follow := s.resolve
	if r.Method == http.MethodHead {
		follow = s.find
	}
	link, err := follow(r.Context(), links.Name{Alias: r.PathValue("alias")})
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, link.URL, http.StatusFound)
}

func (s *site) post(w http.ResponseWriter, r *http.Request) {
	var body struct {
		URL   string `json:"url"`
		Alias string `json:"alias"`
		TTL   life   `json:"ttl"`
	}
	err := readJSON(w, r, &body)
	var link links.Link
	if err == nil {
		link, err = s.shorten(r.Context(), links.ShortenRequest{URL: body.URL, Alias: body.Alias, Life: time.Duration(body.TTL)})
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Location", "/links/"+link.Alias)
	replyLink(w, http.StatusCreated, link)
}

func (s *site) get(w http.ResponseWriter, r *http.Request) {
	link, err := s.find(r.Context(), links.Name{Alias: r.PathValue("alias")})
	if err != nil {
		fail(w, err)
		return
	}
	replyLink(w, http.StatusOK, link)
}

func (s *site) put(w http.ResponseWriter, r *http.Request) {
	var body struct {
		URL string `json:"url"`
		TTL life   `json:"ttl"`
	}
	revision, err := ifMatch(r)
	if err == nil {
		err = readJSON(w, r, &body)
	}
	var link links.Link
	if err == nil {
		link, err = s.update(r.Context(), links.UpdateRequest{Alias: r.PathValue("alias"), Revision: revision, URL: body.URL, Life: time.Duration(body.TTL)})
	}
	if err != nil {
		fail(w, err)
		return
	}
	replyLink(w, http.StatusOK, link)
}

func (s *site) delete(w http.ResponseWriter, r *http.Request) {
	revision, err := ifMatch(r)
	if err == nil {
		_, err = s.remove(r.Context(), links.DeleteRequest{Alias: r.PathValue("alias"), Revision: revision})
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *site) getStats(w http.ResponseWriter, r *http.Request) {
	link, err := s.find(r.Context(), links.Name{Alias: r.PathValue("alias")})
	var counts stats.Reply
	if err == nil {
		counts, err = s.count(r.Context(), stats.Request{Links: []string{link.ID}})
	}
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, counts.Counts[0])
}

// row is a link with its visits.
type row struct {
	links.Link
	stats.Counts
}

// rows returns the newest links.
func (s *site) rows(ctx context.Context) ([]row, error) {
	all, err := s.list(ctx, links.ListRequest{})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, link := range all.Links {
		ids = append(ids, link.ID)
	}
	counts, err := s.count(ctx, stats.Request{Links: ids})
	if err != nil {
		return nil, err
	}
	rows := make([]row, len(all.Links))
	for i := range rows {
		rows[i] = row{all.Links[i], counts.Counts[i]}
	}
	return rows, nil
}

func (s *site) getAll(w http.ResponseWriter, r *http.Request) {
	rows, err := s.rows(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, rows)
}

func (s *site) getHealth(w http.ResponseWriter, r *http.Request) {
	h := s.app.Scope().Health(r.Context())
	status := http.StatusOK
	if !h.Healthy {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, h)
}

// replyLink sends a link. Its ETag is its revision.
func replyLink(w http.ResponseWriter, status int, link links.Link) {
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, link.Revision))
	reply(w, status, link)
}

// ifMatch returns the revision in the header If-Match.
func ifMatch(r *http.Request) (uint64, error) {
	given := r.Header.Get("If-Match")
	if given == "" {
		return 0, reject(http.StatusPreconditionRequired, mono.FailedPrecondition, "the header If-Match is missing: read the link, and send its ETag")
	}
	digits, begins := strings.CutPrefix(given, `"`)
	digits, ends := strings.CutSuffix(digits, `"`)
	revision, err := strconv.ParseUint(digits, 10, 64)
	if !begins || !ends || err != nil {
		return 0, reject(http.StatusPreconditionFailed, mono.Aborted, "the If-Match %.40q is not the ETag of a link", given)
	}
	return revision, nil
}

// fail sends an error: its code and its text.
func fail(w http.ResponseWriter, err error) {
	code := mono.CodeOf(err)
	status := code.HTTPStatus()
	if code == mono.Aborted {
		status = http.StatusPreconditionFailed
	}
	if e, ok := errors.AsType[*requestError](err); ok {
		status = e.status
	}
	reply(w, status, map[string]any{"code": code, "message": err.Error()})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}
