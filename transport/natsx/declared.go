package natsx

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// A log with InterestRetention acknowledges what no group wants and does not store it.
// So the groups that LogConfig.Groups names must be there while somebody may append,
// and one that is deleted is made again. The server announces a deletion by an
// advisory. That is a plain message: it can be lost with a connection, and an account
// can be denied its subject. So each new connection looks for the groups, and so does
// an Append if the last look is lookInterval old.

const (
	lookInterval = 5 * time.Second
	remakePause  = time.Second // after a group could not be made
)

// declared holds the groups of a log that this Transport has named when it opened it.
type declared struct {
	t    *Transport
	log  string
	due  atomic.Bool          // the last look is lookInterval old
	loss atomic.Pointer[loss] // nil: no group is known to be missing

	mu      sync.Mutex
	groups  []declaredGroup
	names   map[string]bool // of their consumers
	asked   bool            // for another look
	looking bool            // a goroutine looks
	timer   *time.Timer     // sets due
}

// declaredGroup is a group as it was last named, and the log that named it.
type declaredGroup struct {
	l      *log
	config transport.GroupConfig
}

// loss lasts from the moment at which a group is known to be missing until it is made
// again. Appends wait for the first attempt, and fail after it.
type loss struct {
	tried chan struct{} // closed after the first attempt
	err   error         // of the last attempt, once tried is closed
}

// watchGroups begins to listen for deletions of the log's groups. An account that is
// denied the advisories does without them.
func (l *log) watchGroups() {
	if l.config.Retention != transport.InterestRetention || len(l.config.Groups) == 0 || l.origin != "" {
		return
	}
	t, name := l.t, l.config.Name
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.declared = t.declared[name]; l.declared != nil {
		return
	}
	l.declared = &declared{t: t, log: name, names: make(map[string]bool)}
	t.declared[name] = l.declared
	_, _ = t.nc.Subscribe(advisories+name+".*", l.declared.advised)
}

// advisories begins the subjects of the advisories, in every domain.
const advisories = "$JS.EVENT.ADVISORY.CONSUMER.DELETED."

// declare adds the groups of a log, which are open.
func (l *log) declare() {
	d := l.declared
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range l.config.Groups {
		g.Update = false // what somebody else makes meanwhile stays as it is
		names, _, _ := l.consumers(&g)
		for _, name := range names {
			d.names[name] = true
		}
		d.groups = slices.DeleteFunc(d.groups, func(other declaredGroup) bool { return other.config.Name == g.Name })
		d.groups = append(d.groups, declaredGroup{l, g})
	}
	d.remind(lookInterval)
}

// remind lets an Append look after some time; the lock is held.
func (d *declared) remind(after time.Duration) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer = time.AfterFunc(after, func() { d.due.Store(true) })
}

// forget lets nothing more happen.
func (d *declared) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}

// there returns once the groups are there, as far as is known, or why they are not.
// Every Append calls it.
func (d *declared) there(ctx context.Context) error {
	if d.due.Load() && d.due.CompareAndSwap(true, false) {
		d.look()
	}
	lost := d.loss.Load()
	if lost == nil {
		return nil
	}
	select {
	case <-lost.tried:
		return lost.err
	case <-d.t.life.Done():
		return unavailable("append to log %q: the transport is closed", d.log)
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeNotDone, "append to log %q: %v while a group that was deleted is made again", d.log, ctx.Err())
	}
}

// advised is called with the server's advisories.
func (d *declared) advised(msg *nats.Msg) {
	d.mu.Lock()
	ours := d.names[strings.TrimPrefix(msg.Subject, advisories+d.log+".")]
	d.mu.Unlock()
	if ours {
		d.loss.CompareAndSwap(nil, &loss{tried: make(chan struct{})})
		d.look()
	}
}

