package mono

import (
	"context"
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

// Stats is the state of a stored handle.
type Stats struct {
	Messages    uint64    // stored, and not removed since; a delayed job counts once it is due
	Bytes       uint64    // their size
	Delayed     uint64    // jobs that wait for their time
	DeadLetters uint64    // of all groups
	Oldest      time.Time // when the oldest of the Messages was stored, zero if there is none

	Groups []GroupStats // by name
}

// GroupStats is the state of a group of a stored handle. Its lag is Waiting plus InFlight.
type GroupStats struct {
	Name     string
	Declared bool // by this program

	// Members is the number of receivers, over all processes. One whose handlers are all busy
	// may not be counted.
	Members int

	Waiting  uint64    // messages that no member has received yet
	InFlight uint64    // messages in hand, and those that wait for their next attempt
	Retried  uint64    // messages in flight at attempt 2 or later
	Oldest   time.Time // when its oldest message that is not settled was stored, zero if there is none

	PausedUntil time.Time // see PauseGroup; zero if it is not paused
}

// Stats returns the state of the queue. It is about all processes. Each group costs a request
// to the server, and the queue two or three. The parts are read one after another, so messages that
// move meanwhile may be counted twice, or not at all. A NonPersistent queue has no Stats: the
// error is FailedPrecondition.
func (q Queue[T]) Stats(ctx context.Context, b Binder) (Stats, error) {
	return statsOf(ctx, b, q.decl)
}

// Stats is like Queue.Stats, for a Durable event.
func (e Event[T]) Stats(ctx context.Context, b Binder) (Stats, error) {
	return statsOf(ctx, b, e.decl)
}

// Stats is like Queue.Stats.
func (s Stream[T]) Stats(ctx context.Context, b Binder) (Stats, error) {
	return statsOf(ctx, b, s.decl)
}

// StatsOf is like Queue.Stats, for packages that know a handle only from an observer or from
// middleware. The error is FailedPrecondition if the handle is not stored.
func StatsOf(ctx context.Context, b Binder, h Handle) (Stats, error) {
	return statsOf(ctx, b, h.declared())
}

func statsOf(ctx context.Context, b Binder, d *declaration) (Stats, error) {
	in := b.Scope().in
	var s Stats
	err := in.withGroups(ctx, d, func(log transport.Log) (err error) {
		s, err = in.logs.stats(ctx, log, d, in.plan.groupsOf(d))
		return err
	})
	if err != nil {
		return Stats{}, err
	}
	return s, nil
}

// stats reads the state of a handle's log, and of its dead letters if it has any.
func (ls *logs) stats(ctx context.Context, log transport.Log, d *declaration, declared []string) (s Stats, err error) {
	info, err := log.Info(ctx)
	if err != nil {
		return s, err
	}
	s.Messages, s.Bytes, s.Delayed = info.Messages, info.Bytes, info.Delayed
	if s.Messages > 0 {
		if s.Oldest, err = oldest(ctx, log, transport.ReadConfig{}); err != nil {
			return s, err
		}
	}
	groups, err := log.Groups(ctx)
	if err != nil {
		return s, err
	}
	for i := range groups {
		g := &groups[i]
		of := GroupStats{Name: g.Config.Name, Declared: slices.Contains(declared, g.Config.Name), Members: g.Members, Waiting: g.Undelivered, InFlight: g.InFlight, Retried: g.Redelivered, PausedUntil: g.PausedUntil}
		if g.Undelivered+g.InFlight > 0 {
			from := transport.ReadConfig{Start: transport.Start{Sequence: g.Settled + 1}, Filter: g.Config.Filter}
			if of.Oldest, err = oldest(ctx, log, from); err != nil {
				return s, err
			}
		}
		s.Groups = append(s.Groups, of)
	}
	slices.SortFunc(s.Groups, func(a, b GroupStats) int { return strings.Compare(a.Name, b.Name) })
	s.DeadLetters, err = ls.deadLetters(ctx, d)
	return s, err
}

// deadLetters counts the dead letters of a handle. Their log exists once there was one.
func (ls *logs) deadLetters(ctx context.Context, d *declaration) (uint64, error) {
	c := ls.deadLettersOf(d).config
	c.Existing = true
	log, err := ls.transport.Log(ctx, c)
	if err == nil {
		var info transport.LogInfo
		if info, err = log.Info(ctx); err == nil {
			return info.Messages, nil
		}
	}
	if CodeOf(err) == NotFound {
		return 0, nil
	}
	return 0, err
}

// oldest returns when the first message was stored that a read returns, or zero.
func oldest(ctx context.Context, log transport.Log, from transport.ReadConfig) (at time.Time, err error) {
	for d, err := range log.Read(ctx, from) {
		if err != nil {
			return at, err
		}
		return d.Stored, nil
	}
	return at, nil
}
