package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	contract "gomono.dev/examples/shortener/links"
	"gomono.dev/examples/shortener/modules/links"
	"gomono.dev/examples/shortener/modules/stats"
	"gomono.dev/examples/shortener/modules/web"
	"gomono.dev/mono"
	"gomono.dev/testkit"
)

// client uses the web site of a system under test, without a network.
type client struct {
	t    testing.TB
	h    *testkit.Harness
	site http.Handler
}

// system starts the modules.
func system(t testing.TB, h *testkit.Harness) *client {
	t.Helper()
	h.AddFunc(
		func() mono.Module { return &links.Module{} },
		func() mono.Module { return &stats.Module{} },
	)
	h.MustStart()
	return &client{t, h, web.Handler(h)}
}

// send sends a request. A header is a name and a value.
func (c *client) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.site.ServeHTTP(w, r)
	return w
}

// want sends a request, and checks the status of its answer.
func (c *client) want(status int, method, path, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	w := c.send(method, path, body, header...)
	if w.Code != status {
		c.t.Errorf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	return w
}

// leadsTo visits a link, and checks its URL.
func (c *client) leadsTo(alias, url string) {
	c.t.Helper()
	if got := c.want(302, "GET", "/"+alias, "").Header().Get("Location"); got != url {
		c.t.Errorf("%s leads to %q, want %q", alias, got, url)
	}
}

// visits checks the statistics of a link, which follow the visits.
func (c *client) visits(alias string, n int) {
	c.t.Helper()
	c.h.Settle()
	var counts struct{ Visits int }
	w := c.want(200, "GET", "/links/"+alias+"/stats", "")
	if err := json.Unmarshal(w.Body.Bytes(), &counts); err != nil || counts.Visits != n {
		c.t.Errorf("%s has %s visits, want %d", alias, w.Body, n)
	}
}

const golang = `{"url":"https://go.dev/","alias":"golang","ttl":"1h"}`

// A link is made, visited, counted, listed, shown and deleted, on every path of messages.
func TestLifeOfALink(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		made := c.want(201, "POST", "/links", golang)
		if got := made.Header().Get("Location"); got != "/links/golang" {
			t.Errorf("it is at %q", got)
		}
		for range 3 {
			c.leadsTo("golang", "https://go.dev/")
		}
		c.want(302, "HEAD", "/golang", "") // this does not count
		h.Advance(time.Second)             // counts that conflict start anew
		c.visits("golang", 3)
		testkit.RequireNone(t, h, contract.Update)
		for path, want := range map[string]string{"/links": `"visits":3`, "/": `<a href="/golang">golang</a>`, "/links/golang": `"url":"https://go.dev/"`} {
			if w := c.want(200, "GET", path, ""); !strings.Contains(w.Body.String(), want) {
				t.Errorf("GET %s: no %s in %s", path, want, w.Body)
			}
		}
		c.want(204, "DELETE", "/links/golang", "", "If-Match", made.Header().Get("ETag"))
		for _, path := range []string{"/golang", "/links/golang", "/links/golang/stats"} {
			c.want(404, "GET", path, "")
		}
		if w := c.want(200, "GET", "/", ""); !strings.Contains(w.Body.String(), "There are no links yet") {
			t.Errorf("the page: %s", w.Body)
		}
	})
}

// A link expires to the second. Its alias is free then, and the next link with it has no
// visits.
func TestExpiry(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		c.want(201, "POST", "/links", golang)
		c.leadsTo("golang", "https://go.dev/")
		h.Advance(time.Hour - time.Second)
		c.leadsTo("golang", "https://go.dev/")
		c.visits("golang", 2)
		c.want(409, "POST", "/links", golang)
		h.Advance(time.Second)
		c.want(404, "GET", "/golang", "")
		c.want(201, "POST", "/links", golang)
		c.visits("golang", 0)
	})
}

// A change of the URL leaves the expiry as it is. A new life begins with the change.
func TestChangesAndExpiry(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		etag := c.want(201, "POST", "/links", golang).Header().Get("ETag")
		h.Advance(30 * time.Minute)
		etag = c.want(200, "PUT", "/links/golang", `{"url":"https://pkg.go.dev/"}`, "If-Match", etag).Header().Get("ETag")
		c.leadsTo("golang", "https://pkg.go.dev/")
		h.Advance(29 * time.Minute)
		c.want(200, "PUT", "/links/golang", `{"ttl":"2m"}`, "If-Match", etag)
		h.Advance(2*time.Minute - time.Second)
		c.leadsTo("golang", "https://pkg.go.dev/")
		h.Advance(time.Second)
		c.want(404, "GET", "/golang", "")
		c.want(201, "POST", "/links", golang)
	})
}

// Of two changes that began with one revision, the second is refused, and a change or deletion
// without a revision too.
func TestConflicts(t *testing.T) {
	t.Parallel()
	testkit.Each(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		first := c.want(201, "POST", "/links", golang).Header().Get("ETag")
		c.want(200, "PUT", "/links/golang", `{"url":"https://pkg.go.dev/"}`, "If-Match", first)
		c.want(412, "PUT", "/links/golang", `{"url":"https://example.com/"}`, "If-Match", first)
		c.want(412, "DELETE", "/links/golang", "", "If-Match", first)
		for _, bad := range []string{"*", "2", `W/"2"`, `"x"`, `""`} {
			c.want(412, "PUT", "/links/golang", `{}`, "If-Match", bad)
		}
		c.want(428, "PUT", "/links/golang", `{}`)
		c.want(428, "DELETE", "/links/golang", "")
		c.want(404, "PUT", "/links/nothing", `{}`, "If-Match", first)
		c.leadsTo("golang", "https://pkg.go.dev/")
	})
}

