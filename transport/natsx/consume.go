package natsx

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
	"gomono.dev/transport/internal/intake"
	"gomono.dev/transport/natsx/internal/journal"
)

// Consume implements [transport.Log].
func (l *log) Consume(ctx context.Context, c transport.ConsumeConfig, h func(*transport.Delivery)) (transport.Receiver, error) {
	if h == nil && c.Begin == nil {
		return nil, invalid("consume group %q of %s: the handler is nil", c.Group.Name, l.what)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	consumers, err := l.openGroup(ctx, c.Group)
	if err != nil {
		return nil, err
	}
	m := newMember(l, &c, consumers, h)
	if err := m.noteBoot(ctx); err != nil {
		return nil, err
	}
	if err := m.establish(ctx, "consume group "+strconv.Quote(c.Group.Name)+" of "+l.what); err != nil {
		return nil, err
	}
	intake.NewRelay(m.step, m.called)
	go m.keep()
	return m, nil
}

// member is one member of a group. nats.go puts what it reads into a channel; who
// leads (see [intake.Relay]) takes it from there, pulls, and calls the handler, so that
// a message comes from the connection to its handler with one change of goroutine. One
// more goroutine (keep) keeps alive what is held and notices what does not come.
type member struct {
	l       *log
	group   string
	begin   func(*transport.Delivery) transport.Work
	max     int           // deliveries with the handler
	refresh time.Duration // how often what is held is kept alive
	onEnd   func(error)
	inbox   string
	sub     *nats.Subscription
	arrived chan *nats.Msg // what nats.go has read, in order

	wake   chan struct{} // of capacity 1: who leads has something to look at
	look   chan struct{} // of capacity 1: keep has
	silent chan struct{} // closed when nats.go reads nothing more
	done   chan struct{} // closed when the handler is called no more

	consumers []*consumer // they do not change

	mu      sync.Mutex
	waits   bool // who leads waits, and is the one to take in what arrives
	byName  map[string]*consumer
	waiting queue    // ahead of the handler
	held    delivery // the ring of all that is not settled
	with    int      // deliveries with the handler
	ahead   ahead
	rate    rate
	fences  uint64 // what fences are raised by
	breaks  int    // of the connection, when it was last looked at
	renewed bool   // fences are those of the connection; nothing is asked for before

	returns   returns
	inquiries []*delivery // about which others are to be asked
	inquiring bool

	ending  bool          // no more deliveries to the handler
	left    bool          // the server has been told so
	settled chan struct{} // closed, once ending, when none is with the handler

	pulled  transport.Denial // of pulls; over when the server answers one
	inForce bool             // Consume has returned; guarded by t.mu
	denied  *transport.Error // by the server, on this connection; guarded by t.mu
}

var _ transport.Receiver = (*member)(nil)

// consumer is one of a member's, of which an ordered group has several.
type consumer struct {
	puller
	created  time.Time
	past     *journal.Consumer
	released released
	releases string // the subject of what was handed back
}

func newMember(l *log, c *transport.ConsumeConfig, consumers []*jetstream.ConsumerInfo, h func(*transport.Delivery)) *member {
	first := &consumers[0].Config
	m := &member{
		l: l, group: c.Group.Name, begin: c.Beginner(h), max: max(c.MaxInFlight, 1), refresh: max(first.AckWait/4, minRefresh), onEnd: c.OnEnd,
		inbox: l.t.nc.NewInbox(), byName: make(map[string]*consumer, len(consumers)), renewed: true,
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1),
		silent: make(chan struct{}), done: make(chan struct{}), settled: make(chan struct{}),
	}
	m.held.prev, m.held.next = &m.held, &m.held
	for i, is := range consumers {
		c := &consumer{
			puller: newPuller(l.t, l.config.Name, &is.Config, m.inbox, i), created: is.Created,
			past: l.t.journal.Consumer(l.config.Name, is.Name, is.Created), releases: releasedPrefix + l.config.Name + "." + is.Name,
		}
		m.consumers = append(m.consumers, c)
		m.byName[is.Name] = c
	}
	m.pulled = m.denial(l.t.apiPrefix() + nextSubject + "." + l.config.Name + ".>")
	m.ahead.ordered = isOrdered(first)
	m.rate.bits = number(first.Metadata[metaRate])
	m.arrived = make(chan *nats.Msg, m.room())
	return m
}

