package mono

import (
	"context"
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

// Every group of a queue gets every job. A worker with Keys passes over the jobs of other keys: it
// completes them for its group without calling the handler. So the store keeps a job until each
// group has seen it, whatever Keys their workers have, and a change of Keys needs no change there.
// If no group has Keys for a job, the group that finds this out makes it a dead letter.

// metaKeys is the entry of a group's metadata with the Keys of its workers. A group without it
// takes all jobs, and so does one whose worker has not started yet.
const metaKeys = "mono-keys"

// keysMetadata returns the metadata of a queue's group for a worker.
func keysMetadata(c *config) map[string]string {
	return map[string]string{metaKeys: strings.Join(slices.Compact(slices.Sorted(slices.Values(c.Keys))), " ")}
}

// selects reports whether a receiver gets only some of the messages that arrive.
func (r *receiver) selects() bool { return r.decl.kind == KindQueue && len(r.config.Keys) > 0 }

// passes reports whether a job is for other workers, and the result for it. A job whose subject
// has no key, from an older release or a plain client, has to be decoded first. A replay is for
// its group, whatever its key.
func (r *receiver) passes(m *inbound) (bool, result) {
	if !r.selects() || m.call.delivery != nil && r.in.names.isReplay(r.decl, m.call.message.Subject) {
		return false, result{}
	}
	key := keyOf(m.call.message.Subject)
	if key == "" {
		if !m.decoded {
			return false, result{}
		}
		var err error
		if key, err = r.in.keyOf(r.decl, m.call.payload); err != nil {
			return false, result{err: about(r.decl.String(), err)}
		}
	}
	if slices.Contains(r.config.Keys, key) {
		return false, result{}
	}
	if r.decl.nonPersistent() {
		return true, result{}
	}
	return r.passTo(m, key)
}

// passTo decides about a job that has none of the receiver's Keys.
func (r *receiver) passTo(m *inbound, key string) (bool, result) {
	own, some, err := r.storage.takers(r.in.ctx, r.group(), key)
	switch {
	case err != nil:
		return true, result{err: about(r.decl.String(), err)}
	case own: // a newer release has given the group this key
		return false, result{}
	case some:
		return true, result{}
	}
	return true, result{reason: ReasonUnclaimed, unclaimed: key, err: notDone(FailedPrecondition,
		"%s: no group takes the key %q: give it to a worker with mono.Keys, or let the workers of a group take all keys", r.decl, key)}
}

// claims are the Keys of a queue's groups: those of each group, nil for all.
type claims struct {
	read time.Time
	of   map[string][]string
}

// claimsAge is how long a worker relies on the Keys of another group.
const claimsAge = time.Second

// takes reports whether a group takes jobs with a key.
func (c *claims) takes(group, key string) bool {
	keys, ok := c.of[group]
	return ok && (keys == nil || slices.Contains(keys, key))
}

// taken reports whether some group takes jobs with a key.
func (c *claims) taken(key string) bool {
	for group := range c.of {
		if c.takes(group, key) {
			return true
		}
	}
	return false
}

// takers reports whether a group, and whether any group, takes jobs with a key. The answer no is
// up to date.
func (s *storage) takers(ctx context.Context, group, key string) (own, some bool, err error) {
	c := s.claims.Load()
	for fresh := false; ; fresh = true {
		if c != nil && (fresh || time.Since(c.read) < claimsAge) {
			if own, some = c.takes(group, key), c.taken(key); own || some || fresh {
				return own, some, nil
			}
		}
		if c, err = s.readClaims(ctx); err != nil {
			return false, false, err
		}
	}
}

func (s *storage) readClaims(ctx context.Context) (*claims, error) {
	ctx, cancel := context.WithTimeout(ctx, deadLetterTimeout)
	defer cancel()
	log, err := s.log(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := log.Groups(ctx)
	if err != nil {
		return nil, err
	}
	c := &claims{read: time.Now(), of: make(map[string][]string)}
	for i := range groups {
		c.of[groups[i].Config.Name] = keysOfGroup(&groups[i].Config)
	}
	s.claims.Store(c)
	return c, nil
}

// keysOfGroup returns the Keys of a queue's group, nil for all.
func keysOfGroup(g *transport.GroupConfig) []string {
	if text := g.Metadata[metaKeys]; text != "" {
		return strings.Fields(text)
	}
	return nil
}
