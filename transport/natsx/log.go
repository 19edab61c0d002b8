package natsx

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// log is a stream of JetStream, and a second one with Delays. Its groups are durable
// consumers.
type log struct {
	stream
	settings
	groups   *groups
	delayed  *delayed
	declared *declared     // groups that have to exist; nil if there are none
	cancels  chan struct{} // of capacity 1: holds the token of the Cancel that runs
	idle     sync.Pool     // of *appendWait
}

// Log implements [driver.Conn].
func (c conn) Log(ctx context.Context, config transport.LogConfig) (driver.Log, error) {
	if config.Name == stateStream {
		return nil, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "natsx has a stream of this name: choose another")
	}
	l := newLog(c.t, config)
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func newLog(t *Transport, config transport.LogConfig) *log {
	l := &log{stream: stream{t: t, name: config.Name}, delayed: newDelayed(t, config.Name), cancels: make(chan struct{}, 1)}
	l.settings = settings{config: config, partitions: newPartitions(config.Partitions, config.Subjects), options: &t.options, ttl: t.account.Load().level >= levelTTL}
	return l
}

// Config implements [driver.Log].
func (l *log) Config() *transport.LogConfig { return &l.config }

// open creates missing streams, and updates existing ones if that is allowed. Other processes
// may do the same concurrently, so open looks again if another one was first.
func (l *log) open(ctx context.Context) error {
	stream, made, err := l.openStream(ctx)
	for inUse := 0; err != nil && codeOfAPI(err) == jetstream.JSErrCodeStreamNameInUse && inUse < maxRaces; inUse++ {
		stream, made, err = l.openStream(ctx)
	}
	if err != nil {
		return err
	}
	l.adopt(stream)
	return l.openDeclared(ctx, made)
}

// openDeclared opens the groups in the configuration.
func (l *log) openDeclared(ctx context.Context, made bool) error {
	groups := l.config.Groups
	l.listenForDeletions()
	opened := l.groups.open(ctx, groups, made)
	for i, o := range opened {
		if o.err != nil && (groups[i].Update || !errors.Is(o.err, errOrdered)) {
			return aboutGroup(groups[i].Name, o.err) // a sender does not change a group of the other kind
		}
	}
	l.declare(opened)
	return nil
}

// maxRaces bounds the attempts that another process may win.
const maxRaces = 5

// openStream returns the configuration of the stream, and whether this call created it.
func (l *log) openStream(ctx context.Context) (*jetstream.StreamConfig, bool, error) {
	is, err := l.info(ctx)
	made := missing(err) && !l.config.Existing
	if err != nil && !made {
		return nil, false, err
	}
	if !made {
		if err := checkBuild(&is.Config); err != nil {
			return nil, false, err
		}
		if changes, err := l.changes(&is.Config); err != nil || !changes {
			return &is.Config, false, err
		}
	}
	set, err := l.set(ctx, is)
	switch {
	case err == nil:
		return &set.Config, made, nil
	case is != nil && l.config.Sender && transport.CodeOf(l.t.api.explain(err)) == transport.PermissionDenied:
		l.t.log.Warn("natsx: log left unchanged, since the account may only send", "log", l.name, "error", err)
		return &is.Config, false, nil
	}
	return nil, false, err
}

// set creates the streams of the log, or updates the existing ones.
func (l *log) set(ctx context.Context, is *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
	if l.config.Delays {
		if err := l.openDelayed(ctx); err != nil {
			return nil, err
		}
	}
	if is == nil {
		return l.makeStream(ctx, l.stream, l.streamConfig(jetstream.StreamConfig{}))
	}
	return l.updateStream(ctx, l.stream, is, l.streamConfig(is.Config))
}

// metaLanes is in the metadata of streams of earlier builds, which kept the order of several keys
// together, with one message at a time. Their messages are stored on other subjects.
const metaLanes = "mono-lanes"

// checkBuild refuses a stream of an earlier build.
func checkBuild(c *jetstream.StreamConfig) error {
	if c.Metadata[metaLanes] == "" {
		return nil
	}
	return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
		"the stream was made by an earlier build, with lanes instead of partitions: read what you need of it with that build, and delete it")
}