// Of many requests for one alias at once, one gets it.
func TestOneGetsTheAlias(t *testing.T) {
	t.Parallel()
	testkit.Explore(t, 20, func(t testing.TB, h *testkit.Harness) {
		c := system(t, h)
		codes := make(chan int)
		for range 5 {
			go func() { codes <- c.send("POST", "/links", golang).Code }()
		}
		got := make(map[int]int)
		for range 5 {
			got[<-codes]++
		}
		if got[201] != 1 || got[409] != 4 {
			t.Errorf("%v", got)
		}
	}).MustPass()
}

// Links without an alias get different ones.
func TestRandomAliases(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		seen := make(map[string]bool)
		for range 10 {
			at := c.want(201, "POST", "/links", `{"url":"https://go.dev/"}`).Header().Get("Location")
			seen[at] = true
			c.leadsTo(strings.TrimPrefix(at, "/links/"), "https://go.dev/")
		}
		if len(seen) != 10 {
			t.Errorf("%v", seen)
		}
	})
}

// Bad input is refused with a reason, and nothing is stored.
func TestBadInput(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		long := strings.Repeat("x", contract.MaxURL)
		for _, bad := range []struct {
			body   string
			status int
			want   string
		}{
			{`{"alias":"abc"}`, 400, "the URL has 0 bytes"},
			{`{"url":"https://x.y/` + long + `"}`, 400, "want 1 to 2048"},
			{`{"url":"https://x.y/` + strings.Repeat("ä", 800) + `"}`, 400, "when it is escaped"},
			{`{"url":"javascript:alert(1)"}`, 400, "want http or https"},
			{`{"url":"ftp://x.y/"}`, 400, "want http or https"},
			{`{"url":"//x.y/"}`, 400, "want http or https"},
			{`{"url":"https:///path"}`, 400, "names no host"},
			{`{"url":"https://:80/"}`, 400, "names no host"},
			{`{"url":"https://bank.com@evil.example/"}`, 400, "user name"},
			{`{"url":"https://x.y/\n"}`, 400, "malformed"},
			{`{"url":"https://x.y/","alias":"ab"}`, 400, "want 3 to 32"},
			{`{"url":"https://x.y/","alias":"a/b c"}`, 400, "want 3 to 32"},
			{`{"url":"https://x.y/","alias":"Health"}`, 400, "is reserved"},
			{`{"url":"https://x.y/","alias":"` + long + `"}`, 400, "want 3 to 32"},
			{`{"url":"https://x.y/","ttl":"1s"}`, 400, "want 1m0s to"},
			{`{"url":"https://x.y/","ttl":"-1h"}`, 400, "want 1m0s to"},
			{`{"url":"https://x.y/","ttl":"soon"}`, 400, "not one JSON object"},
			{`{"url":"https://x.y/","color":"red"}`, 400, "unknown field"},
			{`{"url":"https://x.y/"} {}`, 400, "text follows"},
			{`{"url":`, 400, "not one JSON object"},
			{`{"url":"` + strings.Repeat(" ", 9000) + `"}`, 413, "larger than 8192 bytes"},
		} {
			if w := c.want(bad.status, "POST", "/links", bad.body); !strings.Contains(w.Body.String(), bad.want) {
				t.Errorf("%.60s: %s, want %s", bad.body, w.Body, bad.want)
			}
		}
		for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
			c.want(415, "POST", "/links", golang, "Content-Type", media)
		}
		for _, path := range []string{"/a%2Fb", "/..%2f", "/" + long, "/links/x%00y"} {
			c.want(404, "GET", path, "")
		}
		status, err := testkit.Bucket(h, links.Bucket).Status(t.Context())
		if err != nil || status.Records != 0 {
			t.Errorf("%+v: %v", status, err)
		}
	})
}

// The page escapes what it shows.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		c.want(201, "POST", "/links", `{"url":"https://x.y/?a=<script>&b=\"'"}`)
		page := c.want(200, "GET", "/", "")
		if strings.Contains(page.Body.String(), "a=<script>") || !strings.Contains(page.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%v\n%s", page.Header(), page.Body)
		}
		for path, want := range map[string]string{"/static/page.js": "javascript", "/static/page.css": "css"} {
			if got := c.want(200, "GET", path, "").Header().Get("Content-Type"); !strings.Contains(got, want) {
				t.Errorf("%s is %s", path, got)
			}
		}
	})
}

// The page lists the newest links only, and their number does not make it large.
func TestManyLinks(t *testing.T) {
	t.Parallel()
	testkit.Run(t, func(t *testing.T, h *testkit.Harness) {
		c := system(t, h)
		for n := range 2*contract.MaxList + 5 {
			c.want(201, "POST", "/links", fmt.Sprintf(`{"url":"https://x.y/","alias":"link-%d"}`, n))
			h.Advance(time.Second)
		}
		var rows []struct{ Alias string }
		if err := json.Unmarshal(c.want(200, "GET", "/links", "").Body.Bytes(), &rows); err != nil || len(rows) != contract.MaxList || rows[0].Alias != "link-204" || rows[99].Alias != "link-105" {
			t.Errorf("%d links, %v: %v", len(rows), rows, err)
		}
	})
}
