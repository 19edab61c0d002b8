package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"gomono.dev/examples/shortener/modules/web"
	"gomono.dev/mono"
)

// tour starts the App, uses it as its clients do, and stops it.
func tour(ctx context.Context, app *mono.App, site *web.Module, stdout io.Writer) (err error) {
	var base string
	site.Serving = func(url string) { base = url }
	if err := app.Start(ctx); err != nil {
		return errors.Join(err, app.Stop(context.WithoutCancel(ctx)))
	}
	defer func() { err = errors.Join(err, app.Stop(context.WithoutCancel(ctx))) }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	v := &visitor{base: base, out: stdout, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	defer v.client.CloseIdleConnections()
	made := v.send(ctx, "POST", "/links", `{"url": "https://go.dev/doc/", "ttl": "24h"}`)
	link, etag := made.header.Get("Location"), made.header.Get("ETag")
	alias := strings.TrimPrefix(link, "/links/")
	v.send(ctx, "POST", "/links", `{"url": "https://go.dev/", "alias": "`+alias+`"}`)
	v.send(ctx, "GET", "/"+alias, "")
	v.send(ctx, "PUT", link, `{"url": "https://pkg.go.dev/"}`, "If-Match", etag)
	v.send(ctx, "PUT", link, `{"url": "https://go.dev/"}`, "If-Match", etag)
	v.send(ctx, "GET", "/"+alias, "")
	v.awaitVisits(ctx, link+"/stats", 2)
	return v.err
}

// visitor sends requests and prints the answers.
type visitor struct {
	base   string
	client *http.Client
	out    io.Writer
	err    error // the first one; nothing is sent after it
}

// answer is the answer to a request.
type answer struct {
	status string
	header http.Header
	body   string
}

// send sends a request, and prints it with its answer. A header is a name and a value.
func (v *visitor) send(ctx context.Context, method, path, body string, header ...string) (a answer) {
	if v.err != nil {
		return a
	}
	if a, v.err = v.ask(ctx, method, path, body, header...); v.err == nil {
		fmt.Fprintf(v.out, "%s %s %s\n  %s %s %s\n", method, path, body, a.status, a.header.Get("Location"), a.body)
	}
	return a
}

func (v *visitor) ask(ctx context.Context, method, path, body string, header ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, v.base+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	got, err := v.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	read, err := io.ReadAll(got.Body)
	a := answer{status: got.Status, header: got.Header}
	if got.Header.Get("Content-Type") == "application/json" {
		a.body = string(bytes.TrimSpace(read))
	}
	return a, err
}

// awaitVisits prints the visits of a link when there are n. They are counted after the answer.
func (v *visitor) awaitVisits(ctx context.Context, path string, n int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for v.err == nil {
		var a answer
		if a, v.err = v.ask(ctx, "GET", path, ""); strings.Contains(a.body, fmt.Sprintf(`"visits":%d,`, n)) {
			v.send(ctx, "GET", path, "")
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			v.err = errors.Join(v.err, fmt.Errorf("%d visits were not counted: %s", n, a.body))
		}
	}
}
