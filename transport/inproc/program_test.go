package inproc_test

import (
	"context"
	"testing"
	"testing/synctest"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/inproc/inproctest"
	"gomono.dev/transport/transporttest"
)

// programBackend returns a new Backend for each program, in virtual time, so that minutes
// may pass.
func programBackend(open func() *inproc.Backend) transporttest.Backend {
	return transporttest.Backend{
		Name: "inproc",
		Open: func() (func(context.Context) (transport.Transport, error), func(context.Context, transport.Transport, string) error) {
			b := open()
			return func(context.Context) (transport.Transport, error) { return b.Connect(), nil }, nil
		},
		Kill:   func(tr transport.Transport) { tr.(*inproc.Transport).Kill() },
		Bubble: true,
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	plain := func() *inproc.Backend { return inproc.NewBackend(inproc.Options{}) }
	transporttest.Model(t, programBackend(plain), transporttest.ProgramOptions{Programs: 1000})
}

// The model holds in every order of the steps.
func TestModelInSteps(t *testing.T) {
	t.Parallel()
	inSteps := func() *inproc.Backend {
		return inproctest.NewBackend(inproctest.Options{Quiesce: synctest.Wait}).Backend
	}
	transporttest.Model(t, programBackend(inSteps), transporttest.ProgramOptions{Programs: 300})
}
