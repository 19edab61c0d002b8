package natsx

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gomono.dev/transport"
)

// denials holds the denials of the server on this connection. The server reports them after
// the calls have returned, as errors of the connection, in the order of the calls.
type denials struct {
	some atomic.Bool // known is not empty; usually false, which avoids the lock

	mu       sync.Mutex
	known    map[transport.Denial]*denial // by Denial without Err
	families map[string]int               // number of denied subjects of each family
	order    []transport.Denial           // keys of known, oldest first
	watchers map[*watcher]struct{}

	last error         // last recorded violation
	next chan struct{} // closed at the next violation
}

// denial is the state of one key.
type denial struct {
	err   *transport.Error
	times int
}

// maxDenials bounds the number of denials: keyed events and replies use many subjects.
const maxDenials = 1024

func newDenials() *denials {
	return &denials{
		known: make(map[transport.Denial]*denial), families: make(map[string]int),
		watchers: make(map[*watcher]struct{}), next: make(chan struct{}),
	}
}

// add records a denial, and notifies watchers if it is new.
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
	if isMessage(key) {
		d.families[family(key.Subject)]++
	}
	d.some.Store(true)
	d.notify(key, err)
}

// over removes a denial, if it is known.
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

// reset removes all denials: the next connection may have other permissions.
func (d *denials) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.order) > 0 {
		d.remove(d.order[0])
	}
}

// remove removes a known denial. The caller holds the lock.
func (d *denials) remove(key transport.Denial) {
	delete(d.known, key)
	if i := slices.Index(d.order, key); i >= 0 {
		d.order = slices.Delete(d.order, i, i+1)
	}
	if of := family(key.Subject); isMessage(key) {
		if d.families[of]--; d.families[of] == 0 {
			delete(d.families, of)
		}
	}
	d.some.Store(len(d.order) > 0)
	d.notify(key, nil)
}

// isMessage reports whether a denial concerns messages on its subject.
func isMessage(key transport.Denial) bool { return key == transport.Denial{Subject: key.Subject} }

