package peers

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport/natsx"
	"gomono.dev/transport/natsx/embedded"
)

// link is how the two ends of some work are connected to a NATS server in this process.
type link struct {
	name   string
	tcp    bool
	joined bool // both ends share a connection
}

var (
	apart  = []link{{name: "in-process"}, {name: "tcp", tcp: true}}
	joined = []link{{name: "joined-in-process", joined: true}, {name: "joined-tcp", tcp: true, joined: true}}
)

// open starts a server and connects both ends: near sends, far receives. They are the same if the
// link is joined.
func (l link) open(b *testing.B) (near, far *natsx.Transport) {
	// Stores are synced at the same interval as by default in a server of NATS.
	o := embedded.Options{Dir: b.TempDir(), SyncInterval: 2 * time.Minute, Logger: discard}
	if l.tcp {
		o.Listen = "127.0.0.1:0"
	}
	s, err := embedded.Start(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.Background()) })
	near = l.connect(b, s)
	if l.joined {
		return near, near
	}
	return near, l.connect(b, s)
}

func (l link) connect(b *testing.B, s *embedded.Server) *natsx.Transport {
	connect := s.Connect
	if l.tcp {
		connect = func(ctx context.Context) (*natsx.Transport, error) {
			return natsx.Connect(ctx, natsx.Options{URLs: []string{s.ClientURL()}, Logger: discard})
		}
	}
	tr, err := connect(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = tr.Close(context.Background()) })
	return tr
}

// conns opens the link for a library that uses connections of nats.go. They have the options of
// mono's.
func (l link) conns(b *testing.B) (near, far *nats.Conn) {
	n, f := l.open(b)
	return n.Conn(), f.Conn()
}

// idle returns a function that waits until a server has no message that is not acknowledged.
func idle(b *testing.B, nc *nats.Conn) func() {
	return func() {
		ctx, cancel := context.WithTimeout(b.Context(), patience)
		defer cancel()
		js, err := jetstream.New(nc)
		if err != nil {
			b.Fatal(err)
		}
		for {
			n, err := unacknowledged(ctx, js)
			if err != nil {
				b.Fatalf("%d messages were not acknowledged: %v", n, err)
			}
			if n == 0 {
				return
			}
		}
	}
}

func unacknowledged(ctx context.Context, js jetstream.JetStream) (n uint64, err error) {
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		s, err := js.Stream(ctx, info.Config.Name)
		if err != nil {
			return n, err
		}
		consumers := s.ListConsumers(ctx)
		for c := range consumers.Info() {
			n += c.NumPending + uint64(c.NumAckPending)
		}
		if err := consumers.Err(); err != nil {
			return n, err
		}
	}
	return n, streams.Err()
}

// patience is the longest wait for a result.
const patience = 30 * time.Second

var discard = slog.New(slog.DiscardHandler)
