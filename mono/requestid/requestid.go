// Package requestid gives each request an id, which reaches everything that follows from it.
//
//	app := mono.New(t, requestid.Propagate())
//	http.ListenAndServe(address, requestid.Handler(mux))
//
// Handler takes the id of an HTTP request, or makes one. The messages that are sent with the
// request's context have it, and so do all that follow: calls, local ones included, events, jobs,
// messages of streams, delayed ones, dead letters and their replays. The request id of a message
// that follows from no request is its own id ([mono.Call.ID]), so each message has one, and all
// attempts at it have the same.
//
// [From] returns the id of a context. Middleware, at any place in the order, gets the id of a
// message by mono.Call.Header(requestid.Header).
//
// An id has 1 to 128 visible ASCII characters. Any other comes from a client that is broken or
// hostile, and is replaced: it reaches no log and no other process.
package requestid

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"gomono.dev/mono"
)

// Header is the header of messages, and by default of HTTP requests and responses.
const Header = "X-Request-ID"

// Propagate makes an App pass request ids on. All processes of a system need it: a process without
// it begins a new id for each message.
func Propagate() mono.AppOption { return mono.Propagate(Header, choose) }

// From returns the request id of a context, "" if there is none. The id of Handler or With comes
// before the id of the message whose handler has the context.
func From(ctx context.Context) string { return mono.Propagated(ctx, Header) }

// With returns a context with a request id, for work that begins outside a request, such as a
// timer's. If id is not valid, With makes one.
func With(ctx context.Context, id string) context.Context {
	if !valid(id) {
		id = New()
	}
	return mono.WithPropagated(ctx, Header, id)
}

// New returns a new id, a UUID of version 7 (RFC 9562, section 5.7). The ids of a millisecond have
// no order.
func New() string {
	var u [16]byte
	_, _ = rand.Read(u[6:]) // it never fails
	ms := time.Now().UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6] = u[6]&0x0f | 0x70 // version
	u[8] = u[8]&0x3f | 0x80 // variant
	text := make([]byte, 0, 36)
	for _, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if len(text) > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

// choose returns the id of a message: the given one if it is valid, or else the message's own.
func choose(c *mono.Call, id string) string {
	if valid(id) {
		return id
	}
	if id = c.ID(); valid(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id)) // a DedupID may be longer, with other characters
	return hex.EncodeToString(sum[:16])
}

func valid(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, b := range []byte(id) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

// A HandlerOption changes a default of Handler.
type HandlerOption func(*handler)

// HTTPHeader sets the header of HTTP requests and responses, instead of [Header].
func HTTPHeader(name string) HandlerOption { return func(h *handler) { h.header = name } }

// Handler gives each request that next serves the id in its header, or a new one. The
// request's context has the id, for From and for messages, and so has the header of the response.
func Handler(next http.Handler, opts ...HandlerOption) http.Handler {
	h := &handler{header: Header, next: next}
	for _, o := range opts {
		if o == nil {
			panic("requestid.Handler: an option is nil: leave it out")
		}
		o(h)
	}
	return h
}

type handler struct {
	header string
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := With(r.Context(), r.Header.Get(h.header))
	w.Header().Set(h.header, From(ctx))
	h.next.ServeHTTP(w, r.WithContext(ctx))
}
