package embedded_test

import (
	"context"
	"errors"
	"flag"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
	"gomono.dev/transport/transporttest"
)

var programs = flag.Int("conformance.programs", 100, "how many programs inproc and NATS are compared over")

// Programs share one server, and delete the streams that they created.
func programBackend(s *embedded.Server) transporttest.Backend {
	return transporttest.Backend{
		Name: "nats",
		Open: func() (func(context.Context) (transport.Transport, error), func(context.Context, transport.Transport, string) error) {
			return func(ctx context.Context) (transport.Transport, error) { return s.Connect(ctx) }, deleteLog
		},
		Kill: func(tr transport.Transport) {
			nc, _ := natsx.Conn(tr)
			nc.Close()
		},
	}
}

func deleteLog(ctx context.Context, tr transport.Transport, name string) error {
	nc, _ := natsx.Conn(tr)
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if err := js.DeleteStream(ctx, name+"__later"); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return js.DeleteStream(ctx, name)
}

// Each program has its own inproc transport, in virtual time.
func inprocBackend() transporttest.Backend {
	return transporttest.Backend{
		Name: "inproc",
		Open: func() (func(context.Context) (transport.Transport, error), func(context.Context, transport.Transport, string) error) {
			b := inproc.NewBackend(inproc.Options{})
			return func(context.Context) (transport.Transport, error) { return b.Connect(), nil }, nil
		},
		Kill:   func(tr transport.Transport) { tr.(*inproc.Transport).Kill() },
		Bubble: true,
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Memory: true})
	transporttest.Compare(t, inprocBackend(), programBackend(s), transporttest.ProgramOptions{Programs: *programs, Steps: 20, Parallel: 16})
}
