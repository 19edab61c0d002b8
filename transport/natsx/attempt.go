package natsx

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport/natsx/internal/journal"
)

// The server numbers deliveries. The number of the attempt also depends on earlier
// deliveries: a delivery that was handed back is not an attempt, and a restarted server may
// repeat numbers. Earlier deliveries are recorded in three places: in this process, in the
// journal of the process before it, and in the state stream for hand-backs by other members.
// Most deliveries are first deliveries and need none of them.

// earlyError bounds how early a restarted server redelivers: it stores times in whole
// seconds.
const earlyError = 2 * time.Second

// recall sets the attempt of a delivery and queues it for the handler. An early delivery is
// postponed. If other members may have handed the message back, the handler waits until the
// state stream is read. The caller holds the lock.
func (f *inFlight) recall(d *delivery, about *nats.MsgMetadata) {
	d.number = about.NumDelivered
	history, known := d.from.record.History(d.Sequence, d.Stored)
	d.Attempt = history.Attempt(d.number)
	if known && d.from.keyed == nil { // reading the clock takes time
		if early := time.Until(history.Due); early > 0 {
			f.postpone(d, history, early)
			return
		}
	}
	if d.number > history.Delivery+1 { // other members had it in between, or nobody has begun with it
		if begun, known := d.from.record.Begun(d.Sequence, d.Stored); known {
			d.Attempt = begun.Attempts + 1
		} else {
			f.m.inquiries.inquire(d)
		}
	}
	if k := d.from.keyed; k == nil {
		f.waiting.push(d)
	} else if known && history.Delivery+1 == d.number {
		k.handedBack(d, history)
	}
}

// postpone holds a delivery until it is due, or hands it back if that takes long.
func (f *inFlight) postpone(d *delivery, history journal.History, early time.Duration) {
	if early > earlyError {
		history.Delivery = d.number
		d.from.record.Put(d.Sequence, d.Stored, history)
		go d.postpone(early)
		return
	}
	time.AfterFunc(early, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if d.next != nil { // it was not handed back
			f.waiting.push(d)
			nudge(f.wake)
		}
	})
}

// inquiries look up the deliveries that other members may have handed back. The member's lock
// guards them.
type inquiries struct {
	m       *member
	asked   []*delivery
	running bool
}

// inquire starts to read the hand-backs of other members. The delivery waits for the result.
// The caller holds the lock.
func (q *inquiries) inquire(d *delivery) {
	d.unknown = true
	q.asked = append(q.asked, d)
	if len(q.asked) == 1 && !q.running {
		q.running = true
		go q.answer()
	}
}

func (q *inquiries) answer() {
	for {
		asked := q.take()
		if asked == nil {
			return
		}
		q.read(asked)
		q.learn(asked)
	}
}

// read reads the hand-backs for the consumers of some deliveries. If that fails,
// hand-backs by other members count as attempts.
func (q *inquiries) read(asked []*delivery) {
	var of []*consumer
	for _, d := range asked {
		if !slices.Contains(of, d.from) {
			of = append(of, d.from)
		}
	}
	errs := make([]error, len(of))
	var wait sync.WaitGroup
	for i, c := range of {
		wait.Go(func() { errs[i] = c.released.catchUp(q.m.l.t, c) })
	}
	wait.Wait()
	if err := firstError(errs...); err != nil && !q.m.l.t.closed.Load() {
		q.m.l.t.log.Warn("natsx: deliveries that members elsewhere handed back may count as attempts", "group", q.m.group, "log", q.m.l.config.Name, "error", err)
	}
}

// readTimeout bounds each of two waits for a record of hand-backs, for which deliveries wait.
const readTimeout = 5 * time.Second

// catchUp updates the hand-backs. It returns an error if the state stream does not answer, and
// no further one until the stream answers.
func (r *released) catchUp(t *Transport, c *consumer) error {
	err := r.update(t, c)
	if err == nil || r.silent {
		return nil
	}
	r.silent = true
	return err
}

// take returns the deliveries to look up, or nil if there are none.
func (q *inquiries) take() []*delivery {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	asked := q.asked
	q.asked, q.running = nil, len(asked) > 0
	return asked
}

// learn sets the attempts of deliveries whose hand-backs were read.
func (q *inquiries) learn(asked []*delivery) {
	q.m.mu.Lock()
	defer q.m.mu.Unlock()
	for _, d := range asked {
		history, _ := d.from.record.History(d.Sequence, d.Stored)
		if r, ok := d.from.released.of(d.Sequence); ok && r.Delivery >= history.Delivery {
			history = r
		}
		d.Attempt, d.unknown = history.Attempt(d.number), false
		if k := d.from.keyed; k != nil && history.Delivery+1 == d.number {
			k.handedBack(d, history)
		}
		if d.refused {
			d.from.keyed.refuse(d)
		}
	}
	nudge(q.m.wake)
}

