package natsx

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// Read implements [driver.Log]. It reads with its own consumer, which acknowledges
// nothing. If a message is missing, the connection was lost, or the server has forgotten the
// consumer, it continues with another consumer at the same position. A log with
// InterestRetention is read message by message, since a consumer would retain messages like a
// group.
func (l *log) Read(ctx context.Context, r transport.ReadConfig, yield func(*transport.Delivery) bool) error {
	is, err := l.info(ctx)
	if err != nil {
		return err
	}
	filter := l.partitions.filter(r.Filter, anyPartition)
	if len(r.Filter) > 0 && len(filter) == 0 { // nothing can match
		if r.Follow {
			<-ctx.Done()
		}
		return nil
	}
	rd := &reader{from: l.stream, follow: r.Follow, replicated: is.Config.Replicas > 1, filter: filter, end: is.State.LastSeq, start: r.Start}
	rd.yield = func(msg *nats.Msg, about *nats.MsgMetadata) bool {
		d := new(transport.Delivery)
		setPosition(d, about)
		fillDelivery(d, msg, l.partitions)
		return yield(d)
	}
	if r.Start.New || rd.replicated { // at this moment, not at that of a later session
		if rd.start, err = l.pinned(ctx, r.Start, rd.end); err != nil {
			return err
		}
	}
	if !r.Follow && (is.State.Msgs == 0 || rd.start.Sequence > rd.end) {
		return nil
	}
	if r.Start.LastPerSubject && !r.Follow { // the last message of a subject may be a later one by now
		rd.began = func(ctx context.Context) error {
			is, err := l.info(ctx)
			if err == nil {
				rd.end = max(rd.end, is.State.LastSeq)
			}
			return err
		}
	}
	if is.Config.Retention == jetstream.InterestPolicy {
		return rd.walk(ctx)
	}
	return rd.run(ctx)
}

// reader reads a stream up to its end, or follows it without end.
type reader struct {
	from        stream
	follow      bool
	replicated  bool // a replica may lag, so the leader confirms the end
	patient     bool // a server that does not answer is asked again
	headersOnly bool
	filter      []string
	start       transport.Start
	end         uint64 // the last sequence at the start
	rounds      int    // the number of ends at which more may have arrived; 0 means any number
	last        uint64 // the last sequence that it has received
	passed      uint64 // a sequence up to which the consumer has sent all
	yield       func(*nats.Msg, *nats.MsgMetadata) bool

	// began, if not nil, is called after a consumer was created. current, if not nil, is called
	// when the consumer had no more messages. More of them may have arrived since, unless
	// nothing waits. Their errors end the reader.
	began   func(context.Context) error
	current func(nothingWaits bool) error

	// lapsed, if not nil, is called when the server may have had no pull to answer since a time.
	// quiet is the last time at which no message waited, nor was one handled.
	lapsed func(since time.Time) error
	quiet  time.Time
}

func (rd *reader) run(ctx context.Context) error {
	for {
		done, err := rd.runSession(ctx)
		switch {
		case done:
			return nil
		case err != nil && ctx.Err() == nil && !rd.passing(err):
			return err
		case ctx.Err() != nil, err != nil && !pause(ctx, apiPause):
			return transport.ContextError(ctx, transport.OutcomeUnknown, "%w after message %d", ctx.Err(), rd.last)
		}
	}
}

// passing reports whether another session may succeed after an error.
func (rd *reader) passing(err error) bool {
	return err != errEndless && (rd.from.t.passing(err) || rd.patient && transport.CodeOf(err) == transport.DeadlineExceeded)
}

// runSession reads with one consumer. It reports whether everything is read, or the caller
// stops. Otherwise another session continues.
func (rd *reader) runSession(ctx context.Context) (done bool, err error) {
	is, err := rd.from.createConsumer(ctx, rd.consumer())
	if err != nil {
		return false, err
	}
	defer rd.from.release(ctx, is.Name)
	if rd.began != nil {
		if err := rd.began(ctx); err != nil {
			return false, err
		}
	}
	s := &session{
		reader: rd, pullSource: newPullSource(rd.from.t, rd.from.name, 2*maxPrefetch, is),
		denied: make(chan *transport.Error, 1), idle: is.NumPending == 0 && !rd.follow, ticker: time.NewTicker(pullTick),
	}
	defer s.ticker.Stop()
	if err := s.open(); err != nil {
		return false, s.t.failure(err, transport.OutcomeNotDone)
	}
	defer s.close()
	number := s.t.api.requests.watch(s.pullers[0].api, func(a answer) { s.denied <- a.err })
	defer s.t.api.requests.take(number)
	if s.idle {
		done, err = rd.checkEnd(ctx)
	}
	rd.quiet, s.pulled = time.Now(), time.Now()
	for broken := s.t.link.watch(); !done && err == nil && s.pullers[0].round == 0 && ctx.Err() == nil; {
		done, err = s.step(ctx, broken)
	}
	return done, err
}

