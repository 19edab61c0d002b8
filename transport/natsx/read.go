package natsx

import (
	"context"
	"sync"
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
	filter := l.lanes.filter(r.Filter, anyLane)
	if len(r.Filter) > 0 && len(filter) == 0 { // nothing can match
		if r.Follow {
			<-ctx.Done()
		}
		return nil
	}
	rd := &reader{l: l, follow: r.Follow, replicated: is.Config.Replicas > 1, filter: filter, end: is.State.LastSeq, start: r.Start, yield: yield}
	if r.Start.New || rd.replicated { // at this moment, not at that of a later session
		if rd.start, err = l.pinned(ctx, r.Start, rd.end); err != nil {
			return err
		}
	}
	if !r.Follow && (is.State.Msgs == 0 || rd.start.Sequence > rd.end) {
		return nil
	}
	if is.Config.Retention == jetstream.InterestPolicy {
		return rd.walk(ctx)
	}
	return rd.run(ctx)
}

// reader reads a log up to its end, or follows it without end.
type reader struct {
	l          *log
	follow     bool
	replicated bool
	filter     []string
	start      transport.Start
	end        uint64 // the last sequence at the start
	last       uint64 // the last sequence that it has passed
	yield      func(*transport.Delivery) bool
}

// Results of a session.
const (
	nextSession = iota // continue with another session
	finished           // everything is read, or the caller stops
)

func (rd *reader) run(ctx context.Context) error {
	for {
		result, err := rd.session(ctx)
		switch {
		case result == finished:
			return err
		case ctx.Err() != nil:
			return transport.ContextError(ctx, transport.OutcomeUnknown, "%w after message %d", ctx.Err(), rd.last)
		case err != nil && !rd.l.t.passing(err):
			return err
		case err != nil && !pause(ctx, apiPause):
			return transport.ContextError(ctx, transport.OutcomeUnknown, "%w after message %d", ctx.Err(), rd.last)
		}
	}
}

// session reads with one consumer.
func (rd *reader) session(ctx context.Context) (result int, err error) {
	mail := newMailbox()
	inbox := rd.l.t.nc.NewInbox()
	sub, err := rd.l.t.nc.Subscribe(inbox+".>", mail.put)
	if err != nil {
		return nextSession, rd.l.t.failure(err, transport.OutcomeNotDone)
	}
	defer sub.Unsubscribe()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nextSession, rd.l.t.failure(err, transport.OutcomeNotDone)
	}
	is, err := rd.l.callConsumer(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return rd.l.t.js(ctx).CreateConsumer(ctx, rd.l.config.Name, rd.consumer())
	})
	if err != nil {
		return nextSession, err
	}
	defer rd.l.release(ctx, is.Name)
	p := newPuller(rd.l.t, rd.l.config.Name, &is.Config, inbox, 0)
	denied := make(chan *transport.Error, 1)
	token := rd.l.t.apiRequests.watch(p.api, func(a answer) { denied <- a.err })
	defer rd.l.t.apiRequests.take(token)
	idle := is.NumPending == 0 && !rd.follow
	if idle {
		if result, err := rd.checkEnd(ctx); result == finished || err != nil {
			return result, err
		}
	}
	return rd.receive(ctx, mail, &p, denied, idle)
}

// readerIdle is the time after which the server deletes an unused consumer of a reader, if
// the reader could not delete it.
const readerIdle = 30 * time.Second

func (rd *reader) consumer() jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: readerIdle}
	begin := rd.start
	if rd.last > 0 && (!begin.LastPerSubject || rd.last >= rd.end) {
		begin = transport.Start{Sequence: rd.last + 1}
	}
	setStart(&c, begin)
	setFilter(&c, rd.filter)
	return c
}