// beginAttempt records the attempt before the handler begins, so that it counts even
// if the process ends in the handler.
func (d *delivery) beginAttempt() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled {
		return // it was handed back meanwhile
	}
	d.attempt = d.from.record.Begin(d.Sequence, d.Stored, journal.History{Delivery: d.number, Attempts: d.Attempt})
}

// endAttempt records the end of the attempt, if there is one.
func (d *delivery) endAttempt() {
	d.mu.Lock()
	attempt := d.attempt
	d.attempt = journal.Attempt{}
	d.mu.Unlock()
	attempt.End()
}

// noteRetry records the time of the next delivery.
func (d *delivery) noteRetry(delay time.Duration) {
	history := journal.History{Delivery: d.number, Attempts: d.Attempt}
	if delay > 0 {
		history.Due = time.Now().Add(delay)
	}
	d.from.record.Put(d.Sequence, d.Stored, history)
}

// released holds the hand-backs of one consumer that this process has read.
type released struct {
	// These are only for the goroutine that reads.
	last   recordPosition // of the last record that was read
	silent bool           // the state stream has not answered, and catchUp has returned the error

	mu    sync.Mutex
	bySeq map[uint64]journal.History
}

// recordPosition identifies a record in the state stream. A stream that was deleted and created
// again may have another record with the same sequence.
type recordPosition struct {
	sequence uint64
	stored   time.Time
}

// releaseRecord is the stored form of hand-backs.
type releaseRecord struct {
	Created  time.Time   `json:"created"`  // of the consumer: a later one may have the same name
	Released [][4]uint64 `json:"released"` // sequence of the message, number of the delivery, attempts before it, ns of Unix time before which it is not delivered again
}

// noteTimeout bounds the time to store hand-backs.
const noteTimeout = time.Second

// maxReleased bounds the hand-backs of a record, which stays below 16 KiB.
const maxReleased = 500

// update reads the hand-backs that were stored since the last update. If it fails, it keeps
// the hand-backs that it has read. It takes as long as the state stream answers.
func (r *released) update(t *Transport, c *consumer) error {
	if err := r.checkLast(t, c); err != nil {
		return err
	}
	for {
		m, err := r.next(t, c, r.last.sequence+1)
		if m == nil || err != nil {
			return err
		}
		r.last = recordPosition{m.Sequence, m.Time}
		r.mu.Lock()
		r.takeIn(m.Data, c.created)
		r.mu.Unlock()
	}
}

// checkLast starts from the first record again if the last one is gone: the state stream may
// have been deleted and created again, with new sequences.
func (r *released) checkLast(t *Transport, c *consumer) error {
	if r.last.sequence == 0 {
		return nil
	}
	m, err := r.next(t, c, r.last.sequence)
	if err != nil {
		return err
	}
	if m == nil || m.Sequence != r.last.sequence || !m.Time.Equal(r.last.stored) {
		r.last = recordPosition{}
	}
	return nil
}

// next reads the first record of a consumer's hand-backs from a sequence on. It returns nil if
// there is none. It tries twice. While the state stream is silent, it makes one short attempt.
func (r *released) next(t *Transport, c *consumer, from uint64) (m *storedMessage, err error) {
	limits := []time.Duration{readTimeout, readTimeout}
	if r.silent {
		limits = []time.Duration{noteTimeout}
	}
	for _, limit := range limits {
		if m, err = nextRelease(t, c, from, limit); err == nil {
			r.silent = false
			return m, nil
		}
	}
	return nil, err
}

func nextRelease(t *Transport, c *consumer, from uint64, limit time.Duration) (*storedMessage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	m, err := t.state.read(ctx, map[string]any{"seq": from, "next_by_subj": c.releases})
	if missing(err) {
		return nil, nil
	}
	return m, err
}

func (r *released) takeIn(data []byte, created time.Time) {
	var record releaseRecord
	if json.Unmarshal(data, &record) != nil || !record.Created.Equal(created) {
		return
	}
	if r.bySeq == nil {
		r.bySeq = make(map[uint64]journal.History)
	}
	for _, of := range record.Released {
		r.bySeq[of[0]] = journal.History{Delivery: of[1], Attempts: int(of[2]), Due: dueAt(of[3])}
	}
}

