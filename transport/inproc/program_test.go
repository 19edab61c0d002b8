package inproc_test

import (
	"context"
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

// programs run in virtual time, so that minutes may pass in them.
func backend(o *inproc.Options) transporttest.Backend {
	return transporttest.Backend{
		Name: "inproc",
		Open: func() (func(context.Context) (transport.Transport, error), func(context.Context, transport.Transport, string) error) {
			b := inproc.NewBackend(o)
			return func(context.Context) (transport.Transport, error) { return b.Connect(), nil }, nil
		},
		Kill:   func(tr transport.Transport) { tr.(*inproc.Transport).Kill() },
		Bubble: true,
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	transporttest.Model(t, backend(nil), transporttest.ProgramOptions{Programs: 1000})
}
