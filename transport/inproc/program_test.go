package inproc_test

import (
	"context"
	"testing"
	"testing/synctest"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

// programBackend returns a new Backend for each program, in virtual time, so that minutes
// may pass.
func programBackend(o *inproc.Options) transporttest.Backend {
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
	transporttest.Model(t, programBackend(nil), transporttest.ProgramOptions{Programs: 1000})
}

// The model holds in every order of the steps.
func TestModelInSteps(t *testing.T) {
	t.Parallel()
	transporttest.Model(t, programBackend(&inproc.Options{Quiesce: synctest.Wait}), transporttest.ProgramOptions{Programs: 300})
}
