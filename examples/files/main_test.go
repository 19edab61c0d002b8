package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"gomono.dev/examples/files/modules/files"
	"gomono.dev/internal/realtime"
	"gomono.dev/objstore"
	"gomono.dev/transport/inproc"
)

// TestMain lets the test binary run as the program, for the test of a signal.
func TestMain(m *testing.M) {
	if os.Getenv("FILES_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(realtime.Main(m))
}

// The program uploads a file in two parts, reads a range and deletes it, in memory and on an
// embedded server.
func TestTour(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"in memory": {"-tour"}, "embedded": {"-tour", "-store", t.TempDir()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, side bytes.Buffer
			if err := run(t.Context(), args, &out, &side); err != nil {
				t.Fatalf("%v\n%s%s", err, out.String(), side.String())
			}
			for _, want := range []string{"201 Created offset 0", "200 OK offset 7", "204 No Content offset 12", `"name":"hello.txt","size":12,"type":"text/plain"`, "206 Partial Content mono!", "404 Not Found"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %s in\n%s", want, out.String())
				}
			}
		})
	}
}

// request is a request and its expected response.
type request struct {
	method, path, header, body string
	status                     int
	want                       string // a part of the headers and the body
}

// send returns the Location of the response.
func (q request) send(t *testing.T, base string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realtime.Patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, q.method, base+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(q.header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	var all strings.Builder
	_ = answer.Header.Write(&all)
	all.Write(body)
	if answer.StatusCode != q.status || !strings.Contains(all.String(), q.want) {
		t.Errorf("%s %s: %s\n%s\nwant %d %s", q.method, q.path, answer.Status, all.String(), q.status, q.want)
	}
	return answer.Header.Get("Location")
}

const (
	tus   = "Tus-Resumable: 1.0.0\n"
	patch = tus + "Content-Type: application/offset+octet-stream\n"
)

// SIGTERM ends the program without an error. The next one has its files, and continues its
// uploads.
func TestFilesOutliveTheProgram(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	base, cmd := start(t, store)
	begin := request{method: "POST", path: "/files/done.txt", header: patch + "Upload-Length: 4", body: "done", status: 201}
	begin.send(t, base)
	begin = request{method: "POST", path: "/files/half.txt", header: patch + "Upload-Length: 8", body: "half", status: 201}
	upload := begin.send(t, base)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("it ended with %v", err)
	}
	base, _ = start(t, store)
	for _, r := range []request{
		{"GET", "/files/done.txt", "", "", 200, "done"},
		{"GET", "/files/half.txt", "", "", 404, ""},
		{"HEAD", "/files/" + upload, tus, "", 200, "Upload-Offset: 4\r\n"},
		{"PATCH", "/files/" + upload, patch + "Upload-Offset: 4", " way", 204, ""},
		{"GET", "/files/half.txt", "", "", 200, "half way"},
	} {
		r.send(t, base)
	}
}

// start runs the program. It returns its URL.
func start(t *testing.T, store string) (string, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "-store", store)
	cmd.Env = append(os.Environ(), "FILES_AS_PROGRAM=1")
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	if err != nil || !ok {
		t.Fatalf("it printed %q: %v", line, err)
	}
	return url, cmd
}

// site serves the handler, with a store in memory.
func site(t *testing.T) (*objstore.Objects, string) {
	t.Helper()
	tr := inproc.New(inproc.Options{})
	t.Cleanup(func() { _ = tr.Close(context.Background()) })
	o, err := objstore.Connect(t.Context(), tr, files.Files)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(files.Handler(o))
	t.Cleanup(server.Close)
	return o, server.URL
}

func TestSite(t *testing.T) {
	t.Parallel()
	o, base := site(t)
	if _, err := o.PutBytes(t.Context(), "a/<b> #1.html", []byte("<script>"), objstore.ContentType("text/html")); err != nil {
		t.Fatal(err)
	}
	const name = "/files/a/%3Cb%3E%20%231.html"
	for _, r := range []request{
		{"GET", "/", "", "", 200, "Content-Security-Policy: default-src 'self'"},
		{"GET", "/static/page.js", "", "", 200, "text/javascript"},
		{"GET", "/list", "", "", 200, `{"files":[{"name":"a/\u003cb\u003e #1.html","size":8,"type":"text/html"`},
		{"GET", "/list?prefix=b", "", "", 200, `{"files":[],"more":false}`},
		{"GET", "/files/", "", "", 404, ""},
		{"GET", "/files/a/..", "", "", 404, ""},
		{"GET", name, "", "", 200, "Content-Disposition: attachment"},
		{"GET", name, "Range: bytes=1-3", "", 206, "scr"},
		{"PUT", name, "", "x", 405, ""},
		{"POST", "/files/", tus + fmt.Sprintf("Upload-Length: %d\nUpload-Metadata: filename YQ==", files.MaxFile+1), "", 413, ""},
		{"POST", "/files/a/%3Cb%3E%20%231.html", tus + "Upload-Length: 1\nIf-None-Match: *", "", 412, ""},
		{"DELETE", name, "Sec-Fetch-Site: cross-site", "", 403, ""},
		{"DELETE", name, "Sec-Fetch-Site: same-origin", "", 204, ""},
		{"DELETE", name, "", "", 404, ""},
	} {
		r.send(t, base)
	}
}

// A list of more than a thousand files is cut, and says so.
func TestLongList(t *testing.T) {
	t.Parallel()
	o, base := site(t)
	for i := range 1001 {
		if _, err := o.PutBytes(t.Context(), fmt.Sprintf("%04d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range []request{
		{"GET", "/list", "", "", 200, `"more":true}`},
		{"GET", "/list?prefix=0", "", "", 200, `"more":false}`},
	} {
		r.send(t, base)
	}
}

func TestBadCommandLines(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"-nothing": "not defined", "argument": "takes flags only", "-listen 127.0.0.1:x": "choose another address with -listen"} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
