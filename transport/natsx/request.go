package natsx

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
	"gomono.dev/transport/natsx/internal/brief"
)

// requests waits for the replies to all requests of a Transport, on one wildcard
// subscription. nats.go has the same, but there a lost connection does not end the wait.
type requests struct {
	prefix string
	sub    *nats.Subscription

	idle sync.Pool // of channels for one answer, all empty

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]waiter // by number
	mark    uint64            // numbers up to it existed at the last sweep
	sweeps  bool              // a sweep is scheduled
}

// waiter is a request that waits on a channel, or for a call.
type waiter struct {
	subject string
	reply   chan answer // with room for all replies
	call    answerer    // nil: use the channel
	many    bool        // the entry stays after a reply
}

// answerer is called with the answer to a request.
type answerer interface{ answered(answer) }

type answerFunc func(answer)

func (f answerFunc) answered(a answer) { f(a) }

// answer passes a reply on. It drops one for which there is no room.
func (w waiter) answer(a answer) {
	if w.call != nil {
		w.call.answered(a)
		return
	}
	select {
	case w.reply <- a:
	default:
	}
}

// answer is the result of a request.
type answer struct {
	msg *nats.Msg
	err *transport.Error
}

// begin subscribes to replies.
func (r *requests) begin(nc *nats.Conn) error {
	var err error
	if r.sub, err = nc.Subscribe(r.prefix+"*", r.reply); err != nil {
		return err
	}
	return r.sub.SetPendingLimits(-1, -1)
}

// drain delivers the replies that have arrived. It stops if the connection goes down
// meanwhile: nats.go would wait for the next connection.
func (r *requests) drain(ctx context.Context, down <-chan struct{}) error {
	drained := make(chan struct{})
	r.sub.SetClosedHandler(func(string) { close(drained) })
	if err := r.sub.Drain(); err != nil {
		return nil // the connection is closed, and the subscription with it
	}
	select {
	case <-drained:
		return nil
	case <-down:
		return nil
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeUnknown, "replies that had arrived were lost")
	}
}