// dueAt returns the time of a record. Zero means none.
func dueAt(ns uint64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns))
}

func sinceEpoch(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func (r *released) of(sequence uint64) (journal.History, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.bySeq[sequence]
	return p, ok
}

// forget drops the hand-back of a settled message.
func (r *released) forget(sequence uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bySeq, sequence)
}

// handBack describes a delivery to hand back.
type handBack struct {
	from     *consumer
	of       *delivery // nil if the member has not taken it in
	sequence uint64
	stored   time.Time
	number   uint64
	attempts int // before it; negative if unknown
	due      time.Time
	reply    string
}

// returns collects deliveries that the handler hands back. All that are handed back while
// the ones before are being stored share a record.
type returns struct {
	m       *member
	mu      sync.Mutex
	stored  *round // is being stored; nil: none
	waiting *round // follows; nil: none
}

// round is a set of deliveries that are handed back together.
type round struct {
	all  []*delivery
	done chan struct{}
}

// join adds a delivery to the next round, and returns the round. It reports whether the
// caller has to start it.
func (r *returns) join(d *delivery) (joined *round, start bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = &round{done: make(chan struct{})}
		start = r.stored == nil
	}
	joined = r.waiting
	joined.all = append(joined.all, d)
	if start {
		r.stored, r.waiting = r.waiting, nil
	}
	return joined, start
}

// follow ends a round, and returns the next one, nil if there is none.
func (r *returns) follow() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.stored.done)
	r.stored, r.waiting = r.waiting, nil
	return r.stored
}

// last returns the latest round that has not ended, nil if there is none.
func (r *returns) last() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting != nil {
		return r.waiting
	}
	return r.stored
}

// giveBackNext hands back a delivery together with others.
func (r *returns) giveBackNext(d *delivery) {
	joined, start := r.join(d)
	if start {
		go r.giveBackRounds(joined)
	}
	<-joined.done
}

func (r *returns) giveBackRounds(next *round) {
	for ; next != nil; next = r.follow() {
		r.giveBackAll(context.Background(), next.all)
	}
}

// await waits until what the handler has handed back is handed back.
func (r *returns) await() {
	if last := r.last(); last != nil {
		<-last.done
	}
}

// giveBackAll hands back deliveries that were claimed for it.
func (r *returns) giveBackAll(ctx context.Context, all []*delivery) {
	back := make([]handBack, len(all))
	for i, d := range all {
		back[i] = d.back()
	}
	r.giveBack(ctx, back)
	for _, d := range all {
		r.m.release(d)
	}
}

// giveBack hands back deliveries. It first stores that they were not attempts, then
// releases them to other members. If storing fails, they count as attempts.
func (r *returns) giveBack(ctx context.Context, all []handBack) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, c := range r.m.consumers {
		own := slices.DeleteFunc(slices.Clone(all), func(h handBack) bool { return h.from != c || h.attempts < 0 })
		if len(own) > 0 {
			wait.Go(func() { r.noteReleased(ctx, c, own) })
		}
	}
	wait.Wait()
	for _, h := range all {
		if k := h.from.keyed; k != nil && h.of != nil {
			k.wait(h.of)
		}
		_ = r.m.l.t.nc.Publish(h.reply, nakBody) // without a connection others get it after the AckWait
	}
}

func (r *returns) noteReleased(ctx context.Context, c *consumer, all []handBack) {
	for _, h := range all {
		c.record.Put(h.sequence, h.stored, journal.History{Delivery: h.number, Attempts: h.attempts, Due: h.due})
	}
	for some := range slices.Chunk(all, maxReleased) {
		if r.m.l.t.ready(ctx) != nil {
			return // the hand-back itself is not possible either
		}
		if err := r.storeReleased(ctx, c, some); err != nil {
			r.m.l.t.log.Warn("natsx: deliveries that were handed back count as attempts elsewhere", "group", r.m.group, "log", r.m.l.config.Name, "error", err)
		}
	}
}

func (r *returns) storeReleased(ctx context.Context, c *consumer, all []handBack) error {
	record := releaseRecord{Created: c.created}
	for _, h := range all {
		record.Released = append(record.Released, [4]uint64{h.sequence, h.number, uint64(h.attempts), sinceEpoch(h.due)})
	}
	msg := nats.NewMsg(c.releases)
	msg.Data, _ = json.Marshal(record) // of numbers and a time
	if r.m.l.t.account.Load().level >= levelTTL {
		msg.Header.Set(jetstream.MsgTTLHeader, keepRelease.String())
	}
	return r.m.l.t.state.put(ctx, msg)
}
