package natsx

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// log is a stream of JetStream, and a second one with Delays. Its groups are durable
// consumers.
type log struct {
	t      *Transport
	config transport.LogConfig // as requested; after open, as it exists
	lanes  lanes
	room   *room  // for delayed messages
	origin string // name of the stream that it mirrors

	replicated bool      // stored by several servers
	awaited    awaited   // consumers known to all of them
	declared   *declared // groups that have to exist; nil if there are none
}

// Log implements [driver.Conn].
func (c conn) Log(ctx context.Context, config transport.LogConfig) (driver.Log, error) {
	if config.Name == stateStream {
		return nil, transport.Errorf(transport.InvalidArgument, transport.OutcomeNotDone, "natsx has a stream of this name: choose another")
	}
	l := &log{t: c.t, config: config, lanes: newLanes(config.Lanes, config.Subjects), room: newRoom()}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	return l, nil
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
	opened := l.openGroups(ctx, groups, made)
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
	is, err := l.t.stream(ctx, l.config.Name)
	if missing(err) {
		is, err = l.makeStreams(ctx)
		return is, err == nil, err
	}
	if err != nil {
		return nil, false, err
	}
	known := l.logConfig(is)
	if !l.config.Update || known.Generation > l.config.Generation {
		return is, false, nil
	}
	if err := l.unchangeable(is, &known); err != nil {
		return nil, false, err
	}
	is, err = l.updateStreams(ctx, is)
	return is, false, err
}

// adopt takes over the settings of the existing log that override the requested ones.
func (l *log) adopt(stream *jetstream.StreamConfig) {
	is := l.logConfig(stream)
	if stream.Mirror != nil {
		l.origin, is.Subjects, is.DedupWindow = stream.Mirror.Name, l.config.Subjects, l.config.DedupWindow
	}
	l.replicated = stream.Replicas > 1
	is.Groups, is.Update, is.Generation = l.config.Groups, l.config.Update, l.config.Generation
	l.config = is
	l.lanes = newLanes(is.Lanes, is.Subjects)
	if stream.SubjectTransform != nil && is.Lanes > 0 {
		l.lanes.auto = stream.SubjectTransform.Source
	}
}

// info asks the leader of the log for its state.
func (l *log) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	s, err := callAPI(ctx, l.t, func(ctx context.Context) (jetstream.Stream, error) { return l.t.js(ctx).Stream(ctx, l.config.Name) })
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// stream asks for the configuration of a stream.
func (t *Transport) stream(ctx context.Context, name string) (*jetstream.StreamConfig, error) {
	return callStream(ctx, t, func(ctx context.Context) (jetstream.Stream, error) { return t.js(ctx).Stream(ctx, name) })
}

func callStream(ctx context.Context, t *Transport, do func(context.Context) (jetstream.Stream, error)) (*jetstream.StreamConfig, error) {
	s, err := callAPI(ctx, t, do)
	if err != nil {
		return nil, err
	}
	is := s.CachedInfo()
	t.streams.Store(is.Config.Name, is.Created)
	t.journal.Discard(is.Config.Name, is.Created, is.State.LastSeq)
	return &is.Config, nil
}

// streamCreated returns the time of creation of a stream, as of the last look at it.
func (t *Transport) streamCreated(name string) (created time.Time) {
	if found, ok := t.streams.Load(name); ok {
		created = found.(time.Time)
	}
	return created
}

func (l *log) makeStreams(ctx context.Context) (*jetstream.StreamConfig, error) {
	if l.config.Delays {
		if err := l.openDelayed(ctx); err != nil {
			return nil, err
		}
	}
	return l.makeStream(ctx, l.streamConfig(jetstream.StreamConfig{}))
}

func (l *log) updateStreams(ctx context.Context, is *jetstream.StreamConfig) (*jetstream.StreamConfig, error) {
	if l.config.Delays {
		if err := l.openDelayed(ctx); err != nil {
			return nil, err
		}
	}
	return l.updateStream(ctx, is, l.streamConfig(*is))
}

// makeStream creates a stream, with as many replicas as the cluster supports.
func (l *log) makeStream(ctx context.Context, c jetstream.StreamConfig) (*jetstream.StreamConfig, error) {
	automatic := c.Replicas == 0
	if automatic {
		c.Replicas = l.t.defaultReplicas()
	}
	c, err := l.hookStream(c)
	if err != nil {
		return nil, err
	}
	create := func(ctx context.Context) (jetstream.Stream, error) { return l.t.js(ctx).CreateStream(ctx, c) }
	s, err := callStream(ctx, l.t, create)
	if automatic && c.Replicas > 1 && tooFewServers(err) {
		l.t.log.Warn("natsx: a log has one replica only: the cluster is too small for more", "stream", c.Name, "address", l.t.address)
		c.Replicas = 1
		return callStream(ctx, l.t, create)
	}
	return s, err
}

func (l *log) updateStream(ctx context.Context, is *jetstream.StreamConfig, want jetstream.StreamConfig) (*jetstream.StreamConfig, error) {
	want, err := l.hookStream(want)
	if err != nil || same(want, *is) {
		return is, err
	}
	return callStream(ctx, l.t, func(ctx context.Context) (jetstream.Stream, error) { return l.t.js(ctx).UpdateStream(ctx, want) })
}

// defaultReplicas returns the number of servers that store a log by default.
func (t *Transport) defaultReplicas() int {
	if t.nc.ConnectedClusterName() == "" {
		return 1
	}
	return 3
}
