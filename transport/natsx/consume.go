package natsx

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	if err := m.noteBoot(ctx); err != nil {
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
	max     int           // deliveries in the handler at once
	refresh time.Duration // interval at which held deliveries are extended
	onEnd   func(error)

	wake      chan struct{} // of capacity 1: wakes the leading goroutine
	checkWake chan struct{} // of capacity 1: wakes keep for suspect consumers
	done      chan struct{} // closed after the last call of the handler

	consumers []*consumer // they do not change

	mu          sync.Mutex
	source      *pullSource
	leaderWaits bool     // the leading goroutine waits, and receives what arrives
	waiting     queue    // for the handler
	held        delivery // head of the ring of unsettled deliveries
	inHandler   int      // deliveries in the handler
	prefetch    prefetch
	rate        rate
	tokenBase   uint64 // the part of fencing tokens that depends on the boot
	renewed     bool   // tokenBase is that of the connection; otherwise nothing is pulled

	checking  atomic.Bool // a goroutine runs checkSuspects
	returns   returns
	inquiries []*delivery // deliveries to look up in the state stream
	inquiring bool

	ending  bool          // no more deliveries for the handler
	left    bool          // the server knows that no more are wanted
	settled chan struct{} // closed once ending, when the handler has no delivery

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
	releases string    // subject of hand-backs
	missing  time.Time // since then, unconfirmed; only for the goroutine of checkSuspects
}

func newMember(l *log, c *transport.ConsumeConfig, consumers []*jetstream.ConsumerInfo, h transport.DeliveryHandler) *member {
	first := &consumers[0].Config
	m := &member{
		l: l, group: c.Group.Name, handle: h, max: c.MaxInFlight, refresh: max(first.AckWait/4, minRefresh), onEnd: c.OnEnd,
		renewed: true, wake: make(chan struct{}, 1), checkWake: make(chan struct{}, 1), done: make(chan struct{}), settled: make(chan struct{}),
	}
	m.held.prev, m.held.next = &m.held, &m.held
	m.prefetch.ordered = isOrdered(first)
	m.rate.bits = parseNumber(first.Metadata[metaRate])
	room := m.max + maxPrefetch
	if m.prefetch.ordered {
		room = 2 * len(consumers) // a lane has one in flight
	}
	m.source = newPullSource(l.t, l.config.Name, room, consumers...)
	for i, is := range consumers {
		m.consumers = append(m.consumers, &consumer{
			puller: m.source.pullers[i], created: is.Created,
			record: l.t.journal.Consumer(l.config.Name, is.Name, is.Created), releases: releasedPrefix + l.config.Name + "." + is.Name,
		})
	}
	m.pulled = m.denial(l.t.api.prefix() + nextSubject + "." + l.config.Name + ".>")
	return m
}

