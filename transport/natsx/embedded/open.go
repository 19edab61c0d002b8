package embedded

import (
	"context"

	"gomono.dev/transport/natsx"
)

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
