package natsx

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// puller requests messages from one consumer and counts the requested ones. The server
// answers a pull with messages. When the pull has expired, it sends a status with the number
// of messages that are left. While a pull waits, heartbeats show that it still exists. The
// owner's lock guards the puller.
//
// nats.go can pull too, but sometimes waits for a whole expiry if few messages are requested
// at a time. The puller can request few. It also takes settlements and waiting messages into
// account, and notices a lost connection immediately.
type puller struct {
	name  string // of the consumer
	api   string // the subject of pulls
	inbox string // subject of answers: "<inbox>.<index>.<round>"
	index int
	round int // answers to earlier rounds are ignored

	requested int  // requested messages that have not arrived
	answered  bool // an answer arrived since the last tick
	silent    int  // ticks without an answer
	held      bool // no pull before the next tick
	suspect   bool // the consumer may be gone

	maxBatch int
	expiry   time.Duration
	patience int // ticks until a pull is lost
}

// Times of a pull.
const (
	pullExpiry    = 5 * time.Second
	pullHeartbeat = 500 * time.Millisecond
	pullTick      = 500 * time.Millisecond
	maxSilence    = 4 // ticks without an answer until a pull is lost
)

// nextSubject follows the prefix of the API in the subjects of pulls.
const nextSubject = ".CONSUMER.MSG.NEXT"

func newPuller(t *Transport, stream string, c *jetstream.ConsumerConfig, inbox string, index int) puller {
	p := puller{
		name: c.Name, api: t.apiPrefix() + nextSubject + "." + stream + "." + c.Name, inbox: inbox, index: index,
		maxBatch: maxPrefetch, expiry: pullExpiry, patience: maxSilence,
	}
	if c.MaxRequestBatch > 0 {
		p.maxBatch = min(p.maxBatch, c.MaxRequestBatch)
	}
	if c.MaxRequestExpires > 0 {
		p.expiry = min(p.expiry, c.MaxRequestExpires)
	}
	if !p.heartbeats() {
		p.patience += 4 * int(pullHeartbeat/pullTick) // the pull expires before
	}
	return p
}

// pull is a request to send.
type pull struct {
	subject, reply string
	body           []byte
}

// newPull counts n more messages as requested and returns the request for them.
func (p *puller) newPull(n int) pull {
	n = min(n, p.maxBatch)
	p.requested += n
	return pull{subject: p.api, reply: p.inbox + "." + strconv.Itoa(p.index) + "." + strconv.Itoa(p.round), body: p.requestBody(n)}
}

func (p *puller) requestBody(n int) []byte {
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

// heartbeats reports whether a pull lasts long enough for heartbeats.
func (p *puller) heartbeats() bool { return pullHeartbeat*2 < p.expiry }

// came counts a message.
func (p *puller) came() {
	p.answered = true
	p.requested = max(p.requested-1, 0)
}

// restart resets the count of requested messages.
func (p *puller) restart() {
	p.round++
	p.requested, p.silent, p.answered = 0, 0, false
}

// tick restarts the puller after too many ticks without an answer.
func (p *puller) tick() {
	p.held = false
	if p.answered || p.requested == 0 {
		p.answered, p.silent = false, 0
		return
	}
	if p.silent++; p.silent >= p.patience {
		p.restart()
	}
}

// isStatus reports whether a message is a status of a pull. Messages of a stream have a
// subject for the acknowledgement.
func isStatus(msg *nats.Msg) bool { return msg.Reply == "" }

// statusOf returns the puller and the round of a status.
func statusOf(msg *nats.Msg, inbox string) (index, round int, ok bool) {
	rest, ok := strings.CutPrefix(msg.Subject, inbox+".")
	first, second, cut := strings.Cut(rest, ".")
	index, err1 := strconv.Atoi(first)
	round, err2 := strconv.Atoi(second)
	return index, round, ok && cut && err1 == nil && err2 == nil
}

// status handles a status of a pull, and reports whether the consumer was deleted.
func (p *puller) status(msg *nats.Msg) (deleted bool) {
	p.answered = true
	description := msg.Header.Get("Description")
	switch msg.Header.Get("Status") {
	case "100":
	case "404", "408":
		left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
		if err != nil || left < 0 {
			left = p.requested
		}
		p.requested = max(p.requested-left, 0)
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