// readerIdle is the time after which the server deletes an unused consumer of a reader, if
// the reader could not delete it.
const readerIdle = 30 * time.Second

func (rd *reader) consumer() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: readerIdle, HeadersOnly: rd.headersOnly}
	begin := rd.start
	if rd.last > 0 && (!begin.LastPerSubject || rd.last >= rd.end) {
		begin = transport.Start{Sequence: rd.last + 1}
	}
	setStart(&c, begin)
	setFilter(&c, rd.filter)
	return c
}

// session reads with one consumer, until a message is missing, no more arrive, or the server
// denies the pulls.
type session struct {
	*reader
	*pullSource
	denied   chan *transport.Error // of capacity 1
	pulled   time.Time             // the time of the last pull
	received uint64                // messages
	idle     bool                  // the consumer had no more messages after its last one
	stuck    int                   // looks at which it had none, although the leader has more
	ticker   *time.Ticker
}

// step pulls, and handles the next message or other event. Messages come first.
func (s *session) step(ctx context.Context, broken <-chan struct{}) (done bool, err error) {
	if err := s.checkPull(); err != nil {
		return false, err
	}
	if p := s.pullers[0]; p.requested <= maxPrefetch/2 && !p.held {
		s.pulled = time.Now()
		if err := s.send(p.newPull(maxPrefetch - p.requested)); err != nil {
			return false, s.t.failure(err, transport.OutcomeNotDone)
		}
	}
	select {
	case msg := <-s.arrived:
		return s.arrive(ctx, msg)
	default:
		s.quiet = time.Now()
	}
	select {
	case msg := <-s.arrived:
		return s.arrive(ctx, msg)
	case <-s.ticker.C:
		return s.look(ctx)
	case err := <-s.denied:
		return false, err
	case <-broken:
		return false, unavailable("the connection to %s is lost", s.t.address)
	case <-ctx.Done():
		return false, nil
	}
}

// checkPull calls lapsed if the last pull may have ended before all that has arrived was
// handled: at its expiry, or with the last message that it has requested.
func (s *session) checkPull() error {
	if s.lapsed == nil {
		return nil
	}
	since := s.quiet
	if end := s.pulled.Add(s.pullers[0].expiry); len(s.arrived) < maxPrefetch/2 && end.After(since) {
		since = end
	}
	return s.lapsed(since)
}

func (s *session) arrive(ctx context.Context, msg *nats.Msg) (done bool, err error) {
	about := new(nats.MsgMetadata)
	p := s.receive(msg, about)
	switch {
	case p == nil:
		return false, nil
	case isStatus(msg):
		return false, s.checkCurrent(s.isIdle(msg))
	}
	if s.received++; about.Sequence.Consumer != s.received {
		p.restart() // one is missing
		return false, nil
	}
	if done = s.take(msg, about); done {
		return true, nil
	}
	if err := s.checkCurrent(about.NumPending == 0); err != nil {
		return false, err
	}
	if s.idle = !s.follow && about.NumPending == 0; s.idle && ctx.Err() == nil {
		return s.checkEnd(ctx)
	}
	return false, nil
}

// isIdle reports whether a status is a heartbeat of a consumer that has no more messages, and
// none of those that it has sent is missing.
func (s *session) isIdle(status *nats.Msg) bool {
	if firstOf(status.Header, headerStatus) != "100" || uint64(numberIn(status, headerLastConsumer)) != s.received {
		return false
	}
	s.passed = max(s.passed, uint64(numberIn(status, headerLastStream)))
	return true
}

// Headers of a heartbeat: the last sequences that the consumer has sent and passed.
const (
	headerLastConsumer = "Nats-Last-Consumer"
	headerLastStream   = "Nats-Last-Stream"
)

// checkCurrent calls current if the consumer has no more messages.
func (s *session) checkCurrent(is bool) error {
	if !is || s.current == nil {
		return nil
	}
	return s.current(len(s.arrived) == 0)
}

// look is called at each tick. It notices that messages do not arrive, or no longer exist.
func (s *session) look(ctx context.Context) (done bool, err error) {
	s.tick()
	switch {
	case s.follow || s.pullers[0].round > 0:
		return false, nil
	case s.idle:
		if s.stuck++; s.stuck > maxSilence {
			s.pullers[0].restart() // another consumer sees the messages as they are now
		}
		return s.checkEnd(ctx)
	}
	s.idle, err = s.drained(ctx, s.pullers[0].name)
	return false, err
}

// drained reports whether a consumer has no more messages, because they have expired or were
// purged. Messages that it has sent may still be on their way. An error is a denial: any other
// one passes, or ends the session.
func (rd *reader) drained(ctx context.Context, consumer string) (bool, error) {
	is, err := rd.from.consumer(ctx, consumer)
	if transport.CodeOf(err) == transport.PermissionDenied {
		return false, err
	}
	return err == nil && is.NumPending == 0, nil
}

