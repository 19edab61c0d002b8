package natsx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// Connect connects to NATS. It tries each server once and does not wait for one
// to appear; once it has connected, the Transport reconnects for ever.
//
// Errors: InvalidArgument for options that cannot be right; Unavailable when no
// server answers; Unauthenticated when the credentials are refused;
// FailedPrecondition when TLS fails. ctx bounds it.
func Connect(ctx context.Context, o Options) (*Transport, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	opts, err := o.natsOptions()
	if err != nil {
		return nil, err
	}
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
func (o *Options) connectError(err error) error {
	fail := func(code transport.Code, format string, args ...any) error {
		e := transport.Errorf(code, transport.OutcomeNotDone, format, args...)
		e.Err = err
		return e
	}
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fail(transport.Unauthenticated, "natsx: %s refused the credentials (%s): check them and the server's accounts", o.address(), o.auth())
	case errors.Is(err, nats.ErrSecureConnRequired), errors.Is(err, nats.ErrSecureConnWanted), isTLS(err):
		return fail(transport.FailedPrecondition, "natsx: TLS with %s failed: %v: check the server's certificate, and the options TLS, CAFile and CertFile", o.address(), err)
	}
	if o.InProcess != nil {
		// Its pipe is closed before the refusal has been read.
		return fail(transport.Unavailable, "natsx: %s ended the connection (%v): see that it runs, and check the credentials (%s)", o.address(), err, o.auth())
	}
	return fail(transport.Unavailable, "natsx: no NATS server answers at %s (%s): start one there, or correct the URL", o.address(), redactText(err.Error(), o.URLs))
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

// redactText removes URLs with secrets from a text that is not ours.
func redactText(text string, urls []string) string {
	for _, u := range urls {
		text = strings.ReplaceAll(text, u, redact(u))
	}
	return text
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
			t.link.mend()
			go t.probe(context.Background()) // it may be another server
			t.checkGroups()
			t.log.Info("natsx: reconnected", "address", redact(nc.ConnectedUrl()))
			if then.ReconnectedCB != nil {
				then.ReconnectedCB(nc)
			}
		}),
		nats.ReconnectErrHandler(func(nc *nats.Conn, err error) {
			t.complain("natsx: cannot reconnect yet", err)
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
	} {
		if err := opt(o); err != nil {
			return invalid("%v", err)
		}
	}
	return nil
}

func (t *Transport) lost(err error) {
	t.link.lose()
	t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the connection to %s was lost while it waited for the reply", t.address))
	if !t.closed.Load() {
		t.log.Warn("natsx: disconnected, reconnecting", "address", t.address, "error", err)
	}
}

// ended is called when there will be no other connection: after Close, or after a
// violation of the protocol.
func (t *Transport) ended(err error) {
	t.link.lose()
	t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the connection to %s was closed while it waited for the reply", t.address))
	if !t.closed.Load() {
		t.log.Error("natsx: the connection is closed for good", "address", t.address, "error", err)
	}
}

// complain logs an error, once while it repeats.
func (t *Transport) complain(what string, err error) {
	if !t.link.repeats(what + err.Error()) {
		t.log.Error(what, "address", t.address, "error", err)
	}
}

// denied ends the wait of requests that the server has refused to carry.
func (t *Transport) denied(err error) {
	_, quoted, ok := strings.Cut(err.Error(), `Publish to "`)
	if !ok || !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	subject, _, _ := strings.Cut(quoted, `"`)
	refusal := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the account may not publish there at %s: grant it, or use another", t.address)
	t.requests.failOn(subject, refusal)
	t.acks.failOn(subject, refusal)
}

// failAll ends the wait of all who wait for an answer.
func (t *Transport) failAll(err *transport.Error) {
	t.requests.fail(err)
	t.acks.fail(err)
}
