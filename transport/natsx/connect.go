package natsx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/redact"
)

// Connect connects to NATS. It tries each server once, unless the options have WaitForServer.
// Once it has connected, the Transport reconnects forever. ctx bounds the call.
//
// Errors: InvalidArgument for invalid options; Unavailable if no server answers;
// Unauthenticated if the server refuses the credentials; ResourceExhausted if the server, or
// the account on it, has reached its limit of connections; FailedPrecondition if TLS fails.
func Connect(ctx context.Context, o Options) (*Transport, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	opts, err := o.natsOptions()
	if err != nil {
		return nil, err
	}
	useDialer(opts)
	t := newTransport(&o)
	(&events{t}).setHandlers(opts)
	nc, err := o.connect(ctx, opts)
	for logged := ""; o.WaitForServer && transport.CodeOf(err) == transport.Unavailable; {
		why, _ := errors.AsType[*transport.Error](err)
		if why.Message != logged {
			logged = why.Message
			o.Logger.Warn("natsx: waiting for a server", "address", o.address(), "error", err)
		}
		if !pause(ctx, opts.ReconnectWait+rand.N(opts.ReconnectJitter+1)) {
			return nil, transport.ContextError(ctx, transport.OutcomeNotDone, "natsx: gave up waiting for a server: %s", strings.TrimPrefix(why.Message, "natsx: "))
		}
		nc, err = o.connect(ctx, opts)
	}
	if err != nil {
		return nil, err
	}
	return t.begin(ctx, nc)
}

// connect tries each server once.
func (o *Options) connect(ctx context.Context, opts *nats.Options) (*nats.Conn, error) {
	type result struct {
		nc  *nats.Conn
		err error
	}
	connected := make(chan result, 1)
	go func() {
		nc, err := opts.Connect()
		connected <- result{nc, err}
	}()
	select {
	case r := <-connected:
		if r.err != nil {
			return nil, o.connectError(r.err)
		}
		return r.nc, nil
	case <-ctx.Done():
		go func() {
			if r := <-connected; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, transport.ContextError(ctx, transport.OutcomeNotDone, "natsx: gave up connecting to %s", o.address())
	}
}

// connectError explains why an attempt to connect failed.
func (o *Options) connectError(err error) *transport.Error {
	cause := redact.Error(err, o.secrets()...)
	fail := func(code transport.Code, format string, args ...any) *transport.Error {
		e := transport.Errorf(code, transport.OutcomeNotDone, "natsx: "+format, args...)
		e.Err = cause
		return e
	}
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fail(transport.Unauthenticated, "%s refused the credentials (%s): check them and the server's accounts", o.address(), o.auth())
	case contains(err, nats.MAX_CONNECTIONS_ERR):
		return fail(transport.ResourceExhausted, "%s is full: it has as many connections as its max_connections allows: raise that, or close others", o.address())
	case contains(err, nats.MAX_ACCOUNT_CONNECTIONS_ERR):
		return fail(transport.ResourceExhausted, "the account is full at %s: it has as many connections as its limit of connections allows: raise that, or close others", o.address())
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted), isTLS(err):
		return fail(transport.FailedPrecondition, "TLS with %s failed: %v: check the server's certificate, and TLS, CAFile and CertFile in natsx.Options", o.address(), cause)
	}
	if o.InProcess != nil {
		// The server closes the pipe before the client has read the refusal.
		return fail(transport.Unavailable, "%s ended the connection (%v): check that it runs, and the credentials (%s)", o.address(), cause, o.auth())
	}
	return fail(transport.Unavailable, "no NATS server answers at %s (%v): start one there, or correct the URL", o.address(), cause)
}

// contains reports whether the text of an error contains a text of the server.
func contains(err error, text string) bool {
	return strings.Contains(strings.ToLower(err.Error()), text)
}

// isTLS reports whether a TLS handshake or a certificate is the cause.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	return errors.Is(err, nats.ErrTLS) || strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// events handles the events of the connection.
type events struct{ t *Transport }

// setHandlers sets the Transport's handlers. Each of them then calls the handler that
// Options.NATS may have set.
func (e *events) setHandlers(o *nats.Options) {
	o.CustomReconnectDelayCB = e.reconnectDelay(*o)
	o.DisconnectedErrCB = before(o.DisconnectedErrCB, func(_ *nats.Conn, err error) { e.onDisconnect(err) })
	o.ReconnectErrCB = before(o.ReconnectErrCB, func(_ *nats.Conn, err error) { e.reconnectFailed(err) })
	reconnected, closed, failed := o.ReconnectedCB, o.ClosedCB, o.AsyncErrorCB
	o.ReconnectedCB = func(nc *nats.Conn) {
		e.onReconnect(nc)
		if reconnected != nil {
			reconnected(nc)
		}
	}
	o.ClosedCB = func(nc *nats.Conn) {
		defer close(e.t.callbacksDone) // no handler is called after this one
		e.onClosed(nc.LastError())
		if closed != nil {
			closed(nc)
		}
	}
	o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if !e.t.permissions.denyAdvisories(err) {
			e.logOnce("natsx: the server reports an error", err)
		}
		e.t.permissions.handleError(err)
		if failed != nil {
			failed(nc, sub, err)
		}
	}
}

