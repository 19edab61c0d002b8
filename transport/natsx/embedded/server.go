// Package embedded runs a NATS server in the process, and connects to it without a socket. A
// program that imports this package links the server.
//
// # Guarantees
//
// The guarantees of package natsx hold. In addition:
//
//  1. The server is closed by default. It listens on no address unless Listen, Cluster,
//     Monitor or a configuration file specifies one.
//  2. Each store has one server. A store directory is locked while a server uses it; a
//     second server, in this process or another, is refused.
//  3. Stored messages are synced to disk before they are acknowledged, unless
//     SyncInterval relaxes that. A message without room under MaxStore is refused with
//     resource_exhausted. If the disk is full before the limit is reached, the server
//     logs the failed write and does not answer: the sender gets deadline_exceeded, and
//     no acknowledged message is lost.
//  4. If the server cannot start, Start returns an error that explains the cause,
//     immediately. The server never ends the process and handles no signals. Errors and
//     log lines contain no credentials: errors in a configuration file give positions
//     in it.
//  5. Close ends the client, then the server, then frees the store. When it returns,
//     everything is on disk.
//  6. When the process ends, however suddenly, the store keeps the attempts that this
//     process had begun, the delays that it had requested, and the ids with which it had
//     stored messages. The server holds these in memory; the folder "mono" in the store
//     keeps them for the next process. docs/durability.md lists what survives which
//     failure.
package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/internal/journal"
	"gomono.dev/transport/natsx/internal/redact"
)

// Server is a NATS server in this process. Create one with [Start], or use [Open], which also
// connects to it.
type Server struct {
	server *server.Server
	client *natsx.Options
	log    *slog.Logger
	free   func() // frees the store

	// journal holds the state that outlives this process, or is nil if none does.
	journal *journal.Journal
	begun   chan struct{} // closed when the server's Start has returned

	stopping sync.Once
	stopped  chan struct{}
}

// Format writes only the addresses, whatever the verb: a server holds credentials.
func (s *Server) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "embedded.Server(%s, %s)", s.ClientURL(), s.ClusterURL())
}

// Start starts a server and waits until it can serve clients and logs.
//
// Errors: InvalidArgument for invalid options; FailedPrecondition if another server uses the
// store, if the store cannot be written, or if the server cannot start, for example because a
// port is taken; DeadlineExceeded if the server is not ready within StartTimeout.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	so, err := o.serverOptions()
	if err != nil {
		return nil, err
	}
	o.Client.Memory = o.Client.Memory || o.Memory
	s := &Server{client: &o.Client, log: o.Logger, free: func() {}, stopped: make(chan struct{})}
	if err := s.takeStore(&o, so); err != nil {
		return nil, err
	}
	if err := s.start(ctx, &o, so); err != nil {
		s.giveUp()
		return nil, err
	}
	return s, nil
}

// takeStore locks the store. For a server in memory it creates a temporary directory, since
// the server always needs one.
func (s *Server) takeStore(o *Options, so *server.Options) error {
	if dir := o.storeDir(so); dir != "" {
		unlock, err := lockStore(dir)
		if err != nil {
			return err
		}
		s.free = unlock
		if err := s.openJournal(dir, isExclusive(so)); err != nil {
			unlock()
			return err
		}
		if so.ServerName == "" {
			if so.ServerName, err = storedName(dir); err != nil {
				s.free()
				return err
			}
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "mono-nats-")
	if err != nil {
		return failed("no temporary directory for the server's own files: %w", err)
	}
	if so.ServerName == "" {
		so.ServerName = newName()
	}
	so.StoreDir = dir
	so.JetStreamMaxStore = 1 // only data for the server itself is stored there
	s.free = func() { _ = os.RemoveAll(dir) }
	return nil
}

// openJournal opens the journal of the previous server.
func (s *Server) openJournal(dir string, exclusive bool) (err error) {
	s.journal, err = journal.Open(filepath.Join(dir, "mono"), s.log)
	if err == nil {
		err = s.journal.SetExclusive(exclusive)
	}
	if err != nil {
		return failed("the journal in the store %s: %w: see that it can be written", dir, err)
	}
	unlock := s.free
	s.free = func() {
		_ = s.journal.Close()
		unlock()
	}
	return nil
}

// isExclusive reports whether this process alone can connect to the server, directly or
// by other servers.
func isExclusive(so *server.Options) bool {
	return so.DontListen && so.Cluster.Port == 0 && len(so.Routes) == 0 && so.Gateway.Name == "" && so.Gateway.Port == 0 &&
		so.LeafNode.Port == 0 && len(so.LeafNode.Remotes) == 0 && so.Websocket.Port == 0 && so.MQTT.Port == 0
}

func (s *Server) start(ctx context.Context, o *Options, so *server.Options) error {
	known := secrets(so)
	ns, err := server.NewServer(so)
	if err != nil {
		return invalid("the server refuses its options: %w", redact.Error(err, known...))
	}
	s.server = ns
	l := newLogger(o.Logger, known)
	ns.SetLoggerV2(l, so.Debug, so.Trace, so.TraceVerbose)
	timeout := o.StartTimeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s.begun = make(chan struct{})
	go func() {
		defer close(s.begun)
		ns.Start()
	}()
	for !s.ready(s.begun, so) {
		select {
		case text := <-l.fatal:
			return startFailure(text, so)
		case <-ctx.Done():
			return transport.ContextError(ctx, transport.OutcomeNotDone, "embedded: the server is not ready: %s", s.missing(so))
		default:
		}
	}
	select {
	case text := <-l.fatal: // reported after everything else was ready
		return startFailure(text, so)
	default:
		return nil
	}
}

// ready waits briefly for the server to be ready. The server signals only the return of its
// Start.
func (s *Server) ready(begun <-chan struct{}, so *server.Options) bool {
	timer := time.NewTimer(readyWait)
	defer timer.Stop()
	if s.serves(so) {
		select {
		case <-begun:
			return true
		case <-timer.C:
			return false
		}
	}
	<-timer.C
	return false
}

func (s *Server) serves(so *server.Options) bool {
	if !s.server.ReadyForConnections(readyWait) || !s.server.JetStreamEnabled() {
		return false
	}
	return so.Cluster.Port == 0 || s.hasLeader()
}

// hasLeader reports whether the cluster can create logs. A restarted server calls itself
// current before it knows a leader.
func (s *Server) hasLeader() bool {
	state, err := s.server.Jsz(nil)
	return err == nil && state.Meta != nil && state.Meta.Leader != "" && s.server.JetStreamIsCurrent()
}

// readyWait is the interval at which Start checks whether the server is ready.
const readyWait = 10 * time.Millisecond

func (s *Server) missing(so *server.Options) string {
	if so.Cluster.Port != 0 && s.server.JetStreamEnabled() {
		return fmt.Sprintf("cluster %s has no leader: start a majority of its members, and check Cluster.Routes", so.Cluster.Name)
	}
	return "raise StartTimeout, or read its log"
}

// startFailure adds a remedy to the server's error.
func startFailure(text string, so *server.Options) error {
	switch {
	case strings.Contains(text, "address already in use"):
		return failed("the server cannot start: %s: stop what listens there, or choose another port", text)
	case strings.Contains(text, "configured routes"):
		return failed("the server cannot start: %s: name the other members, in Cluster.Routes or the configuration file", text)
	case strings.Contains(text, "JetStream"):
		return failed("the server cannot start: %s: check the store directory %s", text, so.StoreDir)
	}
	return failed("the server cannot start: %s", text)
}

// ClientURL returns the URL on which the server listens, or "" if it does not.
func (s *Server) ClientURL() string {
	if s.server.Addr() == nil {
		return ""
	}
	return s.server.ClientURL()
}

// ClusterURL returns the address on which the server listens for routes, or "" if it does
// not.
func (s *Server) ClusterURL() string {
	if a := s.server.ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

// NATS returns the server itself. Use of it is outside all guarantees.
func (s *Server) NATS() *server.Server { return s.server }

// Shutdown ends the server and frees its store. Connected clients lose their connection. If
// ctx ends first, the shutdown continues in the background.
func (s *Server) Shutdown(ctx context.Context) error {
	go s.shutdown()
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "embedded: the server is still shutting down")
	}
}

