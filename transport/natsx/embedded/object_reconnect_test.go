package embedded_test

import (
	"testing"

	"gomono.dev/objstore/objtest"
	"gomono.dev/transport/natsx/embedded"
)

// The guarantees of stores hold when the connection is lost and restored.
func TestStoresReconnect(t *testing.T) {
	t.Parallel()
	s := conformanceServer(t, embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	objtest.RunReconnect(t, func(t *testing.T) *objtest.Line {
		near, far, p := lineTo(t, s)
		return &objtest.Line{Transport: near(), Connect: far, Cut: p.Cut, Mend: p.Mend}
	})
}
