package natsx

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// A group is a durable consumer. An ordered group of a log with partitions has one consumer for
// each partition. The metadata names the group of a consumer. A consumer of another client is a
// group with the consumer's name.

// groups opens the groups of an existing log.
type groups struct {
	stream
	*settings
	awaited awaited // consumers known to all servers
}

// errOrdered is the cause of errors for an existing group of the other kind.
var errOrdered = errors.New("the order of a group cannot be changed")

func cannotReorder(g *transport.GroupConfig) error {
	err := driver.CannotChange("Ordered", !g.Ordered, g.Ordered)
	err.Err = errOrdered
	return err
}

func (gs *groups) makeConsumer(ctx context.Context, g *transport.GroupConfig, name string, filter []string) (*jetstream.ConsumerInfo, error) {
	base := jetstream.ConsumerConfig{Durable: name, Name: name}
	setStart(&base, g.Start)
	want, err := gs.hookConsumer(g.Name, gs.consumerConfig(base, g, filter))
	if err == nil && gs.replicated && want.DeliverPolicy == base.DeliverPolicy {
		err = gs.pin(ctx, &want, g.Start)
	}
	if err != nil {
		return nil, err
	}
	return gs.createConsumer(ctx, want)
}

// changeConsumer updates an existing consumer. It checks Ordered even if the caller may not
// change anything: every member of a group must know whether it is ordered.
func (gs *groups) changeConsumer(ctx context.Context, g *transport.GroupConfig, is *jetstream.ConsumerInfo, filter []string) (*jetstream.ConsumerInfo, error) {
	switch {
	case groupOf(is) != g.Name:
		return nil, transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"its consumer %s belongs to the group %q: choose another name", is.Name, groupOf(is))
	case isOrdered(&is.Config) != g.Ordered:
		return nil, cannotReorder(g)
	case !g.Update || parseNumber(is.Config.Metadata[metaGeneration]) > g.Generation:
		return is, nil
	}
	want, err := gs.hookConsumer(g.Name, gs.consumerConfig(is.Config, g, filter))
	if err != nil || same(want, is.Config) {
		return is, err
	}
	if err := checkFixed(&is.Config, &want); err != nil {
		return nil, err
	}
	return gs.updateConsumer(ctx, want)
}

// openedGroup is the result of opening a group.
type openedGroup struct {
	consumers []*jetstream.ConsumerInfo
	missing   bool // a consumer did not exist
	err       error
}

// part is one consumer of a group to open.
type part struct {
	group  int // index of the group
	config *transport.GroupConfig
	name   string
	filter []string
	other  bool // exists only in a group of the other kind

	is      *jetstream.ConsumerInfo
	missing bool
	err     error
}

// open creates missing consumers of groups, and updates existing ones if that is
// allowed. In a new log (made) all of them are missing.
func (gs *groups) open(ctx context.Context, groups []transport.GroupConfig, made bool) []openedGroup {
	opened := make([]openedGroup, len(groups))
	var parts []*part
	for i, g := range groups {
		of, err := gs.parts(i, g, made)
		parts, opened[i].err = append(parts, of...), err
	}
	if !made {
		gs.find(ctx, parts)
		parts = openable(parts, opened)
	}
	gs.doAll(ctx, parts, gs.openPart)
	awaited := gs.awaitAll(ctx, parts)
	for _, p := range parts {
		g := &opened[p.group]
		g.consumers = append(g.consumers, p.is)
		g.missing = g.missing || p.missing
		g.err = firstError(g.err, p.err, awaited)
	}
	return opened
}

// parts lists the consumers of a group, and a consumer that only exists in the other kind of
// group.
func (gs *groups) parts(index int, g transport.GroupConfig, made bool) (parts []*part, err error) {
	if gs.config.Retention == transport.InterestRetention && !made {
		g.Start = transport.Start{New: true}
	}
	names, filters, err := gs.consumers(&g)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		parts = append(parts, &part{group: index, config: &g, name: name, filter: filters[i], missing: made})
	}
	if other := gs.otherKind(&g); other != "" && !made {
		parts = append(parts, &part{group: index, config: &g, name: other, other: true})
	}
	return parts, nil
}

// otherKind returns the name of a consumer that exists only in an ordered group if g is not
// ordered, and vice versa. Without partitions there is none.
func (gs *groups) otherKind(g *transport.GroupConfig) string {
	switch {
	case gs.partitions.n == 0:
		return ""
	case g.Ordered:
		return g.Name
	}
	return partitionName(g.Name, 0)
}

// find looks up all parts. A missing part may be in the process of deletion.
func (gs *groups) find(ctx context.Context, parts []*part) {
	gs.doAll(ctx, parts, gs.findPart)
	if slices.ContainsFunc(parts, func(p *part) bool { return p.missing }) {
		gs.awaitDeletions(ctx)
	}
}

func (gs *groups) findPart(ctx context.Context, p *part) error {
	find := gs.awaitConsumer
	if p.other {
		find = gs.consumer // it is missing as a rule
	}
	is, err := find(ctx, p.name)
	switch {
	case err == nil && gs.t.deleted.has(is), missing(err) && codeOfAPI(err) != jetstream.JSErrCodeStreamNotFound:
		p.missing = !p.other
		return nil
	case err == nil && p.other && groupOf(is) == p.config.Name:
		return cannotReorder(p.config)
	}
	p.is = is
	return err
}

// openable returns the parts of groups without an error.
func openable(parts []*part, opened []openedGroup) []*part {
	for _, p := range parts {
		opened[p.group].err = firstError(opened[p.group].err, p.err)
	}
	return slices.DeleteFunc(parts, func(p *part) bool { return p.other || opened[p.group].err != nil })
}

