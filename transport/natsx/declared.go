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
	"gomono.dev/transport/driver"
)

// A stream with interest retention acknowledges messages that no group wants, and does not
// store them. So the groups in LogConfig.Groups have to exist as long as the log is open for
// appends, and a deleted group is recreated. The server announces a deletion with an
// advisory. Advisories are plain messages: they get lost with a connection, and an account
// may lack permission for their subjects. So every new connection checks the groups, and an
// Append does if the last check is checkInterval old.
//
// The same holds for the consumer of delayed messages. Without it they are stored, but never
// become due.

const (
	checkInterval = 5 * time.Second
	recreatePause = time.Second // after a failure
)

// declared holds the groups of one log that this Transport has to recreate.
type declared struct {
	t    *Transport
	log  string
	due  atomic.Bool          // the last check is checkInterval old
	loss atomic.Pointer[loss] // nil: no group is known to be missing

	mu             sync.Mutex
	groups         []declaredGroup
	delays         *delayed             // nil if there are none
	made           map[string]time.Time // creation times of the groups' consumers, by <stream>.<consumer>
	deletions      int                  // of these consumers, as far as they are known
	seen           int                  // deletions when the latest check began
	checkRequested bool                 // another check is requested
	checking       bool                 // a goroutine runs check
	timer          *time.Timer          // sets due
}

// declaredGroup is the latest configuration of a group, and the log that declared it.
type declaredGroup struct {
	l      *log
	config transport.GroupConfig
}

// loss is the time between the deletion of a group and its recreation. Appends wait for the
// first attempt at that, and fail after it.
type loss struct {
	tried chan struct{} // closed after the first attempt
	err   error         // of the latest attempt, once tried is closed
}

// listenForDeletions subscribes to the advisories about the log's consumers. It ignores
// errors, since the groups are also checked.
func (l *log) listenForDeletions() {
	if len(l.needed()) == 0 && !l.config.Delays {
		return
	}
	t, name := l.t, l.config.Name
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.declared = t.declared[name]; l.declared != nil {
		return
	}
	l.declared = &declared{t: t, log: name, made: make(map[string]time.Time)}
	t.declared[name] = l.declared
	_, _ = t.nc.Subscribe(advisories+name+".*", l.declared.handleAdvisory)
	if l.config.Delays {
		_, _ = t.nc.Subscribe(advisories+l.delayed.name+"."+sourceName, l.declared.handleAdvisory)
	}
}

// advisories begins the subjects of the advisories, in every JetStream domain.
const advisories = "$JS.EVENT.ADVISORY.CONSUMER.DELETED."

// declare adds the groups of a log, and their consumers.
func (l *log) declare(opened []openedGroup) {
	d := l.declared
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, g := range l.needed() {
		g.Update = false // another process may have changed the group since
		d.groups = slices.DeleteFunc(d.groups, func(other declaredGroup) bool { return other.config.Name == g.Name })
		d.groups = append(d.groups, declaredGroup{l, g})
		d.note(opened[i].consumers)
	}
	if l.config.Delays {
		d.delays = l.delayed
	}
	d.scheduleCheck(checkInterval)
}

// note records open consumers. The caller holds the lock.
func (d *declared) note(consumers []*jetstream.ConsumerInfo) {
	for _, is := range consumers {
		if is != nil {
			d.made[d.log+"."+is.Name] = is.Created
		}
	}
}

// scheduleCheck makes a check due later. The caller holds the lock.
func (d *declared) scheduleCheck(after time.Duration) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.timer = time.AfterFunc(after, func() { d.due.Store(true) })
}

// stop cancels the scheduled check.
func (d *declared) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
}

// await returns nil if no group is known to be missing. Otherwise it waits for the first
// attempt to recreate the group, and returns its error. Every Append calls it.
func (d *declared) await(ctx context.Context) error {
	if d.due.Load() && d.due.CompareAndSwap(true, false) {
		d.requestCheck()
	}
	lost := d.loss.Load()
	if lost == nil {
		return nil
	}
	select {
	case <-lost.tried:
		return lost.err
	case <-d.t.life.Done():
		return driver.ErrClosed
	case <-ctx.Done():
		return transport.ContextError(ctx, transport.OutcomeNotDone, "%w while a deleted group was recreated", ctx.Err())
	}
}

