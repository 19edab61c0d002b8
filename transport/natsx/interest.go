package natsx

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// In a log with InterestRetention that several servers keep, each of them decides for
// itself whether somebody is interested in a message. They hear of a new consumer from
// the cluster's leader and of a message from the log's leader, in either order, so one
// that has yet to hear of the consumer stores nothing although the append is
// acknowledged. What the cluster's leader says they hear in order. So after a new
// group one more consumer is made, of which a server can only speak when it has made
// those before it, and the group is there when all have spoken.

// youth is how long servers may not know a consumer, when nothing is wrong.
const youth = 30 * time.Second

// awaited holds the consumers that all servers know, by name and time of creation.
type awaited struct {
	mu    sync.Mutex
	known map[string]time.Time
}

// has reports whether a consumer is known.
func (a *awaited) has(is *jetstream.ConsumerInfo) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[is.Name].Equal(is.Created)
}

func (a *awaited) add(all []*jetstream.ConsumerInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = make(map[string]time.Time)
	}
	for _, is := range all {
		a.known[is.Name] = is.Created
	}
}

// awaitAll waits until all servers of the log know the opened parts.
func (l *log) awaitAll(ctx context.Context, parts []*part) error {
	var unknown []*jetstream.ConsumerInfo
	for _, p := range parts {
		if p.err == nil && l.maybeUnknown(p.is) {
			unknown = append(unknown, p.is)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	err := l.awaitReplicas(ctx)
	if err == nil {
		l.awaited.add(unknown)
	}
	return err
}

// maybeUnknown reports whether a server that keeps the log may not know a consumer yet,
// whoever made it.
func (l *log) maybeUnknown(is *jetstream.ConsumerInfo) bool {
	return l.replicated && l.config.Retention == transport.InterestRetention && is.TimeStamp.Sub(is.Created) < youth && !l.awaited.has(is)
}

// Times of awaitReplicas. A server that says nothing for so long, but is not known to be
// away, is not waited for: it holds up no more than that.
const (
	replicasTimeout = 5 * time.Second
	replicasPause   = 5 * time.Millisecond // doubled with each question, since many logs may ask at once

	maxReplicasPause = 50 * time.Millisecond
)

// awaitReplicas waits until all servers that keep the log know the consumers that are
// there now.
func (l *log) awaitReplicas(ctx context.Context) error {
	last := jetstream.ConsumerConfig{
		Name: "await_" + rand.Text(), AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		FilterSubject: "_await." + rand.Text(), MemoryStorage: true, InactiveThreshold: 2 * replicasTimeout,
	}
	is, err := l.askConsumer(ctx, last.Name, func(ctx context.Context) (jetstream.Consumer, error) {
		return l.t.js(ctx).CreateConsumer(ctx, l.config.Name, last)
	})
	if codeOfAPI(err) == jetstream.JSErrCodeMaximumConsumersLimit {
		return nil // the group was the last that there is room for
	}
	if err != nil {
		return err
	}
	defer l.release(ctx, last.Name)
	wait := replicasPause
	for begun := time.Now(); !heardFromAll(is) && time.Since(begun) < replicasTimeout; wait = min(2*wait, maxReplicasPause) {
		if !pause(ctx, wait) {
			return transport.ContextError(ctx, transport.OutcomeUnknown, "groups of %s: %v before all servers knew of them", l.what, ctx.Err())
		}
		switch now, err := l.consumer(ctx, last.Name); {
		case err == nil:
			is = now
		case codeOfAPI(err) != jetstream.JSErrCodeConsumerNotFound: // who is asked may not know it yet
			return err
		}
	}
	return nil
}

// heardFromAll reports whether the leader of a consumer has heard of it from all who
// are to have it, and are not away.
func heardFromAll(is *jetstream.ConsumerInfo) bool {
	return is.Cluster == nil || !slices.ContainsFunc(is.Cluster.Replicas, func(p *jetstream.PeerInfo) bool {
		return !p.Current && !p.Offline && p.Active == 0
	})
}

// release deletes a consumer that is not needed any more.
func (l *log) release(ctx context.Context, consumer string) {
	if ctx = context.WithoutCancel(ctx); l.t.ready(ctx, "") != nil {
		return
	}
	_, _ = attempt(ctx, l.t, l.what, probeTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, l.t.js(ctx).DeleteConsumer(ctx, l.config.Name, consumer)
	}) // it goes by itself otherwise
}
