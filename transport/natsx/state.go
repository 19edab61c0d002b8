package natsx

import (
	"cmp"
	"context"
	"maps"
	"slices"
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
const (
	stateStream   = "mono_state" // not allowed as the name of a log
	stateSubjects = "_mono.>"
	bootsSubject  = "_mono.boots"
	theState      = "the stream " + stateStream

	releasedPrefix = "_mono.released."
)

const (
	maxReleases = 1000 // records of one consumer
	keepRelease = 7 * 24 * time.Hour
)

// openState creates the state stream, or updates it if it differs from stateConfig. Another
// client, perhaps of another release, may do the same concurrently.
func (t *Transport) openState(ctx context.Context) (*jetstream.StreamInfo, error) {
	is, err := t.state().info(ctx)
	if missing(err) {
		is, err = t.createState(ctx)
	}
	if err == nil {
		is, err = t.updateState(ctx, is)
	}
	if err != nil {
		return nil, driver.About(theState, err)
	}
	t.stateTTL.Store(is.Config.AllowMsgTTL)
	return is, nil
}

func (t *Transport) state() stream { return stream{t: t, name: stateStream} }

func (t *Transport) createState(ctx context.Context) (*jetstream.StreamInfo, error) {
	c, err := t.stateConfig(jetstream.StreamConfig{})
	if err != nil {
		return nil, err
	}
	is, err := t.state().create(ctx, c)
	if c.Replicas > 1 && tooFewServers(err) {
		c.Replicas = 1
		is, err = t.state().create(ctx, c)
	}
	if codeOfAPI(err) == jetstream.JSErrCodeStreamNameInUse {
		return t.state().info(ctx)
	}
	return is, err
}

// updateState updates the stream if needed. A refused update is logged, since the unchanged
// stream is usable too.
func (t *Transport) updateState(ctx context.Context, is *jetstream.StreamInfo) (*jetstream.StreamInfo, error) {
	c, err := t.stateConfig(is.Config)
	if err != nil || same(c, is.Config) {
		return is, err
	}
	updated, err := t.state().update(ctx, c)
	if c.Replicas > is.Config.Replicas && tooFewServers(err) {
		if c.Replicas = is.Config.Replicas; same(c, is.Config) {
			return is, nil
		}
		updated, err = t.state().update(ctx, c)
	}
	switch {
	case err == nil:
		return updated, nil
	case ctx.Err() != nil:
		return nil, err
	}
	t.log.Warn("natsx: the stream "+stateStream+" is not updated", "address", t.address, "error", driver.About(theState, err))
	return is, nil
}

// stateConfig returns the required configuration. base is the existing one, or the zero value
// for a new stream. Replicas are added and never removed, since all members share the stream.
func (t *Transport) stateConfig(base jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	c := base
	c.Name, c.Description = stateStream, "shared by the members of mono's groups: server starts and hand-backs"
	c.Subjects, c.Metadata = slices.Clone(base.Subjects), metadata(nil, base.Metadata, nil)
	if !slices.Contains(c.Subjects, stateSubjects) {
		c.Subjects = append(c.Subjects, stateSubjects)
	}
	c.MaxAge, c.MaxMsgs, c.MaxMsgsPerSubject, c.Discard, c.DiscardNewPerSubject = 0, -1, maxReleases, jetstream.DiscardOld, false
	c.AllowMsgTTL = base.AllowMsgTTL || t.account.Load().level >= levelTTL
	c.Replicas = max(base.Replicas, cmp.Or(t.options.replicas, t.defaultReplicas()))
	if base.Name == "" && t.options.memory {
		c.Storage = jetstream.MemoryStorage
	}
	hook := t.options.stream
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

// stateMessage reads a message of the state stream.
func (t *Transport) stateMessage(ctx context.Context, request map[string]any) (*storedMessage, error) {
	m, err := t.state().message(ctx, request)
	return m, driver.About(theState, err)
}

// ensureState creates the state stream, unless it is known to exist.
func (t *Transport) ensureState(ctx context.Context) error {
	if t.stateExists.Load() {
		return nil
	}
	_, err := t.openState(ctx)
	t.stateExists.Store(err == nil)
	return err
}

// putState appends to the state stream, and creates it first if needed. The lack of the
// stream cannot be detected afterwards if a plain client subscribes to all subjects.
func (t *Transport) putState(ctx context.Context, msg *nats.Msg) error {
	for last := false; ; last = true {
		if err := t.ensureState(ctx); err != nil {
			return err
		}
		if !t.stateTTL.Load() {
			msg.Header.Del(jetstream.MsgTTLHeader) // the stream would refuse the message
		}
		err := t.store(ctx, msg)
		if !missing(err) && codeOfAPI(err) != codeTTLDisabled {
			return err
		}
		t.stateExists.Store(false) // it was deleted, or replaced
		if last {
			return err
		}
	}
}

// store publishes to the state stream and waits for the acknowledgement.
func (t *Transport) store(ctx context.Context, msg *nats.Msg) error {
	token, reply := t.acks.open(msg.Subject)
	defer t.acks.take(token)
	msg.Reply = t.acks.prefix + token
	if err := t.nc.PublishMsg(msg); err != nil {
		return driver.About(theState, t.failure(err, transport.OutcomeNotDone))
	}
	select {
	case got := <-reply:
		return t.stored(got)
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "the stream %s sent no acknowledgement: %v", stateStream, ctx.Err())
	}
}

func (t *Transport) stored(got answer) error {
	switch {
	case got.err != nil:
		return got.err
	case noResponders(got.msg):
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "the stream %s is missing", stateStream)
	}
	ack, err := parseAck(got.msg.Data)
	if err == nil && ack.Error != nil {
		err = driver.About(theState, t.apiError(ack.Error))
	}
	return err
}
