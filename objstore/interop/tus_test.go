//go:build interop

package interop_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gomono.dev/objstore"
	"gomono.dev/transport"
)

// uploads is a site that accepts uploads, and breaks connections.
type uploads struct {
	*objstore.Objects
	next   http.Handler
	breaks atomic.Int64 // PATCH requests that break off after 2 MiB
	broken atomic.Int64
	halt   *halt // of the next PATCH request
	folder string
	site   *httptest.Server
	digest string // of the file
}

func acceptUploads(t *testing.T) *uploads {
	_, tr := start(t)
	u := &uploads{Objects: open(t, tr, objstore.NewStore("uploads")), folder: t.TempDir()}
	u.next = u.Handler(objstore.AllowUploads(100<<20, time.Hour))
	u.site = httptest.NewServer(http.StripPrefix("/files/", u))
	t.Cleanup(u.site.Close)
	content := make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	if err := os.WriteFile(u.file(), content, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	u.digest = "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:])
	return u
}

func (u *uploads) file() string { return filepath.Join(u.folder, "file") }

func (u *uploads) state() string { return filepath.Join(u.folder, "state") }

// ServeHTTP implements [http.Handler].
func (u *uploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPatch && u.breaks.Add(-1) >= 0:
		u.broken.Add(1)
		cutBody(r, 2<<20, lost{})
		u.next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case r.Method == http.MethodPatch && u.halt != nil:
		cutBody(r, 4<<20, u.halt)
		defer close(u.halt.over)
	case r.Method == http.MethodDelete && u.halt != nil:
		u.halt.end()
	}
	u.next.ServeHTTP(w, r)
}

// cutBody replaces the body after its first n bytes.
func cutBody(r *http.Request, n int64, rest io.Reader) {
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r.Body, n), rest), r.Body}
}

// halt is the rest of a body that does not arrive, so that a client can break off in the middle
// however slow it is.
type halt struct {
	reached string        // a file that is made when the rest is to be read
	gone    chan struct{} // closed when the client has broken off
	over    chan struct{} // closed when the request has ended
}

func (u *uploads) newHalt() *halt {
	return &halt{u.state() + ".halted", make(chan struct{}), make(chan struct{})}
}

// Read implements [io.Reader].
func (h *halt) Read([]byte) (int, error) {
	if err := os.WriteFile(h.reached, nil, 0o600); err != nil {
		return 0, err
	}
	<-h.gone
	return lost{}.Read(nil)
}

// end loses the connection, and waits for the end of the request.
func (h *halt) end() {
	close(h.gone)
	<-h.over
}

// lost is the rest of a body whose connection is lost.
type lost struct{}

// Read implements [io.Reader].
func (lost) Read([]byte) (int, error) { return 0, errors.New("the connection is lost") }

// send runs tus-js-client. It returns the offset at which that began, and the upload's URL.
func (u *uploads) send(t *testing.T, name, action string) (offset, url string) {
	t.Helper()
	out := run(t, "node", filepath.Join(tools, "tus.mjs"), u.site.URL+"/files/", u.file(), name, u.state(), action)
	offset, url, _ = strings.Cut(strings.TrimSpace(out), " ")
	return offset, url
}

func (u *uploads) checkStored(t *testing.T, name string) {
	t.Helper()
	is, err := u.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if is.Digest != u.digest || is.ContentType != "video/mp4" || is.Metadata["team"] != "a" {
		t.Errorf("stored %+v, want the digest %s", is, u.digest)
	}
}

// tus-js-client uploads, and goes on after each of three lost connections.
func TestTusJSUploads(t *testing.T) {
	u := acceptUploads(t)
	u.breaks.Store(3)
	u.send(t, "ä/b c.mp4", "upload")
	u.checkStored(t, "ä/b c.mp4")
	if n := u.broken.Load(); n != 3 {
		t.Errorf("%d connections were lost, want 3", n)
	}
}

// A process of tus-js-client ends in the middle. Another one continues from the bytes that
// arrived.
func TestTusJSResumes(t *testing.T) {
	u := acceptUploads(t)
	u.halt = u.newHalt()
	offset, _ := u.send(t, "broken.mp4", "break")
	if offset != "0" {
		t.Fatalf("the first began at %s", offset)
	}
	u.halt.end()
	u.halt = nil
	if _, err := u.Stat(t.Context(), "broken.mp4"); transport.CodeOf(err) != transport.NotFound {
		t.Fatalf("the object exists before its upload has ended: %v", err)
	}
	if offset, _ := u.send(t, "broken.mp4", "resume"); offset == "0" || offset == "undefined" {
		t.Errorf("the second began at %s", offset)
	}
	u.checkStored(t, "broken.mp4")
}

// tus-js-client takes an upload back: nothing is left of it.
func TestTusJSTerminates(t *testing.T) {
	u := acceptUploads(t)
	u.halt = u.newHalt()
	u.send(t, "taken back.mp4", "terminate")
	is, err := u.Status(t.Context())
	if err != nil || is.Bytes != 0 {
		t.Errorf("%d bytes are left, %v", is.Bytes, err)
	}
}
