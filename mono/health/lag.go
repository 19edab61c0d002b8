package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gomono.dev/mono"
	"gomono.dev/transport"
)

// Stored is a handle whose messages groups receive: a Queue, a Durable Event or a Stream.
type Stored interface {
	mono.Handle
	Stats(ctx context.Context, b mono.Binder) (mono.Stats, error)
}

// MaxLag adds a check of a handle, named lag/KIND/NAME. It fails if more than n messages of a group
// wait or are in hand. It checks the groups that the App declares, unless they are paused. In a
// process without a receiver of h it passes.
//
// All processes see the same lag, so they all become not ready at once: use it if new requests
// would only add to the lag. To be notified of a lag, read Stats. A check costs the requests of
// one Stats.
func MaxLag(h Stored, n uint64) Option {
	return func(p *Probes) {
		b := p.boundOf(h)
		b.messages, b.hasMessages = n, true
	}
}

// MaxAge is like MaxLag. The check fails if the oldest message that a group has not settled was stored
// more than d ago.
func MaxAge(h Stored, d time.Duration) Option {
	if d <= 0 {
		panic(fmt.Sprintf("health.MaxAge(%s %s, %v): want a positive time", h.Kind(), h.Name(), d))
	}
	return func(p *Probes) { p.boundOf(h).age = d }
}

// bound is what the groups of a handle must not exceed.
type bound struct {
	handle      Stored
	messages    uint64
	hasMessages bool
	age         time.Duration // 0: no bound
}

// boundOf returns the bound of a handle, for both options.
func (p *Probes) boundOf(h Stored) *bound {
	i := slices.IndexFunc(p.bounds, func(b *bound) bool { return mono.Same(b.handle, h) })
	if i < 0 {
		i = len(p.bounds)
		p.bounds = append(p.bounds, &bound{handle: h})
	}
	return p.bounds[i]
}

func (b *bound) String() string { return fmt.Sprintf("%s %s", b.handle.Kind(), b.handle.Name()) }

// component returns the check as a part of the health of an App, which bounds its time and contains
// its panics.
func (b *bound) component(s *mono.Scope) transport.Component {
	settings := make(map[string]string)
	if b.hasMessages {
		settings["MaxLag"] = fmt.Sprint(b.messages)
	}
	if b.age > 0 {
		settings["MaxAge"] = b.age.String()
	}
	return transport.Component{
		Kind: "lag", Name: b.String(), Settings: settings,
		Open:   func(context.Context, transport.Environment) error { return nil },
		Close:  func(context.Context) error { return nil },
		Health: func(ctx context.Context) error { return b.check(ctx, s) },
	}
}

// check returns an error for each group that exceeds the bound. A detail shows the lag of each.
func (b *bound) check(ctx context.Context, s *mono.Scope) error {
	if !receives(s, b.handle) {
		return nil
	}
	stats, err := b.handle.Stats(ctx, s)
	if err != nil {
		return err
	}
	var errs []error
	for i := range stats.Groups {
		g := &stats.Groups[i]
		if g.Declared {
			mono.ReportDetail(ctx, g.Name, map[string]any{"waiting": g.Waiting, "inFlight": g.InFlight, "members": g.Members})
			errs = append(errs, b.exceeded(g))
		}
	}
	return errors.Join(errs...)
}

func (b *bound) exceeded(g *mono.GroupStats) error {
	if g.PausedUntil.After(time.Now()) {
		return nil
	}
	var errs []error
	if lag := g.Waiting + g.InFlight; b.hasMessages && lag > b.messages {
		errs = append(errs, fmt.Errorf("%s: the group %q lags by %d messages, more than MaxLag (%d); members: %d", b, g.Name, lag, b.messages, g.Members))
	}
	if age := time.Since(g.Oldest); b.age > 0 && !g.Oldest.IsZero() && age > b.age {
		errs = append(errs, fmt.Errorf("%s: the oldest message of the group %q is %v old, more than MaxAge (%v); members: %d", b, g.Name, age.Round(time.Millisecond), b.age, g.Members))
	}
	return errors.Join(errs...)
}

// receives reports whether a module of this process receives from a handle.
func receives(s *mono.Scope, h mono.Handle) bool {
	return slices.ContainsFunc(s.Describe().Handles, func(i mono.HandleInfo) bool {
		return i.Kind == h.Kind() && i.Name == h.Name() && len(i.Consumes) > 0
	})
}
