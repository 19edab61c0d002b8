package natsx

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pullSource receives messages that it pulls from consumers of one stream. They arrive on one
// inbox, in a channel with room for all that may be requested: nats.go drops a message for
// which it finds no room, and the server would redeliver it after the AckWait. The owner's
// lock guards a pullSource.
type pullSource struct {
	t       *Transport
	stream  string
	inbox   string
	sub     *nats.Subscription
	arrived chan *nats.Msg // messages from nats.go, in order
	ended   chan struct{}  // closed after the last message from nats.go
	pullers []*puller      // one for each consumer
	byName  map[string]*puller
	breaks  int // disconnects at the last look
}

// statuses is the number of statuses for which there is room: two a second while a pull
// lasts, and its end.
const statuses = 16

// newPullSource returns a source with room for messages, besides statuses.
func newPullSource(t *Transport, stream string, room int, consumers ...*jetstream.ConsumerInfo) *pullSource {
	s := &pullSource{t: t, stream: stream, inbox: t.nc.NewInbox(), ended: make(chan struct{}), byName: make(map[string]*puller)}
	for i, is := range consumers {
		p := newPuller(s, &is.Config, i)
		s.pullers, s.byName[is.Name] = append(s.pullers, p), p
	}
	s.arrived = make(chan *nats.Msg, room+statuses*len(consumers))
	return s
}

// open subscribes to the inbox.
func (s *pullSource) open() (err error) {
	s.breaks, _ = s.t.link.state()
	if s.sub, err = s.t.nc.ChanSubscribe(s.inbox+".>", s.arrived); err != nil {
		return err
	}
	ended := sync.OnceFunc(func() { close(s.ended) }) // a late drain calls it again
	s.sub.SetClosedHandler(func(string) { ended() })
	return nil
}

// stop ends the subscription at the server. The returned function waits until all messages
// that the server sent before have arrived.
func (s *pullSource) stop() (wait func()) {
	broken := s.t.link.watch()
	draining := s.sub.Drain() == nil
	return func() {
		if draining {
			select {
			case <-s.ended:
			case <-broken:
			case <-time.After(writeTimeout):
			}
		}
		s.close()
	}
}

// close ends the subscription immediately.
func (s *pullSource) close() { _ = s.sub.Unsubscribe() } // an error means that it has already ended

// receive handles a message. It returns the puller that requested the message, or that the
// status concerns, and nil for any other message. The metadata of a status has no stream.
func (s *pullSource) receive(msg *nats.Msg, about *nats.MsgMetadata) *puller {
	if isStatus(msg) {
		return s.receiveStatus(msg)
	}
	p := s.pullerOf(msg, about)
	if p != nil {
		p.answered = true
		p.requested = max(p.requested-1, 0)
		p.filled()
	}
	return p
}

// pullerOf returns the puller of the consumer that sent a message, or nil.
func (s *pullSource) pullerOf(msg *nats.Msg, about *nats.MsgMetadata) *puller {
	if isStatus(msg) || readMetadata(about, msg) != nil {
		return nil
	}
	return s.byName[about.Consumer]
}

// receiveStatus handles a status of a pull. It returns nil for a status of an earlier round.
func (s *pullSource) receiveStatus(msg *nats.Msg) *puller {
	number, round, _ := strings.Cut(strings.TrimPrefix(msg.Subject, s.inbox+"."), ".")
	round, of, _ := strings.Cut(round, ".")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(s.pullers) || round != strconv.Itoa(s.pullers[i].round) {
		return nil
	}
	s.pullers[i].reached(of, msg.Header.Get("Status") != "100")
	s.pullers[i].status(msg)
	return s.pullers[i]
}

// connected reports whether the connection is that of the last tick.
func (s *pullSource) connected() bool {
	breaks, up := s.t.link.state()
	return up && breaks == s.breaks
}

// send sends a request. tick notices a lost one.
func (s *pullSource) send(p pull) error { return s.t.nc.PublishRequest(p.subject, p.reply, p.body) }

// tick detects messages that did not arrive, and reports whether the connection was lost. The
// messages that were requested on the old connection will not arrive.
func (s *pullSource) tick() (lost bool) {
	breaks, _ := s.t.link.state()
	lost = breaks != s.breaks
	s.breaks = breaks
	for _, p := range s.pullers {
		if p.tick(); lost {
			p.restart()
			p.suspect = true
		}
	}
	return lost
}

