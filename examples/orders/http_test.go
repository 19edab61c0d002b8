package main

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// serving starts a program without orders.
func serving(t testing.TB, args ...string) *program {
	t.Helper()
	return startProgram(t, append(args, "-orders", os.DevNull)...)
}

// send makes a request and returns its answer. A header is a name and a value.
func (p *program) send(t testing.TB, method, path, body string, header ...string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(read)
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := startProgram(t, "-transport", "inproc")
		for _, c := range []struct {
			body   string
			status int
			want   string
		}{
			{`{"id":"x1","card":"4242 4242 4242 4242","product":"book","quantity":2}`, 201, `"receipt":"R-x1"`},
			{`{"id":"x2","card":"4000 0000 0000 0002","product":"book","quantity":2}`, 402, `{"name":"payments.declined","code":"failed_precondition","value":{"reason":"insufficient funds"}}`},
			{`{"id":"x3","card":"4242 4242 4242 4242","product":"globe","quantity":2}`, 400, `{"name":"inventory.out-of-stock","code":"failed_precondition","value":{"product":"globe"`},
			{`{"id":"x4","card":"4242 4242 4242 4242","product":"unicorn","quantity":2}`, 404, `{"name":"inventory.unknown-product","code":"not_found","value":{"product":"unicorn"}}`},
			{`{"id":`, 400, `"code":"invalid_argument"`},
		} {
			if status, got := p.send(t, "POST", "/orders", c.body); status != c.status || !strings.Contains(got, c.want) {
				t.Errorf("%s: %d %s, want %d %s", c.body, status, got, c.status, c.want)
			}
		}
		if status, got := p.send(t, "GET", "/orders/x1", ""); status != 200 || !strings.Contains(got, `"R-x1"`) {
			t.Errorf("GET: %d %s", status, got)
		}
		if status, _ := p.send(t, "GET", "/orders/x2", ""); status != 404 {
			t.Errorf("GET of a refused order: %d", status)
		}
		if status, got := p.send(t, "GET", "/health", ""); status != 200 || !strings.Contains(got, `"healthy":true`) {
			t.Errorf("health: %d %s", status, got)
		}
		p.signal(t, os.Interrupt)
		p.mustEnd(t)
	})
}

// A body that is not one JSON object in UTF-8 places no order.
func TestBodies(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-transport", "inproc")
		for name, c := range map[string]struct {
			body, mediaType, encoding string
			status                    int
			names                     string // a field
		}{
			"two orders":            {body: order("x") + order("y"), status: 400},
			"two orders, two lines": {body: order("x") + "\n" + order("y"), status: 400},
			"a list":                {body: "[" + order("x") + "]", status: 400},
			"nothing":               {status: 400},
			"no UTF-8":              {body: "{\"id\":\"x\",\"customer\":\"\xff\"}", status: 400},
			"too large":             {body: order("x") + strings.Repeat(" ", 1<<20), status: 413},
			"much too large":        {body: strings.Repeat(" ", 8<<20), status: 413},
			"a form":                {body: order("x"), mediaType: "application/x-www-form-urlencoded", status: 415},
			"text":                  {body: order("x"), mediaType: "text/plain; charset=utf-8", status: 415},
			"Latin-1":               {body: order("x"), mediaType: "application/json; charset=iso-8859-1", status: 415},
			"a broken type":         {body: order("x"), mediaType: "application/json; charset", status: 415},
			"compressed":            {body: order("x"), encoding: "gzip", status: 415},
			"two ids":               {body: strings.Replace(order("x"), "{", `{"id":"y",`, 1), status: 400, names: `\"id\"`},
			"two spellings":         {body: strings.Replace(order("x"), "}", `,"QUANTITY":2}`, 1), status: 400, names: `\"QUANTITY\"`},
			"two spellings, folded": {body: strings.Replace(order("x"), "}", `,"bat\u0063h":"","BATCH":""}`, 1), status: 400, names: `\"BATCH\"`},
			"an unknown field":      {body: strings.Replace(order("x"), "}", `,"coupon":"50%"}`, 1), status: 400, names: `\"coupon\"`},
		} {
			header := []string{"Content-Type", cmp.Or(c.mediaType, "application/json")}
			if c.encoding != "" {
				header = append(header, "Content-Encoding", c.encoding)
			}
			if status, got := p.send(t, "POST", "/orders", c.body, header...); status != c.status || !strings.Contains(got, `"invalid_argument"`) || !strings.Contains(got, c.names) {
				t.Errorf("%s: %d %s, want %d", name, status, got, c.status)
			}
			for _, id := range []string{"x", "y"} {
				if status, _ := p.send(t, "GET", "/orders/"+id, ""); status != 404 {
					t.Errorf("%s: order %s: %d", name, id, status)
				}
			}
		}
		for _, mediaType := range []string{"application/json; charset=UTF-8", "Application/JSON", "application/json;charset=\"utf-8\""} {
			if status, got := p.send(t, "POST", "/orders", order("good"), "Content-Type", mediaType, "Content-Encoding", "identity"); status != 201 {
				t.Errorf("%s: %d %s", mediaType, status, got)
			}
		}
	})
}