// checkEnd reports whether a reader, whose consumer has no more messages, has read everything.
// The consumer may be on a replica that does not have the last messages yet, so the leader is
// asked for the next match. So is it because the server stores a message before it counts it as
// pending. The leader is not asked for the last match: if the last message of the log was
// removed, it reports that there is none.
func (rd *reader) checkEnd(ctx context.Context) (done bool, err error) {
	if !rd.replicated {
		return true, nil
	}
	patterns := rd.filter
	if len(patterns) == 0 {
		patterns = []string{">"}
	}
	for _, pattern := range patterns {
		m, err := rd.from.message(ctx, map[string]any{"seq": max(rd.last+1, rd.start.Sequence), "next_by_subj": pattern})
		switch {
		case isNoMessage(err):
		case err != nil:
			return false, err
		case m.Sequence <= rd.end && !m.Time.Before(rd.start.Time):
			if rd.rounds--; rd.rounds == 0 {
				return false, errEndless
			}
			return false, nil
		}
	}
	return true, nil
}

// errEndless is the error of a reader that has met new messages at each end.
var errEndless = unavailable("messages arrive faster than they can be read")

// take yields a message, and reports whether it was the last.
func (rd *reader) take(msg *nats.Msg, about *nats.MsgMetadata) (done bool) {
	seq := about.Sequence.Stream
	if !rd.follow && seq > rd.end {
		return true
	}
	if seq > rd.last {
		rd.last = seq
		if !rd.yield(msg, about) {
			return true
		}
	}
	return !rd.follow && seq >= rd.end
}

// walkPause is the interval at which a walk that follows looks for new messages.
const walkPause = 100 * time.Millisecond

// walk reads a stream message by message.
func (rd *reader) walk(ctx context.Context) error {
	if len(rd.filter) == 0 {
		rd.filter = []string{">"}
	}
	if rd.start.LastPerSubject {
		return rd.walkLast(ctx)
	}
	if rd.start.Sequence > 0 {
		rd.last = rd.start.Sequence - 1
	}
	return rd.walkOn(ctx)
}

// walkOn reads one message after another, and skips removed ones. If it follows, it looks for
// new messages at an interval.
func (rd *reader) walkOn(ctx context.Context) error {
	for {
		m, err := rd.next(ctx)
		switch {
		case err == nil && !rd.follow && m.Sequence > rd.end:
			return nil
		case err == nil:
			if rd.last = m.Sequence; !m.Time.Before(rd.start.Time) && !rd.yieldStored(m) {
				return nil
			}
		case rd.isFinal(err) || rd.follow && !pause(ctx, walkPause):
			return err
		case !rd.follow:
			return nil
		}
	}
}

// isFinal reports whether an error ends the walk. A missing message does not, and for a
// reader that follows, a lost connection does not either.
func (rd *reader) isFinal(err error) bool {
	if missing(err) {
		return codeOfAPI(err) == jetstream.JSErrCodeStreamNotFound
	}
	return !rd.follow || !rd.from.t.passing(err)
}

// next returns the next message that matches one of the patterns.
func (rd *reader) next(ctx context.Context) (first *storedMessage, err error) {
	for _, pattern := range rd.filter {
		m, e := rd.from.message(ctx, map[string]any{"seq": rd.last + 1, "next_by_subj": pattern})
		switch {
		case e == nil && (first == nil || m.Sequence < first.Sequence):
			first = m
		case e != nil && (err == nil || missing(err)):
			err = e
		}
	}
	if first != nil && (err == nil || missing(err)) {
		return first, nil
	}
	return nil, err
}

func (rd *reader) yieldStored(m *storedMessage) bool {
	msg := nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}
	about := nats.MsgMetadata{Sequence: nats.SequencePair{Stream: m.Sequence}, Timestamp: m.Time}
	return rd.yield(&msg, &about)
}

// walkLast reads the last message of each subject. If it follows, it continues with walkOn.
func (rd *reader) walkLast(ctx context.Context) error {
	var lasts []*storedMessage
	for _, pattern := range rd.filter {
		subjects, err := rd.from.subjects(ctx, pattern)
		if err != nil {
			return err
		}
		for subject := range subjects {
			m, err := rd.from.message(ctx, map[string]any{"last_by_subj": subject})
			switch {
			case err == nil && (m.Sequence <= rd.end || !rd.follow): // walkOn finds later ones
				lasts = append(lasts, m)
			case err != nil && !missing(err):
				return err
			}
		}
	}
	slices.SortFunc(lasts, func(a, b *storedMessage) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for _, m := range lasts {
		if !rd.yieldStored(m) {
			return nil
		}
	}
	if rd.last = rd.end; !rd.follow {
		return nil
	}
	return rd.walkOn(ctx)
}