// establish subscribes and pulls, and waits until the server has received both.
func (m *member) establish(ctx context.Context) error {
	if err := m.open(); err != nil {
		return m.l.t.failure(err, transport.OutcomeNotDone)
	}
	m.raiseTokenBase(m.l.t.boots.highest.Load()) // it may have grown before the Transport knew this member
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

func (t *Transport) closeMembers() {
	var wait sync.WaitGroup
	for _, m := range collect(&t.mu, maps.Keys(t.members)) {
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

// takeIn receives at most n messages that have arrived. The caller holds the lock, and no
// other goroutine waits for messages.
func (m *member) takeIn(n int) {
	for range n {
		select {
		case msg := <-m.source.arrived:
			m.arrive(msg)
		default:
			return
		}
	}
}

// arrive receives a message. The caller holds the lock.
func (m *member) arrive(msg *nats.Msg) {
	m.l.t.denials.over(m.pulled)
	var about nats.MsgMetadata
	p := m.source.receive(msg, &about)
	if p == nil {
		return
	}
	if isStatus(msg) {
		if p.suspect {
			nudge(m.checkWake)
		}
		return
	}
	from := m.consumers[p.index]
	d := &delivery{m: m, from: from, reply: msg.Reply, msg: msg}
	d.setIdentity(&about)
	d.prev, d.next = m.held.prev, &m.held
	d.prev.next, m.held.prev = d, d
	m.recall(d, &about)
}

// refuse hands back the messages that have arrived, after the server knows that no more are
// wanted.
func (m *member) refuse() {
	var refused []*nats.Msg
	for {
		select {
		case msg := <-m.source.arrived:
			refused = append(refused, msg)
			continue
		default:
		}
		break
	}
	m.turnDown(refused...)
}

func (m *member) turnDown(msgs ...*nats.Msg) {
	var back []handBack
	for _, msg := range msgs {
		var about nats.MsgMetadata
		if p := m.source.pullerOf(msg, &about); p != nil {
			back = append(back, refused(m.consumers[p.index], &about, msg.Reply))
		}
	}
	if len(back) > 0 {
		m.giveBack(context.Background(), back)
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

func (m *member) live() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.ending
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
	if msg == nil {
		m.resume()
	} else if !m.resumeWith(msg) {
		m.turnDown(msg)
	}
}

func (m *member) resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaderWaits = false
}

// resumeWith receives a message, unless the server knows that no more are wanted. A message
// that arrives before that is held: if it were handed back earlier, it could come here again,
// as one more attempt.
func (m *member) resumeWith(msg *nats.Msg) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaderWaits = false
	if m.left {
		return false
	}
	m.arrive(msg)
	return true
}

// takeAtOnce bounds how long settlements wait while the leading goroutine receives messages.
const takeAtOnce = 16

// next returns the delivery for the handler, and the pulls to send. The delivery is nil if
// there is none, if the handler has as many as it may have, or if the rate limit requires a
// pause, whose remaining time is rest.
func (m *member) next() (d *delivery, pulls []pull, rest time.Duration, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return nil, nil, 0, true
	}
	m.takeIn(takeAtOnce)
	if m.inHandler < m.max && m.waiting.len() > 0 && !m.waiting.first().unknown {
		if rest = m.rate.rest(); rest == 0 {
			d = m.waiting.pop()
			d.begun = true
			m.inHandler++
			if m.rate.bits > 0 {
				d.fill()
				m.rate.took(&d.Message)
			}
		}
	}
	pulls = m.wanted()
	m.leaderWaits = d == nil
	return d, pulls, rest, false
}

// wanted returns the pulls to send now.
func (m *member) wanted() (pulls []pull) {
	for _, p := range m.consumers {
		if p.held || !m.prefetch.low(m.max-m.inHandler, m.waiting.len(), p.requested) {
			continue
		}
		if !m.renewed || !m.source.connected() {
			return nil
		}
		if n := m.prefetch.wanted(m.max-m.inHandler, m.waiting.len(), p.requested); n > 0 {
			pulls = append(pulls, p.newPull(n))
		}
	}
	return pulls
}

// release removes a settled delivery from the ring of held deliveries.
func (m *member) release(d *delivery) {
	d.endAttempt()
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.next == nil {
		return
	}
	d.prev.next, d.next.prev = d.next, d.prev
	d.prev, d.next = nil, nil
	if !d.begun {
		return
	}
	m.inHandler--
	m.prefetch.settled++
	m.checkSettled()
	if m.leaderWaits && (m.waiting.len() > 0 || m.lacks()) {
		nudge(m.wake)
	}
}

// lacks reports whether a settlement has made room for another pull.
func (m *member) lacks() bool {
	return !m.prefetch.ordered && m.prefetch.low(m.max-m.inHandler, m.waiting.len(), m.consumers[0].requested)
}

// checkSettled closes settled after the last settlement.
func (m *member) checkSettled() {
	if !m.ending || m.inHandler > 0 {
		return
	}
	select {
	case <-m.settled:
	default:
		close(m.settled)
		nudge(m.checkWake)
	}
}

// end stops deliveries, and reports whether this call did it.
func (m *member) end() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return false
	}
	m.ending = true
	m.checkSettled()
	nudge(m.wake)
	nudge(m.checkWake)
	return true
}

// holding returns unsettled deliveries: all, or those that have not reached the handler.
func (m *member) holding(all bool) (held []*delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := m.held.next; d != &m.held; d = d.next {
		if all || !d.begun {
			held = append(held, d)
		}
	}
	return held
}

// handBack hands back deliveries, so other members get them immediately.
func (m *member) handBack(ctx context.Context, all bool) (n int) {
	var given []*delivery
	for _, d := range m.holding(all) {
		if d.claim() == nil {
			given = append(given, d)
		}
	}
	if len(given) > 0 {
		m.giveBackAll(ctx, given)
	}
	return len(given)
}

// Drain implements [transport.Receiver].
func (m *member) Drain(ctx context.Context) error {
	m.end()
	select {
	case <-m.leave():
	case <-ctx.Done():
	}
	m.handBack(ctx, false)
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

func (m *member) setLeft() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = true
}

// Close implements [transport.Receiver].
func (m *member) Close() {
	m.end()
	m.leave()
	m.handBack(context.Background(), true)
	m.awaitReturns()
	m.forget()
}

// minRefresh bounds the work for a consumer of another client, with an AckWait that no group
// has.
const minRefresh = 10 * time.Millisecond