// openDelayed creates the second stream, and the consumer from which the log copies.
func (l *log) openDelayed(ctx context.Context) error {
	s := l.delayed.stream
	is, err := s.info(ctx)
	switch {
	case missing(err):
		_, err = l.makeStream(ctx, s, l.delayedConfig(jetstream.StreamConfig{}))
	case err == nil && !is.Config.AllowMsgSchedules:
		return transport.Errorf(transport.FailedPrecondition, transport.OutcomeNotDone,
			"its Delays need the stream %s, but another one has that name: rename one of them", s.name)
	case err == nil:
		_, err = l.updateStream(ctx, s, is, l.delayedConfig(is.Config))
	}
	if err != nil {
		return err
	}
	return l.delayed.openSource(ctx)
}

// adopt takes over the settings of the existing log that override the requested ones.
func (l *log) adopt(stream *jetstream.StreamConfig) {
	is := logConfig(stream)
	if stream.Mirror != nil {
		l.origin, is.Subjects, is.DedupWindow = stream.Mirror.Name, l.config.Subjects, l.config.DedupWindow
	}
	is.Groups, is.Update, is.Generation = l.config.Groups, l.config.Update, l.config.Generation
	l.config = is
	l.partitions = newPartitions(is.Partitions, is.Subjects)
	if stream.SubjectTransform != nil && is.Partitions > 0 {
		l.partitions.auto = stream.SubjectTransform.Source
	}
	l.replicated = stream.Replicas > 1
	l.delayed.replicated = l.replicated
	l.groups = &groups{stream: l.stream, settings: &l.settings}
}

// makeStream creates a stream, with as many replicas as the cluster supports.
func (l *log) makeStream(ctx context.Context, s stream, c jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	automatic := c.Replicas == 0
	if automatic {
		c.Replicas = l.t.defaultReplicas()
	}
	c, err := l.hookStream(c)
	if err != nil {
		return nil, err
	}
	return s.createFitting(ctx, c, automatic)
}

func (l *log) updateStream(ctx context.Context, s stream, is *jetstream.StreamInfo, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	want, err := l.hookStream(want)
	if err != nil || same(want, is.Config) {
		return is, err
	}
	return s.update(ctx, want)
}

// defaultReplicas returns the number of servers that store a log by default.
func (t *Transport) defaultReplicas() int {
	if t.clustered() {
		return 3
	}
	return 1
}

// Remove implements [driver.Log].
func (l *log) Remove(ctx context.Context, sequence uint64) error {
	return l.removeMessage(ctx, sequence)
}

// Purge implements [driver.Log].
func (l *log) Purge(ctx context.Context, p transport.PurgeConfig) (uint64, error) {
	return (&purge{l, p}).run(ctx)
}

// purge is a Purge of a log.
type purge struct {
	*log
	transport.PurgeConfig
}

