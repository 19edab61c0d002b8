package natsx

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// groupCheck finds out whether the consumers of a member still exist.
type groupCheck struct {
	m       *member
	wake    chan struct{} // of capacity 1: wakes keep for suspect consumers
	running atomic.Bool   // a goroutine runs checkSuspects
}

// start checks suspect consumers on another goroutine, unless one does: a server that
// does not answer must not keep held deliveries from being extended, nor lost pulls from
// being repeated.
func (g *groupCheck) start() {
	if !g.running.CompareAndSwap(false, true) {
		return // tick wakes the next check
	}
	go func() {
		defer g.running.Store(false)
		g.checkSuspects()
	}()
}

// checkSuspects ends the member if a suspect consumer is gone, or if a new one has its name.
func (g *groupCheck) checkSuspects() {
	for _, p := range g.suspects() {
		switch err := g.check(p); {
		case missing(err):
			g.m.l.t.deleted.add(g.m.l.config.Name, p.name, p.created)
			g.m.gone(err)
			return
		case err == errRecreated:
			g.m.gone(err)
			return
		case err != nil:
			g.suspect(p) // asks again after the next tick
		}
	}
}

// check returns NotFound if a consumer is gone, and errRecreated if a new one has its name.
func (g *groupCheck) check(p *consumer) error {
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	is, err := g.m.l.consumer(ctx, p.name)
	if g.m.l.maybeStarting(err) {
		return g.confirm(ctx, p, err)
	}
	p.missing = time.Time{}
	if err == nil && !is.Created.Equal(p.created) {
		return errRecreated
	}
	return err
}

// confirm returns err, which is NotFound, only if the leader of the cluster does not list the
// consumer. If the account may not ask for the list, it does so when the consumer has been
// missing for missingTime.
func (g *groupCheck) confirm(ctx context.Context, p *consumer, err error) error {
	exists, listErr := g.m.l.listsConsumer(ctx, p.name)
	switch {
	case exists:
		return unavailable("group %q of log %q: its servers have yet to start it", g.m.group, g.m.l.config.Name)
	case transport.CodeOf(listErr) != transport.PermissionDenied:
		return cmp.Or(listErr, err)
	case p.missing.IsZero():
		p.missing = time.Now()
	case time.Since(p.missing) > missingTime:
		return err
	}
	return listErr
}

// missingTime is longer than a server takes to start a consumer.
const missingTime = 10 * time.Second

func (g *groupCheck) suspect(p *consumer) {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	p.suspect = true
}

var errRecreated = errors.New("a new group has its name")

// compare marks consumers that were created later than the member's as suspect.
func (g *groupCheck) compare(consumers []*jetstream.ConsumerInfo) {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	for _, is := range consumers {
		if is == nil {
			continue // not opened
		}
		if p := g.m.source.byName[is.Name]; p != nil && !is.Created.Equal(g.m.consumers[p.index].created) {
			p.suspect = true
			nudge(g.wake)
		}
	}
}

func (g *groupCheck) suspects() (suspects []*consumer) {
	g.m.mu.Lock()
	defer g.m.mu.Unlock()
	for _, p := range g.m.consumers {
		if p.suspect {
			p.suspect = false
			suspects = append(suspects, p)
		}
	}
	return suspects
}
