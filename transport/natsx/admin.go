package natsx

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"gomono.dev/transport"
)

// Remove implements [transport.Log].
func (l *log) Remove(ctx context.Context, sequence uint64) error {
	return l.callRemoval(ctx, func(ctx context.Context) error {
		return l.t.api(ctx, "STREAM.MSG.DELETE."+l.config.Name, map[string]any{"seq": sequence, "no_erase": true}, &struct{}{})
	})
}

// callRemoval is callAPI for a removal. The server may remove in an attempt whose answer does
// not arrive in time. The next attempt then finds nothing, which is not an error.
func (l *log) callRemoval(ctx context.Context, do func(context.Context) error) error {
	unanswered := false
	_, err := callAPI(ctx, l.t, func(ctx context.Context) (none struct{}, err error) {
		err = do(ctx)
		if unanswered && missing(l.t.apiError(err)) && codeOfAPI(err) != jetstream.JSErrCodeStreamNotFound {
			return none, nil
		}
		unanswered = unanswered || err != nil && ctx.Err() != nil
		return none, err
	})
	return err
}

// Purge implements [transport.Log].
func (l *log) Purge(ctx context.Context, p transport.PurgeConfig) (total uint64, err error) {
	patterns := []string{""} // everything
	if p.Subject != "" {
		patterns = l.lanes.filter([]string{p.Subject}, anyLane)
	}
	if p.Keep > 0 && (p.Before > 0 || len(patterns) > 1) {
		if p.Before, err = l.firstKept(ctx, &p); err != nil || p.Before == 0 {
			return 0, err
		}
		p.Keep = 0
	}
	for _, pattern := range patterns {
		n, err := l.purge(ctx, pattern, &p)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// firstKept returns the sequence of the first of the last Keep messages that match, or 0 if
// there are no more than Keep.
func (l *log) firstKept(ctx context.Context, p *transport.PurgeConfig) (uint64, error) {
	for {
		kept, err := l.lastMatching(ctx, p)
		if err != nil || uint64(len(kept)) < p.Keep {
			return 0, err
		}
		there, err := l.allExist(ctx, kept)
		if there || err != nil {
			return kept[0], err
		}
		if !pause(ctx, apiPause) {
			return 0, transport.ContextError(ctx, transport.OutcomeNotDone, "%w while the log was read", ctx.Err())
		}
	}
}

// lastMatching returns the sequences of the last Keep messages that match.
func (l *log) lastMatching(ctx context.Context, p *transport.PurgeConfig) (kept []uint64, err error) {
	r := transport.ReadConfig{}
	if p.Subject != "" {
		r.Filter = []string{p.Subject}
	}
	err = l.Read(ctx, r, func(d *transport.Delivery) bool {
		if p.Before > 0 && d.Sequence >= p.Before {
			return false
		}
		kept = append(kept, d.Sequence)
		if uint64(len(kept)) > p.Keep {
			kept = kept[1:]
		}
		return true
	})
	return kept, err
}

// allExist reports whether the messages exist. A server of a cluster may not know of a
// removal yet, and then a removed message would count as kept.
func (l *log) allExist(ctx context.Context, sequences []uint64) (bool, error) {
	if !l.replicated {
		return true, nil
	}
	for _, sequence := range sequences {
		if _, err := l.get(ctx, map[string]any{"seq": sequence}); missing(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// purge sends one request without retries: a second answer would not count the messages that
// the first one deleted.
func (l *log) purge(ctx context.Context, pattern string, p *transport.PurgeConfig) (uint64, error) {
	var request struct {
		Filter string `json:"filter,omitempty"`
		Before uint64 `json:"seq,omitempty"`
		Keep   uint64 `json:"keep,omitempty"`
	}
	request.Filter, request.Before, request.Keep = pattern, p.Before, p.Keep
	var answer struct {
		Purged uint64 `json:"purged"`
	}
	_, err := attempt(ctx, l.t, apiTimeout, func(ctx context.Context) (none struct{}, err error) {
		return none, l.t.api(ctx, "STREAM.PURGE."+l.config.Name, request, &answer)
	})
	return answer.Purged, l.t.apiError(err)
}

// Info implements [transport.Log]. Config contains no Groups: the method Groups returns them.
func (l *log) Info(ctx context.Context) (transport.LogInfo, error) {
	is, err := l.info(ctx)
	if err != nil {
		return transport.LogInfo{}, err
	}
	state := is.State
	info := transport.LogInfo{
		Config: l.logConfig(&is.Config), First: state.FirstSeq, Last: state.LastSeq, Messages: state.Msgs, Bytes: state.Bytes,
	}
	if state.Msgs == 0 {
		info.First = state.LastSeq + 1
	}
	if info.Config.Delays {
		info.Delayed, err = l.countDelayed(ctx)
	}
	return info, err
}

// Groups implements [transport.Log].
func (l *log) Groups(ctx context.Context) ([]transport.GroupInfo, error) {
	consumers, err := l.durables(ctx)
	if err != nil {
		return nil, err
	}
	byName := make(map[string][]*jetstream.ConsumerInfo)
	for _, c := range consumers {
		byName[groupOf(c)] = append(byName[groupOf(c)], c)
	}
	var groups []transport.GroupInfo
	for _, of := range byName {
		groups = append(groups, groupInfo(of))
	}
	return groups, nil
}

// durables lists the consumers of all groups.
func (l *log) durables(ctx context.Context) ([]*jetstream.ConsumerInfo, error) {
	return callAPI(ctx, l.t, func(ctx context.Context) (durables []*jetstream.ConsumerInfo, err error) {
		s, err := l.t.js(ctx).Stream(ctx, l.config.Name)
		if err != nil {
			return nil, err
		}
		list := s.ListConsumers(ctx)
		for c := range list.Info() {
			if c.Config.Durable != "" && c.Config.DeliverSubject == "" {
				durables = append(durables, c)
			}
		}
		return durables, list.Err()
	})
}

// groupInfo sums up the consumers of a group. A lane without waiting messages does not limit
// Settled.
func groupInfo(of []*jetstream.ConsumerInfo) transport.GroupInfo {
	info := transport.GroupInfo{Config: groupConfig(of[0])}
	var highest, lowest uint64
	busy := false
	for _, c := range of {
		open := uint64(max(c.NumAckPending, 0)) + c.NumPending
		if highest = max(highest, c.AckFloor.Stream); open > 0 && (!busy || c.AckFloor.Stream < lowest) {
			busy, lowest = true, c.AckFloor.Stream
		}
		info.InFlight += uint64(max(c.NumAckPending, 0))
		info.Undelivered += c.NumPending
		info.Redelivered += uint64(max(c.NumRedelivered, 0))
	}
	if info.Settled = highest; busy {
		info.Settled = lowest
	}
	return info
}

// DeleteGroup implements [transport.Log].
func (l *log) DeleteGroup(ctx context.Context, name string) error {
	consumers, err := l.durables(ctx)
	if err != nil {
		return err
	}
	consumers = slices.DeleteFunc(consumers, func(c *jetstream.ConsumerInfo) bool { return groupOf(c) != name })
	if len(consumers) == 0 {
		return transport.Errorf(transport.NotFound, transport.OutcomeNotDone, "there is no such group")
	}
	return firstError(l.t.inParallel(ctx, len(consumers), func(i int) error {
		err := l.callRemoval(ctx, func(ctx context.Context) error {
			return l.t.js(ctx).DeleteConsumer(ctx, l.config.Name, consumers[i].Name)
		})
		if err == nil {
			l.t.deleted.add(l.config.Name, consumers[i].Name, consumers[i].Created)
		}
		return err
	})...)
}
