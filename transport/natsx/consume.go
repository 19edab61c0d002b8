package natsx

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/driver"
	"gomono.dev/transport/internal/intake"
	"gomono.dev/transport/natsx/internal/journal"
)

// Consume implements [driver.Log].
func (l *log) Consume(ctx context.Context, c transport.ConsumeConfig, h transport.DeliveryHandler) (transport.Receiver, error) {
	opened := l.groups.open(ctx, []transport.GroupConfig{c.Group}, false)[0]
	if opened.err != nil {
		return nil, opened.err
	}
	m := newMember(l, &c, opened.consumers, h)
	if err := m.base.update(ctx); err != nil {
		return nil, err
	}
	if err := m.establish(ctx); err != nil {
		return nil, err
	}
	intake.Loop(m.step, m.handlerEnded)
	go m.keep()
	return m, nil
}

// member is one member of a group. nats.go puts the messages that it reads into a channel.
// The leading goroutine (see [intake.Loop]) takes them from there, pulls, and calls the
// handler. A message thus gets from the connection to its handler with one change of
// goroutine. A second goroutine (keep) extends held deliveries and detects missing ones.
type member struct {
	l       *log
	group   string
	handle  transport.DeliveryHandler
	refresh time.Duration // interval at which held deliveries are extended
	onEnd   func(error)
	onFull  func(partition int, key string, full bool)

	done chan struct{} // closed after the last call of the handler

	inFlight
	share     *share // nil unless the group keeps the order of keys
	base      memberBase
	check     groupCheck
	returns   returns
	inquiries inquiries

	pulled  transport.Denial // denial of pulls; removed when the server answers a pull
	inForce bool             // Consume has returned; guarded by t.mu
	denied  *transport.Error // by the server, on this connection; guarded by t.mu
}

var _ transport.Receiver = (*member)(nil)

// consumer is a consumer of a member. In an ordered group a member has several.
type consumer struct {
	*puller
	created  time.Time
	record   *journal.Consumer
	released released
	keyed    *keyed    // nil unless the group keeps the order of keys
	releases string    // subject of hand-backs
	missing  time.Time // since then, unconfirmed; only for the goroutine of checkSuspects
}

func newMember(l *log, c *transport.ConsumeConfig, consumers []*jetstream.ConsumerInfo, h transport.DeliveryHandler) *member {
	first := &consumers[0].Config
	m := &member{
		l: l, group: c.Group.Name, handle: h, refresh: max(first.AckWait/4, minRefresh), onEnd: c.OnEnd, onFull: c.OnFull,
		done: make(chan struct{}),
	}
	m.inFlight = inFlight{m: m, max: c.MaxInFlight, wake: make(chan struct{}, 1), settled: make(chan struct{})}
	m.check = groupCheck{m: m, wake: make(chan struct{}, 1)}
	m.returns.m, m.inquiries.m, m.base = m, m, memberBase{m: m, known: true}
	m.held.prev, m.held.next = &m.held, &m.held
	m.prefetch.ordered, m.keyed, m.extended = isOrdered(first), isKeyed(first), time.Now()
	m.rate.bits = parseNumber(first.Metadata[metaRate])
	room := m.max + maxPrefetch
	if m.prefetch.ordered {
		room = 2 * len(consumers)
		if m.keyed {
			room = 2 * partitionBatch * len(consumers)
		}
	}
	m.source = newPullSource(l.t, l.config.Name, room, consumers...)
	for i, is := range consumers {
		m.consumers = append(m.consumers, &consumer{
			puller: m.source.pullers[i], created: is.Created,
			record: l.t.journal.Consumer(l.config.Name, is.Name, is.Created), releases: releasedPrefix + l.config.Name + "." + is.Name,
		})
		if m.keyed {
			m.consumers[i].keyed = newKeyed(m, m.consumers[i], &is.Config)
		}
	}
	if m.keyed {
		m.share = newShare(m, consumers)
	}
	m.pulled = m.denial(l.t.api.prefix() + nextSubject + "." + l.config.Name + ".>")
	return m
}

