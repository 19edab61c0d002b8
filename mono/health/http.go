package health

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gomono.dev/mono"
)

// maxQuery is the greatest length of a query.
const maxQuery = 8 << 10

// ServeHTTP serves /livez and /readyz; see the package documentation. Another path or an unknown check
// is 404, another method 405, a malformed query 400, and a query of more than 8 KiB 414. The checks of
// an App that does not run are unknown: /readyz/NAME is then 503 for any name.
func (p *Probes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.answer(r)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if a.status == http.StatusMethodNotAllowed {
		h.Set("Allow", "GET, HEAD")
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // an error means that the client has gone
	}
}

// answer is an answer over HTTP.
type answer struct {
	status      int
	contentType string
	body        []byte
}

func textAnswer(status int, format string, args ...any) answer {
	return answer{status, "text/plain; charset=utf-8", fmt.Appendf(nil, format+"\n", args...)}
}

func (p *Probes) answer(r *http.Request) answer {
	probe, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query, err := url.ParseQuery(r.URL.RawQuery[:min(len(r.URL.RawQuery), maxQuery)])
	switch {
	case probe != "livez" && probe != "readyz":
		return textAnswer(http.StatusNotFound, "no such probe: ask for /livez or /readyz")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return textAnswer(http.StatusMethodNotAllowed, "use GET or HEAD")
	case len(r.URL.RawQuery) > maxQuery:
		return textAnswer(http.StatusRequestURITooLong, "the query has %d bytes: at most %d are allowed", len(r.URL.RawQuery), maxQuery)
	case err != nil:
		return textAnswer(http.StatusBadRequest, "the query is malformed: escape the names of checks")
	}
	checks := liveness()
	if probe == "readyz" {
		checks = p.readiness()
	}
	checks, ok := choose(checks, name)
	if !ok {
		return textAnswer(http.StatusNotFound, "no such check: %.200q: /%s?verbose lists them", name, probe)
	}
	var excluded, notes []string
	if name == "" {
		excluded = query["exclude"]
	}
	results := p.run(r.Context(), checks, excluded)
	if note := unknown(excluded, results); note != "" {
		notes = append(notes, note)
	}
	a := answer{status: http.StatusOK, contentType: accepted(r.Header.Values("Accept"))}
	if len(failures(results)) > 0 {
		a.status = http.StatusServiceUnavailable
	}
	if a.contentType != "" {
		a.body, _ = json.Marshal(p.report(results, notes...)) // JSON can encode every Report
		a.body = append(a.body, '\n')
		return a
	}
	return textAnswer(a.status, "%s", p.text(probe, results, notes, query.Has("verbose")))
}

// choose returns the check with a name, or all without a name. While the first one fails, which is
// the state of the App, the others are unknown, so it is the answer for each name.
func choose(checks []mono.HealthCheck, name string) ([]mono.HealthCheck, bool) {
	if name == "" {
		return checks, true
	}
	i := slices.IndexFunc(checks, func(c mono.HealthCheck) bool { return nameOf(c) == name })
	if i < 0 {
		return checks, len(checks) == 1 && checks[0].Kind == "app"
	}
	return checks[i : i+1], true
}

// text returns the results in the format of Kubernetes.
func (p *Probes) text(probe string, results []result, notes []string, verbose bool) string {
	var lines []string
	for i := range results {
		switch r := &results[i]; {
		case r.excluded && verbose:
			lines = append(lines, "[+]"+r.name+" excluded: ok")
		case r.excluded || r.Healthy && !verbose:
		case r.Healthy:
			lines = append(lines, "[+]"+r.name+" ok")
		case verbose:
			lines = append(lines, "[-]"+r.name+" failed: "+p.reason(r)+ago(r))
		default:
			lines = append(lines, "[-]"+r.name+" failed")
		}
	}
	for _, note := range notes {
		lines = append(lines, "warn: "+note)
	}
	switch {
	case len(failures(results)) > 0:
		lines = append(lines, probe+" check failed")
	case verbose:
		lines = append(lines, probe+" check passed")
	default:
		lines = append([]string{"ok"}, lines...)
	}
	return strings.Join(lines, "\n")
}

// ago returns the time since the last success of a check, as a remark.
func ago(r *result) string {
	switch {
	case isState(r.name):
		return ""
	case r.success.IsZero():
		return " (no success yet)"
	}
	return " (last success " + since(r.success) + " ago)"
}

// accepted returns the content type of JSON that a request accepts, or "".
func accepted(header []string) string {
	for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
		t, params, err := mime.ParseMediaType(part)
		if q, bad := strconv.ParseFloat(params["q"], 64); err != nil || bad == nil && q == 0 {
			continue
		}
		if t == "application/health+json" || t == "application/json" {
			return t
		}
	}
	return ""
}