// room is how much may arrive at once: what is asked for, or, in a lane, what is in
// flight; and what the server says of pulls. What nats.go finds no room for would be
// redelivered after the AckWait.
func (m *member) room() int {
	const words = 16 // two a second while a pull lasts, and that it has ended
	if m.ahead.ordered {
		return (words + 2) * len(m.consumers)
	}
	return words*len(m.consumers) + m.max + maxAhead
}

// establish subscribes and pulls, and waits until the server has received both.
func (m *member) establish(ctx context.Context, what string) error {
	if err := m.open(); err != nil {
		return m.l.t.failure(err, transport.OutcomeNotDone, what)
	}
	m.pull(m.firstPulls())
	err := m.l.t.flush(ctx, what)
	if denied := m.enterForce(); err == nil && denied != nil {
		err = about(what, denied)
	}
	if err != nil {
		m.Close()
	}
	return err
}

// enterForce reports that the server has denied the subscription or the pulls. Watchers
// get later denials.
func (m *member) enterForce() *transport.Error {
	m.l.t.mu.Lock()
	defer m.l.t.mu.Unlock()
	m.inForce = m.denied == nil
	return m.denied
}

func (m *member) denial(subject string) transport.Denial {
	return transport.Denial{Subject: subject, Subscription: strings.HasPrefix(subject, m.inbox), Group: m.group, Log: m.l.config.Name}
}

func (m *member) firstPulls() []pull {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted()
}

func (m *member) pull(pulls []pull) {
	for _, p := range pulls {
		_ = m.l.t.nc.PublishRequest(p.subject, p.reply, p.body) // one that is lost is noticed by tick
	}
}

// open subscribes to what will be pulled.
func (m *member) open() (err error) {
	t := m.l.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed.Load() {
		return nats.ErrConnectionClosed
	}
	m.breaks, _ = t.link.state()
	if m.sub, err = t.nc.ChanSubscribe(m.inbox+".>", m.arrived); err != nil {
		return err
	}
	silence := sync.OnceFunc(func() { close(m.silent) }) // a drain that came too late says so again
	m.sub.SetClosedHandler(func(string) { silence() })
	t.members[m] = struct{}{}
	return nil
}

func (m *member) forget() {
	m.l.t.mu.Lock()
	delete(m.l.t.members, m)
	m.l.t.mu.Unlock()
}

func (t *Transport) closeMembers() {
	t.mu.Lock()
	members := slices.Collect(maps.Keys(t.members))
	t.mu.Unlock()
	var wait sync.WaitGroup
	for _, m := range members {
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

// takeIn takes in what has arrived, at most n; the lock is held, and nobody waits for
// it.
func (m *member) takeIn(n int) {
	for range n {
		select {
		case msg := <-m.arrived:
			m.arrive(msg)
		default:
			return
		}
	}
}

// arrive takes a message in; the lock is held.
func (m *member) arrive(msg *nats.Msg) {
	m.l.t.denials.over(m.pulled)
	if isStatus(msg) {
		m.status(msg)
		return
	}
	var about nats.MsgMetadata
	if readMetadata(&about, msg) != nil {
		return // from no stream
	}
	from := m.byName[about.Consumer]
	if from == nil {
		return // of a consumer that was not asked
	}
	from.came()
	d := &delivery{m: m, from: from, reply: msg.Reply, msg: msg}
	d.place(&about)
	d.prev, d.next = m.held.prev, &m.held
	d.prev.next, m.held.prev = d, d
	m.recall(d, &about)
}

// refuse hands back what has arrived when the server knows that nothing more is wanted.
func (m *member) refuse() {
	var refused []*nats.Msg
	for {
		select {
		case msg := <-m.arrived:
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
		if isStatus(msg) || readMetadata(&about, msg) != nil {
			continue
		}
		if from := m.byName[about.Consumer]; from != nil {
			back = append(back, refused(from, &about, msg.Reply))
		}
	}
	if len(back) > 0 {
		m.giveBack(context.Background(), back)
	}
}

// refused is the hand-back of what nobody here has looked at. How many attempts there
// were before is known of a first delivery, and of one after this process's own.
func refused(from *consumer, about *nats.MsgMetadata, reply string) handBack {
	h := handBack{from: from, sequence: about.Sequence.Stream, stored: about.Timestamp, number: about.NumDelivered, reply: reply, attempts: -1}
	if past, known := from.past.Past(h.sequence, h.stored); known && past.Delivery+1 == h.number || h.number == 1 {
		h.attempts = past.Attempts
	} else if begun, known := from.past.Begun(h.sequence, h.stored); known {
		h.attempts = begun.Attempts
	}
	return h
}

// status takes the server's word about a pull; the lock is held.
func (m *member) status(msg *nats.Msg) {
	index, round, ok := statusOf(msg, m.inbox)
	if !ok || index < 0 || index >= len(m.consumers) {
		return
	}
	p := m.consumers[index]
	if round != p.round {
		return
	}
	deleted := p.status(msg)
	if p.suspect || deleted {
		p.suspect = true
		nudge(m.look)
	}
}

// step calls the handler for the next delivery, and asks for more ahead of it.
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
			return m.begin(&d.Delivery), true
		}
		m.wait(rest)
	}
}

