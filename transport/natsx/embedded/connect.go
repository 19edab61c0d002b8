package embedded

import (
	"context"
	"net"

	"github.com/nats-io/nats-server/v2/server"

	"gomono.dev/transport/natsx"
)

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
