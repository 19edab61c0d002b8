package natsx

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
)

// A fencing token does not decrease. It is the sum of three numbers:
//
//   - the number of deliveries of the consumer, as counted by the server;
//   - the time at which the consumer was created, in microseconds: a recreated consumer
//     counts from 1, and delivers less than one message in a microsecond;
//   - the base, which grows with each boot of the server: a killed server forgets its last
//     deliveries, which are fewer.
//
// Until 2140 it stays below 2^53, which JSON and most stores represent exactly.

const bootTokens = 1 << 32

// firstDay is the time at which the base is 0.
var firstDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// nextBase returns the base of a boot: the time in microseconds, so that it grows even if the
// last base is lost. If the clock was set back, it is bootTokens more than the last base.
func nextBase(last uint64, now time.Time) uint64 {
	if now.IsZero() {
		now = time.Now() // the server is older than 2.10
	}
	if base := now.Sub(firstDay).Microseconds(); base > 0 && uint64(base) > last {
		return uint64(base)
	}
	return last + bootTokens
}

// tokenBase returns the part of fencing tokens that depends on the boot of the server. If the
// account cannot have the state stream, it logs once that tokens may decrease.
func (l *log) tokenBase(ctx context.Context) (uint64, error) {
	err := l.t.awaitBoot(ctx)
	if storeFailed(err) { // the account may have it when there is room
		return 0, err
	}
	switch transport.CodeOf(err) {
	case transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition: // will not change
		l.t.stateDenied.Do(func() {
			l.t.log.Warn("natsx: fencing tokens may decrease when the server ends, and hand-backs count as attempts: allow the account the stream "+stateStream, "address", l.t.address, "error", err)
		})
		err = nil
	}
	return l.t.highestBase.Load(), err
}

// fencingToken returns the fencing token of a delivery.
func fencingToken(base uint64, made time.Time, delivery uint64) uint64 {
	return base + uint64(max(made.UnixMicro(), 0)) + delivery
}

// boot is one run of a server's process.
type boot struct {
	Server string `json:"server"` // id of the server, new for each boot
	Base   uint64 `json:"base"`   // of fencing tokens: see nextBase
}

// bootSearch is a search for the boot of the connected server. The members of a
// Transport share it.
type bootSearch struct {
	begun  time.Time
	report func() // logs that the state stream does not answer, once
	done   chan struct{}
	err    error
}

const (
	bootPatience = 2 * time.Second // before a search is reported
	bootAttempt  = 5 * time.Second // short, to notice soon that the stream answers again
)

// awaitBoot waits until the base of fencing tokens is that of the connected server. The first
// client of a new boot records it. Boots in a cluster are not recorded, since its servers
// replicate the counts of deliveries. So the wait in a cluster is short, and the last known
// base remains in use until the state stream answers.
func (t *Transport) awaitBoot(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, apiTimeout)
		defer cancel()
	}
	for search := t.searchBoot(); search != nil; search = t.searchBoot() {
		var late <-chan time.Time
		if t.clustered() {
			late = time.After(time.Until(search.begun.Add(bootPatience)))
		}
		select {
		case <-search.done:
			if search.err != nil {
				return search.err
			}
		case <-late:
			search.report()
			return nil
		case <-ctx.Done():
			return transport.ContextError(ctx, transport.OutcomeNotDone, "the stream %s does not answer: %v", stateStream, ctx.Err())
		}
	}
	return nil
}

// searchBoot joins or starts a search. It returns nil if the boot is known.
func (t *Transport) searchBoot() *bootSearch {
	server := t.nc.ConnectedServerId()
	t.booting.Lock()
	defer t.booting.Unlock()
	switch {
	case server != "" && t.boot.Server == server:
		return nil
	case t.search != nil:
		return t.search
	}
	search := &bootSearch{begun: time.Now(), report: sync.OnceFunc(t.reportSearch), done: make(chan struct{})}
	if !t.background(func() { t.findBoot(search) }) {
		search.err = driver.ErrClosed
		close(search.done)
		return search
	}
	t.search = search
	return search
}

