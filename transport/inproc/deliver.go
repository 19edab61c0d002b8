package inproc

import "gomono.dev/transport"

// deliver hands a copy of m to everything that it is for, and returns how many
// took it. A log is one of them: it stores the message before anybody else sees it.
func (b *Backend) deliver(m *transport.Message) int {
	to := b.router.route(m.Subject)
	if to.log == nil {
		return b.spread(m, to)
	}
	b.publish(to.log, m)
	return 1 + b.spread(m, to)
}

// forward hands a copy of m to the subscriptions on its subject: the log that it
// is for has seen it.
func (b *Backend) forward(m *transport.Message) { b.spread(m, b.router.route(m.Subject)) }

// spread hands a copy of m to the subscriptions on a route. Every message passes
// through here, whoever sent it.
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
	// Last, so that whoever gets its reply and then drains what else listens to
	// replies finds it there.
	if b.inboxes.deliver(m) {
		taken++
	}
	return taken
}

// deliverGroup hands m to one member. Members that were found on the route, but
// have begun to drain since, refuse it; then it is for those who have joined
// since. A member leaves the router before it refuses, so nobody is asked twice.
func (b *Backend) deliverGroup(members []*subscription, m *transport.Message) bool {
	group := members[0].group
	for len(members) > 0 {
		first := b.picker.pick(len(members))
		for i := range members {
			if members[(first+i)%len(members)].push(m) {
				return true
			}
		}
		members = b.router.route(m.Subject).members(group)
	}
	return false
}
