package brief

import (
	"sync"
	"sync/atomic"
	"time"
)

// Providers records which subjects have providers that understand brief requests.
//
// A provider of an older build, of another client, or behind a service import never confirms
// that, so its requests have headers. An older provider that begins to share a subject with newer
// ones gets the brief requests that are under way. Its first reply ends them for MixedTime.
type Providers struct {
	mu  sync.RWMutex
	all map[string]*Provider // by subject
}

// MixedTime is how long requests have headers after a reply without confirmation.
const MixedTime = 10 * time.Second

// maxProviders bounds the number of subjects. A program has fewer, unless it makes them at run
// time.
const maxProviders = 1024

// Of returns the provider of a subject.
func (ps *Providers) Of(subject string) *Provider {
	ps.mu.RLock()
	p := ps.all[subject]
	ps.mu.RUnlock()
	if p == nil {
		p = ps.add(subject)
	}
	return p
}

func (ps *Providers) add(subject string) *Provider {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.all[subject]; p != nil {
		return p
	}
	if ps.all == nil || len(ps.all) == maxProviders {
		ps.all = make(map[string]*Provider)
	}
	p := new(Provider)
	ps.all[subject] = p
	return p
}

// Forget forgets all providers: the next connection may lead to others.
func (ps *Providers) Forget() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.all {
		p.state.Store(unknown)
	}
}

// Provider is the state of a subject.
type Provider struct {
	state atomic.Int64 // unknown, understands, or the time until which requests have headers
}

const (
	unknown     = 0
	understands = -1
)

// Understands reports whether the provider has confirmed that it understands brief requests.
func (p *Provider) Understands() bool { return p.state.Load() == understands }

// Replied records a reply.
func (p *Provider) Replied(confirms bool) {
	state := p.state.Load()
	switch {
	case !confirms:
		p.state.Store(time.Now().Add(MixedTime).UnixNano())
	case state == unknown, state > 0 && state <= time.Now().UnixNano():
		p.state.CompareAndSwap(state, understands)
	}
}

// Silent records that a request had no reply. The next one may have another provider.
func (p *Provider) Silent() { p.state.CompareAndSwap(understands, unknown) }