// receive receives messages until one is missing, no more arrive, or the server denies the
// pulls. idle reports whether the consumer had no more messages after its last one.
func (rd *reader) receive(ctx context.Context, mail *mailbox, p *puller, denied <-chan *transport.Error, idle bool) (result int, err error) {
	broken := rd.l.t.link.watch()
	tick := time.NewTicker(pullTick)
	defer tick.Stop()
	expected := uint64(1)
	for {
		if p.requested <= maxPrefetch/2 && !p.held {
			request := p.newPull(maxPrefetch - p.requested)
			if err := rd.l.t.nc.PublishRequest(request.subject, request.reply, request.body); err != nil {
				return nextSession, rd.l.t.failure(err, transport.OutcomeNotDone)
			}
		}
		msg := mail.take()
		if msg == nil {
			select {
			case <-mail.filled:
			case <-ctx.Done():
				return nextSession, nil
			case err := <-denied:
				return nextSession, err
			case <-broken:
				return nextSession, unavailable("the connection to %s is lost", rd.l.t.address)
			case <-tick.C:
				if p.tick(); p.round > 0 {
					return nextSession, nil
				}
				switch {
				case idle:
					if result, err := rd.checkEnd(ctx); result == finished || err != nil {
						return result, err
					}
				case !rd.follow:
					idle = rd.drained(ctx, p.name)
				}
			}
			continue
		}
		if isStatus(msg) {
			if p.status(msg); p.round > 0 {
				return nextSession, nil // its consumer may be gone: the next session finds out
			}
			continue
		}
		p.came()
		about := new(nats.MsgMetadata)
		if readMetadata(about, msg) != nil {
			continue // not from a stream
		}
		if about.Sequence.Consumer != expected {
			return nextSession, nil
		}
		expected++
		switch {
		case rd.take(msg, about):
			return finished, nil
		case ctx.Err() != nil:
			return nextSession, nil
		}
		if idle = !rd.follow && about.NumPending == 0; idle {
			if result, err := rd.checkEnd(ctx); result == finished || err != nil {
				return result, err
			}
		}
	}
}

// drained reports whether a consumer has no more messages, because they have expired or were
// purged. Messages that it has sent may still be on their way.
func (rd *reader) drained(ctx context.Context, consumer string) bool {
	is, err := rd.l.consumer(ctx, consumer)
	return err == nil && is.NumPending == 0
}

// checkEnd returns finished if a reader, whose consumer has no more messages, has read
// everything. The consumer may be on a replica that does not have the last messages yet, so
// the leader is asked for the next match. It is not asked for the last match: if the last
// message of the log was removed, it reports that there is none.
func (rd *reader) checkEnd(ctx context.Context) (result int, err error) {
	if !rd.replicated {
		return finished, nil
	}
	patterns := rd.filter
	if len(patterns) == 0 {
		patterns = []string{">"}
	}
	for _, pattern := range patterns {
		m, err := rd.l.get(ctx, map[string]any{"seq": max(rd.last+1, rd.start.Sequence), "next_by_subj": pattern})
		switch {
		case missing(err):
		case err != nil:
			return nextSession, err
		case m.Sequence <= rd.end && !m.Time.Before(rd.start.Time):
			return nextSession, nil
		}
	}
	return finished, nil
}

// take yields a message, and reports whether it was the last.
func (rd *reader) take(msg *nats.Msg, about *nats.MsgMetadata) (done bool) {
	seq := about.Sequence.Stream
	if !rd.follow && seq > rd.end {
		return true
	}
	if seq > rd.last {
		d := new(transport.Delivery)
		setPosition(d, about)
		fillDelivery(d, msg, rd.l.lanes)
		rd.last = seq
		if !rd.yield(d) {
			return true
		}
	}
	return !rd.follow && seq >= rd.end
}

// mailbox holds messages for a goroutine that also waits for other events.
type mailbox struct {
	filled chan struct{} // of capacity 1

	mu  sync.Mutex
	all []*nats.Msg
}

func newMailbox() *mailbox { return &mailbox{filled: make(chan struct{}, 1)} }

func (b *mailbox) put(msg *nats.Msg) {
	b.mu.Lock()
	b.all = append(b.all, msg)
	b.mu.Unlock()
	nudge(b.filled)
}

// take removes the first message. It returns nil if there is none.
func (b *mailbox) take() *nats.Msg {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) == 0 {
		return nil
	}
	msg := b.all[0]
	b.all[0] = nil
	b.all = b.all[1:]
	return msg
}
