package mono

import (
	"context"
	"sync"
	"time"

	"gomono.dev/transport"
)

// sendNonPersistent sends a job of a NonPersistent queue and waits until each group has
// accepted it. Within the window of AssumeAccepted after that, jobs are sent without
// waiting.
func (s *sender) sendNonPersistent(ctx context.Context, m *transport.Message) error {
	if s.assumesAccepted() {
		err := s.in.app.transport.Publish(ctx, m)
		if err != nil {
			s.accepted.Store(0)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	groups := s.decl.config.groups()
	passed, errs := make([]bool, len(groups)), make([]error, len(groups))
	var wait sync.WaitGroup
	for i, group := range groups {
		wait.Go(func() { passed[i], errs[i] = s.sendToGroup(ctx, m, group) })
	}
	wait.Wait()
	if err := s.refusal(groups, passed, errs); err != nil {
		s.accepted.Store(0)
		return err
	}
	s.accepted.Store(time.Now().UnixNano())
	return nil
}

// acceptTimeout bounds the wait until a job of a NonPersistent queue is accepted.
const acceptTimeout = 5 * time.Second

// assumesAccepted reports whether a job was accepted so recently that the next need not
// be confirmed.
func (s *sender) assumesAccepted() bool {
	window := s.decl.config.AssumeAccepted
	return window > 0 && time.Now().UnixNano()-s.accepted.Load() < int64(window)
}

// sendToGroup sends a job to a group. It reports whether the group takes only other keys.
func (s *sender) sendToGroup(ctx context.Context, m *transport.Message, group string) (passed bool, err error) {
	own := *m
	own.Subject = s.in.names.ask(s.decl, group)
	reply, err := s.in.app.transport.Request(ctx, &own)
	if err != nil {
		return false, err
	}
	if e := transport.ErrorFromHeader(reply.Header); e != nil {
		return false, e
	}
	if len(reply.Body) > 0 {
		return false, Errorf(Unavailable, "the reply has a body, so another subscriber answered and not a worker: let workers that do not use mono reply without a body")
	}
	return reply.Header.Get(transport.HeaderPassed) != "", nil
}

// refusal returns the first error. It also reports whether another group has accepted
// the job. A job that all groups have passed over is refused.
func (s *sender) refusal(groups []string, passed []bool, errs []error) error {
	var refused *Error
	taken := false
	for i, err := range errs {
		switch {
		case err == nil:
			taken = taken || !passed[i]
		case refused == nil:
			refused = about("group "+groups[i], err)
		}
	}
	switch {
	case refused == nil && taken:
		return nil
	case refused == nil:
		return notDone(FailedPrecondition, "no group takes the key of the job: give it to a worker with mono.Keys, or let the workers of a group take all keys")
	case taken:
		refused.Outcome = OutcomeUnknown
		refused.Message += " (another group has accepted the job)"
	}
	return refused
}

// nonPersistent reports whether the jobs of a queue are not stored.
func (d *declaration) nonPersistent() bool { return d.kind == KindQueue && d.config.NonPersistent }