func (p *purge) run(ctx context.Context) (total uint64, err error) {
	patterns := []string{""} // everything
	if p.Subject != "" {
		patterns = p.partitions.filter([]string{p.Subject}, anyPartition)
	}
	if p.Keep > 0 && (p.Before > 0 || len(patterns) > 1) {
		if p.Before, err = p.firstKept(ctx); err != nil || p.Before == 0 {
			return 0, err
		}
		p.Keep = 0
	}
	for _, pattern := range patterns {
		n, err := p.send(ctx, pattern)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// firstKept returns the sequence of the first of the last Keep messages that match, or 0 if
// there are no more than Keep.
func (p *purge) firstKept(ctx context.Context) (uint64, error) {
	for {
		kept, err := p.lastMatching(ctx)
		if err != nil || uint64(len(kept)) < p.Keep {
			return 0, err
		}
		there, err := p.allExist(ctx, kept)
		if there || err != nil {
			return kept[0], err
		}
		if !pause(ctx, apiPause) {
			return 0, transport.ContextError(ctx, transport.OutcomeNotDone, "%w while the log was read", ctx.Err())
		}
	}
}

// lastMatching returns the sequences of the last Keep messages that match.
func (p *purge) lastMatching(ctx context.Context) (kept []uint64, err error) {
	r := transport.ReadConfig{}
	if p.Subject != "" {
		r.Filter = []string{p.Subject}
	}
	err = p.Read(ctx, r, func(d *transport.Delivery) bool {
		if p.Before > 0 && d.Sequence >= p.Before {
			return false
		}
		kept = append(kept, d.Sequence)
		if uint64(len(kept)) > p.Keep {
			kept = kept[1:]
		}
		return true
	})
	return kept, err
}

// allExist reports whether the messages exist. A server of a cluster may not know of a
// removal yet, and then a removed message would count as kept.
func (p *purge) allExist(ctx context.Context, sequences []uint64) (bool, error) {
	if !p.replicated {
		return true, nil
	}
	for _, sequence := range sequences {
		if _, err := p.message(ctx, map[string]any{"seq": sequence}); missing(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// send sends one request without retries: a second answer would not count the messages that
// the first one deleted.
func (p *purge) send(ctx context.Context, pattern string) (uint64, error) {
	var request struct {
		Filter string `json:"filter,omitempty"`
		Before uint64 `json:"seq,omitempty"`
		Keep   uint64 `json:"keep,omitempty"`
	}
	request.Filter, request.Before, request.Keep = pattern, p.Before, p.Keep
	var answer struct {
		Purged uint64 `json:"purged"`
	}
	_, err := attempt(ctx, p.t, apiTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, p.t.api.request(ctx, "STREAM.PURGE."+p.name, request, &answer)
	})
	return answer.Purged, p.t.api.explain(err)
}

// Info implements [driver.Log]. Config contains no Groups: the method Groups returns them.
func (l *log) Info(ctx context.Context) (transport.LogInfo, error) {
	is, err := l.info(ctx)
	if err != nil {
		return transport.LogInfo{}, err
	}
	state := is.State
	info := transport.LogInfo{
		Config: logConfig(&is.Config), First: state.FirstSeq, Last: state.LastSeq, Messages: state.Msgs, Bytes: state.Bytes,
	}
	if state.Msgs == 0 {
		info.First = state.LastSeq + 1
	}
	if info.Config.Delays {
		info.Delayed, err = l.delayed.count(ctx)
	}
	return info, err
}

// Groups implements [driver.Log].
func (l *log) Groups(ctx context.Context) ([]transport.GroupInfo, error) {
	consumers, _, err := l.groups.durables(ctx)
	if err != nil {
		return nil, err
	}
	byName := make(map[string][]*jetstream.ConsumerInfo)
	for _, c := range consumers {
		byName[groupOf(c)] = append(byName[groupOf(c)], c)
	}
	var groups []transport.GroupInfo
	for _, of := range byName {
		groups = append(groups, groupInfo(of))
	}
	return groups, nil
}

// durables lists the consumers of all groups. It reports whether some may be lacking.
func (gs *groups) durables(ctx context.Context) (durables []*jetstream.ConsumerInfo, lacking bool, err error) {
	all, lacking, err := gs.listConsumers(ctx)
	return slices.DeleteFunc(all, func(c *jetstream.ConsumerInfo) bool { return c.Config.Durable == "" || c.Config.DeliverSubject != "" }), lacking, err
}

// consumersOf lists the consumers of a group. The server of a cluster that has the list may learn
// of a new group slightly later than its members, so a missing one is looked up again.
func (gs *groups) consumersOf(ctx context.Context, group string) (of []*jetstream.ConsumerInfo, lacking bool, err error) {
	for r := retryFor(acceptTime); ; {
		of, lacking, err = gs.durables(ctx)
		of = slices.DeleteFunc(of, func(c *jetstream.ConsumerInfo) bool { return groupOf(c) != group })
		if err != nil || len(of) > 0 || lacking || !gs.t.clustered() || !r.next(ctx) {
			return of, lacking, err
		}
	}
}

// groupInfo sums up the consumers of a group. A partition without waiting messages does not limit
// Settled.
func groupInfo(of []*jetstream.ConsumerInfo) transport.GroupInfo {
	info := transport.GroupInfo{Config: groupConfig(of[0])}
	var highest, lowest uint64
	busy := false
	for _, c := range of {
		open := uint64(max(c.NumAckPending, 0)) + c.NumPending
		if highest = max(highest, c.AckFloor.Stream); open > 0 && (!busy || c.AckFloor.Stream < lowest) {
			busy, lowest = true, c.AckFloor.Stream
		}
		info.Members = max(info.Members, members(c))
		info.InFlight += uint64(max(c.NumAckPending, 0))
		info.Undelivered += c.NumPending
		info.Redelivered += uint64(max(c.NumRedelivered, 0))
	}
	if info.Settled = highest; busy {
		info.Settled = lowest
	}
	if until := of[0].Config.PauseUntil; until != nil && of[0].Paused {
		info.PausedUntil = *until
	}
	return info
}

// members returns the number of requests for messages that wait: a member without work has one
// most of the time. The owner of a partition, and a member to which the server pushes, may have none.
func members(c *jetstream.ConsumerInfo) int {
	if c.NumWaiting == 0 && (c.PushBound || pinOf(c) != "") {
		return 1
	}
	return c.NumWaiting
}

// DeleteGroup implements [driver.Log].
func (l *log) DeleteGroup(ctx context.Context, name string) error {
	consumers, err := l.existing(ctx, name)
	if err != nil {
		return err
	}
	errs := l.t.api.inParallel(ctx, len(consumers), func(i int) error {
		return l.remove(ctx, func(ctx context.Context) error {
			return l.t.api.js(ctx).DeleteConsumer(ctx, l.name, consumers[i].Name)
		})
	})
	for i, c := range consumers {
		if errs[i] == nil {
			l.t.deleted.add(l.config.Name, c.Name, c.Created)
			l.declared.lose(l.config.Name, c.Name) // its advisory comes later
		}
	}
	return firstError(errs...)
}

// existing returns the consumers of a group, and NotFound if there are none.
func (l *log) existing(ctx context.Context, group string) ([]*jetstream.ConsumerInfo, error) {
	consumers, lacking, err := l.groups.consumersOf(ctx, group)
	switch {
	case err != nil:
		return nil, err
	case len(consumers) == 0 && lacking:
		return nil, unavailable("no such group, or its servers have yet to start it: try later")
	case len(consumers) == 0:
		return nil, transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "no such group")
	}
	return consumers, nil
}

// PauseGroup implements [driver.Log]. The server pauses each consumer.
func (l *log) PauseGroup(ctx context.Context, name string, until time.Time) error {
	if l.t.account.Load().level < levelTTL {
		return transport.Errorf(transport.Unimplemented, transport.OutcomeNotDone, "groups are paused by nats-server 2.11 or later: upgrade the server")
	}
	if byCancel(until) {
		until = until.Add(1)
	}
	consumers, err := l.existing(ctx, name)
	if err != nil {
		return err
	}
	return l.t.api.explain(firstError(l.t.api.inParallel(ctx, len(consumers), func(i int) error {
		return l.pause(ctx, consumers[i].Name, until)
	})...))
}

// pause pauses a consumer, and waits until its leader in a cluster knows.
func (l *log) pause(ctx context.Context, consumer string, until time.Time) error {
	_, err := askStream(ctx, l.stream, func(ctx context.Context) (*jetstream.ConsumerPauseResponse, error) {
		return l.t.api.js(ctx).PauseConsumer(ctx, l.name, consumer, until)
	})
	for r := retryFor(acceptTime); err == nil && l.t.clustered(); {
		var is *jetstream.ConsumerInfo
		is, err = l.consumer(ctx, consumer)
		if err == nil && is.Paused == (time.Until(until) > 0) || !r.next(ctx) {
			break
		}
	}
	return err
}