// called is told that the handler is called no more. One that has ended its goroutine
// (runtime.Goexit, as a test's FailNow does) closes the member, so that others get
// what waited for it.
func (m *member) called() {
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

// wait waits for something to look at, or until the rest is over.
func (m *member) wait(rest time.Duration) {
	var over <-chan time.Time
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		over = timer.C
	}
	var msg *nats.Msg
	select {
	case msg = <-m.arrived:
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
	m.waits = false
}

// resumeWith takes in what has arrived, unless the server knows that nothing more is
// wanted. What comes before it knows is held until it does: handed back earlier it
// might come here again, for one more attempt.
func (m *member) resumeWith(msg *nats.Msg) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits = false
	if m.left {
		return false
	}
	m.arrive(msg)
	return true
}

// takeAtOnce bounds for how long settlements wait while who leads takes in what has
// arrived.
const takeAtOnce = 16

// next returns the delivery for the handler, nil if there is none or the handler
// has all it may have or it is too early for another, for how long that is so, and
// what to ask for.
func (m *member) next() (d *delivery, pulls []pull, rest time.Duration, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return nil, nil, 0, true
	}
	m.takeIn(takeAtOnce)
	if m.with < m.max && m.waiting.len() > 0 && !m.waiting.first().unknown {
		if rest = m.rate.rest(); rest == 0 {
			d = m.waiting.pop()
			d.begun = true
			m.with++
			if m.rate.bits > 0 {
				d.fill()
				m.rate.took(&d.Message)
			}
		}
	}
	pulls = m.wanted()
	m.waits = d == nil
	return d, pulls, rest, false
}

// wanted returns what to ask for now.
func (m *member) wanted() (pulls []pull) {
	for _, p := range m.consumers {
		if p.held || !m.ahead.low(m.max-m.with, m.waiting.len(), p.asked) {
			continue
		}
		if breaks, up := m.l.t.link.state(); !up || !m.renewed || breaks != m.breaks {
			return nil
		}
		if n := m.ahead.wanted(m.max-m.with, m.waiting.len(), p.asked); n > 0 {
			pulls = append(pulls, p.ask(n))
		}
	}
	return pulls
}

// release takes a delivery that was settled out of what is held.
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
	m.with--
	m.ahead.settled++
	m.checkSettled()
	if m.waits && (m.waiting.len() > 0 || m.lacks()) {
		nudge(m.wake)
	}
}

// lacks reports whether there is more to ask for since something was settled.
func (m *member) lacks() bool {
	return !m.ahead.ordered && m.ahead.low(m.max-m.with, m.waiting.len(), m.consumers[0].asked)
}

// checkSettled tells who waits for the last settlement.
func (m *member) checkSettled() {
	if !m.ending || m.with > 0 {
		return
	}
	select {
	case <-m.settled:
	default:
		close(m.settled)
		nudge(m.look)
	}
}

// end stops deliveries, and reports whether it was this call that did.
func (m *member) end() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		return false
	}
	m.ending = true
	m.checkSettled()
	nudge(m.wake)
	nudge(m.look)
	return true
}

// holding returns what is not settled: all, or what the handler has not seen.
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

// handBack gives up deliveries, so that others get them at once.
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
			return transport.ContextError(ctx, transport.OutcomeUnknown, "drain of group %q of %s: %d deliveries were not settled and are handed back", m.group, m.l.what, n)
		}
	}
	m.forget()
	if m.l.t.closed.Load() {
		return nil
	}
	return m.l.t.flush(ctx, "drain of group "+strconv.Quote(m.group)+" of "+m.l.what)
}

