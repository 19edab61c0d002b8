// Package files keeps files in an object store, and serves them with a page.
package files

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"gomono.dev/mono"
	"gomono.dev/objstore"
)

// Limits of the content, in bytes.
const (
	MaxFile  = 512 << 20
	MaxStore = 1 << 30
)

// Files has the files by name. Its index makes a list of some of them as fast as they are few.
var Files = objstore.NewStore("files", objstore.MaxBytes(MaxStore), objstore.Index())

// Module listens on Addr.
type Module struct {
	Addr    string
	Serving func(url string) // called once it listens; may be nil

	scope  *mono.Scope
	files  *objstore.Objects
	server http.Server
	ended  chan struct{}
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "keeps and serves files" }

// Bind opens the store: from before this module starts until after it has stopped.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.files = Files.Open(s)
	return nil
}

// Start removes the remains of processes that were killed, and listens. An upload that can be
// resumed is no remains.
func (m *Module) Start(ctx context.Context) error {
	if _, err := m.files.Sweep(ctx, uploadLife); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", m.Addr)
	if err != nil {
		return mono.Errorf(mono.FailedPrecondition, "cannot serve on %s: choose another address with -listen: %w", m.Addr, err)
	}
	m.server = http.Server{
		Handler: Handler(m.files), MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
	}
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		if err := m.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			m.scope.Logger().Error("serving ended", "error", err)
		}
	}()
	if m.Serving != nil {
		m.Serving("http://" + listener.Addr().String())
	}
	return nil
}

// Stop answers the requests under way. A transfer that takes longer breaks off; its upload can
// be resumed.
func (m *Module) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := m.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = m.server.Close()
	}
	<-m.ended
	return err
}

// grace is the time that transfers have to end when the module stops.
const grace = 2 * time.Second