// open adds an entry for one reply.
func (r *requests) open(subject string) (number uint64, reply chan answer) {
	reply, ok := r.idle.Get().(chan answer)
	if !ok {
		reply = make(chan answer, 1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(waiter{subject: subject, reply: reply}), reply
}

// openMany adds an entry for at most n replies. The caller takes it.
func (r *requests) openMany(subject string, n int) (number uint64, replies chan answer) {
	replies = make(chan answer, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(waiter{subject: subject, reply: replies, many: true}), replies
}

// expect adds an entry for one reply. call is called with the reply, on the goroutine that
// receives all replies.
func (r *requests) expect(subject string, call answerer) (number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.sweeps {
		r.sweeps = true
		time.AfterFunc(sweepInterval, r.sweep)
	}
	return r.add(waiter{subject: subject, call: call})
}

func (r *requests) add(w waiter) (number uint64) {
	if r.waiting == nil {
		r.waiting = make(map[uint64]waiter)
	}
	r.next++
	r.waiting[r.next] = w
	return r.next
}

// inbox returns the subject for the replies to a request.
func (r *requests) inbox(number uint64) string {
	return string(r.appendInbox(make([]byte, 0, 64), number))
}

func (r *requests) appendInbox(b []byte, number uint64) []byte {
	return strconv.AppendUint(append(b, r.prefix...), number, 36)
}

// take removes an entry. It reports false if the entry was removed before.
func (r *requests) take(number uint64) (waiter, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.waiting[number]
	delete(r.waiting, number)
	return w, ok
}

// sweepInterval bounds the wait of an entry without a context. The wait ends after one to two
// intervals.
const sweepInterval = 10 * time.Second

// sweep ends the wait of the entries that existed at the last sweep. It schedules the next
// sweep while there are entries. Entries need no timers of their own.
func (r *requests) sweep() {
	r.end(errSilent, func(number uint64, w waiter) bool { return w.call != nil && number <= r.mark })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mark = r.next
	if r.sweeps = len(r.waiting) > 0; r.sweeps {
		time.AfterFunc(sweepInterval, r.sweep)
	}
}

// end ends the wait of requests with an error, and reports whether there were any.
func (r *requests) end(err *transport.Error, which func(uint64, waiter) bool) bool {
	r.mu.Lock()
	var ended []waiter
	for number, w := range r.waiting {
		if which(number, w) {
			delete(r.waiting, number)
			ended = append(ended, w)
		}
	}
	r.mu.Unlock()
	for _, w := range ended {
		w.answer(answer{err: err})
	}
	return len(ended) > 0
}

func (r *requests) reply(msg *nats.Msg) {
	number := uint64(0)
	if token, ours := strings.CutPrefix(msg.Subject, r.prefix); ours {
		number = brief.Number(token)
	} else {
		number = r.only()
	}
	if w, ok := r.find(number); ok {
		w.answer(answer{msg: msg})
	}
}

// find returns the entry for a reply, and removes it unless more replies follow.
func (r *requests) find(number uint64) (waiter, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.waiting[number]
	if !w.many {
		delete(r.waiting, number)
	}
	return w, ok
}

// only returns the number of the only request that waits, or 0. JetStream replies to a pull
// with the message itself, under the subject of the message. The reply therefore identifies
// its request only if no other request waits.
func (r *requests) only() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 1 {
		for number := range r.waiting {
			return number
		}
	}
	return 0
}

// watch adds an entry for the error of a request that nats.go sends. done is called with the
// error. See retarget.
func (r *requests) watch(subject string, done func(answer)) (number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(waiter{subject: subject, call: answerFunc(done)})
}

// retarget changes the subject of an entry.
func (r *requests) retarget(number uint64, subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.waiting[number]; ok {
		w.subject = subject
		r.waiting[number] = w
	}
}

// listensOn reports whether replies arrive on the pattern.
func (r *requests) listensOn(pattern string) bool { return pattern == r.prefix+"*" }

// failOn ends the wait of the requests on a subject, and reports whether there were any.
func (r *requests) failOn(subject string, err *transport.Error) bool {
	return r.end(err, func(_ uint64, w waiter) bool { return w.subject == subject })
}

// fail ends the wait of all requests.
func (r *requests) fail(err *transport.Error) { r.end(err, func(uint64, waiter) bool { return true }) }

// Request implements [driver.Conn].
func (c conn) Request(ctx context.Context, m *transport.Message) (*transport.Message, error) {
	p := c.t.providers.Of(m.Subject)
	msg, err := c.t.ask(ctx, &c.t.requests, c.t.outgoing.getRequest(m, p.Understands()))
	if err == nil && noResponders(msg) {
		err = unavailable("no subscribers")
	}
	if err != nil {
		p.Silent()
		return nil, err
	}
	reply, confirms := answered(msg)
	p.Replied(confirms)
	return reply, nil
}

// ask sends a request, and waits for its first reply on r.
func (t *Transport) ask(ctx context.Context, r *requests, msg *outgoing) (*nats.Msg, error) {
	number, reply, err := t.beginRequest(r, msg)
	if err != nil {
		return nil, err
	}
	a, err := t.nextAnswer(ctx, 0, reply)
	answer, err := r.finishRequest(number, reply, a, err)
	r.idle.Put(reply) // its only answer was received, or its entry was removed before
	return answer, err
}

// beginRequest sends a request, and adds an entry for its reply to r.
func (t *Transport) beginRequest(r *requests, msg *outgoing) (number uint64, reply chan answer, err error) {
	if err := t.permissions.checkReplies(); err != nil {
		t.outgoing.put(msg)
		return 0, nil, err
	}
	number, reply = r.open(msg.Subject)
	msg.setReply(r, number)
	if err := t.send(msg); err != nil {
		r.take(number)
		return 0, nil, err
	}
	return number, reply, nil
}

// finishRequest returns the reply that was received, or the error of the wait for it. A reply that
// arrived before the end of the wait is returned, also if both are noticed at the same time.
func (r *requests) finishRequest(number uint64, reply chan answer, a answer, err error) (*nats.Msg, error) {
	if err != nil {
		if _, waited := r.take(number); waited {
			return nil, err
		}
		a = <-reply
	}
	if a.err != nil {
		return nil, a.err
	}
	return a.msg, nil
}

// errSilent is the error of a wait that has reached its limit before the end of its context.
var errSilent = transport.Errorf(transport.DeadlineExceeded, transport.OutcomeUnknown, "no answer in time")

// nextAnswer waits for a reply until ctx ends, or for at most limit if that is not 0.
func (t *Transport) nextAnswer(ctx context.Context, limit time.Duration, replies <-chan answer) (a answer, err error) {
	select {
	case a = <-replies:
		return a, nil
	default:
	}
	done, late, timer := t.timers.Wait(ctx, limit)
	select {
	case a = <-replies:
	case <-done:
		err = ctx.Err()
	case <-late:
		if err = ctx.Err(); err == nil {
			err = errSilent
		}
	}
	t.timers.Stop(timer)
	return a, err
}

// noResponders reports whether a reply is the server's notice that there are no subscribers.
func noResponders(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && msg.Header.Get("Status") == "503"
}
