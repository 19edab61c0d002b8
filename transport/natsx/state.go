package natsx

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// The state stream holds data that members of groups share and the server does not keep. Each
// account has one. It is created on first use.
//
//	_mono.boots                            starts of the server
//	_mono.released.<stream>.<consumer>     deliveries that were handed back
const (
	stateStream   = "mono_state" // not the name of a log, which contains a kind
	stateSubjects = "_mono.>"
	bootsSubject  = "_mono.boots"

	releasedPrefix = "_mono.released."
)

const (
	maxReleases = 1000 // records of one consumer
	keepRelease = 7 * 24 * time.Hour
)

func (t *Transport) openState(ctx context.Context) error {
	c := jetstream.StreamConfig{
		Name: stateStream, Subjects: []string{stateSubjects}, Description: "shared by the members of mono's groups: server starts and hand-backs",
		MaxMsgsPerSubject: maxReleases, AllowMsgTTL: t.account.Load().level >= levelTTL, Replicas: t.options.replicas,
	}
	if t.options.memory {
		c.Storage = jetstream.MemoryStorage
	}
	if c.Replicas == 0 {
		c.Replicas = t.defaultReplicas()
	}
	if hook := t.options.stream; hook != nil {
		hook(stateStream, &c) // for replicas, placement and the like
	}
	create := func(ctx context.Context) (jetstream.Stream, error) { return t.js(ctx).CreateStream(ctx, c) }
	_, err := callStream(ctx, t, "the stream "+stateStream, create)
	if code := codeOfAPI(err); c.Replicas > 1 && (code == codeNoPeers || code == codeNotClustered) {
		c.Replicas = 1
		_, err = callStream(ctx, t, "the stream "+stateStream, create)
	}
	if codeOfAPI(err) == jetstream.JSErrCodeStreamNameInUse {
		return nil // created by another client, perhaps of another release
	}
	return err
}

// stateMessage reads a message of the state stream.
func (t *Transport) stateMessage(ctx context.Context, request map[string]any) (*storedMessage, error) {
	return callAPI(ctx, t, "the stream "+stateStream, func(ctx context.Context) (*storedMessage, error) {
		return t.getMessage(ctx, stateStream, request)
	})
}

// ensureState creates the state stream, unless it is known to exist.
func (t *Transport) ensureState(ctx context.Context) error {
	if t.stateExists.Load() {
		return nil
	}
	err := t.openState(ctx)
	t.stateExists.Store(err == nil)
	return err
}

// putState appends to the state stream, and creates it first if needed. The lack of the
// stream cannot be detected afterwards if a plain client subscribes to all subjects.
func (t *Transport) putState(ctx context.Context, msg *nats.Msg) error {
	if err := t.ensureState(ctx); err != nil {
		return err
	}
	err := t.store(ctx, msg)
	if missing(err) {
		t.stateExists.Store(false) // it was deleted: create it again next time
	}
	return err
}

// store publishes to the state stream and waits for the acknowledgement.
func (t *Transport) store(ctx context.Context, msg *nats.Msg) error {
	token, reply := t.acks.open(msg.Subject)
	defer t.acks.take(token)
	msg.Reply = t.acks.prefix + token
	if err := t.nc.PublishMsg(msg); err != nil {
		return t.failure(err, transport.OutcomeNotDone, "the stream "+stateStream)
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
		err = t.apiError(ack.Error, "the stream "+stateStream)
	}
	return err
}

// boot is one run of a server's process.
type boot struct {
	Server string `json:"server"` // id of the server, new for each boot
	Number uint64 `json:"number"` // of observed boots, from 1
}

// currentBoot returns the boot of the connected server. The first client of a new boot
// counts it. Boots in a cluster are not counted: its servers replicate the counts of
// deliveries.
func (t *Transport) currentBoot(ctx context.Context) (boot, error) {
	t.booting.Lock() // many members wait for one lookup
	defer t.booting.Unlock()
	server := t.nc.ConnectedServerId()
	if known := t.boot.Load(); known != nil && known.Server == server {
		return *known, nil
	}
	clustered := t.nc.ConnectedClusterName() != ""
	for {
		last, sequence, err := t.lastBoot(ctx)
		if err != nil {
			return boot{}, err
		}
		now := boot{server, last.Number}
		switch {
		case clustered:
			err = t.ensureState(ctx) // now, since the first hand-back has little time
		case last.Server != server:
			now.Number++
			err = t.putBoot(ctx, now, sequence)
		}
		switch {
		case err == nil:
			t.boot.Store(&now)
			return now, nil
		case transport.CodeOf(err) != transport.Aborted:
			return boot{}, err
		}
	}
}

// lastBoot returns the last counted boot and its sequence.
func (t *Transport) lastBoot(ctx context.Context) (b boot, sequence uint64, err error) {
	m, err := t.stateMessage(ctx, map[string]any{"last_by_subj": bootsSubject})
	if missing(err) {
		return boot{}, 0, nil
	}
	if err == nil {
		sequence, err = m.Sequence, json.Unmarshal(m.Data, &b)
	}
	return b, sequence, err
}

func (t *Transport) putBoot(ctx context.Context, b boot, last uint64) error {
	msg := nats.NewMsg(bootsSubject)
	msg.Data, _ = json.Marshal(b) // of a text and a number
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	return t.putState(ctx, msg)
}
