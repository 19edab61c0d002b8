package natsx

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// denials knows what the server denies on this connection. The server says so after
// the call has returned, as an error of the connection, in the order of the calls.
type denials struct {
	some atomic.Bool // known is not empty: most connections look no further

	mu       sync.Mutex
	known    map[transport.Denial]*denial // by the Denial without its Err
	order    []transport.Denial           // the keys, the oldest first
	watchers map[*watcher]struct{}

	last error         // the last violation that is known
	next chan struct{} // closed with the next one
}

// denial is what is known of one.
type denial struct {
	err   *transport.Error
	times int
}

// maxDenials bounds how many are known: a keyed event and replies have many subjects.
const maxDenials = 1024

func newDenials() *denials {
	return &denials{known: make(map[transport.Denial]*denial), watchers: make(map[*watcher]struct{}), next: make(chan struct{})}
}

// add notes a denial, and tells watchers of a new one.
func (d *denials) add(key transport.Denial, err *transport.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if is, ok := d.known[key]; ok {
		is.err = err
		is.times++
		return
	}
	if len(d.order) == maxDenials {
		d.remove(d.order[0])
	}
	d.known[key] = &denial{err: err, times: 1}
	d.order = append(d.order, key)
	d.some.Store(true)
	d.tell(key, err)
}

// over forgets a denial, if it is known.
func (d *denials) over(key transport.Denial) {
	if !d.some.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.known[key]; ok {
		d.remove(key)
	}
}

// reset forgets all: the next connection may have other permissions.
func (d *denials) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.order) > 0 {
		d.remove(d.order[0])
	}
}

// remove forgets a denial that is known; the lock is held.
func (d *denials) remove(key transport.Denial) {
	delete(d.known, key)
	for i := range d.order {
		if d.order[i] == key {
			d.order = append(d.order[:i:i], d.order[i+1:]...)
			break
		}
	}
	d.some.Store(len(d.order) > 0)
	d.tell(key, nil)
}

// of returns how often messages on a subject were denied, and the last error.
func (d *denials) of(subject string) (times int, err *transport.Error) {
	if !d.some.Load() {
		return 0, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if is, ok := d.known[transport.Denial{Subject: subject}]; ok {
		return is.times, is.err
	}
	return 0, nil
}

// heard notes a violation once all that follows from it is done.
func (d *denials) heard(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	close(d.next)
	d.next = make(chan struct{})
}

// await waits until what nats.go has read of violations is known: it keeps the last
// one, and has the handler called by another goroutine. If the handler is not called,
// because the user has replaced it on the connection, the wait ends by itself.
func (d *denials) await(ctx context.Context, nc *nats.Conn) {
	ctx, cancel := context.WithTimeout(ctx, heardTimeout)
	defer cancel()
	for {
		d.mu.Lock()
		last, next := d.last, d.next
		d.mu.Unlock()
		if err := nc.LastError(); err == last || !errors.Is(err, nats.ErrPermissionViolation) {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// heardTimeout is far longer than a handler takes to be called.
const heardTimeout = 2 * time.Second

// watcher is one function that is told, and what it has not been told yet.
type watcher struct {
	f       func(transport.Denial)
	waiting []transport.Denial
	busy    bool // a goroutine calls f
}

// tell tells all watchers; the lock is held.
func (d *denials) tell(key transport.Denial, err *transport.Error) {
	key.Err = err
	for w := range d.watchers {
		d.enqueue(w, key)
	}
}

func (d *denials) enqueue(w *watcher, is transport.Denial) {
	w.waiting = append(w.waiting, is)
	if !w.busy {
		w.busy = true
		go d.call(w)
	}
}

func (d *denials) call(w *watcher) {
	for {
		d.mu.Lock()
		if _, watches := d.watchers[w]; !watches || len(w.waiting) == 0 {
			w.busy = false
			d.mu.Unlock()
			return
		}
		is := w.waiting[0]
		w.waiting = w.waiting[1:]
		d.mu.Unlock()
		w.f(is)
	}
}

// Watch implements [transport.Transport].
func (t *Transport) Watch(f func(transport.Denial)) (stop func()) {
	d, w := t.denials, &watcher{f: f}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers[w] = struct{}{}
	for _, key := range d.order {
		is := key
		is.Err = d.known[key].err
		d.enqueue(w, is)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, w)
	}
}

// violation is what the server says that it denies.
type violation struct {
	subscription   bool
	subject, queue string
}

// parseViolation reads an error such as
//
//	nats: permissions violation: Permissions Violation for Subscription to "a.>" using queue "q"
func parseViolation(err error) (v violation, ok bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return v, false
	}
	_, rest, published := strings.Cut(err.Error(), " for Publish to ")
	if !published {
		_, rest, v.subscription = strings.Cut(err.Error(), " for Subscription to ")
	}
	if v.subject, rest, ok = unquote(rest); !ok {
		return v, false
	}
	if _, queue, using := strings.Cut(rest, " using queue "); using {
		v.queue, _, ok = unquote(queue)
	}
	return v, ok
}

// unquote returns the quoted string with which a text begins, and the rest.
func unquote(text string) (value, rest string, ok bool) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", false
	}
	value, err = strconv.Unquote(quoted)
	return value, text[len(quoted):], err == nil
}

// denied is told of every error that the server reports.
func (t *Transport) denied(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	defer t.denials.heard(err)
	v, ok := parseViolation(err)
	switch {
	case !ok:
	case v.subscription:
		t.deniedSubscription(v)
	default:
		t.deniedMessage(v.subject)
	}
}

