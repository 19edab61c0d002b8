package bench

import (
	"context"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"

	"gomono.dev/internal/cputime"
	"gomono.dev/mono"
	"gomono.dev/transport"
	"gomono.dev/transport/inproc"
	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// link connects the two ends of a benchmark to NATS, each over a separate connection.
type link struct {
	name string
	open func(b testing.TB) (sender, receiver *natsx.Transport)
}

var links = []link{
	{"in-process", func(b testing.TB) (*natsx.Transport, *natsx.Transport) {
		s := broker(b, "")
		return connect(b, s), connect(b, s)
	}},
	{"tcp", func(b testing.TB) (*natsx.Transport, *natsx.Transport) {
		s := broker(b, "127.0.0.1:0")
		return dial(b, s), dial(b, s)
	}},
}

// broker starts a NATS server without stored messages.
func broker(b testing.TB, listen string) *embedded.Server {
	s, err := embedded.Start(b.Context(), embedded.Options{Memory: true, Listen: listen, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	return s
}

func dial(b testing.TB, s *embedded.Server) *natsx.Transport {
	tr, err := natsx.Connect(b.Context(), natsx.Options{URLs: []string{s.ClientURL()}, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	return tr
}

// conn is a connection without mono. It has the same options as mono's, and is closed at the
// end of the benchmark.
func conn(b testing.TB, tr *natsx.Transport) *nats.Conn {
	b.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr.Conn()
}

var quiet = slog.New(slog.DiscardHandler)

// serve starts an App and stops it at the end of the benchmark.
func serve(b testing.TB, tr transport.Transport, setUp func(*mono.App), opts ...mono.AppOption) *mono.App {
	a := mono.New(tr, append(opts, mono.Logger(quiet))...)
	setUp(a)
	if err := a.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return a
}

// local starts an App in memory.
func local(b testing.TB, bind func(*mono.Scope), opts ...mono.AppOption) *mono.App {
	return serve(b, inproc.New(inproc.Options{}), func(a *mono.App) { a.Add(module("local", bind)) }, opts...)
}

// module makes a module of a function that cannot fail.
func module(name string, bind func(*mono.Scope)) mono.Module {
	return mono.NewModule(name, func(s *mono.Scope) error {
		bind(s)
		return nil
	})
}

// meter begins a measurement. The benchmark reports real time, and the processor time of both
// ends and, on NATS, of the server. Other programs on the machine add to real time, and hardly
// to processor time.
func meter(b *testing.B) (end func()) {
	b.ReportAllocs()
	b.ResetTimer()
	before := cputime.Spent()
	return func() { b.ReportMetric(float64(cputime.Spent()-before)/float64(b.N), "cpu-ns/op") }
}

// payload is a measured size.
type payload struct {
	name string
	size int
}

var payloads = []payload{{"64B", 64}, {"256B", 256}, {"4KiB", 4 << 10}, {"256KiB", 256 << 10}}

// mark writes a number into a message, and marked checks it.
func mark(message []byte, i int) {
	message[0], message[1], message[2], message[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
}

func marked(message []byte, size, i int) bool {
	return len(message) == size && message[0] == byte(i) && message[1] == byte(i>>8) && message[2] == byte(i>>16) && message[3] == byte(i>>24)
}