// suspects reports whether messages on a subject, or on another subject of its family, were
// denied.
func (d *denials) suspects(subject string) bool {
	if !d.some.Load() {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.families[family(subject)] > 0
}

// of returns how often messages on a subject were denied, and the last error.
func (d *denials) of(subject string) (times int, err *transport.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if is, ok := d.known[transport.Denial{Subject: subject}]; ok {
		return is.times, is.err
	}
	return 0, nil
}

// family returns the part of a subject that the keys of a handle share: everything before the
// last token, if that follows a suffix such as "_k". Any other subject is its own family.
func family(subject string) string {
	rest, _, ok := cutLast(subject)
	if !ok {
		return subject
	}
	if _, suffix, ok := cutLast(rest); ok && strings.HasPrefix(suffix, "_") {
		return rest
	}
	return subject
}

// cutLast cuts the last token from a subject.
func cutLast(subject string) (before, last string, ok bool) {
	at := strings.LastIndexByte(subject, '.')
	if at < 0 {
		return "", subject, false
	}
	return subject[:at], subject[at+1:], true
}

// record records a violation. It is called after the effects of the violation.
func (d *denials) record(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
	close(d.next)
	d.next = make(chan struct{})
}

// await waits until all violations that nats.go has read are recorded. nats.go stores the
// last one, and calls the handler on another goroutine. The wait times out if the user has
// replaced the handler on the connection.
func (d *denials) await(ctx context.Context, nc *nats.Conn) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
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

// recordTimeout is much longer than the time until nats.go calls a handler.
const recordTimeout = 2 * time.Second

// watcher is a function of Watch, and the denials that it has yet to receive.
type watcher struct {
	f       func(transport.Denial)
	waiting []transport.Denial
	busy    bool // a goroutine calls f
}

// notify notifies all watchers. The caller holds the lock.
func (d *denials) notify(key transport.Denial, err *transport.Error) {
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

// Watch implements [driver.Conn].
func (c conn) Watch(f func(transport.Denial)) (stop func()) {
	d, w := c.t.denials, &watcher{f: f}
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

// reset removes all denials.
func (p *permissions) reset() {
	p.repliesDenied.Store(nil)
	p.t.mu.Lock()
	for r := range p.t.receivers {
		r.denied = nil
	}
	for m := range p.t.members {
		m.denied = nil
	}
	p.t.mu.Unlock()
	p.t.denials.reset()
}

// confirm reports whether the server accepted a message on a suspect subject. before is the
// number of denials of the subject before the message.
func (p *permissions) confirm(ctx context.Context, subject string, before int) error {
	if err := p.t.flush(ctx); err != nil {
		return transport.Errorf(transport.CodeOf(err), transport.OutcomeUnknown, "%w", err)
	}
	times, denial := p.t.denials.of(subject)
	if times > before {
		return denial
	}
	p.t.denials.over(transport.Denial{Subject: subject})
	return nil
}

// violation names the subject that the server denies.
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

// unquote returns the quoted string at the beginning of a text, and the rest.
func unquote(text string) (value, rest string, ok bool) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		return "", "", false
	}
	value, err = strconv.Unquote(quoted)
	return value, text[len(quoted):], err == nil
}

// permissions handles what the server denies on the connection.
type permissions struct {
	t                *Transport
	repliesDenied    atomic.Pointer[transport.Error] // why replies cannot arrive
	warnNoAdvisories sync.Once
}

// handleError handles an error that the server reports on the connection.
func (p *permissions) handleError(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	defer p.t.denials.record(err)
	v, ok := parseViolation(err)
	switch {
	case !ok:
	case v.subscription:
		p.denySubscription(v)
	default:
		p.denyMessage(v.subject)
	}
}

// denyMessage ends the wait of requests that the server has denied. If there are none, the
// denial concerns a Publish, or a pull or settlement of a member.
func (p *permissions) denyMessage(subject string) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the server at %s denies publishing to %q: allow %s in the user's permissions, or connect as another user", p.t.address, subject, strconv.Quote(toAllow(subject)))
	if p.failOn(subject, err) {
		return
	}
	key, members := p.membersAbout(subject)
	if p.denyMembers(members, err) {
		p.t.denials.add(key, err)
	}
}

// toAllow returns the pattern that a user needs for a subject.
func toAllow(subject string) string {
	if strings.HasPrefix(subject, "$JS.") {
		for _, part := range []string{".API.", ".ACK."} {
			if at := strings.Index(subject, part); at >= 0 {
				return subject[:at+len(part)] + ">"
			}
		}
	}
	for _, prefix := range []string{membersPrefix, statePrefix} {
		if strings.HasPrefix(subject, prefix) {
			return prefix + ">"
		}
	}
	if of := family(subject); of != subject {
		return of + ".*"
	}
	return subject
}

// failOn ends all waits for an answer to a message on a subject, and reports whether there
// were any.
func (p *permissions) failOn(subject string, err *transport.Error) (any bool) {
	for _, r := range []*requests{&p.t.requests, &p.t.acks, &p.t.api.requests} {
		any = r.failOn(subject, err) || any
	}
	return any
}

// membersAbout returns the denial of a subject, and the members of this Transport that pull
// or settle on it.
func (p *permissions) membersAbout(subject string) (key transport.Denial, members []*member) {
	before, stream, consumer, ok := p.parsePull(subject)
	if !ok {
		before, stream, consumer, ok = parseSettlement(subject)
	}
	key.Subject = subject
	if !ok {
		return key, nil
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	for m := range p.t.members {
		if m.l.config.Name == stream && m.source.byName[consumer] != nil {
			key = m.denial(before + "." + stream + ".>")
			members = append(members, m)
		}
	}
	return key, members
}

// denyMembers records the error in members. It reports whether watchers are to be notified,
// because Consume has returned or there are no members.
func (p *permissions) denyMembers(members []*member, err *transport.Error) (notify bool) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	for _, m := range members {
		m.denied = err
		notify = notify || m.inForce
	}
	return notify || len(members) == 0
}

