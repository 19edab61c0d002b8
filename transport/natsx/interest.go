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

// In a log with InterestRetention on several servers, each server decides on its own whether
// a group is interested in a message. A server learns of a new consumer from the leader of
// the cluster and of a message from the leader of the log, in either order. A server without
// the consumer stores nothing, although the append is acknowledged. Changes by the leader of
// the cluster arrive in order. So after a new group, natsx creates one more consumer. A
// server reports it only after it has created the earlier ones. The group is ready when all
// servers have reported it.

// propagationTime is the time within which all servers learn of a new consumer, unless
// something is wrong.
const propagationTime = 30 * time.Second

// awaited holds the consumers that all servers know, by name and time of creation.
type awaited struct {
	mu    sync.Mutex
	known map[string]time.Time
}

// has reports whether all servers are known to have the consumer.
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

// maybeUnknown reports whether a server of the log may not know a consumer yet.
func (l *log) maybeUnknown(is *jetstream.ConsumerInfo) bool {
	return l.replicated && l.config.Retention == transport.InterestRetention && is.TimeStamp.Sub(is.Created) < propagationTime && !l.awaited.has(is)
}

// Times of awaitReplicas. A server that does not report for replicasTimeout, but is not known
// to be offline, is no longer waited for, so it delays the caller only that long.
const (
	replicasTimeout = 5 * time.Second
	replicasPause   = 5 * time.Millisecond // doubled with each request, since many logs may wait at once

	maxReplicasPause = 50 * time.Millisecond
)

// awaitReplicas waits until all servers of the log know the existing consumers.
func (l *log) awaitReplicas(ctx context.Context) error {
	last := jetstream.ConsumerConfig{
		Name: "await_" + rand.Text(), AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		FilterSubject: "_await." + rand.Text(), MemoryStorage: true, InactiveThreshold: 2 * replicasTimeout,
	}
	is, err := l.callConsumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return l.t.js(ctx).CreateConsumer(ctx, l.config.Name, last)
	})
	if codeOfAPI(err) == jetstream.JSErrCodeMaximumConsumersLimit {
		return nil // the group used the last free consumer
	}
	if err != nil {
		return err
	}
	defer l.release(ctx, last.Name)
	wait := replicasPause
	for begun := time.Now(); !allReplicasReported(is) && time.Since(begun) < replicasTimeout; wait = min(2*wait, maxReplicasPause) {
		if !pause(ctx, wait) {
			return transport.ContextError(ctx, transport.OutcomeUnknown, "%w before all servers had the groups", ctx.Err())
		}
		switch now, err := l.consumer(ctx, last.Name); {
		case err == nil:
			is = now
		case codeOfAPI(err) != jetstream.JSErrCodeConsumerNotFound: // the server that answers may not know it yet
			return err
		}
	}
	return nil
}

// allReplicasReported reports whether all servers of a consumer have reported it to its
// leader, except offline servers.
func allReplicasReported(is *jetstream.ConsumerInfo) bool {
	return is.Cluster == nil || !slices.ContainsFunc(is.Cluster.Replicas, func(p *jetstream.PeerInfo) bool {
		return !p.Current && !p.Offline && p.Active == 0
	})
}

// release deletes a consumer that is no longer needed.
func (l *log) release(ctx context.Context, consumer string) {
	if ctx = context.WithoutCancel(ctx); l.t.ready(ctx) != nil {
		return
	}
	_, _ = attempt(ctx, l.t, probeTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, l.t.js(ctx).DeleteConsumer(ctx, l.config.Name, consumer)
	}) // otherwise it expires
}