// advisoriesDenied reports whether the server's error says that this account may not
// hear of deletions. A Transport with many logs warns once.
func (t *Transport) advisoriesDenied(err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `Subscription to "`+advisories) {
		return false
	}
	t.warnUnadvised.Do(func() {
		t.log.Warn("natsx: the account is denied the server's word of deleted groups, which appends then look for: allow it to subscribe to "+advisories+">",
			"address", t.address, "every", lookInterval)
	})
	return true
}

// lookForGroups looks for the groups of all logs.
func (t *Transport) lookForGroups() {
	for _, d := range t.allDeclared() {
		d.look()
	}
}

func (t *Transport) allDeclared() (all []*declared) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.declared {
		all = append(all, d)
	}
	return all
}

// look has a goroutine look for the groups and make those that are missing.
func (d *declared) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = true
	if !d.looking {
		d.looking = d.t.begins(d.keep)
	}
}

// keep looks for the groups until nobody asks for another look.
func (d *declared) keep() {
	for d.next() {
		before := d.loss.Load()
		made, err := d.remake(before != nil)
		if d.t.closed.Load() {
			return
		}
		d.looked(before, made, err)
	}
}

// next reports whether to look once more.
func (d *declared) next() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looking = d.asked
	d.asked = false
	return d.looking
}

// remake opens all groups. It returns the names of those that it made, and why one is
// missing. Where the server does not answer, lost says whether one is.
func (d *declared) remake(lost bool) (made []string, err error) {
	d.mu.Lock()
	groups := slices.Clone(d.groups)
	d.mu.Unlock()
	for _, g := range groups {
		opened := g.l.openGroups(d.t.life, []transport.GroupConfig{g.config}, false)[0]
		d.t.suspect(d.log, opened.consumers)
		switch {
		case opened.err == nil && opened.missing:
			made = append(made, g.config.Name)
		case opened.err == nil, codeOfAPI(opened.err) == jetstream.JSErrCodeStreamNotFound, errors.Is(opened.err, errOrdered):
			// It is there, or the whole log is not, which an Append reports.
		case opened.missing || lost:
			err = opened.err
		}
	}
	return made, err
}

// suspect has members of a log look whether their groups are others now.
func (t *Transport) suspect(log string, consumers []*jetstream.ConsumerInfo) {
	t.mu.Lock()
	members := slices.Collect(maps.Keys(t.members))
	t.mu.Unlock()
	for _, m := range members {
		if m.l.config.Name == log {
			m.compare(consumers)
		}
	}
}

// looked draws the consequences of a look.
func (d *declared) looked(before *loss, made []string, err error) {
	d.mu.Lock()
	d.remind(lookInterval)
	d.mu.Unlock()
	if len(made) > 0 {
		d.t.log.Warn("natsx: groups were deleted and are made again: what was appended meanwhile may not be stored", "log", d.log, "groups", made)
	}
	if err == nil {
		d.found(before)
		return
	}
	if before == nil || !before.failed() {
		d.t.log.Warn("natsx: a group was deleted and cannot be made again yet: appends fail until it is", "log", d.log, "error", err)
	}
	d.missed(err)
	if !d.t.link.down() && pause(d.t.life, remakePause) { // a new connection looks by itself
		d.look()
	}
}

// found ends the loss that was there before the look: of a later one, the look may not
// have seen the deletion.
func (d *declared) found(before *loss) {
	if before != nil {
		d.loss.CompareAndSwap(before, nil)
		before.end(nil)
	}
}

// missed lets appends fail.
func (d *declared) missed(err error) {
	failure := &loss{tried: make(chan struct{})}
	failure.end(unavailable("append to log %q: one of its groups was deleted and cannot be made again yet: %v", d.log, err))
	if before := d.loss.Swap(failure); before != nil {
		before.end(failure.err)
	}
}

// end lets those who wait go on. The goroutine that looks is the only one to call it.
func (l *loss) end(err error) {
	if !l.ended() {
		l.err = err
		close(l.tried)
	}
}

func (l *loss) ended() bool {
	select {
	case <-l.tried:
		return true
	default:
		return false
	}
}

// failed reports whether there was an attempt, and it failed.
func (l *loss) failed() bool { return l.ended() && l.err != nil }
