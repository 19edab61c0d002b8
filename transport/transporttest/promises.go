package transporttest

import (
	"slices"
	"strings"
	"time"

	"gomono.dev/transport"
)

// check tests a delivery for the guarantees of each delivery. The caller holds the lock.
func (m *playMember) check(d *transport.Delivery, sent *played, state *playState) {
	y, g := m.y, m.group
	name := string(d.Body)
	if m.busy {
		y.breaks("%s was delivered while the handler was called: it must never be called concurrently", name)
	}
	if state.settled && (state.by == nil || !state.by.ended) { // a settlement by a process that crashed may be lost
		y.breaks("%s was delivered to group %s after it had been settled there", name, g.config.Name)
	}
	if state.held != nil {
		y.breaks("%s was delivered to group %s while a live member held it", name, g.config.Name)
	}
	now := time.Now()
	if m.drains {
		y.breaks("%s was delivered to a member that drains", name)
	}
	if now.Before(state.notBefore) {
		y.breaks("%s was delivered to group %s %v before its delay had passed", name, g.config.Name, state.notBefore.Sub(now))
	}
	if now.Before(sent.notBefore) {
		y.breaks("%s was delivered %v before its NotBefore", name, sent.notBefore.Sub(now))
	}
	if d.Subject != y.subject(sent.key) || d.ID != sent.id || d.Header.Get("Key") != sent.key || d.Sequence == 0 {
		y.breaks("%s was delivered on %q with id %q, header %v and sequence %d: that is not the message that was sent", name, d.Subject, d.ID, d.Header, d.Sequence)
	}
	if len(g.config.Filter) > 0 && !slices.Contains(g.config.Filter, strings.TrimPrefix(d.Subject, y.root+".")) {
		y.breaks("%s was delivered to group %s, whose filter does not match it", name, g.config.Name)
	}
	y.located(name, d.Sequence)
	m.checkAttempt(d, state)
	m.checkOrder(d, state)
}

// checkAttempt tests that an attempt is a delivery that was not handed back. A delivery
// that was fetched by a member but not passed to its handler may count if a member has
// ended.
func (m *playMember) checkAttempt(d *transport.Delivery, state *playState) {
	g := m.group
	least := max(state.times-state.handedBack, state.attempt+1)
	if most := least + g.endings; d.Attempt < least || d.Attempt > most {
		m.y.breaks("%s was delivered to group %s for the %dth time as attempt %d after attempt %d: want %d to %d",
			d.Body, g.config.Name, state.times, d.Attempt, state.attempt, least, most)
	}
}

// checkOrder tests that the fencing token increases for each key of an ordered group,
// whose order is observed afterwards. It also tests that first deliveries are in the
// order of their sequences, within one member.
func (m *playMember) checkOrder(d *transport.Delivery, state *playState) {
	y, g := m.y, m.group
	if g.config.Ordered {
		if last := g.fencingTokens[state.key]; d.FencingToken <= last {
			y.breaks("%s was delivered to group %s with fencing token %d after %d", d.Body, g.config.Name, d.FencingToken, last)
		}
		g.fencingTokens[state.key] = d.FencingToken
		return
	}
	if g.joins == 1 && state.times == 1 && d.Sequence < g.highest && d.Attempt == 1 {
		y.breaks("%s at %d was delivered to group %s for the first time after the message at %d", d.Body, d.Sequence, g.config.Name, g.highest)
	}
	g.highest = max(g.highest, d.Sequence)
}

// checkSettled tests that no unsettled message is reported as settled.
func (y *player) checkSettled() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, g := range y.groups {
		for body, state := range g.states {
			if state.held != nil && state.held.Sequence <= g.info.Settled && y.present[state.held.Sequence] && !g.deleted {
				y.breaks("group %s reports all messages up to %d as settled, but holds %s at %d", g.config.Name, g.info.Settled, body, state.held.Sequence)
			}
		}
		if g.info.Settled > y.last {
			y.breaks("group %s reports all messages up to %d as settled, but the last message is at %d", g.config.Name, g.info.Settled, y.last)
		}
	}
}