// giveUp ends a server that could not start. A server that is still busy with its store
// cannot be interrupted: it ends, and frees the store, later.
func (s *Server) giveUp() {
	go s.shutdown()
	select {
	case <-s.stopped:
	case <-time.After(time.Second):
	}
}

// shutdown ends the server before it frees the store. A server whose Start has not returned
// would continue with it, and never end.
func (s *Server) shutdown() {
	s.stopping.Do(func() {
		if s.server != nil {
			<-s.begun
			s.server.Shutdown()
			s.server.WaitForShutdown()
		}
		s.free()
		close(s.stopped)
	})
}

// Transport is a server in this process and the connection to it.
type Transport struct {
	*natsx.Transport
	server *Server
}

// Open starts a server and connects to it. Close of the Transport ends both.
func Open(ctx context.Context, o Options) (*Transport, error) {
	s, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	t, err := s.Connect(ctx)
	if err != nil {
		_ = s.Shutdown(ctx) // err is the cause
		return nil, err
	}
	return &Transport{t, s}, nil
}

// Server returns the server.
func (t *Transport) Server() *Server { return t.server }

// Close implements [transport.Transport]. First published messages reach the server, then the
// server ends, then the store is freed.
func (t *Transport) Close(ctx context.Context) error {
	err := t.Transport.Close(ctx)
	if stopErr := t.server.Shutdown(ctx); err == nil {
		err = stopErr
	}
	return err
}

// Connect connects to the server without a socket.
//
// Its errors are the same as those of [natsx.Connect].
func (s *Server) Connect(ctx context.Context) (*natsx.Transport, error) {
	o := *s.client
	o.InProcess, o.URLs, o.Journal = inProcess{s.server}, nil, s.journal
	if o.Logger == nil {
		o.Logger = s.log
	}
	return natsx.Connect(ctx, o)
}

// inProcess opens connections within the process. A full server closes such a connection
// before its client can read the error, so InProcessConn checks first.
type inProcess struct{ server *server.Server }

// InProcessConn implements [nats.InProcessConnProvider].
func (p inProcess) InProcessConn() (net.Conn, error) {
	is, err := p.server.Varz(nil)
	if err == nil && (is.MaxConn < 0 || is.MaxConn > 0 && is.Connections >= is.MaxConn) {
		return nil, server.ErrTooManyConnections
	}
	return p.server.InProcessConn()
}

// logger writes the server's log lines without credentials, and keeps fatal ones. The server
// only reports a fatal error and continues. Its own logger would end the process.
type logger struct {
	log    *slog.Logger
	redact func(string) string
	fatal  chan string
}

func newLogger(log *slog.Logger, secrets []string) *logger {
	return &logger{
		log:    log.With("component", "nats-server"),
		redact: func(text string) string { return redact.Text(text, secrets...) },
		fatal:  make(chan string, 1),
	}
}

func (l *logger) Fatalf(format string, v ...any) {
	text := l.redact(fmt.Sprintf(format, v...))
	l.log.Error(text)
	select {
	case l.fatal <- text:
	default: // the first line is the cause
	}
}

func (l *logger) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.write(slog.LevelDebug-4, format, v) }

func (l *logger) write(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, l.redact(fmt.Sprintf(format, v...)))
	}
}