// keep extends held deliveries until no more can arrive and none is held.
func (m *member) keep() {
	tick := time.NewTicker(min(pullTick, m.refresh))
	defer tick.Stop()
	extended := time.Now()
	for !m.over() {
		select {
		case <-tick.C:
		case <-m.checkWake:
			m.startCheck()
			continue
		}
		if time.Since(extended) >= m.refresh {
			extended = time.Now()
			for _, d := range m.holding(true) {
				d.extend()
			}
		}
		m.tick()
	}
}

// over reports whether keep has nothing more to do.
func (m *member) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ending && m.held.next == &m.held
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
		m.renewed = false
		go m.renew()
	}
	for _, p := range m.source.pullers {
		if p.suspect {
			nudge(m.checkWake)
		}
	}
	nudge(m.wake)
}

// renew finds out after a disconnect whether the server has restarted. It retries until it
// has an answer, or until the connection is lost again. It reports the wait to watchers.
func (m *member) renew() {
	for {
		breaks, up := m.l.t.link.state()
		ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
		err := error(nats.ErrDisconnected)
		if up {
			err = m.noteBoot(ctx)
		}
		cancel()
		if m.renewedAt(breaks, err) {
			m.l.t.denials.over(m.denial(bootsSubject))
			return
		}
		if e, ok := errors.AsType[*transport.Error](err); ok && up {
			m.l.t.denials.add(m.denial(bootsSubject), e)
		}
		if !pause(context.Background(), apiPause) {
			return
		}
	}
}

// renewedAt records that tokenBase is that of the current connection. It reports whether
// renew is done: it is not if the current connection gave no answer.
func (m *member) renewedAt(breaks int, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ending || breaks != m.source.breaks:
		return true
	case err != nil:
		return false
	}
	m.renewed = true
	nudge(m.wake)
	return true
}

// startCheck checks suspect consumers on another goroutine, unless one does: a server that
// does not answer must not keep held deliveries from being extended, nor lost pulls from
// being repeated.
func (m *member) startCheck() {
	if !m.checking.CompareAndSwap(false, true) {
		return // tick wakes the next check
	}
	go func() {
		defer m.checking.Store(false)
		m.checkSuspects()
	}()
}

// checkSuspects ends the member if a suspect consumer is gone, or if a new one has its name.
func (m *member) checkSuspects() {
	for _, p := range m.suspects() {
		switch err := m.check(p); {
		case missing(err):
			m.l.t.deleted.add(m.l.config.Name, p.name, p.created)
			m.gone(err)
			return
		case err == errRecreated:
			m.gone(err)
			return
		case err != nil:
			m.suspect(p) // asks again after the next tick
		}
	}
}

// check returns NotFound if a consumer is gone, and errRecreated if a new one has its name.
func (m *member) check(p *consumer) error {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	is, err := m.l.consumer(ctx, p.name)
	if m.l.maybeStarting(err) {
		return m.confirm(ctx, p, err)
	}
	p.missing = time.Time{}
	if err == nil && !is.Created.Equal(p.created) {
		return errRecreated
	}
	return err
}

// confirm returns err, which is NotFound, only if the leader of the cluster does not list the
// consumer. If the account may not ask for the list, it does so when the consumer has been
// missing for missingTime.
func (m *member) confirm(ctx context.Context, p *consumer, err error) error {
	exists, listErr := m.l.listsConsumer(ctx, p.name)
	switch {
	case exists:
		return unavailable("group %q of log %q: its servers have yet to start it", m.group, m.l.config.Name)
	case transport.CodeOf(listErr) != transport.PermissionDenied:
		return cmp.Or(listErr, err)
	case p.missing.IsZero():
		p.missing = time.Now()
	case time.Since(p.missing) > missingTime:
		return err
	}
	return listErr
}

// missingTime is longer than a server takes to start a consumer.
const missingTime = 10 * time.Second

func (m *member) suspect(p *consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.suspect = true
}

var errRecreated = errors.New("a new group has its name")

// compare marks consumers that were created later than the member's as suspect.
func (m *member) compare(consumers []*jetstream.ConsumerInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, is := range consumers {
		if is == nil {
			continue // not opened
		}
		if p := m.source.byName[is.Name]; p != nil && !is.Created.Equal(m.consumers[p.index].created) {
			p.suspect = true
			nudge(m.checkWake)
		}
	}
}

func (m *member) suspects() (suspects []*consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.consumers {
		if p.suspect {
			p.suspect = false
			suspects = append(suspects, p)
		}
	}
	return suspects
}

// gone ends the member because its group no longer exists.
func (m *member) gone(cause error) {
	if !m.end() {
		return
	}
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