// findBoot searches until the state stream answers, or the connection is lost.
func (t *Transport) findBoot(search *bootSearch) {
	report := time.AfterFunc(bootPatience, search.report)
	err := t.tryBoot()
	for canRetry(err) && t.life.Err() == nil && !t.link.down() && pause(t.life, apiPause) {
		err = t.tryBoot()
	}
	if !report.Stop() && err == nil {
		t.log.Info("natsx: the stream "+stateStream+" answers", "address", t.address)
	}
	t.booting.Lock()
	defer t.booting.Unlock()
	t.search, search.err = nil, err
	close(search.done)
}

// canRetry reports whether another attempt to find the boot may succeed.
func canRetry(err error) bool {
	switch transport.CodeOf(err) {
	case transport.Unavailable, transport.DeadlineExceeded, transport.Aborted, transport.NotFound:
		return err != nil
	}
	return false
}

func (t *Transport) reportSearch() {
	if t.clustered() {
		t.log.Warn("natsx: the stream "+stateStream+" does not answer: until it does, fencing tokens of a cluster that began as a single server may decrease, and hand-backs count as attempts", "address", t.address)
		return
	}
	t.log.Warn("natsx: members of groups get nothing until the stream "+stateStream+" answers", "address", t.address)
}

func (t *Transport) clustered() bool { return t.nc.ConnectedClusterName() != "" }

// tryBoot reads the last boot, and records the current one if it is new.
func (t *Transport) tryBoot() error {
	ctx, cancel := context.WithTimeout(t.life, bootAttempt)
	defer cancel()
	server := t.nc.ConnectedServerId()
	if server == "" {
		return driver.About(theState, t.disconnected())
	}
	last, sequence, err := t.lastBoot(ctx)
	if err != nil {
		return err
	}
	t.raiseTokenBases(last.Base)
	now := boot{server, last.Base}
	if t.clustered() {
		err = t.ensureState(ctx) // now, since the first hand-back has little time
	} else if last.Server != server {
		now.Base, err = t.recordBoot(ctx, server, last.Base, sequence)
	}
	if err != nil {
		return err
	}
	t.raiseTokenBases(now.Base)
	t.booting.Lock()
	defer t.booting.Unlock()
	t.boot = now
	return nil
}

// lastBoot returns the last recorded boot and its sequence.
func (t *Transport) lastBoot(ctx context.Context) (b boot, sequence uint64, err error) {
	m, err := t.stateMessage(ctx, map[string]any{"last_by_subj": bootsSubject})
	switch {
	case missing(err):
		return boot{}, 0, nil
	case err != nil:
		return boot{}, 0, err
	}
	_ = json.Unmarshal(m.Data, &b) // other data is not from natsx
	return b, m.Sequence, nil
}

// recordBoot stores the boot of a server, unless another client does. It uses the time of the
// server, since the clocks of clients differ.
func (t *Transport) recordBoot(ctx context.Context, server string, base, last uint64) (uint64, error) {
	is, err := t.openState(ctx)
	if err != nil {
		return 0, err
	}
	if t.nc.ConnectedServerId() != server {
		return 0, transport.Errorf(transport.Aborted, transport.OutcomeNotDone, "the stream %s: the connection was lost", stateStream)
	}
	b := boot{server, nextBase(base, is.TimeStamp)}
	msg := nats.NewMsg(bootsSubject)
	msg.Data, _ = json.Marshal(b) // of a text and a number
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	return b.Base, t.putState(ctx, msg)
}

// raiseTokenBases raises the base of fencing tokens, also that of existing members.
func (t *Transport) raiseTokenBases(base uint64) {
	if base <= t.highestBase.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.highestBase.Store(max(base, t.highestBase.Load()))
	for m := range t.members {
		m.raiseTokenBase(t.highestBase.Load())
	}
}