// deniedMessage ends the wait of requests that the server has not carried. Where
// nobody waits, the denial is one of a Publish, or of what a member says to the server.
func (t *Transport) deniedMessage(subject string) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the server at %s denies publishing to %q: allow %s in the user's permissions, or connect as another", t.address, subject, strconv.Quote(toAllow(subject)))
	if t.failOn(subject, err) {
		return
	}
	key, members := t.membersAbout(subject)
	if t.denyMembers(members, err) {
		t.denials.add(key, err)
	}
}

// toAllow returns what to allow so that a subject is.
func toAllow(subject string) string {
	if strings.HasPrefix(subject, "$JS.") {
		for _, part := range []string{".API.", ".ACK."} {
			if at := strings.Index(subject, part); at >= 0 {
				return subject[:at+len(part)] + ">"
			}
		}
	}
	return subject
}

// failOn ends the wait of all who wait for an answer to what was published on a
// subject, and reports whether there were any.
func (t *Transport) failOn(subject string, err *transport.Error) (any bool) {
	for _, r := range []*requests{&t.requests, &t.acks, &t.questions} {
		any = r.failOn(subject, err) || any
	}
	return any
}

// membersAbout returns what is denied with a subject, and the members of this
// Transport that pull or settle with it.
func (t *Transport) membersAbout(subject string) (key transport.Denial, members []*member) {
	before, stream, consumer, ok := t.pulled(subject)
	if !ok {
		before, stream, consumer, ok = settled(subject)
	}
	key.Subject = subject
	if !ok {
		return key, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for m := range t.members {
		if m.l.config.Name == stream && m.byName[consumer] != nil {
			key = m.denial(before + "." + stream + ".>")
			members = append(members, m)
		}
	}
	return key, members
}

// denyMembers gives the error to members whose Consume has not returned, and reports
// whether somebody else has to be told.
func (t *Transport) denyMembers(members []*member, err *transport.Error) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range members {
		m.denied = err
		tell = tell || m.inForce
	}
	return tell || len(members) == 0
}

// pulled takes apart the subject of a pull.
func (t *Transport) pulled(subject string) (before, stream, consumer string, ok bool) {
	before = t.apiPrefix() + nextSubject
	rest, ok := strings.CutPrefix(subject, before+".")
	if ok {
		stream, consumer, ok = strings.Cut(rest, ".")
	}
	return before, stream, consumer, ok
}

// settled takes apart the subject of a settlement: "$JS.ACK.<stream>.<consumer>.…",
// or with a domain and an account before the stream, and then at least eleven tokens.
func settled(subject string) (before, stream, consumer string, ok bool) {
	tokens := strings.Split(subject, ".")
	at := 2
	if len(tokens) >= 11 {
		at = 4
	}
	if len(tokens) < 9 || tokens[0] != "$JS" || tokens[1] != "ACK" {
		return "", "", "", false
	}
	return strings.Join(tokens[:at], "."), tokens[at], tokens[at+1], true
}

// deniedSubscription is told of a subscription that nothing comes to: a new one, one
// that was made again on a new connection, or one whose permission was withdrawn.
func (t *Transport) deniedSubscription(v violation) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the server at %s denies subscribing to %q: allow it in the user's permissions, or connect as another", t.address, v.subject)
	if t.requests.listensOn(v.subject) || t.acks.listensOn(v.subject) {
		t.deafen(v.subject)
		return
	}
	for _, key := range t.deny(v, err) {
		t.denials.add(key, err)
	}
}

// deny marks whom a denied subscription belongs to, and returns the denials of those
// that were in force. The others return the error themselves.
func (t *Transport) deny(v violation, err *transport.Error) (inForce []transport.Denial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.receivers {
		if r.sub.Subject == v.subject && r.sub.Queue == v.queue {
			if r.denied = err; r.inForce {
				inForce = append(inForce, r.denial())
			}
		}
	}
	for m := range t.members {
		if m.sub.Subject == v.subject {
			if m.denied = err; m.inForce {
				inForce = append(inForce, m.denial(v.subject))
			}
		}
	}
	return inForce
}

// deafen fails all who wait for replies, which cannot come.
func (t *Transport) deafen(subject string) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeUnknown,
		"the server at %s denies subscribing to %q, where replies come: allow %q in the user's permissions, or set InboxPrefix to what is allowed",
		t.address, subject, inboxes(subject))
	t.deaf.Store(err)
	t.failAll(err)
	t.questions.fail(err)
	t.denials.add(transport.Denial{Subject: subject, Subscription: true}, err)
}

// inboxes returns the pattern of which that of some replies, "<prefix>.<id>.*", is one.
func inboxes(pattern string) string {
	tokens := strings.Split(pattern, ".")
	return strings.Join(tokens[:max(len(tokens)-2, 0)], ".") + ".>"
}

// listens reports why no reply can come.
func (t *Transport) listens(what string) error {
	err := t.deaf.Load()
	if err == nil {
		return nil
	}
	err = about(what, err)
	err.Outcome = transport.OutcomeNotDone // and so it is before anything was sent
	return err
}

// forgive forgets all denials.
func (t *Transport) forgive() {
	t.deaf.Store(nil)
	t.mu.Lock()
	for r := range t.receivers {
		r.denied = nil
	}
	for m := range t.members {
		m.denied = nil
	}
	t.mu.Unlock()
	t.denials.reset()
}

// confirm reports whether the server has taken a message on a subject on which it had
// denied so many.
func (t *Transport) confirm(ctx context.Context, subject string, before int) error {
	what := "publish on " + subject
	if err := t.flush(ctx, what); err != nil {
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%w", err)
	}
	times, denial := t.denials.of(subject)
	if times > before {
		return about(what, denial)
	}
	t.denials.over(transport.Denial{Subject: subject})
	return nil
}
