package natsx

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// puller asks one consumer for messages and keeps count of what it has asked for.
// The server answers a pull with messages, and with a status when it has expired,
// which says how many were left; while a pull waits, a heartbeat says that it is
// still known. It is guarded by its owner's lock.
//
// It is ours, where nats.go has one too, so that little can be asked for at a time
// (with few, nats.go's stands still for a whole expiry now and then), settlements
// and what is ahead are known, and a lost connection is noticed at once.
type puller struct {
	consumer string
	made     time.Time // time of creation: tells it from another of the same name
	api      string    // the subject of pulls
	inbox    string    // where answers go: "<inbox>.<index>.<round>"
	index    int
	round    int // answers to earlier rounds do not count

	asked   int  // for, and not come
	heard   bool // since the last tick
	silent  int  // ticks
	held    bool // not before the next tick
	suspect bool // it may be gone

	maxBatch int
	expiry   time.Duration
	patience int // ticks
}

// Times of a pull.
const (
	pullExpiry    = 5 * time.Second
	pullHeartbeat = 500 * time.Millisecond
	pullTick      = 500 * time.Millisecond
	maxSilence    = 4 // ticks without a word until a pull is lost
)

func newPuller(t *Transport, stream string, is *jetstream.ConsumerInfo, inbox string, index int) *puller {
	c := &is.Config
	p := &puller{
		consumer: c.Name, made: is.Created, api: t.apiPrefix() + ".CONSUMER.MSG.NEXT." + stream + "." + c.Name, inbox: inbox, index: index,
		maxBatch: maxAhead, expiry: pullExpiry, patience: maxSilence,
	}
	if c.MaxRequestBatch > 0 {
		p.maxBatch = min(p.maxBatch, c.MaxRequestBatch)
	}
	if c.MaxRequestExpires > 0 {
		p.expiry = min(p.expiry, c.MaxRequestExpires)
	}
	if !p.heartbeats() {
		p.patience += 4 * int(pullHeartbeat/pullTick) // it expires before
	}
	return p
}

// pull is a request that is to be sent.
type pull struct {
	subject, reply string
	body           []byte
}

// ask counts n more as asked for and returns the request for them.
func (p *puller) ask(n int) pull {
	n = min(n, p.maxBatch)
	p.asked += n
	return pull{subject: p.api, reply: p.inbox + "." + strconv.Itoa(p.index) + "." + strconv.Itoa(p.round), body: p.request(n)}
}

func (p *puller) request(n int) []byte {
	body := append(make([]byte, 0, 80), `{"batch":`...)
	body = strconv.AppendInt(body, int64(n), 10)
	body = append(body, `,"expires":`...)
	body = strconv.AppendInt(body, int64(p.expiry), 10)
	if p.heartbeats() {
		body = append(body, `,"idle_heartbeat":`...)
		body = strconv.AppendInt(body, int64(pullHeartbeat), 10)
	}
	return append(body, '}')
}

// heartbeats reports whether a pull lasts long enough for the server to send any.
func (p *puller) heartbeats() bool { return pullHeartbeat*2 < p.expiry }

// came counts a message.
func (p *puller) came() {
	p.heard = true
	p.asked = max(p.asked-1, 0)
}

// restart forgets what was asked for.
func (p *puller) restart() {
	p.round++
	p.asked, p.silent, p.heard = 0, 0, false
}

// tick notices that nothing has been heard for too long.
func (p *puller) tick() {
	p.held = false
	if p.heard || p.asked == 0 {
		p.heard, p.silent = false, 0
		return
	}
	if p.silent++; p.silent >= p.patience {
		p.restart()
	}
}

// isStatus reports whether a message is the server's word about a pull: what a
// stream delivers can be acknowledged.
func isStatus(msg *nats.Msg) bool { return msg.Reply == "" }

// statusOf returns the puller and round that a status is for.
func statusOf(msg *nats.Msg, inbox string) (index, round int, ok bool) {
	rest, ok := strings.CutPrefix(msg.Subject, inbox+".")
	first, second, cut := strings.Cut(rest, ".")
	index, err1 := strconv.Atoi(first)
	round, err2 := strconv.Atoi(second)
	return index, round, ok && cut && err1 == nil && err2 == nil
}

// status takes the server's word about a pull, and reports that the consumer was
// deleted.
func (p *puller) status(msg *nats.Msg) (deleted bool) {
	p.heard = true
	description := msg.Header.Get("Description")
	switch msg.Header.Get("Status") {
	case "100":
	case "404", "408":
		left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
		if err != nil || left < 0 {
			left = p.asked
		}
		p.asked = max(p.asked-left, 0)
	case "503":
		p.restart()
		p.held, p.suspect = true, true
	case "409":
		p.restart()
		p.held = true
		return strings.Contains(description, "Consumer Deleted")
	default:
		p.restart()
		p.held = true
	}
	return false
}
