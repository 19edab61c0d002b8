package mono

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"gomono.dev/transport"
)

// denials holds the denials by the transport's backend that concern handles of an App.
type denials struct {
	in *instance

	mu  sync.Mutex
	all map[endpoint]map[transport.Denial]*Error // by the Denial without its Err
}

// endpoint is a receiver, or, if receiver is nil, all senders of a handle.
type endpoint struct {
	decl     identity
	receiver *receiver
}

// handle handles a denial by the transport, or its end.
func (ds *denials) handle(d transport.Denial) {
	err := d.Err
	d.Err = nil
	for e, h := range ds.concerned(&d) {
		switch first, last := ds.note(e, d, err); {
		case first:
			ds.report(e, h, about(h.String(), err))
		case last:
			ds.in.log.Info("mono: no longer denied", "kind", h.kind, "handle", h.name, "receiver", e.receiver != nil)
		}
	}
}

func (ds *denials) report(e endpoint, h *declaration, err *Error) {
	in, r := ds.in, e.receiver
	if r == nil {
		in.log.Error("mono: messages denied and lost", "kind", h.kind, "handle", h.name, "error", err)
		in.observe(SendDenied{Handle: h, Err: err})
		return
	}
	in.log.Error("mono: receiver denied: it receives nothing, or cannot settle", "module", r.unit.name, "kind", h.kind, "handle", h.name, "error", err)
	in.observe(ReceiveDenied{Module: r.unit.name, Handle: h, Group: r.group(), Err: err})
}

// note records a denial, or its end. It reports whether the denial is the first of its
// endpoint, or whether the last one has ended.
func (ds *denials) note(e endpoint, d transport.Denial, err *Error) (first, last bool) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	had := len(ds.all[e])
	if err == nil {
		delete(ds.all[e], d)
		return false, had > 0 && len(ds.all[e]) == 0
	}
	if had == 0 {
		if ds.all == nil {
			ds.all = make(map[endpoint]map[transport.Denial]*Error)
		}
		ds.all[e] = make(map[transport.Denial]*Error)
	}
	ds.all[e][d] = err
	return had == 0, false
}

// of returns the denial of an endpoint, nil if there is none.
func (ds *denials) of(e endpoint) *Error {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, err := range ds.all[e] {
		return err
	}
	return nil
}

// checkTransport is the health check of the transport: the transport can be reached and
// denies no message of the App.
func (ds *denials) checkTransport(ctx context.Context) error {
	if err := ds.in.app.transport.Ping(ctx); err != nil {
		return err
	}
	ds.in.contracts.check(ctx)
	for _, id := range ds.senders() {
		if err := ds.of(endpoint{decl: id}); err != nil {
			return about(id.String(), err)
		}
	}
	return nil
}

// senders returns the handles whose messages are denied, in order.
func (ds *denials) senders() (denied []identity) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for e, all := range ds.all {
		if e.receiver == nil && len(all) > 0 {
			denied = append(denied, e.decl)
		}
	}
	slices.SortFunc(denied, compareIdentity)
	return denied
}

// concerned returns the senders and receivers that a denial affects.
func (ds *denials) concerned(d *transport.Denial) map[endpoint]*declaration {
	if d.Log == "" && !d.Subscription {
		return ds.sendersOn(d.Subject)
	}
	concerned := make(map[endpoint]*declaration)
	for _, r := range ds.in.plan.receivers {
		if r.source.concerned(d) {
			concerned[endpoint{r.decl.identity(), r}] = r.decl
		}
	}
	return concerned
}

// sendersOn returns the handles whose messages have a subject.
func (ds *denials) sendersOn(subject string) map[endpoint]*declaration {
	handles := maps.Clone(ds.in.plan.handles)
	ds.in.outside.Range(func(d, _ any) bool {
		handles[d.(*declaration).identity()] = d.(*declaration)
		return true
	})
	on := make(map[endpoint]*declaration)
	for id, d := range handles {
		if rest, ok := strings.CutPrefix(subject, ds.in.names.prefix(d)); ok && (rest == "" || strings.HasPrefix(rest, "._")) {
			on[endpoint{decl: id}] = d
		}
	}
	return on
}
