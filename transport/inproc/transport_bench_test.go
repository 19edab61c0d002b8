package inproc_test

import (
	"testing"

	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/transporttest"
)

func BenchmarkTransport(b *testing.B) {
	transporttest.Bench(b, func(*testing.B) transport.Transport { return inproc.New(inproc.Options{}) })
}
