package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/codec"
	"gomono.dev/mono"
)

// echo answers with the request. Its bytes are sent unchanged.
var echo = mono.NewService[[]byte, []byte]("bench.echo", mono.Codec(codec.Raw))

func answerEcho(_ context.Context, b []byte) ([]byte, error) { return b, nil }

// servicePath is one path of a request to its reply.
type servicePath struct {
	name string
	open func(b testing.TB) mono.Func[[]byte, []byte]
}

func servicePaths() []servicePath {
	paths := []servicePath{
		{"function", func(testing.TB) mono.Func[[]byte, []byte] { return answerEcho }},
		{"channel", channelEcho},
		{"local", func(b testing.TB) mono.Func[[]byte, []byte] { return localEcho(b) }},
		{"inproc", func(b testing.TB) mono.Func[[]byte, []byte] { return localEcho(b, mono.NoLocalCalls()) }},
	}
	for _, l := range links {
		paths = append(paths,
			servicePath{"raw-" + l.name, func(b testing.TB) mono.Func[[]byte, []byte] { return rawEcho(b, l) }},
			servicePath{"nats-" + l.name, func(b testing.TB) mono.Func[[]byte, []byte] { return natsEcho(b, l) }},
		)
	}
	return paths
}

// channelEcho sends a copy to a goroutine, which sends a copy back.
func channelEcho(b testing.TB) mono.Func[[]byte, []byte] {
	type question struct {
		body  []byte
		reply chan []byte
	}
	questions := make(chan question)
	b.Cleanup(func() { close(questions) })
	go func() {
		for q := range questions {
			q.reply <- slices.Clone(q.body)
		}
	}()
	return func(_ context.Context, body []byte) ([]byte, error) {
		q := question{slices.Clone(body), make(chan []byte, 1)}
		questions <- q
		return <-q.reply, nil
	}
}

func localEcho(b testing.TB, opts ...mono.AppOption) (ask mono.Func[[]byte, []byte]) {
	local(b, func(s *mono.Scope) {
		echo.Handle(s, answerEcho)
		ask = echo.Client(s)
	}, opts...)
	return ask
}

func natsEcho(b testing.TB, l link) (ask mono.Func[[]byte, []byte]) {
	sender, receiver := l.open(b)
	serve(b, receiver, func(a *mono.App) { a.Add(module("server", func(s *mono.Scope) { echo.Handle(s, answerEcho) })) })
	serve(b, sender, func(a *mono.App) {
		a.Remote(echo)
		a.Add(module("client", func(s *mono.Scope) { ask = echo.Client(s) }))
	})
	return ask
}

// rawEcho uses nats.go alone, with the headers that mono sends, and a context that ends with
// its caller's and at a deadline, as mono's does.
func rawEcho(b testing.TB, l link) mono.Func[[]byte, []byte] {
	sender, receiver := l.open(b)
	client, server := conn(b, sender), conn(b, receiver)
	if _, err := server.QueueSubscribe("raw.echo", "q", func(m *nats.Msg) {
		if m.Header.Get("Mono-Id") == "" {
			b.Error("a header was lost")
		}
		if err := m.RespondMsg(&nats.Msg{Data: m.Data, Header: nats.Header{"Content-Type": {"application/octet-stream"}}}); err != nil {
			b.Error(err)
		}
	}); err != nil {
		b.Fatal(err)
	}
	if err := server.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(ctx context.Context, body []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		reply, err := client.RequestMsgWithContext(ctx, &nats.Msg{Subject: "raw.echo", Data: body, Header: requestHeader()})
		if err != nil {
			return nil, err
		}
		return reply.Data, nil
	}
}

// requestHeader is the header that mono gives a request.
func requestHeader() nats.Header {
	return nats.Header{"Mono-Id": {id()}, "Mono-Sender": {"client"}, "Mono-Timeout-Ms": {"30000"}, "Content-Type": {"application/octet-stream"}}
}

// BenchmarkService is one request after another.
func BenchmarkService(b *testing.B) {
	for _, p := range payloads {
		b.Run(p.name, func(b *testing.B) {
			for _, path := range servicePaths() {
				b.Run(path.name, func(b *testing.B) { ask(b, path.open(b), p.size) })
			}
		})
	}
}

func ask(b *testing.B, ask mono.Func[[]byte, []byte], size int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	question := make([]byte, size)
	end := meter(b)
	i := 0
	for b.Loop() {
		mark(question, i)
		answer, err := ask(ctx, question)
		if err != nil || !marked(answer, size, i) {
			b.Fatalf("request %d: %d bytes, %v", i, len(answer), err)
		}
		i++
	}
	end()
}

// callers are the numbers of concurrent callers.
var callers = []int{1, 4, 16, 64, 256}

// BenchmarkCallers is many requests at once.
func BenchmarkCallers(b *testing.B) {
	for _, n := range callers {
		b.Run(number(n), func(b *testing.B) {
			for _, path := range servicePaths() {
				if path.name == "raw-tcp" || path.name == "nats-tcp" {
					continue
				}
				b.Run(path.name, func(b *testing.B) { askAtOnce(b, path.open(b), n) })
			}
		})
	}
}

// askAtOnce lets n goroutines make b.N requests together.
func askAtOnce(b *testing.B, ask mono.Func[[]byte, []byte], n int) {
	const size = 256
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, n)
	end := meter(b)
	for c := range n {
		go func() {
			question := make([]byte, size)
			for i := c; i < b.N; i += n {
				mark(question, i)
				if answer, err := ask(ctx, question); err != nil || !marked(answer, size, i) {
					b.Errorf("request %d: %d bytes, %v", i, len(answer), err)
					break
				}
			}
			ended <- nil
		}()
	}
	for range n {
		<-ended
	}
	end()
}