// parsePull parses the subject of a pull.
func (p *permissions) parsePull(subject string) (before, stream, consumer string, ok bool) {
	before = p.t.api.prefix() + nextSubject
	rest, ok := strings.CutPrefix(subject, before+".")
	if ok {
		stream, consumer, ok = strings.Cut(rest, ".")
	}
	return before, stream, consumer, ok
}

// parseSettlement parses the subject of a settlement: "$JS.ACK.<stream>.<consumer>.…". With a
// domain and an account before the stream, the subject has at least eleven tokens.
func parseSettlement(subject string) (before, stream, consumer string, ok bool) {
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

// denySubscription handles the denial of a subscription: of a new one, of one that nats.go
// restored on another connection, or of one whose permission was withdrawn.
func (p *permissions) denySubscription(v violation) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeNotDone,
		"the server at %s denies subscribing to %q: allow it in the user's permissions, or connect as another user", p.t.address, v.subject)
	if p.t.requests.listensOn(v.subject) || p.t.acks.listensOn(v.subject) {
		p.denyReplies(v.subject)
		return
	}
	for _, key := range p.markDenied(v, err) {
		p.t.denials.add(key, err)
	}
}

// markDenied marks the receivers and members of a denied subscription. It returns the denials
// of those in force. For the others, Subscribe or Consume returns the error.
func (p *permissions) markDenied(v violation, err *transport.Error) (inForce []transport.Denial) {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	for r := range p.t.receivers {
		if r.sub.Subject == v.subject && r.sub.Queue == v.queue {
			if r.denied = err; r.inForce {
				inForce = append(inForce, r.denial())
			}
		}
	}
	for m := range p.t.members {
		if m.source.sub.Subject == v.subject {
			if m.denied = err; m.inForce {
				inForce = append(inForce, m.denial(v.subject))
			}
		}
		if m.share != nil && m.share.subject == v.subject { // its group works, but is not balanced
			inForce = append(inForce, transport.Denial{Subject: v.subject, Subscription: true})
		}
	}
	return inForce
}

// denyReplies fails all requests that wait for replies, since none can arrive.
func (p *permissions) denyReplies(subject string) {
	err := transport.Errorf(transport.PermissionDenied, transport.OutcomeUnknown,
		"the server at %s denies subscribing to %q, which receives replies: allow %q in the user's permissions, or set InboxPrefix to what is allowed",
		p.t.address, subject, inboxes(subject))
	p.repliesDenied.Store(err)
	p.t.failAll(err)
	p.t.api.requests.fail(err)
	p.t.denials.add(transport.Denial{Subject: subject, Subscription: true}, err)
}

// inboxes returns the pattern of all replies. The argument is the pattern of some,
// "<prefix>.<id>.*".
func inboxes(pattern string) string {
	tokens := strings.Split(pattern, ".")
	return strings.Join(tokens[:max(len(tokens)-2, 0)], ".") + ".>"
}

// checkReplies reports why no reply can arrive.
func (p *permissions) checkReplies() error {
	denied := p.repliesDenied.Load()
	if denied == nil {
		return nil
	}
	err := *denied
	err.Outcome = transport.OutcomeNotDone // no request is sent
	return &err
}

// denyAdvisories reports whether err denies a subscription to advisories. It logs the first
// such error.
func (p *permissions) denyAdvisories(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Subscription to "`+advisories) {
		return false
	}
	p.warnNoAdvisories.Do(func() {
		p.t.log.Warn("natsx: subscription to advisories denied, appends check the groups of their logs instead: allow the account to subscribe to "+advisories+">",
			"address", p.t.address, "interval", checkInterval)
	})
	return true
}
