package natsx

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport/natsx/internal/keyorder"
)

// A member that gives up a partition stores in the state stream which messages it has not settled,
// before others can get the pin. The next owner thus knows which keys wait, and goes on with all
// others at once. Without such a record, or if another owner was in between, it learns them from
// the state of the consumer.

// handoverPrefix is followed by the stream and the consumer.
const handoverPrefix = "_mono.handover."

// handoverRecord is the stored form of a [keyorder.Handover].
type handoverRecord struct {
	Created   time.Time         `json:"created"` // of the consumer: a later one may have the same name
	Delivery  uint64            `json:"delivery"`
	Unsettled map[uint64]string `json:"unsettled"` // sequences and keys
}

const (
	keepHandover = time.Hour

	// maxHandover bounds a record, in bytes, so that it fits into the payload of most servers.
	maxHandover = 512 << 10
)

func (k *keyed) handoverSubject() string {
	return handoverPrefix + k.m.l.config.Name + "." + k.from.name
}

// handover returns the record of the partition that was given up, or nil. The caller holds the
// member's lock.
func (k *keyed) handover() []byte {
	h := k.order.Barrier().Handover()
	if h == nil {
		return nil
	}
	record, _ := json.Marshal(handoverRecord{k.from.created, h.Delivery, h.Unsettled}) // of numbers and strings
	return record
}

// store stores a record. If that fails, the next owner does without.
func (k *keyed) store(record []byte) {
	if record == nil || len(record) > maxHandover {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	msg := nats.NewMsg(k.handoverSubject())
	if msg.Data = record; k.m.l.t.account.Load().level >= levelTTL {
		msg.Header.Set(jetstream.MsgTTLHeader, keepHandover.String())
	}
	if k.m.l.t.ready(ctx) == nil {
		_ = k.m.l.t.state.put(ctx, msg)
	}
}

// readHandover reads the last record of the partition.
func (k *keyed) readHandover(ctx context.Context) {
	m, err := k.m.l.t.state.read(ctx, map[string]any{"last_by_subj": k.handoverSubject()})
	var record handoverRecord
	if err != nil || json.Unmarshal(m.Data, &record) != nil || !record.Created.Equal(k.from.created) {
		return
	}
	if record.Unsettled == nil {
		record.Unsettled = make(map[uint64]string)
	}
	k.m.mu.Lock()
	defer k.m.mu.Unlock()
	k.order.Barrier().Take(&keyorder.Handover{Delivery: record.Delivery, Unsettled: record.Unsettled})
}
