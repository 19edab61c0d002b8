package natsx

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"errors"
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
func (b *boots) tokenBase(ctx context.Context) (uint64, error) {
	err := b.await(ctx)
	if isStoreFailure(apiErrorOf(err)) { // the account may have it when there is room
		return 0, err
	}
	switch transport.CodeOf(err) {
	case transport.PermissionDenied, transport.ResourceExhausted, transport.FailedPrecondition: // will not change
		b.denied.Do(func() {
			b.t.log.Warn("natsx: fencing tokens may decrease when the server ends, and hand-backs count as attempts: allow the account the stream "+stateStream, "address", b.t.address, "error", err)
		})
		err = nil
	}
	return b.highest.Load(), err
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

// boots finds out the base of fencing tokens.
type boots struct {
	t       *Transport
	highest atomic.Uint64 // highest known base; raised under t.mu
	denied  sync.Once     // reports the lack of the state stream

	mu      sync.Mutex
	current boot        // of the connected server, if it is known
	search  *bootSearch // under way
}

const (
	bootPatience = 2 * time.Second // before a search is reported
	bootAttempt  = 5 * time.Second // short, to notice soon that the stream answers again
)

// await waits until the base of fencing tokens is that of the connected server. The first
// client of a new boot records it. Boots in a cluster are not recorded, since its servers
// replicate the counts of deliveries. So the wait in a cluster is short, and the last known
// base remains in use until the state stream answers.
func (b *boots) await(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, apiTimeout)
		defer cancel()
	}
	for search := b.joinSearch(); search != nil; search = b.joinSearch() {
		var late <-chan time.Time
		if b.t.clustered() {
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

// joinSearch joins or starts a search. It returns nil if the boot is known.
func (b *boots) joinSearch() *bootSearch {
	server := b.t.nc.ConnectedServerId()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case server != "" && b.current.Server == server:
		return nil
	case b.search != nil:
		return b.search
	}
	search := &bootSearch{begun: time.Now(), report: sync.OnceFunc(b.reportSilence), done: make(chan struct{})}
	if !b.t.background(func() { b.find(search) }) {
		search.err = driver.ErrClosed
		close(search.done)
		return search
	}
	b.search = search
	return search
}

// find searches until the state stream answers, or the connection is lost.
func (b *boots) find(search *bootSearch) {
	report := time.AfterFunc(bootPatience, search.report)
	err := b.try()
	for canRetry(err) && b.t.life.Err() == nil && !b.t.link.down() && pause(b.t.life, apiPause) {
		err = b.try()
	}
	if !report.Stop() && err == nil {
		b.t.log.Info("natsx: the stream "+stateStream+" answers", "address", b.t.address)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.search, search.err = nil, err
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

func (b *boots) reportSilence() {
	if b.t.clustered() {
		b.t.log.Warn("natsx: the stream "+stateStream+" does not answer: until it does, fencing tokens of a cluster that began as a single server may decrease, and hand-backs count as attempts", "address", b.t.address)
		return
	}
	b.t.log.Warn("natsx: members of groups get nothing until the stream "+stateStream+" answers", "address", b.t.address)
}

func (t *Transport) clustered() bool { return t.nc.ConnectedClusterName() != "" }

// try reads the last boot, and records the current one if it is new.
func (b *boots) try() error {
	ctx, cancel := context.WithTimeout(b.t.life, bootAttempt)
	defer cancel()
	server := b.t.nc.ConnectedServerId()
	if server == "" {
		return driver.About(theState, b.t.disconnected())
	}
	last, sequence, err := b.last(ctx)
	if err != nil {
		return err
	}
	b.raise(last.Base)
	now := boot{server, last.Base}
	if b.t.clustered() {
		err = b.t.state.ensure(ctx) // now, since the first hand-back has little time
	} else if last.Server != server {
		now.Base, err = b.record(ctx, server, last.Base, sequence)
	}
	if err != nil {
		return err
	}
	b.raise(now.Base)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = now
	return nil
}

// last returns the last recorded boot and its sequence.
func (b *boots) last(ctx context.Context) (last boot, sequence uint64, err error) {
	m, err := b.t.state.read(ctx, map[string]any{"last_by_subj": bootsSubject})
	switch {
	case missing(err):
		return boot{}, 0, nil
	case err != nil:
		return boot{}, 0, err
	}
	_ = json.Unmarshal(m.Data, &last) // other data is not from natsx
	return last, m.Sequence, nil
}

// record stores the boot of a server, unless another client does. It uses the time of the
// server, since the clocks of clients differ.
func (b *boots) record(ctx context.Context, server string, base, last uint64) (uint64, error) {
	is, err := b.t.state.open(ctx)
	if err != nil {
		return 0, err
	}
	if b.t.nc.ConnectedServerId() != server {
		return 0, transport.Errorf(transport.Aborted, transport.OutcomeNotDone, "the stream %s: the connection was lost", stateStream)
	}
	now := boot{server, nextBase(base, is.TimeStamp)}
	msg := nats.NewMsg(bootsSubject)
	msg.Data, _ = json.Marshal(now) // of a text and a number
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	return now.Base, b.t.state.put(ctx, msg)
}

// raise sets a higher base of fencing tokens, also in existing members.
func (b *boots) raise(base uint64) {
	if base <= b.highest.Load() {
		return
	}
	b.t.mu.Lock()
	defer b.t.mu.Unlock()
	b.highest.Store(max(base, b.highest.Load()))
	for m := range b.t.members {
		m.base.raise(b.highest.Load())
	}
}

// memberBase is the base of a member's fencing tokens. The member's lock guards it.
type memberBase struct {
	m     *member
	value uint64
	known bool // the base is that of the connection; otherwise nothing is pulled
}

// update updates the base. It is called before the first delivery of each connection.
func (b *memberBase) update(ctx context.Context) error {
	base, err := b.m.l.t.boots.tokenBase(ctx)
	if err == nil {
		b.raise(base)
	}
	return err
}

func (b *memberBase) raise(base uint64) {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.value = max(b.value, base)
}

// renew finds out after a disconnect whether the server has restarted. It retries until it
// has an answer, or until the connection is lost again. It reports the wait to watchers.
func (b *memberBase) renew() {
	for {
		breaks, up := b.m.l.t.link.state()
		ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
		err := error(nats.ErrDisconnected)
		if up {
			err = b.update(ctx)
		}
		cancel()
		if b.renewedAt(breaks, err) {
			b.m.l.t.denials.over(b.m.denial(bootsSubject))
			return
		}
		if e, ok := errors.AsType[*transport.Error](err); ok && up {
			b.m.l.t.denials.add(b.m.denial(bootsSubject), e)
		}
		if !pause(context.Background(), apiPause) {
			return
		}
	}
}

// renewedAt records that the base is that of the current connection. It reports whether
// renew is done: it is not if the current connection gave no answer.
func (b *memberBase) renewedAt(breaks int, err error) bool {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	switch {
	case b.m.ending || breaks != b.m.source.breaks:
		return true
	case err != nil:
		return false
	}
	b.known = true
	nudge(b.m.wake)
	return true
}