// establish subscribes and pulls, and waits until the server has received both.
func (m *member) establish(ctx context.Context) error {
	if err := m.open(); err != nil {
		return m.l.t.failure(err, transport.OutcomeNotDone)
	}
	if m.share != nil {
		if err := m.share.join(); err != nil {
			m.Close()
			return m.l.t.failure(err, transport.OutcomeNotDone)
		}
	}
	m.base.raise(m.l.t.boots.highest.Load()) // it may have grown before the Transport knew this member
	m.mu.Lock()
	pulls := m.wanted()
	m.mu.Unlock()
	m.pull(pulls)
	err := m.l.t.flush(ctx)
	if denied := m.enterForce(); err == nil && denied != nil {
		err = denied
	}
	if err != nil {
		m.Close()
	}
	return err
}

// enterForce returns the server's denial of the subscription or of a pull, or nil. Later
// denials go to watchers.
func (m *member) enterForce() *transport.Error {
	m.l.t.mu.Lock()
	defer m.l.t.mu.Unlock()
	m.inForce = m.denied == nil
	return m.denied
}

func (m *member) denial(subject string) transport.Denial {
	return transport.Denial{Subject: subject, Subscription: strings.HasPrefix(subject, m.source.inbox), Group: m.group, Log: m.l.config.Name}
}

func (m *member) pull(pulls []pull) {
	for _, p := range pulls {
		_ = m.source.send(p) // tick notices a lost one
	}
}

// open subscribes to the inbox of the pulls.
func (m *member) open() error {
	t := m.l.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed.Load() {
		return nats.ErrConnectionClosed
	}
	err := m.source.open()
	if err == nil {
		t.members[m] = struct{}{}
	}
	return err
}

func (m *member) forget() {
	m.l.t.mu.Lock()
	delete(m.l.t.members, m)
	m.l.t.mu.Unlock()
}

func (c conn) closeMembers() {
	var wait sync.WaitGroup
	for _, m := range collect(&c.t.mu, maps.Keys(c.t.members)) {
		wait.Go(m.Close)
	}
	wait.Wait()
}

// nudge wakes the goroutine that reads from a channel of capacity 1.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// refuse hands back messages, and those that have arrived, after the server knows that no more
// are wanted.
func (m *member) refuse(msgs ...*nats.Msg) {
	for more := true; more; {
		select {
		case msg := <-m.source.arrived:
			msgs = append(msgs, msg)
		default:
			more = false
		}
	}
	var back []handBack
	for _, msg := range msgs {
		var about nats.MsgMetadata
		if p := m.source.pullerOf(msg, &about); p != nil {
			back = append(back, refused(m.consumers[p.index], &about, msg.Reply))
		}
	}
	if len(back) > 0 {
		m.returns.giveBack(context.Background(), back)
	}
}

// refused returns the hand-back of a message that arrived but was not taken in. The number of
// earlier attempts is known for a first delivery, and for a delivery after one of this
// process.
func refused(from *consumer, about *nats.MsgMetadata, reply string) handBack {
	h := handBack{from: from, sequence: about.Sequence.Stream, stored: about.Timestamp, number: about.NumDelivered, reply: reply, attempts: -1}
	if history, known := from.record.History(h.sequence, h.stored); known && history.Delivery+1 == h.number || h.number == 1 {
		h.attempts = history.Attempts
	} else if begun, known := from.record.Begun(h.sequence, h.stored); known {
		h.attempts = begun.Attempts
	}
	return h
}

// step returns the handler's work for the next delivery, and pulls more messages in advance.
func (m *member) step() (w transport.Work, more bool) {
	for {
		d, pulls, rest, ended := m.next()
		m.pull(pulls)
		switch {
		case ended:
			return nil, false
		case d != nil:
			d.beginAttempt()
			d.fill()
			return m.handle(&d.Delivery), true
		}
		m.wait(rest)
	}
}

// handlerEnded is called after the last call of the handler. A handler that has ended its
// goroutine (runtime.Goexit, as FailNow in a test does) closes the member, so other members
// get its waiting deliveries.
func (m *member) handlerEnded() {
	if m.live() {
		m.Close()
	}
	close(m.done)
}