// handleAdvisory handles an advisory.
func (d *declared) handleAdvisory(msg *nats.Msg) {
	stream, consumer, _ := strings.Cut(strings.TrimPrefix(msg.Subject, advisories), ".")
	d.mu.Lock()
	made, needed := d.made[stream+"."+consumer]
	d.mu.Unlock()
	switch {
	case needed:
		d.t.deleted.add(stream, consumer, made)
		d.lose(stream, consumer)
	case stream != d.log:
		d.requestCheck()
	}
}

// lose requests a check after the deletion of a consumer that a group needs. Appends wait for it,
// and not only for a running one, which may have found the consumer before its deletion.
func (d *declared) lose(stream, consumer string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	_, needed := d.made[stream+"."+consumer]
	if needed {
		d.deletions++
		d.loss.CompareAndSwap(nil, &loss{tried: make(chan struct{})})
	}
	d.mu.Unlock()
	if needed {
		d.requestCheck()
	}
}

// requestCheck starts a check, or another one after the running check.
func (d *declared) requestCheck() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checkRequested = true
	if !d.checking {
		d.checking = d.t.background(d.check)
	}
}

// check recreates missing groups until no further check is requested.
func (d *declared) check() {
	for d.next() {
		before := d.loss.Load()
		made, err := d.recreate(before != nil)
		if d.t.closed.Load() {
			return
		}
		d.checked(before, made, err)
	}
}

// next reports whether a check was requested.
func (d *declared) next() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checking, d.seen = d.checkRequested, d.deletions
	d.checkRequested = false
	return d.checking
}

// recreate opens all groups. It returns the names of the recreated ones, and the error of a
// missing one. If the server does not answer, a group counts as missing if lost is true.
func (d *declared) recreate(lost bool) (made []string, err error) {
	d.mu.Lock()
	groups, delays := slices.Clone(d.groups), d.delays
	d.mu.Unlock()
	if delays != nil {
		delays.awaitDeletions(d.t.life)
		_ = delays.openSource(d.t.life) // the next check tries again
	}
	for _, g := range groups {
		opened := g.l.groups.open(d.t.life, []transport.GroupConfig{g.config}, false)[0]
		d.mu.Lock()
		d.note(opened.consumers)
		d.mu.Unlock()
		for _, m := range collect(&d.t.mu, maps.Keys(d.t.members)) {
			if m.l.name == d.log {
				m.check.compare(opened.consumers)
			}
		}
		switch {
		case opened.err == nil && opened.missing:
			made = append(made, g.config.Name)
		case opened.err == nil, codeOfAPI(opened.err) == jetstream.JSErrCodeStreamNotFound, errors.Is(opened.err, errOrdered):
			// The group exists; or the log does not, and Append fails.
		case opened.missing || lost:
			err = aboutGroup(g.config.Name, opened.err)
		}
	}
	return made, err
}

// checked handles the result of a check.
func (d *declared) checked(before *loss, made []string, err error) {
	d.mu.Lock()
	d.scheduleCheck(checkInterval)
	d.mu.Unlock()
	if len(made) > 0 {
		d.t.log.Warn("natsx: deleted groups recreated: messages appended since their deletion may be lost", "log", d.log, "groups", made)
	}
	if err == nil {
		d.endLoss(before)
		return
	}
	if before == nil || !before.failed() {
		d.t.log.Warn("natsx: deleted group cannot be recreated: appends fail until a later attempt succeeds", "log", d.log, "error", err)
	}
	d.fail(err)
	if !d.t.link.down() && pause(d.t.life, recreatePause) { // a new connection checks anyway
		d.requestCheck()
	}
}

// endLoss ends a loss that began before the check. After a later deletion it is left to the next
// check, since this one may not have seen the deletion.
func (d *declared) endLoss(before *loss) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if before != nil && d.seen == d.deletions {
		d.loss.CompareAndSwap(before, nil)
		before.end(nil)
	}
}

// fail makes appends fail with err.
func (d *declared) fail(err error) {
	failure := &loss{tried: make(chan struct{})}
	failure.end(unavailable("a deleted group cannot be recreated: %v", err))
	if before := d.loss.Swap(failure); before != nil {
		before.end(failure.err)
	}
}

// end lets waiting appends continue. Only the goroutine of check calls it.
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

// failed reports whether the latest attempt failed.
func (l *loss) failed() bool { return l.ended() && l.err != nil }
