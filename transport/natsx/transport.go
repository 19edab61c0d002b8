package natsx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/internal/patience"
	"gomono.dev/transport/natsx/internal/brief"
	"gomono.dev/transport/natsx/internal/journal"
	"gomono.dev/transport/natsx/internal/redact"
)

// Transport is a connection to NATS. Create one with [Connect].
type Transport struct {
	*driver.Transport
	log      *slog.Logger
	address  string
	nc       *nats.Conn
	link     *link
	requests requests
	acks     requests // for appends to logs

	providers brief.Providers // of requests

	api api

	denials     *denials
	permissions permissions
	redact      func(error) error            // removes credentials from an error of nats.go
	why         func(error) *transport.Error // explains why an attempt to connect failed
	services    services
	options     logOptions
	account     atomic.Pointer[account]
	journal     *journal.Journal
	state       *state
	boots       *boots
	streams     sync.Map // names of streams → time of their creation

	outgoing outgoingPool
	timers   patience.Timers

	// sending is read-locked while a message is passed to nats.go, and write-locked to set
	// closed. Close therefore flushes all messages that were admitted.
	sending       sync.RWMutex
	closed        atomic.Bool
	callbacksDone chan struct{} // closed after the last callback of nats.go

	mu        sync.Mutex
	receivers map[*receiver]struct{}
	members   map[*member]struct{}
	declared  map[string]*declared // by name of the log
	deleted   deleted

	life    context.Context // ends when Close begins
	endLife context.CancelFunc
	running sync.WaitGroup // functions started by background
}

// conn is a Transport as the driver of itself.
type conn struct{ t *Transport }

func newTransport(o *Options) *Transport {
	life, end := context.WithCancel(context.Background())
	t := &Transport{
		life: life, endLife: end, declared: make(map[string]*declared),
		log: o.Logger, address: o.address(), link: newLink(), options: o.logOptions(), journal: cmp.Or(o.Journal, journal.Memory()),
		denials: newDenials(),
		redact:  func(err error) error { return redact.Error(err, o.secrets()...) }, why: o.connectError,
		callbacksDone: make(chan struct{}),
		receivers:     make(map[*receiver]struct{}), members: make(map[*member]struct{}),
	}
	t.api = api{t: t, requests: requests{waiting: make(map[uint64]waiter)}, slots: make(chan struct{}, maxParallel)}
	t.permissions.t = t
	t.state, t.boots = &state{stream: stream{t: t, name: stateStream}}, &boots{t: t}
	t.Transport = driver.New(conn{t})
	return t
}

// Format writes only the address, whatever the verb: a connection holds credentials.
func (t *Transport) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "natsx.Transport("+t.address+")")
}

// begin creates the Transport's own subscriptions.
func (t *Transport) begin(ctx context.Context, nc *nats.Conn) (*Transport, error) {
	t.nc = nc
	t.link.conn.Store(nc)
	t.services.t = t
	if !nc.HeadersSupported() {
		nc.Close()
		return nil, transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone, "natsx: the server at %s does not support headers: use one that does", t.address)
	}
	if err := t.subscribeToReplies(); err != nil {
		nc.Close()
		return nil, driver.About("subscribe to replies", t.failure(err, transport.OutcomeNotDone))
	}
	t.api.probe(ctx)
	return t, nil
}

// subscribeToReplies sets both inbox prefixes before it subscribes, because the server may
// deny a subscription immediately.
func (t *Transport) subscribeToReplies() error {
	t.requests.prefix, t.acks.prefix = t.nc.NewInbox()+".", t.nc.NewInbox()+"."
	if err := t.requests.begin(t.nc); err != nil {
		return err
	}
	return t.acks.begin(t.nc)
}

// Conn returns the NATS connection of a Transport of this package, or of a wrapper with the
// method Conn() *nats.Conn. It reports false for any other transport. Use of the connection
// is outside all guarantees.
func Conn(t transport.Transport) (*nats.Conn, bool) {
	c, ok := t.(interface{ Conn() *nats.Conn })
	if !ok {
		return nil, false
	}
	return c.Conn(), true
}

// Conn returns the NATS connection.
func (t *Transport) Conn() *nats.Conn { return t.nc }