// before returns a handler that calls first, and then the user's handler, if there is one.
func before(users nats.ConnErrHandler, first nats.ConnErrHandler) nats.ConnErrHandler {
	return func(nc *nats.Conn, err error) {
		first(nc, err)
		if users != nil {
			users(nc, err)
		}
	}
}

func (e *events) onReconnect(nc *nats.Conn) {
	e.t.permissions.reset()
	e.t.link.mend()
	go e.t.api.probe(context.Background()) // may be another server
	for _, d := range collect(&e.t.mu, maps.Values(e.t.declared)) {
		d.requestCheck()
	}
	e.t.log.Info("natsx: reconnected", "address", redact.URL(nc.ConnectedUrl()))
}

// reconnectDelay returns the function that gives nats.go the pause before its next round of
// attempts to reconnect.
func (e *events) reconnectDelay(o nats.Options) nats.ReconnectDelayHandler {
	jitter := o.ReconnectJitter
	if o.Secure || o.TLSConfig != nil {
		jitter = o.ReconnectJitterTLS
	}
	return func(attempts int) time.Duration {
		e.roundFailed()
		if o.CustomReconnectDelayCB != nil {
			return o.CustomReconnectDelayCB(attempts)
		}
		return o.ReconnectWait + rand.N(jitter+1)
	}
}

// reconnectFailed records and logs why an attempt to reconnect failed.
func (e *events) reconnectFailed(err error) {
	e.t.link.fail(e.t.why(err))
	e.logOnce("natsx: cannot reconnect yet", err)
}

// roundFailed is called after a round of attempts without success. nats.go calls no handler
// for an error that a server reports during the handshake.
func (e *events) roundFailed() {
	nc := e.t.link.conn.Load()
	if nc == nil {
		return
	}
	if err := nc.LastError(); err != nil {
		e.reconnectFailed(err)
	}
}

func (e *events) onDisconnect(err error) {
	e.t.link.lose()
	e.t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the connection to %s was lost while it waited for the reply", e.t.address))
	if !e.t.closed.Load() {
		e.t.log.Warn("natsx: disconnected, reconnecting", "address", e.t.address, "error", e.t.redact(err))
	}
}

// onClosed is called when no other connection follows: after Close, or after a violation of
// the protocol.
func (e *events) onClosed(err error) {
	e.t.link.lose()
	e.t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the connection to %s was closed while it waited for the reply", e.t.address))
	if !e.t.closed.Load() {
		e.t.log.Error("natsx: the connection is closed and will not be reopened", "address", e.t.address, "error", e.t.redact(err))
	}
}

// logOnce logs an error, unless it repeats.
func (e *events) logOnce(what string, err error) {
	if !e.t.link.repeats(what + err.Error()) {
		e.t.log.Error(what, "address", e.t.address, "error", e.t.redact(err))
	}
}

// failAll ends all waits for an answer with err.
func (t *Transport) failAll(err *transport.Error) {
	t.requests.fail(err)
	t.acks.fail(err)
	t.providers.Forget()
}

// link is the state of the connection, for use without a call of nats.go: all methods of
// nats.go block while it dials. The state changes only in callbacks of nats.go, which run in
// the order of events. The callback for a disconnect runs before the next dial.
type link struct {
	maxPayload atomic.Int64
	cut        atomic.Bool // written under mu

	conn atomic.Pointer[nats.Conn] // for calls of nats.go

	mu     sync.Mutex
	breaks int              // number of disconnects
	broken chan struct{}    // closed while disconnected
	why    *transport.Error // error of the last attempt to reconnect
	logged map[string]bool  // errors logged since the last change of state
}

// maxLogged bounds the logged errors that are remembered.
const maxLogged = 100

func newLink() *link { return &link{broken: make(chan struct{}), logged: make(map[string]bool)} }

// watch returns a channel that is closed when the connection breaks, or if it is already
// broken.
func (l *link) watch() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func (l *link) down() bool { return l.cut.Load() }

// state returns the number of disconnects, and whether the connection is up.
func (l *link) state() (breaks int, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.breaks, !l.cut.Load()
}

func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut.Swap(true) {
		clear(l.logged)
		l.breaks++
		close(l.broken)
	}
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut.Load() {
		clear(l.logged)
		l.why, l.broken = nil, make(chan struct{})
		l.cut.Store(false)
	}
}

// fail records why an attempt to reconnect failed.
func (l *link) fail(why *transport.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = why
}

// reason returns why the last attempt to reconnect failed, or nil before the first one.
func (l *link) reason() *transport.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// repeats reports whether text was already logged since the last change of state.
func (l *link) repeats(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logged[text] {
		return true
	}
	if len(l.logged) >= maxLogged {
		clear(l.logged)
	}
	l.logged[text] = true
	return false
}