// leave ends the subscription at the server. What it returns is closed when all
// that the server had sent before has been handed back; that happens whoever
// waits for it, or else others would get it only after the AckWait. What is handed
// back after leave does not come back here. See receiver.stop.
func (m *member) leave() (left <-chan struct{}) {
	done := make(chan struct{})
	broken := m.l.t.link.watch()
	ended := m.sub.Drain() != nil
	m.hasLeft()
	go func() {
		defer close(done)
		if !ended {
			select {
			case <-m.silent:
			case <-broken:
			case <-time.After(writeTimeout):
			}
		}
		_ = m.sub.Unsubscribe() // an error says that it has ended already
		m.refuse()
	}()
	return done
}

func (m *member) hasLeft() {
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

// minRefresh bounds the work for a consumer that somebody else has made, with an
// AckWait that no group has.
const minRefresh = 10 * time.Millisecond

// keep looks after what is held until nothing can come any more and nothing is
// held.
func (m *member) keep() {
	tick := time.NewTicker(min(pullTick, m.refresh))
	defer tick.Stop()
	extended := time.Now()
	for !m.over() {
		select {
		case <-tick.C:
		case <-m.look:
			m.checkSuspects()
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

// tick takes in what has arrived while who leads is with the handler, so that it is
// kept alive, and notices what did not come. What was asked for over a connection that
// broke will not.
func (m *member) tick() {
	breaks, _ := m.l.t.link.state()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.left:
		go m.refuse()
	case !m.waits:
		m.takeIn(cap(m.arrived))
	}
	for _, p := range m.consumers {
		if p.tick(); breaks != m.breaks {
			p.restart()
			p.suspect = true
		}
		if p.suspect {
			nudge(m.look)
		}
	}
	if breaks != m.breaks {
		m.breaks, m.renewed = breaks, false
		go m.renew()
	}
	nudge(m.wake)
}

// renew finds out, after a connection was lost, whether the server began anew. It
// tries again until it has an answer, or another connection is lost.
func (m *member) renew() {
	for {
		breaks, up := m.l.t.link.state()
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		err := error(nats.ErrDisconnected)
		if up {
			err = m.noteBoot(ctx)
		}
		cancel()
		if m.renewedAt(breaks, err) {
			return
		}
		if !pause(context.Background(), askPause) {
			return
		}
	}
}

// renewedAt notes that fences are those of a connection. It reports whether there is
// nothing more to do: not while that connection has no answer.
func (m *member) renewedAt(breaks int, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ending || breaks != m.breaks:
		return true
	case err != nil:
		return false
	}
	m.renewed = true
	nudge(m.wake)
	return true
}

// checkSuspects ends the member if a suspect consumer is gone, or a new one has its name.
func (m *member) checkSuspects() {
	for _, p := range m.suspects() {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		is, err := m.l.consumer(ctx, p.name)
		cancel()
		switch {
		case missing(err):
			m.l.t.deleted.add(m.l.config.Name, p.name, p.created)
			m.gone(err)
			return
		case err != nil:
			m.suspect(p) // asks again after the next tick
		case !is.Created.Equal(p.created):
			m.gone(errRecreated)
			return
		}
	}
}

func (m *member) suspect(p *consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.suspect = true
}

var errRecreated = errors.New("a new group has its name")

// compare suspects consumers that were created later than the member's.
func (m *member) compare(consumers []*jetstream.ConsumerInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, is := range consumers {
		if is == nil {
			continue // not opened
		}
		if p := m.byName[is.Name]; p != nil && !is.Created.Equal(p.created) {
			p.suspect = true
			nudge(m.look)
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

// gone ends the member because its group is not there any more.
func (m *member) gone(cause error) {
	if !m.end() {
		return
	}
	_ = m.sub.Unsubscribe()
	m.hasLeft()
	if cause == errRecreated {
		m.handBack(context.Background(), false) // deliveries of the new group
	}
	for _, d := range m.holding(false) {
		d.drop()
	}
	m.forget()
	if m.onEnd != nil {
		m.onEnd(transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "group %q of %s was deleted while it was consumed: %w", m.group, m.l.what, cause))
	}
}