// maxPayload calls nats.go only while connected. See link.
func (t *Transport) maxPayload() int {
	if !t.link.down() {
		t.link.maxPayload.Store(t.nc.MaxPayload())
	}
	return int(t.link.maxPayload.Load())
}

// Ping implements [driver.Conn]. When it returns, messages that were published on
// this Transport before wait at its own subscriptions, or were dropped there.
func (c conn) Ping(ctx context.Context) error {
	if err := c.t.flush(ctx); err != nil {
		return err
	}
	for _, r := range collect(&c.t.mu, maps.Keys(c.t.receivers)) {
		r.catchUp(ctx)
	}
	return nil
}

// Publish implements [driver.Conn].
func (c conn) Publish(ctx context.Context, m *transport.Message) error {
	t := c.t
	if !t.denials.suspects(m.Subject) {
		return t.publish(m)
	}
	before, _ := t.denials.of(m.Subject)
	if err := t.publish(m); err != nil {
		return err
	}
	return t.permissions.confirm(ctx, m.Subject, before)
}

// publish passes a message to the connection. One without fields needs no memory.
func (t *Transport) publish(m *transport.Message) error {
	if _, asked := brief.Cut(m.Subject); len(m.Header) == 0 && !asked {
		return t.pass(&nats.Msg{Subject: m.Subject, Reply: m.Reply, Data: m.Body})
	}
	msg := t.outgoing.getPublished(m)
	if e := transport.ErrorFromHeader(m.Header); e != nil {
		msg.addServiceError(e, m.Size(), t.maxPayload())
	}
	return t.send(msg)
}

// send passes a message to the connection, and recycles it.
func (t *Transport) send(msg *outgoing) error {
	defer t.outgoing.put(msg)
	return t.pass(&msg.Msg)
}

// pass passes a message to the connection.
func (t *Transport) pass(msg *nats.Msg) error {
	t.sending.RLock()
	defer t.sending.RUnlock()
	if t.closed.Load() {
		return driver.ErrClosed
	}
	if err := t.nc.PublishMsg(msg); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			err = fmt.Errorf("%w: the body has %d bytes, and the server allows %d including the header", err, len(msg.Data), t.maxPayload())
		}
		return t.failure(err, transport.OutcomeNotDone)
	}
	return nil
}

// Close implements [driver.Conn]. Requests whose replies have reached this connection
// return them, including the server's reply that there are no subscribers. Other requests
// fail with an unknown outcome. If ctx ends first because the peer accepts no data, Close
// continues in the background.
func (c conn) Close(ctx context.Context) error {
	var result error
	done := make(chan struct{})
	go func() {
		defer close(done)
		result = c.close(ctx)
	}()
	select {
	case <-done:
		return result
	case <-ctx.Done():
		return driver.Unfinished(done, transport.ContextError(ctx, transport.OutcomeUnknown, "the server at %s accepts no more data", c.t.address))
	}
}

func (c conn) close(ctx context.Context) (err error) {
	c.closeMembers() // before closed is set, since nothing can be stored after that
	c.t.sending.Lock()
	c.t.closed.Store(true)
	c.t.sending.Unlock()
	c.t.endLife()
	for _, r := range collect(&c.t.mu, maps.Keys(c.t.receivers)) {
		r.Close()
	}
	c.closeMembers() // those of the meantime
	c.awaitBackground(ctx)
	if !c.t.link.down() {
		err = c.finish(ctx)
	}
	c.t.nc.Close()
	c.t.failAll(transport.Errorf(transport.Unavailable, transport.OutcomeUnknown,
		"the transport was closed while it waited for the reply"))
	c.t.services.close()
	select {
	case <-c.t.callbacksDone: // nothing is logged after Close
	case <-ctx.Done():
	}
	return err
}

// background runs f on a new goroutine, for which Close waits. It reports false after Close.
func (t *Transport) background(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed.Load() {
		return false
	}
	t.running.Go(f)
	return true
}

// awaitBackground waits until no function of background runs.
func (c conn) awaitBackground(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		c.t.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	for _, d := range collect(&c.t.mu, maps.Values(c.t.declared)) {
		d.stop()
	}
}

