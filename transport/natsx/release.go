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

// released holds the hand-backs of one consumer that this process has read.
type released struct {
	// These are only for the goroutine that reads.
	last    recordPosition // of the last record that was read
	checked bool           // checkLast has succeeded since catchUp was called
	silent  bool           // the last read failed

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
	Released [][3]uint64 `json:"released"` // sequence of the message, number of the delivery, attempts before it
}

// noteTimeout bounds the time to store hand-backs.
const noteTimeout = time.Second

// maxReleased bounds the hand-backs of a record, which stays below 16 KiB.
const maxReleased = 500

// update reads the hand-backs that were stored since the last update. If it fails, it keeps
// the hand-backs that it has read.
func (r *released) update(t *Transport, c *consumer, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := r.checkLast(ctx, t, c); err != nil {
		return err
	}
	for {
		m, err := nextRelease(ctx, t, c, r.last.sequence+1)
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
func (r *released) checkLast(ctx context.Context, t *Transport, c *consumer) error {
	if r.checked || r.last.sequence == 0 {
		r.checked = true
		return nil
	}
	m, err := nextRelease(ctx, t, c, r.last.sequence)
	if err != nil {
		return err
	}
	if m == nil || m.Sequence != r.last.sequence || !m.Time.Equal(r.last.stored) {
		r.last = recordPosition{}
	}
	r.checked = true
	return nil
}

// nextRelease reads the first record of a consumer's hand-backs from a sequence on. It returns
// nil if there is none.
func nextRelease(ctx context.Context, t *Transport, c *consumer, from uint64) (*storedMessage, error) {
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
		r.bySeq[of[0]] = journal.History{Delivery: of[1], Attempts: int(of[2])}
	}
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
	sequence uint64
	stored   time.Time
	number   uint64
	attempts int // before it; negative if unknown
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
		_ = r.m.l.t.nc.Publish(h.reply, nakBody) // without a connection others get it after the AckWait
	}
}

func (r *returns) noteReleased(ctx context.Context, c *consumer, all []handBack) {
	for _, h := range all {
		c.record.Put(h.sequence, h.stored, journal.History{Delivery: h.number, Attempts: h.attempts})
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
		record.Released = append(record.Released, [3]uint64{h.sequence, h.number, uint64(h.attempts)})
	}
	msg := nats.NewMsg(c.releases)
	msg.Data, _ = json.Marshal(record) // of numbers and a time
	if r.m.l.t.account.Load().level >= levelTTL {
		msg.Header.Set(jetstream.MsgTTLHeader, keepRelease.String())
	}
	return r.m.l.t.state.put(ctx, msg)
}
