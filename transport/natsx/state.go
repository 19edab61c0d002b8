package natsx

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// The state stream holds data that members of groups share and the server does not keep. Each
// account has one. It is created on first use.
//
//	_mono.boots                            starts of the server
//	_mono.released.<stream>.<consumer>     deliveries that were handed back
//	_mono.handover.<stream>.<consumer>     unsettled messages of a partition that was given up
const (
	stateStream   = "mono_state" // not allowed as the name of a log
	statePrefix   = "_mono."
	stateSubjects = statePrefix + ">"
	bootsSubject  = "_mono.boots"
	theState      = "the stream " + stateStream

	releasedPrefix = "_mono.released."
)

const (
	maxReleases = 1000 // records of one consumer
	keepRelease = 7 * 24 * time.Hour
)

// state is the state stream.
type state struct {
	stream
	exists atomic.Bool
	ttl    atomic.Bool // its messages may have a TTL
}

// open creates the state stream, or updates it if it differs from requiredConfig. Another
// client, perhaps of another release, may do the same concurrently.
func (s *state) open(ctx context.Context) (*jetstream.StreamInfo, error) {
	is, err := s.info(ctx)
	if missing(err) {
		is, err = s.createMissing(ctx)
	}
	if err == nil {
		is, err = s.adjust(ctx, is)
	}
	if err != nil {
		return nil, driver.About(theState, err)
	}
	s.ttl.Store(is.Config.AllowMsgTTL)
	return is, nil
}

func (s *state) createMissing(ctx context.Context) (*jetstream.StreamInfo, error) {
	c, err := s.requiredConfig(jetstream.StreamConfig{})
	if err != nil {
		return nil, err
	}
	is, err := s.create(ctx, c)
	if c.Replicas > 1 && tooFewServers(err) {
		c.Replicas = 1
		is, err = s.create(ctx, c)
	}
	if codeOfAPI(err) == jetstream.JSErrCodeStreamNameInUse {
		return s.info(ctx)
	}
	return is, err
}

// adjust updates the stream if needed. A refused update is logged, since the unchanged
// stream is usable too.
func (s *state) adjust(ctx context.Context, is *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
	c, err := s.requiredConfig(is.Config)
	if err != nil || same(c, is.Config) {
		return is, err
	}
	updated, err := s.update(ctx, c)
	if c.Replicas > is.Config.Replicas && tooFewServers(err) {
		if c.Replicas = is.Config.Replicas; same(c, is.Config) {
			return is, nil
		}
		updated, err = s.update(ctx, c)
	}
	switch {
	case err == nil:
		return updated, nil
	case ctx.Err() != nil:
		return nil, err
	}
	s.t.log.Warn("natsx: the stream "+stateStream+" is not updated", "address", s.t.address, "error", driver.About(theState, err))
	return is, nil
}

// requiredConfig returns the required configuration. base is the existing one, or the zero value
// for a new stream. Replicas are added and never removed, since all members share the stream.
func (s *state) requiredConfig(base jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	c := base
	c.Name, c.Description = stateStream, "shared by the members of mono's groups: server starts and hand-backs"
	c.Subjects, c.Metadata = slices.Clone(base.Subjects), metadata(nil, base.Metadata, nil)
	if !slices.Contains(c.Subjects, stateSubjects) {
		c.Subjects = append(c.Subjects, stateSubjects)
	}
	c.MaxAge, c.MaxMsgs, c.MaxMsgsPerSubject, c.Discard, c.DiscardNewPerSubject = 0, -1, maxReleases, jetstream.DiscardOld, false
	c.AllowMsgTTL = base.AllowMsgTTL || s.t.account.Load().level >= levelTTL
	c.Replicas = max(base.Replicas, cmp.Or(s.t.options.replicas, s.t.defaultReplicas()))
	if base.Name == "" && s.t.options.memory {
		c.Storage = jetstream.MemoryStorage
	}
	hook := s.t.options.stream
	if hook == nil {
		return c, nil
	}
	changed := c
	changed.Metadata, changed.Subjects, changed.Sources = maps.Clone(c.Metadata), slices.Clone(c.Subjects), slices.Clone(c.Sources)
	hook(stateStream, &changed)
	changed.Replicas = max(base.Replicas, changed.Replicas)
	changed.Metadata = metadata(base.Metadata, changed.Metadata, nil)
	return changed, checkGuarded(c, changed, guardedState)
}

// guardedState are the fields of the state stream that the hook must not change. It may set
// MaxBytes, unlike for a log, since some accounts require it.
var guardedState = append(slices.DeleteFunc(slices.Clone(guarded), func(field string) bool { return field == "MaxBytes" }), "Mirror", "Sources", "SubjectTransform")

// read reads a message of the state stream.
func (s *state) read(ctx context.Context, request map[string]any) (*storedMessage, error) {
	m, err := s.message(ctx, request)
	return m, driver.About(theState, err)
}

// ensure creates the state stream, unless it is known to exist.
func (s *state) ensure(ctx context.Context) error {
	if s.exists.Load() {
		return nil
	}
	_, err := s.open(ctx)
	s.exists.Store(err == nil)
	return err
}

// put appends to the state stream, and creates it first if needed. The lack of the
// stream cannot be detected afterwards if a plain client subscribes to all subjects.
func (s *state) put(ctx context.Context, msg *nats.Msg) error {
	for last := false; ; last = true {
		if err := s.ensure(ctx); err != nil {
			return err
		}
		if !s.ttl.Load() {
			msg.Header.Del(jetstream.MsgTTLHeader) // the stream would refuse the message
		}
		err := s.publish(ctx, msg)
		if !missing(err) && codeOfAPI(err) != codeTTLDisabled {
			return err
		}
		s.exists.Store(false) // it was deleted, or replaced
		if last {
			return err
		}
	}
}

// store publishes to the state stream and waits for the acknowledgement.
func (s *state) publish(ctx context.Context, msg *nats.Msg) error {
	number, reply := s.t.acks.open(msg.Subject)
	defer s.t.acks.take(number)
	msg.Reply = s.t.acks.inbox(number)
	if err := s.t.nc.PublishMsg(msg); err != nil {
		return driver.About(theState, s.t.failure(err, transport.OutcomeNotDone))
	}
	select {
	case got := <-reply:
		return s.readAck(got)
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "the stream %s sent no acknowledgement: %v", stateStream, ctx.Err())
	}
}

func (s *state) readAck(got answer) error {
	switch {
	case got.err != nil:
		return got.err
	case noResponders(got.msg):
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "the stream %s is missing", stateStream)
	}
	ack, err := parseAck(got.msg.Data)
	if err == nil && ack.Error != nil {
		err = driver.About(theState, s.t.api.explain(ack.Error))
	}
	return err
}