// puller requests messages from one consumer and counts the requested ones. The server
// answers a pull with messages. When the pull has expired, it sends a status with the number
// of messages that are left. While a pull waits, heartbeats show that it still exists.
//
// nats.go can pull too, but sometimes waits for a whole expiry if few messages are requested
// at a time. The puller can request few. It also takes settlements and waiting messages into
// account, and notices a lost connection immediately.
type puller struct {
	name  string // of the consumer
	index int    // in the source
	api   string // the subject of pulls
	inbox string // subject of answers without the round
	round int    // answers to earlier rounds are ignored

	requested int  // requested messages that have not arrived
	answered  bool // an answer arrived since the last tick
	silent    int  // ticks without an answer
	held      bool // no pull before the next tick
	suspect   bool // the consumer may be gone

	maxBatch  int
	expiry    time.Duration
	heartbeat time.Duration
	patience  int // ticks until a pull is lost

	group string // the priority group, or ""
	pin   string // id of the pin of the member, or ""
	lost  bool   // the server has answered that another pin is valid

	// The pulls of a priority group that the server may have yet to answer, and the time at which
	// the latest answered one was sent.
	sent   []sentPull
	number int // of the last one
	fresh  time.Time
}

// sentPull is a pull on its way.
type sentPull struct {
	number int
	at     time.Time
	left   int // messages
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

func newPuller(s *pullSource, c *jetstream.ConsumerConfig, index int) *puller {
	p := &puller{
		name: c.Name, index: index, api: s.t.api.prefix() + nextSubject + "." + s.stream + "." + c.Name, inbox: s.inbox + "." + strconv.Itoa(index) + ".",
		maxBatch: maxPrefetch, expiry: pullExpiry, heartbeat: pullHeartbeat, patience: maxSilence,
	}
	if isKeyed(c) { // the answers to its pulls are a lease
		p.group, p.expiry, p.heartbeat = membersGroup, c.PinnedTTL, min(c.PinnedTTL/6, pullHeartbeat)
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
	reply := p.inbox + strconv.Itoa(p.round)
	if p.group != "" {
		now := time.Now()
		for len(p.sent) > 0 && now.Sub(p.sent[0].at) > 2*p.expiry { // its last status was lost
			p.sent = p.sent[1:]
		}
		p.number++
		p.sent = append(p.sent, sentPull{p.number, now, n})
		reply += "." + strconv.Itoa(p.number)
	}
	return pull{subject: p.api, reply: reply, body: p.requestBody(n)}
}

// filled notes a message: the oldest pull is answered first.
func (p *puller) filled() {
	if len(p.sent) == 0 {
		return
	}
	first := &p.sent[0]
	p.fresh = first.at
	if first.left--; first.left == 0 {
		p.sent = p.sent[1:]
	}
}

// reached notes that a status of a pull has arrived, perhaps its last one.
func (p *puller) reached(number string, last bool) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	for len(p.sent) > 0 && p.sent[0].number < n {
		p.sent = p.sent[1:]
	}
	if len(p.sent) > 0 && p.sent[0].number == n {
		p.fresh = p.sent[0].at
		if last {
			p.sent = p.sent[1:]
		}
	}
}

func (p *puller) requestBody(n int) []byte {
	body := append(make([]byte, 0, 80), `{"batch":`...)
	body = strconv.AppendInt(body, int64(n), 10)
	body = append(body, `,"expires":`...)
	body = strconv.AppendInt(body, int64(p.expiry), 10)
	if p.heartbeats() {
		body = append(body, `,"idle_heartbeat":`...)
		body = strconv.AppendInt(body, int64(p.heartbeat), 10)
	}
	if p.group != "" {
		body = append(append(append(body, `,"group":"`...), p.group...), '"')
	}
	if p.pin != "" {
		body = append(append(append(body, `,"id":"`...), p.pin...), '"')
	}
	return append(body, '}')
}

// heartbeats reports whether a pull lasts long enough for heartbeats.
func (p *puller) heartbeats() bool { return p.heartbeat*2 < p.expiry }

// restart resets the count of requested messages.
func (p *puller) restart() {
	p.round++
	p.requested, p.silent, p.answered, p.sent = 0, 0, false, nil
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

// status handles a status of a pull.
func (p *puller) status(msg *nats.Msg) {
	p.answered = true
	code := msg.Header.Get("Status")
	switch code {
	case "100":
		return
	case "404", "408":
		left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
		if err != nil || left < 0 {
			left = p.requested
		}
		p.requested = max(p.requested-left, 0)
		return
	}
	p.restart()
	if code == "423" { // pin id mismatch
		p.pin, p.lost = "", true
		return
	}
	p.held = true
	if code == "503" || code == "409" && strings.Contains(msg.Header.Get("Description"), "Consumer Deleted") {
		p.suspect = true
	}
}
