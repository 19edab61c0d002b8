package inproc

import "gomono.dev/transport"

// deliver passes a copy of m to all of its destinations, and returns the number that
// accepted it. A log stores the message before any subscriber receives it.
func (b *Backend) deliver(m *transport.Message) int {
	to := b.router.route(m.Subject)
	if to.log == nil {
		return b.spread(m, to)
	}
	b.publish(to.log, m)
	return 1 + b.spread(m, to)
}

// forward passes a copy of m to the subscriptions on its subject, after its log has
// handled it.
func (b *Backend) forward(m *transport.Message) { b.spread(m, b.router.route(m.Subject)) }

// spread passes a copy of m to the subscriptions on a route. Every message passes through
// here.
func (b *Backend) spread(m *transport.Message, to *route) int {
	taken := 0
	for _, s := range to.plain {
		if s.push(m) {
			taken++
		}
	}
	for _, group := range to.groups {
		if b.deliverGroup(group, m) {
			taken++
		}
	}
	// Inboxes come last. A requester that gets its reply and then drains other
	// subscriptions on replies finds the reply there.
	if b.inboxes.deliver(m) {
		taken++
	}
	return taken
}

// deliverGroup passes m to one member. A member that was found on the route but has begun
// to drain rejects it. Then m goes to a member that has joined since. A member leaves the
// router before it rejects, so no member is tried twice.
func (b *Backend) deliverGroup(members []*subscription, m *transport.Message) bool {
	group := members[0].group
	for len(members) > 0 {
		first := b.pick(len(members), m.Subject)
		for i := range members {
			if members[(first+i)%len(members)].push(m) {
				return true
			}
		}
		members = b.router.route(m.Subject).members(group)
	}
	return false
}