// openPart creates or updates a consumer. Another process may create it first.
func (gs *groups) openPart(ctx context.Context, p *part) (err error) {
	if p.missing {
		p.is, err = gs.makeConsumer(ctx, p.config, p.name, p.filter)
		if code := codeOfAPI(err); code == jetstream.JSErrCodeConsumerExists || code == jetstream.JSErrCodeConsumerNameExists {
			p.is, err = gs.awaitConsumer(ctx, p.name)
		}
		if err == nil && gs.t.deleted.forget(p.is) {
			p.missing = false // the advisory was a late one about its predecessor
		}
	}
	if err == nil {
		p.is, err = gs.changeConsumer(ctx, p.config, p.is, p.filter)
	}
	return err
}

// doAll calls do for each part, with limited concurrency, and stores the errors.
func (gs *groups) doAll(ctx context.Context, parts []*part, do func(context.Context, *part) error) {
	for i, err := range gs.t.api.inParallel(ctx, len(parts), func(i int) error { return do(ctx, parts[i]) }) {
		parts[i].err = err
	}
}

// A consumer looks for its start position on its own server. In a cluster that server may be
// behind the stream's leader: a message that is new there is older at the leader, and a
// message stored at a given time may not have arrived. So the leader is asked, and the
// consumer begins at a sequence. Its metadata holds the requested start. The last messages of
// all subjects cannot be expressed as a sequence.

// pinned converts a start at a moment to a start at a sequence. last is the current last
// sequence of the log.
func (s stream) pinned(ctx context.Context, at transport.Start, last uint64) (transport.Start, error) {
	switch {
	case at.New:
		return transport.Start{Sequence: last + 1}, nil
	case at.Time.IsZero():
		return at, nil
	}
	m, err := s.message(ctx, map[string]any{"start_time": at.Time, "next_by_subj": ">"})
	switch {
	case missing(err):
		return transport.Start{Sequence: last + 1}, nil
	case err != nil || m.Time.Before(at.Time): // a server before 2.11 ignores the time
		return at, err
	}
	return transport.Start{Sequence: m.Sequence}, nil
}

// pin makes a consumer begin at a sequence.
func (gs *groups) pin(ctx context.Context, c *jetstream.ConsumerConfig, s transport.Start) error {
	requested := formatStart(s)
	if requested == "" {
		return nil
	}
	is, err := gs.info(ctx)
	if err != nil {
		return err
	}
	at, err := gs.pinned(ctx, s, is.State.LastSeq)
	if err != nil || at == s {
		return err
	}
	setStart(c, at)
	c.Metadata[metaStart] = requested
	return nil
}

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
func (gs *groups) awaitAll(ctx context.Context, parts []*part) error {
	var unknown []*jetstream.ConsumerInfo
	for _, p := range parts {
		if p.err == nil && gs.maybeUnknown(p.is) {
			unknown = append(unknown, p.is)
		}
	}
	if len(unknown) == 0 || gs.dry != nil {
		return nil
	}
	err := gs.awaitReplicas(ctx)
	if err == nil {
		gs.awaited.add(unknown)
	}
	return err
}

// maybeUnknown reports whether a server of the log may not know a consumer yet.
func (gs *groups) maybeUnknown(is *jetstream.ConsumerInfo) bool {
	return gs.replicated && gs.config.Retention == transport.InterestRetention && is.TimeStamp.Sub(is.Created) < propagationTime && !gs.awaited.has(is)
}

// Times of awaitReplicas. A server that does not report for replicasTimeout, but is not known
// to be offline, is no longer waited for, so it delays the caller only that long.
const (
	replicasTimeout = 5 * time.Second
	replicasPause   = 5 * time.Millisecond // doubled with each request, since many logs may wait at once

	maxReplicasPause = 50 * time.Millisecond
)

// awaitReplicas waits until all servers of the log know the existing consumers.
func (gs *groups) awaitReplicas(ctx context.Context) error {
	last := jetstream.ConsumerConfig{
		Name: "await_" + rand.Text(), AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
		FilterSubject: "_await." + rand.Text(), MemoryStorage: true, InactiveThreshold: 2 * replicasTimeout,
	}
	is, err := gs.createConsumer(ctx, last)
	if codeOfAPI(err) == jetstream.JSErrCodeMaximumConsumersLimit {
		return nil // the group used the last free consumer
	}
	if err != nil {
		return err
	}
	defer gs.release(ctx, last.Name)
	wait := replicasPause
	for begun := time.Now(); !allReplicasReported(is) && time.Since(begun) < replicasTimeout; wait = min(2*wait, maxReplicasPause) {
		if !pause(ctx, wait) {
			return transport.ContextError(ctx, transport.OutcomeUnknown, "%w before all servers had the groups", ctx.Err())
		}
		switch now, err := gs.consumer(ctx, last.Name); {
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

// deleted holds the deleted consumers that this Transport knows, by stream and name. In a
// cluster, a server that has not yet applied a deletion may still report the consumer. The
// time of creation distinguishes it from a new consumer of the same name.
type deleted struct {
	mu    sync.Mutex
	known map[string]time.Time
}

func (d *deleted) add(stream, consumer string, created time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[string]time.Time)
	}
	d.known[stream+"."+consumer] = created
}

// forget removes an existing consumer. It reports whether the consumer was recorded as
// deleted.
func (d *deleted) forget(is *jetstream.ConsumerInfo) bool {
	if !d.has(is) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, is.Stream+"."+is.Name)
	return true
}

func (d *deleted) has(is *jetstream.ConsumerInfo) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	created, ok := d.known[is.Stream+"."+is.Name]
	return ok && created.Equal(is.Created)
}