// wait waits for a message or a wake-up, or until the pause of the rate limit is over.
func (m *member) wait(rest time.Duration) {
	var over <-chan time.Time
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		over = timer.C
	}
	var msg *nats.Msg
	select {
	case msg = <-m.source.arrived:
	case <-m.wake:
	case <-over:
	}
	if !m.resume(msg) {
		m.refuse(msg)
	}
}

// handBack hands back deliveries, so other members get them immediately.
func (m *member) handBack(ctx context.Context, all bool) (n int) {
	var given []*delivery
	for _, d := range m.holding(all) {
		if d.reclaim() {
			given = append(given, d)
		}
	}
	if len(given) > 0 {
		m.returns.giveBackAll(ctx, given)
	}
	return len(given)
}

// Drain implements [transport.Receiver].
func (m *member) Drain(ctx context.Context) error {
	m.end()
	m.share.leave()
	select {
	case <-m.leave():
	case <-ctx.Done():
	}
	m.handBack(ctx, false)
	m.unpinAll()
	for _, wait := range []chan struct{}{m.settled, m.done} {
		select {
		case <-wait:
		case <-ctx.Done():
			n := m.handBack(ctx, true)
			m.forget()
			return transport.ContextError(ctx, transport.OutcomeUnknown, "drain of group %q of log %q: %d unsettled deliveries were handed back", m.group, m.l.config.Name, n)
		}
	}
	m.forget()
	if m.l.t.closed.Load() {
		return nil
	}
	return driver.About("drain of group "+strconv.Quote(m.group)+" of log "+strconv.Quote(m.l.config.Name), m.l.t.flush(ctx))
}

// leave ends the subscription at the server. The returned channel is closed when all messages
// that the server sent before have been handed back. That happens even if no caller waits:
// other members would otherwise get them only after the AckWait. Deliveries that are handed
// back after leave do not come back to this member. See receiver.stop.
func (m *member) leave() (left <-chan struct{}) {
	done, wait := make(chan struct{}), m.source.stop()
	m.setLeft()
	go func() {
		defer close(done)
		wait()
		m.refuse()
	}()
	return done
}

// Close implements [transport.Receiver].
func (m *member) Close() {
	m.end()
	m.share.leave()
	m.leave()
	m.handBack(context.Background(), true)
	m.unpinAll()
	m.returns.await()
	m.forget()
}

// minRefresh bounds the work for a consumer of another client, with an AckWait that no group
// has.
const minRefresh = 10 * time.Millisecond

// keep extends held deliveries until no more can arrive and none is held.
func (m *member) keep() {
	pace := min(pullTick, m.refresh)
	if m.keyed {
		pace = min(pace, m.consumers[0].keyed.ttl/6)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	extended := time.Now()
	for !m.over() {
		select {
		case <-tick.C:
		case <-m.check.wake:
			m.check.start()
			continue
		}
		if time.Since(extended) >= m.refresh {
			extended = time.Now()
			for _, d := range m.holding(true) {
				d.extend()
			}
			m.noteExtended(extended)
		}
		m.tick()
		m.resend()
		m.reportFull()
	}
}

// tick receives messages while the leading goroutine is in the handler, so that they are
// extended. It also detects messages that did not arrive. After a disconnect, those requested
// on the old connection will not arrive.
func (m *member) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.left:
		go m.refuse()
	case !m.leaderWaits:
		m.takeIn(cap(m.source.arrived))
	}
	if m.source.tick() {
		m.base.known = false
		go m.base.renew()
	}
	for _, p := range m.source.pullers {
		if p.suspect {
			nudge(m.check.wake)
		}
	}
	if m.share != nil {
		m.share.beat(time.Now())
	}
	nudge(m.wake)
}

// gone ends the member because its group no longer exists.
func (m *member) gone(cause error) {
	if !m.end() {
		return
	}
	m.share.leave()
	m.source.close()
	m.setLeft()
	if cause == errRecreated {
		m.handBack(context.Background(), false) // deliveries of the new group
	}
	for _, d := range m.holding(false) {
		d.drop()
	}
	m.forget()
	if m.onEnd != nil {
		m.onEnd(transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "group %q of log %q was deleted while it was consumed: %w", m.group, m.l.config.Name, cause))
	}
}
