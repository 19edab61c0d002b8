// Package web serves links to visitors, and a page and an API to make them.
package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"gomono.dev/mono"
)

// Module listens on Addr.
type Module struct {
	Addr    string
	Serving func(url string) // called once it listens; may be nil

	scope   *mono.Scope
	handler http.Handler
	server  http.Server
	ended   chan struct{}
}

// Version is the version of the implementation.
func (m *Module) Version() string { return "1.0.0" }

// Doc describes the module.
func (m *Module) Doc() string { return "serves HTTP" }

// Bind needs the links and the statistics, so that they are served before this module starts
// and until it has stopped.
func (m *Module) Bind(s *mono.Scope) error {
	m.scope = s
	m.handler = Handler(s)
	return nil
}

// Start listens.
func (m *Module) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", m.Addr)
	if err != nil {
		return mono.Errorf(mono.FailedPrecondition, "cannot serve on %s: choose another address with -listen: %w", m.Addr, err)
	}
	m.server = http.Server{
		Handler: m.handler, MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 40 * time.Second, IdleTimeout: time.Minute,
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

// Stop answers the requests under way.
func (m *Module) Stop(ctx context.Context) error {
	err := m.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, m.server.Close())
	}
	<-m.ended
	return err
}
