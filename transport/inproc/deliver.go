package inproc

import "gomono.dev/transport"

// deliver hands a copy of m to everything that it is for, and returns how many
// took it. Every message passes through here, whoever sent it.
func (t *Transport) deliver(m *transport.Message) int {
	taken := 0
	to := t.router.route(m.Subject)
	for _, s := range to.plain {
		if s.push(m) {
			taken++
		}
	}
	for _, group := range to.groups {
		if t.deliverGroup(group, m) {
			taken++
		}
	}
	// Last, so that whoever gets its reply and then drains what else listens to
	// replies finds it there.
	if t.inboxes.deliver(m) {
		taken++
	}
	return taken
}

// deliverGroup hands m to one member. Members that were found on the route, but
// have begun to drain since, refuse it; then it is for those who have joined
// since. A member leaves the router before it refuses, so nobody is asked twice.
func (t *Transport) deliverGroup(members []*subscription, m *transport.Message) bool {
	group := members[0].group
	for len(members) > 0 {
		first := t.picker.pick(len(members))
		for i := range members {
			if members[(first+i)%len(members)].push(m) {
				return true
			}
		}
		members = t.router.route(m.Subject).members(group)
	}
	return false
}