// finish waits until published messages have been sent, and until replies that have arrived
// are delivered to their requests. If the connection breaks meanwhile, there is nothing left
// to wait for.
func (c conn) finish(ctx context.Context) error {
	if err := c.t.flush(ctx); err != nil {
		if c.t.link.down() {
			return nil
		}
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "the last published messages may not have been sent: %w", err)
	}
	broken := c.t.link.watch()
	if err := c.t.requests.drain(ctx, broken); err != nil {
		return err
	}
	return c.t.acks.drain(ctx, broken)
}

// collect lists what mu guards.
func collect[T any](mu *sync.Mutex, all iter.Seq[T]) []T {
	mu.Lock()
	defer mu.Unlock()
	return slices.Collect(all)
}

// Ready implements [driver.Conn].
func (c conn) Ready() error {
	switch {
	case c.t.closed.Load():
		return driver.ErrClosed
	case c.t.link.down():
		return c.t.disconnected()
	}
	return nil
}

// ready reports why the Transport cannot be used now.
func (t *Transport) ready(ctx context.Context) error { return driver.Ready(ctx, conn{t}) }

// disconnected returns the error for an operation that needs a connection while there is
// none.
func (t *Transport) disconnected() error {
	err := unavailable("the connection to %s is lost, and a new one is being made: try later", t.address)
	why := t.link.reason()
	if why == nil {
		return err
	}
	err.Message += "; the last attempt: " + strings.TrimPrefix(why.Message, "natsx: ")
	if why.Code == transport.ResourceExhausted {
		err.Code, err.Err = why.Code, errDisconnected
	}
	return err
}

// errDisconnected is the cause of an error that ends with the next connection, but has a code
// other than Unavailable.
var errDisconnected = errors.New("disconnected")

// passing reports whether an error ends with the next connection.
func (t *Transport) passing(err error) bool {
	return !t.closed.Load() && (transport.CodeOf(err) == transport.Unavailable || errors.Is(err, errDisconnected))
}

func aboutGroup(name string, err error) error { return driver.About("group "+strconv.Quote(name), err) }

func unavailable(format string, args ...any) *transport.Error {
	return transport.Errorf(transport.Unavailable, transport.OutcomeNotDone, format, args...)
}

// flush waits until the server has received everything that was sent, and its denials are
// recorded, or until the connection is lost. nats.go forgets a flush that begins while it
// reconnects.
func (t *Transport) flush(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flushTimeout)
		defer cancel()
	}
	// nats.go writes under a lock that ignores contexts. The goroutine ends with the write.
	flushed, broken := make(chan error, 1), t.link.watch()
	go func() {
		err := t.nc.FlushWithContext(ctx)
		if err == nil {
			t.denials.await(ctx, t.nc)
		}
		flushed <- err
	}()
	var err error
	select {
	case err = <-flushed:
	case <-broken:
		err = nats.ErrConnectionReconnecting
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return t.failure(err, transport.OutcomeNotDone)
	}
	return nil
}

// flushTimeout bounds a round trip to the server if the caller's context has no deadline. It
// is long enough for a busy server, and short enough to detect that it is gone.
const flushTimeout = 10 * time.Second

// failure converts an error of nats.go to an error of this package.
func (t *Transport) failure(err error, outcome transport.Outcome) error {
	err = t.redact(err)
	code, why := transport.Unavailable, err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		code, why = transport.DeadlineExceeded, "no answer in time"
	case errors.Is(err, context.Canceled):
		code, why = transport.Canceled, "canceled"
	case errors.Is(err, nats.ErrConnectionClosed) && (t.closed.Load() || t.nc.IsClosed()):
		why = "the transport is closed"
	case errors.Is(err, nats.ErrConnectionClosed), // a flush on a broken connection returns it
		errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrDisconnected):
		why = "the connection is lost: try again"
	case errors.Is(err, nats.ErrMaxPayload):
		code, err = transport.InvalidArgument, errors.Join(transport.ErrTooLarge, err)
	case errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg):
		code = transport.InvalidArgument
	}
	e := transport.Errorf(code, outcome, "%s: %s", t.address, why)
	e.Err = err
	return e
}