// An id with more than one spelling, or one that cannot be read back, is refused. JSON turns
// all bytes that are not Unicode into one character, so two such ids would be one order.
func TestIDs(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-transport", "inproc")
		for _, id := range []string{"", " ", " x", "x\t", "a/b", ".", "..", "\xff", "\xfe", `\ud800`, `\udfff`, "\uFFFD", `\u0000`, strings.Repeat("x", 101)} {
			for _, body := range []string{`{"id":"` + id + `"`, `{"id":"good","batch":"` + id + `"`} {
				if strings.HasSuffix(body, `"batch":""`) {
					continue // an empty batch is allowed
				}
				body += `,"card":"4242 4242 4242 4242","product":"book","quantity":1}`
				if status, got := p.send(t, "POST", "/orders", body); status != 400 {
					t.Errorf("%q: %d %s", body, status, got)
				}
			}
		}
		if status, got := p.send(t, "POST", "/orders", order("good")); status != 201 {
			t.Errorf("a good id: %d %s", status, got)
		}
		for _, path := range []string{"/orders/%ff", "/orders/%EF%BF%BD", "/orders/a%2Fb", "/orders/x?batch=%ff", "/orders/good?batch=x;y", "/orders/good?batch=%zz", "/orders/good?batch=&batch=b", "/orders/good?batch=b&batch=b"} {
			if status, got := p.send(t, "GET", path, ""); status != 400 {
				t.Errorf("GET %s: %d %s", path, status, got)
			}
		}
	})
}

// An order is read back by its id, and an order of a batch by both names, which are in the
// answer's Location.
func TestOrdersAreReadBack(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-transport", "inproc")
		for _, o := range [][2]string{{"x"}, {"x", "b1"}, {"x", "b2"}, {"a b?c#d%e&f", "g h?i#j%k&l=m"}, {"ä.*>", "日本"}, {"..."}, {"~;:@"}} {
			id, batch := o[0], o[1]
			body := `{"id":"` + id + `","batch":"` + batch + `","customer":"` + id + batch + `","card":"4242 4242 4242 4242","product":"book","quantity":1}`
			answer, err := http.Post(p.url+"/orders", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			path := "/orders/" + url.PathEscape(id)
			if batch != "" {
				path += "?batch=" + url.QueryEscape(batch)
			}
			for _, path := range []string{path, answer.Header.Get("Location")} {
				if status, got := p.send(t, "GET", path, ""); status != 200 || !strings.Contains(got, `"customer":"`+strings.ReplaceAll(strings.ReplaceAll(id+batch, "&", `\u0026`), ">", `\u003e`)+`"`) {
					t.Errorf("%q of %q: GET %s: %d %s", id, batch, path, status, got)
				}
			}
		}
		if status, _ := p.send(t, "GET", "/orders/x?batch=b3", ""); status != 404 {
			t.Errorf("an order of another batch: %d", status)
		}
	})
}

// Callers of one process take turns with an order, so its card is charged once and not charged
// and refunded many times.
func TestTurns(t *testing.T) {
	t.Parallel()
	patiently(t, func(t testing.TB) {
		p := serving(t, "-store", t.TempDir())
		var wait sync.WaitGroup
		for i := range 50 {
			body := strings.Replace(order("x"), "book", []string{"book", "lamp"}[i%2], 1)
			wait.Go(func() {
				if status, got := p.send(t, "POST", "/orders", body); status != 201 && status != 409 {
					t.Errorf("%d %s", status, got)
				}
			})
		}
		wait.Wait()
		if _, got := p.send(t, "GET", "/health", ""); !strings.Contains(got, `"charges":1,"refunds":0`) {
			t.Errorf("health: %s", got)
		}
	})
}
