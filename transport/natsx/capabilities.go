package natsx

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// account describes the account's JetStream.
type account struct {
	logs  bool
	level int // of the API; a later release of the server has a higher one
}

// Levels of the API of JetStream.
const (
	levelTTL    = 1 // nats-server 2.11: TTL per message
	levelDelays = 4 // nats-server 2.14: a stream copies from another without loss
)

// Capabilities implements [driver.Conn].
func (c conn) Capabilities() transport.Capabilities {
	t, a := c.t, c.t.account.Load()
	has := transport.Capabilities{
		Name: "nats", MaxPayload: t.maxPayload(),
		Logs: a.logs, Delays: a.logs && a.level >= levelDelays, Lanes: a.logs, Durable: a.logs && !t.options.memory,
	}
	switch {
	case !has.Logs:
		has.Advice = "the account has no JetStream: enable it there, or use another account"
	case !has.Delays:
		has.Advice = "it needs nats-server 2.14 or later: upgrade the server"
	}
	return has
}

// probe asks for the capabilities of the account. Without an answer they stay as they are.
// The first probe then uses what the server reports for all its accounts: a cluster without a
// leader does not answer.
func (t *Transport) probe(ctx context.Context) {
	info, err := attempt(ctx, t, probeTimeout, func(ctx context.Context) (*jetstream.AccountInfo, error) {
		return t.js(ctx).AccountInfo(ctx)
	})
	switch {
	case err == nil:
		t.account.Store(&account{logs: true, level: info.API.Level})
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		t.account.Store(&account{})
	case t.account.Load() == nil:
		enabled, level := t.nc.ConnectedServerJetStream()
		t.account.Store(&account{logs: enabled, level: level})
	}
}

const probeTimeout = 2 * time.Second

// logOptions holds the options for logs.
type logOptions struct {
	domain   string
	replicas int
	memory   bool
	stream   func(string, *jetstream.StreamConfig)
	consumer func(string, string, *jetstream.ConsumerConfig)
}

func (o *Options) logOptions() logOptions {
	return logOptions{domain: o.Domain, replicas: o.Replicas, memory: o.Memory, stream: o.Stream, consumer: o.Consumer}
}
