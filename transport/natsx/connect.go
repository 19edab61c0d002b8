package natsx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/redact"
)

// Connect connects to NATS. It tries each server once and does not wait for one
// to appear; once it has connected, the Transport reconnects for ever.
//
// Errors: InvalidArgument for options that cannot be right; Unavailable when no
// server answers; Unauthenticated when the credentials are refused;
// ResourceExhausted when the server, or the account there, has all the connections
// that it may have; FailedPrecondition when TLS fails. ctx bounds it.
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
	if err := t.handle(opts); err != nil {
		return nil, err
	}
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
		return t.begin(ctx, r.nc)
	case <-ctx.Done():
		go func() {
			if r := <-connected; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, transport.ContextError(ctx, transport.OutcomeNotDone, "natsx: gave up connecting to %s", o.address())
	}
}

// connectError says in words why no connection came about.
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
		return fail(transport.FailedPrecondition, "TLS with %s failed: %v: check the server's certificate, and the options TLS, CAFile and CertFile", o.address(), cause)
	}
	if o.InProcess != nil {
		// Its pipe is closed before the refusal has been read.
		return fail(transport.Unavailable, "%s ended the connection (%v): see that it runs, and check the credentials (%s)", o.address(), cause, o.auth())
	}
	return fail(transport.Unavailable, "no NATS server answers at %s (%v): start one there, or correct the URL", o.address(), cause)
}

// contains reports whether the text of an error contains the server's words.
func contains(err error, words string) bool {
	return strings.Contains(strings.ToLower(err.Error()), words)
}

// isTLS reports whether a handshake or a certificate was at fault.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	return errors.Is(err, nats.ErrTLS) || strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "x509: ")
}

// handle puts the Transport between nats.go and the handlers that Options.NATS
// may have set, which are called afterwards.
func (t *Transport) handle(o *nats.Options) error {
	then := *o
	for _, opt := range []nats.Option{
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			t.lost(err)
			if then.DisconnectedErrCB != nil {
				then.DisconnectedErrCB(nc, err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			t.forgive()
			t.link.mend()
			go t.probe(context.Background()) // it may be another server
			t.checkGroups()
			t.log.Info("natsx: reconnected", "address", redact.URL(nc.ConnectedUrl()))
			if then.ReconnectedCB != nil {
				then.ReconnectedCB(nc)
			}
		}),
		nats.ReconnectErrHandler(func(nc *nats.Conn, err error) {
			t.cannotReconnect(err)
			if then.ReconnectErrCB != nil {
				then.ReconnectErrCB(nc, err)
			}
		}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			defer close(t.silent) // nothing comes after it
			t.ended(nc.LastError())
			if then.ClosedCB != nil {
				then.ClosedCB(nc)
			}
		}),
		nats.ErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if !t.advisoriesDenied(err) {
				t.complain("natsx: the server reports an error", err)
			}
			t.denied(err)
			if then.AsyncErrorCB != nil {
				then.AsyncErrorCB(nc, sub, err)
			}
		}),
		nats.CustomReconnectDelay(t.reconnectDelay(&then)),
	} {
		if err := opt(o); err != nil {
			return invalid("%w", t.redact(err))
		}
	}
	return nil
}

// reconnectDelay returns the function from which nats.go gets the pause before its next
// round of attempts to connect again.
func (t *Transport) reconnectDelay(o *nats.Options) nats.ReconnectDelayHandler {
	jitter := o.ReconnectJitter
	if o.Secure || o.TLSConfig != nil {
		jitter = o.ReconnectJitterTLS
	}
	return func(attempts int) time.Duration {
		t.refusedAgain()
		if o.CustomReconnectDelayCB != nil {
			return o.CustomReconnectDelayCB(attempts)
		}
		return o.ReconnectWait + rand.N(jitter+1)
	}
}

// cannotReconnect notes and logs why an attempt to connect again failed.
func (t *Transport) cannotReconnect(err error) {
	t.link.fail(t.why(err))
	t.complain("natsx: cannot reconnect yet", err)
}

// refusedAgain is called after a round of attempts without success. nats.go calls no
// handler for an error that a server reports during the handshake.
func (t *Transport) refusedAgain() {
	nc := t.link.conn.Load()
	if nc == nil {
		return
	}
	if err := nc.LastError(); err != nil {
		t.cannotReconnect(err)
	}
}

func (t *Transport) lost(err error) {
	t.link.lose()
	t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the connection to %s was lost while it waited for the reply", t.address))
	if !t.closed.Load() {
		t.log.Warn("natsx: disconnected, reconnecting", "address", t.address, "error", t.redact(err))
	}
}

// ended is called when there will be no other connection: after Close, or after a
// violation of the protocol.
func (t *Transport) ended(err error) {
	t.link.lose()
	t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the connection to %s was closed while it waited for the reply", t.address))
	if !t.closed.Load() {
		t.log.Error("natsx: the connection is closed for good", "address", t.address, "error", t.redact(err))
	}
}

// complain logs an error, once while it repeats.
func (t *Transport) complain(what string, err error) {
	if !t.link.repeats(what + err.Error()) {
		t.log.Error(what, "address", t.address, "error", t.redact(err))
	}
}

// failAll ends the wait of all who wait for an answer.
func (t *Transport) failAll(err *transport.Error) {
	t.requests.fail(err)
	t.acks.fail(err)
}
